"""How fast SpeechBrain trains what `benchmarks/training.py` trains, in SpeechBrain's own way.

    python -m venv /tmp/peer
    /tmp/peer/bin/pip install "torch==2.11.*" "torchaudio==2.11.*" numpy soundfile "speechbrain>=1.1,<2"
    /tmp/peer/bin/python benchmarks/peer_speechbrain.py --manifest exp/librispeech/mini/data/train.jsonl

The same: the recordings, the layers and their sizes (the parameters agree to the last one), float32, AdamW, clipped
gradients, seconds in a batch, three speeds, SpecAugment, 80 mel bins every 10 ms. SpeechBrain's own: reading, batch
sampler, data loader, features, normalisation, augmentation, LSTM, loss, and the loop, `Brain.fit`. Left out, in its
favour: noise, validation, checkpoints. As in its recipes, the LSTM runs over the padding too (`--packed` packs), and
one speed is drawn for a whole batch.

Written for SpeechBrain 1.1.2, which needs no help with torchaudio 2.11: it reads through soundfile. What else makes it
fast on a CPU is the environment's to say, as for its users; glibc gives freed memory back at every update unless
`MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=268435456` is set before Python starts.

Prints one line of JSON. `audio_s` is what the timed updates learned from, without padding, at the speeds drawn;
`seconds` run from the end of the warm-up's last update to the end of the last one, waiting for data included. The
median, over updates, suffers less where other programs take the processor away at times.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
from itertools import count, pairwise
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.augment.freq_domain import SpectrogramDrop
from speechbrain.augment.time_domain import SpeedPerturb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.dataio.encoder import CTCTextEncoder
from speechbrain.dataio.sampler import DynamicBatchSampler
from speechbrain.lobes.features import Fbank
from speechbrain.nnet.CNN import Conv2d
from speechbrain.nnet.losses import ctc_loss
from speechbrain.nnet.RNN import LSTM
from speechbrain.processing.features import InputNormalization
from torch import Tensor, nn

ALPHABET = " 'abcdefghijklmnopqrstuvwxyz"
SAMPLE_RATE_HZ = 16000
MEL_BINS = 80


def main() -> None:
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    with contextlib.redirect_stdout(sys.stderr):
        brain = Recipe(options)
        brain.fit(count(1), loader(options))
    print(json.dumps(brain.result()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--batch-seconds", type=float, default=120.0, help="at most, padding included, at speed 1")
    parser.add_argument("--updates", type=int, default=8, help="that are timed")
    parser.add_argument("--warm-up", type=int, default=2, help="updates before them, at least 1")
    parser.add_argument("--threads", type=int, help="of PyTorch; its own choice by default")
    parser.add_argument("--workers", type=int, default=0, help="processes that read; 0 reads in the training process")
    parser.add_argument("--buckets", type=int, default=20, help="of the batch sampler, by length")
    parser.add_argument("--packed", action="store_true", help="keep the LSTM off the padding")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.warm_up < 1 or options.updates < 1:
        parser.error("--warm-up and --updates are at least 1")
    return options


def loader(options: argparse.Namespace) -> SaveableDataLoader:
    encoder = CTCTextEncoder()
    encoder.insert_blank(index=0)
    encoder.update_from_iterable(ALPHABET, sequence_input=False)
    encoder.expect_len(1 + len(ALPHABET))

    @sb.utils.data_pipeline.takes("audio_filepath")
    @sb.utils.data_pipeline.provides("waveform")
    def waveform(audio_filepath: str) -> Tensor:
        return sb.dataio.dataio.read_audio(audio_filepath)

    @sb.utils.data_pipeline.takes("text")
    @sb.utils.data_pipeline.provides("tokens")
    def tokens(text: str) -> Tensor:
        return encoder.encode_sequence_torch(text)

    dataset = DynamicItemDataset(utterances(options.manifest), [waveform, tokens], ["id", "waveform", "tokens"])
    sampler = DynamicBatchSampler(dataset, options.batch_seconds, num_buckets=options.buckets, seed=options.seed)
    return SaveableDataLoader(dataset, batch_sampler=sampler, collate_fn=PaddedBatch, num_workers=options.workers)


def utterances(manifest: Path) -> dict[str, dict[str, str | float]]:
    """The utterances of a manifest by id, as SpeechBrain's data set takes them."""
    records = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    return {
        record["id"]: {
            "audio_filepath": str(manifest.parent / record["audio_filepath"]),
            "duration": record["duration"],
            "text": record["text"].lower(),
        }
        for record in records
    }


