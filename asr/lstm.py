"""The bidirectional LSTM layer, in the form that is fastest on the device at hand.

Shapes: B utterances, T frames, D inputs, H units in each direction.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class BidirectionalLSTM(nn.Module):
    """One layer: memory cells run over the frames forwards, others backwards, and their outputs stand side by side.

    The weights are those of `torch.nn.LSTM(bidirectional=True)`. On CUDA they go to cuDNN as a packed batch. On a CPU a
    packed batch takes PyTorch's step-by-step path, 5 to 40 times slower in training; there each direction runs as a
    plain LSTM, the backward one over sequences flipped within their own lengths. `benchmarks/lstm_forms.py` measures
    both forms.

    Source: Hochreiter and Schmidhuber 1997; Gers et al. 2000 (forget gate); Graves et al. 2013 (deep bidirectional).
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)
        for name, weight in self.lstm.named_parameters():
            if name.startswith("bias_ih"):
                # PyTorch orders the gates i, f, g, o; a forget gate open at the start lets gradients pass early on.
                nn.init.constant_(weight[hidden : 2 * hidden], 1.0)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Runs the layer over a padded batch.

        Args:
            inputs: (B, T, D).
            lengths: (B,) frames, on any device.

        Returns:
            (B, T, 2H): forward units, then backward units; zeros beyond each length.
        """
        return self.packed(inputs, lengths) if inputs.is_cuda else self.flipped(inputs, lengths)

    def packed(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """As `forward`, by way of a packed batch."""
        batch = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(batch)[0], batch_first=True, total_length=inputs.shape[1])
        return outputs

    def flipped(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """As `forward`, by way of two plain LSTMs."""
        positions = torch.arange(inputs.shape[1], device=inputs.device)
        inside = positions < lengths[:, None]
        mirror = torch.where(inside, lengths[:, None] - 1 - positions, positions)[..., None]
        forward = self._one_direction(inputs, reverse=False)
        backward = self._one_direction(_take(inputs, mirror), reverse=True)
        return torch.cat([forward, _take(backward, mirror)], dim=2) * inside[..., None]

    def _one_direction(self, inputs: Tensor, reverse: bool) -> Tensor:
        suffix = "_reverse" if reverse else ""
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        weights = [getattr(self.lstm, name + suffix) for name in names]
        state = inputs.new_zeros(1, inputs.shape[0], self.lstm.hidden_size)
        # has_biases, layers, dropout, training, bidirectional, batch_first: what nn.LSTM itself calls
        outputs: Tensor = torch._VF.lstm(inputs, (state, state), weights, True, 1, 0.0, self.training, False, True)[0]
        return outputs


def _take(sequences: Tensor, positions: Tensor) -> Tensor:
    return sequences.gather(1, positions.expand(-1, -1, sequences.shape[2]))
