import pytest
import torch
from torch import nn

from asr.cells import CELLS
from asr.lm.network import LanguageModelConfig, LanguageNetwork
from asr.model import CTCModel, ModelConfig
from asr.muon import ITERATIONS, Muon, matrices, orthogonal
from asr.recurrent import Bidirectional


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(3, 8, 20), (3, 20, 8), (3, 12, 12), (1, 1, 5)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    """The oracle is the singular value decomposition."""
    u, values, v = torch.linalg.svd(drawn(*shape), full_matrices=False)
    given = u @ torch.linspace(1000, 100, values.shape[1]).diag() @ v
    seen = u.mT @ orthogonal(given).float() @ v.mT  # diagonal where the directions are the same
    values = seen.diagonal(dim1=1, dim2=2)
    assert 0.6 < values.min() <= values.max() < 1.3
    assert (seen - values.diag_embed()).abs().max() < 0.05


def test_a_batch_of_matrices_equals_its_parts_and_nothing_stays_nothing():
    given = drawn(4, 6, 9)
    given[2] = 0
    together = orthogonal(given)
    torch.testing.assert_close(together, torch.cat([orthogonal(one[None]) for one in given]), atol=0.02, rtol=0)
    assert not together[2].any()


def stepped(weight: nn.Parameter, optimizer: torch.optim.Optimizer, learning_rate: float = 0.01) -> None:
    """Three steps with gradients of ever other size."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    for seed in range(3):
        weight.grad = drawn(*weight.shape, seed=seed) * 10**seed
        optimizer.step()


@pytest.mark.parametrize(("blocks", "columns"), [(1, 30), (4, 6), (4, 3), (3, 9)])
def test_each_block_moves_as_torchs_muon_would_move_it(blocks, columns):
    weight = nn.Parameter(drawn(blocks * 6, columns, seed=9))
    alone = [nn.Parameter(block.clone()) for block in weight.detach().chunk(blocks)]
    stepped(weight, Muon([(weight, blocks)], weight_decay=0.5))
    for number, block in enumerate(alone):
        theirs = torch.optim.Muon([block], weight_decay=0.5, ns_steps=ITERATIONS, adjust_lr_fn="match_rms_adamw")
        theirs.param_groups[0]["lr"] = 0.01
        for seed in range(3):
            block.grad = (drawn(*weight.shape, seed=seed) * 10**seed).chunk(blocks)[number]
            theirs.step()
    torch.testing.assert_close(weight.detach(), torch.cat(alone).detach(), atol=2e-4, rtol=0)


def test_gates_move_equally_far_however_small_their_gradients():
    weight = nn.Parameter(torch.zeros(4 * 16, 16))
    optimizer = Muon([(weight, 4)], weight_decay=0.0)
    optimizer.param_groups[0]["lr"] = 0.01
    weight.grad = drawn(64, 16) * torch.tensor([1e-4, 1.0, 1e-2, 1e2]).repeat_interleave(16)[:, None]
    optimizer.step()
    moved = weight.detach().view(4, -1).square().mean(1).sqrt()
    torch.testing.assert_close(moved, torch.full((4,), 0.2 * 0.01), atol=0, rtol=0.15)  # as AdamW's steps


def test_weights_without_a_gradient_stay():
    weights = [nn.Parameter(torch.ones(4, 4)) for _ in range(3)]
    optimizer = Muon([(weights[0], 1), (weights[1], 1), (weights[2], 2)], weight_decay=0.1)
    optimizer.param_groups[0]["lr"] = 0.1
    weights[1].grad = torch.eye(4)
    optimizer.step()
    assert [bool((weight == 1).all()) for weight in weights] == [True, False, True]


def named(model: nn.Module) -> dict[str, int]:
    names = {weight: name for name, weight in model.named_parameters()}
    return {names[weight]: blocks for weight, blocks in matrices(model)}


@pytest.mark.parametrize("cell", CELLS)
def test_the_matrices_of_recurrent_layers_by_gate(cell):
    found = named(Bidirectional(5, 4, cell))
    family, gates = cell.partition("_")[0], {"lstm": 4, "lstm_1997": 3, "lstm_peephole": 4, "gru": 3, "rnn": 1}[cell]
    sides = (f"{family}.weight_{kind}_l0{side}" for side in ("", "_reverse") for kind in ("ih", "hh"))
    assert found == dict.fromkeys(sides, gates)


def test_of_a_transformer_queries_keys_and_values_are_apart():
    found = named(CTCModel(16, (4,), ModelConfig(encoder="transformer", layers=1, hidden=4, heads=2)))
    layer = "layers.0.layers.0"
    inner = {f"{layer}.projection.weight": 1, f"{layer}.feed_forward.0.weight": 1, f"{layer}.feed_forward.3.weight": 1}
    assert found == {f"{layer}.attention.weight": 3, **inner}


def test_embeddings_heads_and_convolutions_are_not_among_them():
    assert all(name.startswith("layers.") for name in named(CTCModel(16, (4,), ModelConfig(layers=2, hidden=4))))
    language = LanguageNetwork(9, LanguageModelConfig(embedding=3, hidden=4))
    assert named(language) == {"layers.0.lstm.weight_ih_l0": 4, "layers.0.lstm.weight_hh_l0": 4}
