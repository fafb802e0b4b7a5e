"""What was heard of a recording piece by piece, put together: stretches to be read, and at last a transcript."""

from collections.abc import Iterator
from concurrent.futures import Future

from asr.errors import AsrError
from asr.hearing import Piece
from asr.reading import Reading, joined
from asr.stretches import Stretch, Stretches
from asr.text import SILENCE, Vocabulary
from asr.transcript import Transcript


class Assembly:
    """A recording on its way: pieces that wait for those before them, and the stretches that are being read."""

    def __init__(self, source: str, vocabulary: Vocabulary, frame_s: float) -> None:
        self.source, self.frame_s = source, frame_s
        self.error: AsrError | None = None
        self.duration_s = 0.0
        self.waiting: dict[int, Piece] = {}
        self.index, self.ended = 0, False
        self.stretches = Stretches(frame_s, *_between_words(vocabulary))
        self.readings: list[tuple[int, Future[list[Reading]], int]] = []

    @property
    def complete(self) -> bool:
        """Everything was heard and read."""
        return self.ended and all(future.done() for _, future, _ in self.readings)

    def add(self, piece: Piece) -> Iterator[Stretch]:
        """The stretches that can be read now that the piece is there."""
        if piece.error:
            self.error, self.ended = piece.error, True
            return
        self.waiting[piece.index] = piece
        while piece_next := self.waiting.pop(self.index, None):
            self.index, self.ended, self.duration_s = self.index + 1, piece_next.last, piece_next.read_s
            yield from self.stretches.add(piece_next.matrix, piece_next.last)

    def until_s(self, stretch: Stretch) -> float:
        """How long a stretch lasts; the last frame may reach beyond the recording."""
        return min(len(stretch.matrix) * self.frame_s, self.duration_s - stretch.start * self.frame_s)

    def await_reading(self, stretch: Stretch, readings: Future[list[Reading]], place: int) -> None:
        """What the stretch says will be at that place of the readings."""
        self.readings.append((stretch.start, readings, place))

    def transcript(self, nbest: int, model: str) -> Transcript:
        """What the recording says, once all stretches are read."""
        if self.error:
            return Transcript(self.source, "", 0.0, self.error)
        parts = [(start, future.result()[place]) for start, future, place in self.readings]
        reading = joined(parts, self.frame_s, self.duration_s, nbest) if len(parts) > 1 else parts[0][1]
        words, alternatives = reading.words, reading.alternatives
        return Transcript(self.source, reading.text, self.duration_s, None, words, alternatives, model)


def _between_words(vocabulary: Vocabulary) -> tuple[int | None, slice]:
    """The token between words, and the columns of a matrix in which it is: those that spell, or else the phones."""
    tokens, between = (vocabulary.tokens, " ") if vocabulary.spells else (vocabulary.phones, SILENCE)
    return tokens.index(between) if between in tokens else None, slice(len(tokens))