class Model(nn.Module):
    """Features to log-probabilities, with the layers of `asr.model.CTCModel` out of SpeechBrain's parts."""

    def __init__(self, hidden: int, layers: int, packed: bool) -> None:
        super().__init__()
        same = {"kernel_size": (3, 3), "stride": (2, 2), "padding_mode": "constant", "skip_transpose": True}
        self.packed = packed
        self.convolutions = nn.Sequential(
            Conv2d(32, in_channels=1, **same), nn.ReLU(), Conv2d(32, in_channels=32, **same), nn.ReLU()
        )
        self.projection = sb.nnet.linear.Linear(2 * hidden, input_size=32 * MEL_BINS // 4)
        self.norm = sb.nnet.normalization.LayerNorm(2 * hidden)
        self.dropout = nn.Dropout(0.1)
        self.lstm = LSTM(hidden, input_size=2 * hidden, num_layers=layers, dropout=0.1, bidirectional=True)
        self.head = sb.nnet.linear.Linear(1 + len(ALPHABET), input_size=2 * hidden)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """(batch, frames, mel bins) and each length's share of the longest, to (batch, frames / 4, tokens)."""
        images = self.convolutions(features[:, None])
        frames = self.norm(self.projection(images.transpose(1, 2).flatten(2)))
        frames, _ = self.lstm(self.dropout(frames), lengths=lengths if self.packed else None)
        return self.head(self.dropout(frames)).float().log_softmax(2)


class Recipe(sb.Brain):
    """SpeechBrain's loop around the model, with a look at the clock after every update."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.ended_s: list[float] = []
        self.audio_s: list[float] = []
        modules = {
            "speed": SpeedPerturb(SAMPLE_RATE_HZ, [90, 100, 110], options.device),
            "features": Fbank(sample_rate=SAMPLE_RATE_HZ, n_mels=MEL_BINS),
            "normalise": InputNormalization(norm_type="sentence"),
            "time_masks": SpectrogramDrop(0, 100, 2, 2, dim=1),
            "frequency_masks": SpectrogramDrop(0, 15, 2, 2, dim=2),
            "model": Model(options.hidden, options.layers, options.packed),
        }
        super().__init__(
            modules,
            opt_class=lambda parameters: torch.optim.AdamW(parameters, 1e-3, weight_decay=0.01, fused=True),
            run_opts={
                "device": options.device,
                "precision": options.precision,
                "max_grad_norm": 1.0,
                "optimizer_step_limit": options.warm_up + options.updates,
            },
        )

    def compute_forward(self, batch: PaddedBatch, stage: sb.Stage) -> tuple[Tensor, Tensor]:
        batch = batch.to(self.device)
        waveforms, lengths = batch.waveform
        waveforms = self.modules.speed(waveforms)
        self.audio_s.append(float(lengths.sum()) * waveforms.shape[1] / SAMPLE_RATE_HZ)
        features = self.modules.normalise(self.modules.features(waveforms), lengths)
        masked = self.modules.frequency_masks(self.modules.time_masks(features))
        return self.modules.model(masked, lengths), lengths

    def compute_objectives(self, predictions: tuple[Tensor, Tensor], batch: PaddedBatch, stage: sb.Stage) -> Tensor:
        log_probabilities, lengths = predictions
        tokens, token_lengths = batch.tokens
        return ctc_loss(log_probabilities, tokens, lengths, token_lengths, blank_index=0)

    def on_fit_batch_end(self, batch: PaddedBatch, outputs: object, loss: Tensor, should_step: bool) -> None:
        if self.device_type == "cuda":
            torch.cuda.synchronize()
        self.ended_s.append(time.perf_counter())

    def result(self) -> dict[str, str | int | float]:
        """What was measured, the warm-up left out."""
        first = self.options.warm_up
        audio_s, ended_s = self.audio_s[first:], self.ended_s[first - 1 :]
        hours_per_s = [
            audio / 3600 / (end - start) for audio, (start, end) in zip(audio_s, pairwise(ended_s), strict=True)
        ]
        seconds = ended_s[-1] - ended_s[0]
        return {
            "peer": f"speechbrain {sb.__version__}",
            "updates": len(audio_s),
            "audio_s": round(sum(audio_s), 2),
            "seconds": round(seconds, 3),
            "hours_per_s": round(sum(audio_s) / 3600 / seconds, 6),
            "median_hours_per_s": round(statistics.median(hours_per_s), 6),
            "parameters": sum(parameter.numel() for parameter in self.modules.parameters()),
        }


if __name__ == "__main__":
    main()
