"""Speech recognition with a bidirectional LSTM and CTC: features, training, decoding, scoring, transcription."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from asr.recognizer import Recognizer
    from asr.tuned import Search

__version__ = "0.1.0"


def load(
    folder: str | Path,
    device: str = "auto",
    greedy: bool = False,
    search: "Search | None" = None,
    engine: Literal["torch", "onnx"] = "torch",
) -> "Recognizer":
    """The recognizer in a model folder.

    Args:
        folder: Holds `config.json`, `vocabulary.json` and `weights.safetensors`.
        device: `auto` (CUDA if there is one), `cpu`, `cuda` or `mps`.
        greedy: Without a beam search, even where one was tuned for the model.
        search: A beam search of one's own, such as `Search(hotwords=["asr=5"], nbest=10)` from `asr.tuned`.
        engine: `onnx` runs what `asr export` has written, by ONNX Runtime.

    Raises:
        AsrError: The folder is not whole, or the device is not there.
    """
    from asr.recognizer import load  # here, so that `import asr` stays light

    return load(Path(folder), device, greedy, search, engine)
