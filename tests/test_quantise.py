import pytest
import torch

from asr.errors import ModelError
from asr.quantise import exact, pack, unpack


def weights():
    torch.manual_seed(0)
    return {"model.matrix": torch.randn(40, 30) * torch.logspace(-6, 3, 40)[:, None], "model.bias": torch.randn(40)}


def test_of_8_bits_the_largest_of_a_row_has_them_all():
    packed = pack({"model.matrix": torch.tensor([[127.0, -63.6, 0.4], [0.0, 0.0, 0.0], [-254.0, 1.0, 3.1]])}, "int8")
    assert packed["model.matrix"].tolist() == [[127, -64, 0], [0, 0, 0], [-127, 0, 2]]
    assert packed["model.matrix"].dtype == torch.int8
    assert packed["model.matrix.scale"].tolist() == [[1.0], [0.0], [2.0]]
    assert unpack(packed)["model.matrix"].tolist() == [[127.0, -64.0, 0.0], [0.0, 0.0, 0.0], [-254.0, 0.0, 4.0]]


@pytest.mark.parametrize("form", ["float32", "float16", "int8"])
def test_packed_again_nothing_more_is_lost(form):
    once = pack(weights(), form)
    again = pack(unpack(once), form)
    assert once.keys() == again.keys()
    assert all(torch.equal(once[name], again[name]) for name in once)
    read = {name: value.float() for name, value in unpack(once).items()}
    assert exact(read, form)
    assert exact(weights(), form) == (form == "float32")


def test_a_row_is_off_by_half_a_step_at_most():
    before, after = weights()["model.matrix"], unpack(pack(weights(), "int8"))["model.matrix"]
    steps = before.abs().amax(1, keepdim=True) / 127
    # the scale is rounded to 8 digits of two, which moves the largest by a quarter of a step
    assert ((after - before).abs() <= 0.76 * steps).all()


def test_convolutions_have_a_scale_for_each_channel():
    packed = pack({"model.kernel": torch.randn(4, 3, 2, 2)}, "int8")
    assert packed["model.kernel.scale"].shape == (4, 1, 1, 1)
    assert unpack(packed)["model.kernel"].shape == (4, 3, 2, 2)


def test_features_keep_more_digits():
    assert pack({"features.filters": torch.randn(4, 3)}, "int8")["features.filters"].dtype == torch.float16


def test_what_is_no_number_stays_none():
    assert (
        not unpack(pack({"model.matrix": torch.tensor([[1.0, float("nan")], [1.0, 2.0]])}, "int8"))["model.matrix"][0]
        .isfinite()
        .any()
    )


@pytest.mark.parametrize("scale", [{}, {"model.matrix.scale": torch.ones(3)}])
def test_without_scales_nothing_can_be_told(scale):
    with pytest.raises(ModelError, match="^model.matrix has no scale for each of its rows$"):
        unpack({"model.matrix": torch.ones(4, 3, dtype=torch.int8), **scale})
