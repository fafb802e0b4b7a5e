"""Speech recognition with a bidirectional LSTM and CTC: features, training, decoding, scoring, transcription."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from asr.recognizer import Recognizer
    from asr.tuned import Search

__version__ = "0.1.0"


def load(
    model: str | Path | None = None,
    device: str = "auto",
    greedy: bool = False,
    search: "Search | None" = None,
    engine: Literal["torch", "onnx"] = "torch",
) -> "Recognizer":
    """A model, ready to transcribe.

    Args:
        model: What `--model` takes: a model folder, or the name of an experiment below `exp/` or of a model that comes
            with the package; without it, `$ASR_MODEL` or the package's default.
        device: `auto` (CUDA if there is one), `cpu`, `cuda` or `mps`.
        greedy: Without a beam search, even where one was tuned for the model.
        search: A beam search of one's own, such as `Search(hotwords=["asr=5"], nbest=10)` from `asr.tuned`.
        engine: `onnx` runs what `asr export` has written, by ONNX Runtime.

    Raises:
        AsrError: There is no such model, its folder is not whole, or the device is not there.
    """
    from asr.recognizer import load  # here, so that `import asr` stays light
    from asr.shipped import find_model

    return load(find_model(None if model is None else str(model)), device, greedy, search, engine)
