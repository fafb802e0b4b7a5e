"""A search in a process of its own, which builds it while this one imports PyTorch: either takes seconds."""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from asr.decoder import Decoder, DecodingConfig, become_worker
from asr.errors import AsrError
from asr.model_folder import SPEECH, VOCABULARY, read_config
from asr.search.prefix import Hypothesis
from asr.text import Vocabulary
from asr.tuned import Search, config_for, decoder_for, is_searched, read_tuned


class DecoderProcess:
    """What `Decoder.decode_many` does, in a process of its own."""

    def __init__(self, config: DecodingConfig, make: Callable[[], Decoder]) -> None:
        """
        Args:
            config: Of the decoder to be made.
            make: Goes to the new process, pickled, and is called there; what it raises, the first `decode_many` raises.
        """
        self.config = config
        self.cores: int | None = None
        self._process = ProcessPoolExecutor(1, get_context("fork"), become_worker)
        self._made = self._process.submit(_make, make)

    def decode_many(self, matrices: Sequence[NDArray[Any]]) -> list[list[Hypothesis]]:
        """As `Decoder.decode_many`; waits until the decoder is built.

        Raises:
            AsrError: It cannot be built, or its process was killed.
        """
        try:
            self._made.result()
            return self._process.submit(_decode, matrices, self.cores).result()
        except BrokenProcessPool as error:
            raise AsrError("the process of the beam search was killed; is memory short?") from error

    def close(self) -> None:
        self._process.shutdown(cancel_futures=True)


@contextmanager
def begin(folder: Path, search: Search | None = None) -> Iterator[DecoderProcess | None]:
    """Has the search of a model folder built in another process, for `asr.recognizer.load` to take over.

    Yields:
        None where the model is read greedily, and where a fork is not safe: elsewhere than on Linux, and when
        PyTorch, which has threads, is there already.

    Raises:
        AsrError: The folder is not a whole model's, or a setting cannot be used.
    """
    if not sys.platform.startswith("linux") or "torch" in sys.modules:
        yield None
        return
    read_config(folder, SPEECH)
    tuned = read_tuned(folder, warn=False)  # who loads the model warns
    if not is_searched(tuned, search):
        yield None
        return
    vocabulary, search = Vocabulary.load(folder / VOCABULARY), search or Search()
    make = partial(decoder_for, folder, tuned, vocabulary, search)
    with closing(DecoderProcess(config_for(tuned, search), make)) as decoder:  # Python's own end may trip over it
        yield decoder


_decoder: Decoder
"""The new process's."""


def _make(make: Callable[[], Decoder]) -> None:
    global _decoder
    _decoder = make()
    gc.freeze()  # a lexicon is many objects, and all of them stay


def _decode(matrices: Sequence[NDArray[Any]], cores: int | None) -> list[list[Hypothesis]]:
    _decoder.cores = cores
    with closing(_decoder):  # a worker that has workers itself would wait for them at its end
        return _decoder.decode_many(matrices)
