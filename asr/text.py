"""From transcripts to token ids and back: one normaliser, one alphabet, the same wherever text is read.

Tokens are the characters of the alphabet, or pieces: strings of them, learned with SentencePiece from transcripts.
"""

import base64
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.util import find_spec
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen

from asr.config import settings
from asr.errors import AsrError, ConfigError, DataError, ModelError
from asr.files import read_json, write_json

Matrix = Any
"""An array of NumPy or a tensor."""

BLANK = "<blank>"
SILENCE = "SIL"
"""Among the phones of a model: what may be heard between words."""
SPACE_IN_PIECES = "\N{LOWER ONE EIGHTH BLOCK}"
"""SentencePiece writes a space so; in front of a piece it begins a word."""
RESERVED = {SPACE_IN_PIECES, "\N{LOWER FIVE EIGHTHS BLOCK}", "\0"}
"""Characters that SentencePiece keeps for its own use."""


@settings
class TextConfig:
    alphabet: Annotated[str, MinLen(1)] = " 'abcdefghijklmnopqrstuvwxyz"
    """Every character that a normalised transcript may hold; with a space, transcripts have words."""
    units: Literal["characters", "sentencepiece", "phones"] = "characters"
    """What the model hears: characters; pieces of words learned from the training transcripts; or the phones that a
    pronunciation dictionary gives for the words, which only a search with a lexicon makes text of.
    """
    pieces: Annotated[int, Ge(1)] = 500
    """With sentencepiece, how many at most; each character of the alphabet is one, and a small corpus has no more to
    learn.
    """
    phones: bool = False
    """A second head, of phones, beside that of characters or pieces."""
    stress: bool = False
    """Tell the vowels of CMUdict apart by their stress."""
    silence: bool = False
    """With phones, a token for the silence at either end of an utterance and, where it is heard, between words."""

    @property
    def hears_phones(self) -> bool:
        return self.phones or self.units == "phones"


def normalise(text: str) -> str:
    """The text in lower case and composed form (NFKC), with plain apostrophes and single spaces.

    Nothing is taken out: what the alphabet lacks is left for `Vocabulary.unknown` to name.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join(text.lower().split())


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model; a token's id is its place, and id 0 is CTC's blank."""

    tokens: tuple[str, ...]
    """Those that spell texts; none of a model that hears phones alone."""
    sentencepiece: bytes | None = field(default=None, repr=False)
    """The SentencePiece model that cuts texts into the tokens; None where each token is a character."""
    phones: tuple[str, ...] = ()
    """The tokens of the head that hears phones, its blank first; none where there is no such head."""

    @classmethod
    def of_characters(cls, alphabet: Iterable[str]) -> "Vocabulary":
        """The blank and the distinct characters, sorted."""
        return cls((BLANK, *sorted(set(alphabet))))

    @classmethod
    def of_pieces(cls, texts: Iterable[str], alphabet: str, size: int) -> "Vocabulary":
        """The blank and the pieces that make the transcripts likeliest, every character of the alphabet among them.

        The same transcripts give the same pieces, whatever their order.

        Args:
            texts: Transcripts as they come; normalised here, and those that data-prep would drop passed over.
            size: The most pieces, the blank not counted.

        Raises:
            AsrError: The extra `sentencepiece` is not installed.
            ConfigError: `size` is too small for the alphabet, or SentencePiece keeps a character of it for its own use.
            DataError: No transcript holds to the alphabet.

        Source: Kudo 2018, Subword Regularization, section 3.2 (the unigram language model).
        """
        package = _sentencepiece()
        characters = set(alphabet)
        if size < len(characters):
            needed = f"each of the {len(characters)} characters of text.alphabet is one"
            raise ConfigError(f"text.pieces = {size}: too few: {needed}; use {len(characters)} or more")
        if reserved := characters & RESERVED:
            raise ConfigError(f"text.alphabet: SentencePiece keeps {_quoted(reserved)} for its own use; take it out")
        sentences = sorted(text for text in map(normalise, texts) if text and characters.issuperset(text))
        if not sentences:
            raise DataError("no transcript to learn pieces from: all are empty or go beyond text.alphabet")
        try:
            model = _learn(package, sentences, characters, size)
        except RuntimeError as error:
            raise DataError(f"no pieces could be learned from {len(sentences)} transcripts: {error}") from error
        return cls(_pieces(package, model), model)

    def __len__(self) -> int:
        """The columns of a matrix: those of the tokens, then those of the phones."""
        return len(self.tokens) + len(self.phones)

    @property
    def heads(self) -> tuple[int, ...]:
        """How many tokens each head of a model has."""
        return tuple(filter(None, (len(self.tokens), len(self.phones))))

    @property
    def columns(self) -> list[tuple[str, str]]:
        """What the columns of a matrix are: of which head, and the token."""
        return [*(("text", token) for token in self.tokens), *(("phones", phone) for phone in self.phones)]

    @property
    def spells(self) -> bool:
        """Whether greedy decoding gives text."""
        return bool(self.tokens)

    def of_text(self, matrix: Matrix) -> Matrix:
        """The columns of a matrix (T, V) that spell."""
        return matrix[..., : len(self.tokens)]

    def of_phones(self, matrix: Matrix) -> Matrix:
        """The columns of a matrix (T, V) that are phones."""
        return matrix[..., len(self.tokens) :]

    @cached_property
    def spellings(self) -> tuple[str, ...]:
        """What each token adds to a text: a character, or a piece, in which a space in front begins a word."""
        if self.sentencepiece is None:
            return self.tokens
        return tuple(token.replace(SPACE_IN_PIECES, " ") for token in self.tokens)

    def unknown(self, text: str) -> str:
        """The characters of a text that are no tokens, each once, sorted."""
        return "".join(sorted(set(text) - self._ids.keys()))

    def encode(self, text: str) -> list[int]:
        """The token ids of a normalised text.

        Raises:
            DataError: A character is outside the alphabet; names the characters.
            ModelError: The model hears phones alone.
            AsrError: The tokens are pieces, and the extra `sentencepiece` is not installed.
        """
        if not self.spells:
            raise ModelError("a model of phones alone spells nothing")
        if unknown := self.unknown(text):
            raise DataError(f"characters outside the alphabet: {_quoted(unknown)}")
        if self.sentencepiece is None:
            return [self._ids[character] for character in text]
        ids: list[int] = self._processor.encode(text)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text that token ids without blanks spell, spaces at its ends and double ones removed.

        >>> Vocabulary((BLANK, "▁the", "▁c", "at"), b"...").decode([1, 2, 3])
        'the cat'
        """
        return " ".join("".join(self.spellings[number] for number in ids).split())

    def save(self, path: Path) -> None:
        table: dict[str, Any] = {"tokens": list(self.tokens)}
        if self.phones:
            table["phones"] = list(self.phones)
        if self.sentencepiece is not None:
            table["sentencepiece"] = base64.b64encode(self.sentencepiece).decode()
        write_json(path, table)

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Reads what `save` wrote.

        Raises:
            DataError: Missing or not JSON.
            ModelError: Not a vocabulary: no list of distinct tokens with the blank first, or a SentencePiece model that
                is damaged or (seen where the extra is installed) has other pieces.
        """
        table = read_json(path)
        lists = {name: table.get(name) for name in ("tokens", "phones")} if isinstance(table, dict) else {}
        present = {name: found for name, found in lists.items() if found}
        for name, found in (present or {"tokens": None}).items():
            if not isinstance(found, list) or found[:1] != [BLANK] or not all(isinstance(each, str) for each in found):
                begin = f"must be a list of strings that begins with {BLANK!r}"
                raise ModelError(f"{path}: not a vocabulary: {name!r} {begin}")
            if len(set(found)) < len(found):
                raise ModelError(f"{path}: one of {name!r} stands twice")
        tokens, phones = (tuple(present.get(name, ())) for name in ("tokens", "phones"))
        if "sentencepiece" not in table:
            return cls(tokens, phones=phones)
        try:
            model = base64.b64decode(table["sentencepiece"], validate=True)
            if not model:
                raise ValueError("it is empty")
            pieces = _pieces(_sentencepiece(), model) if find_spec("sentencepiece") else tokens
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(f"{path}: 'sentencepiece' is not a SentencePiece model in base64 ({error})") from error
        if pieces != tokens:
            counts = f"{len(pieces)} pieces, {len(tokens)} tokens"
            raise ModelError(f"{path}: 'tokens' are not the pieces of 'sentencepiece' ({counts})")
        return cls(pieces, model, phones)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {spelling: number for number, spelling in enumerate(self.spellings)}

    @cached_property
    def _processor(self) -> Any:
        return _sentencepiece().SentencePieceProcessor(model_proto=self.sentencepiece)


def vocabulary_of(config: TextConfig, texts: Iterable[str], phones: Iterable[str] = ()) -> Vocabulary:
    """The vocabulary that the settings ask for; the training transcripts are read only when pieces are to be learned.

    Args:
        phones: Those of the dictionary, where the model is to hear phones.

    Raises:
        AsrError: As `Vocabulary.of_pieces`.
    """
    heard: tuple[str, ...] = ()
    if config.hears_phones:
        heard = (BLANK, *sorted(set(phones)), *([SILENCE] if config.silence else []))
    if config.units == "phones":
        return Vocabulary((), phones=heard)
    if config.units == "sentencepiece":
        return replace(Vocabulary.of_pieces(texts, config.alphabet, config.pieces), phones=heard)
    return replace(Vocabulary.of_characters(config.alphabet), phones=heard)


def frames_needed(ids: Sequence[int]) -> int:
    """The fewest frames in which CTC can emit the tokens: one each, and a blank between equal neighbours.

    Source: Graves et al. 2006, section 3.1 (the map B removes repeats, so a repeat needs a blank between).

    >>> frames_needed([3, 5, 5, 5])
    6
    """
    return len(ids) + sum(left == right for left, right in pairwise(ids))


def _sentencepiece() -> ModuleType:
    try:
        import sentencepiece
    except ImportError as error:
        raise AsrError("a vocabulary of pieces needs SentencePiece: pip install 'asr[sentencepiece]'") from error
    return sentencepiece


def _learn(package: ModuleType, sentences: Sequence[str], characters: AbstractSet[str], size: int) -> bytes:
    # SentencePiece takes the required characters first and stops when all text is covered, be there more of them: one
    # that stands in the text, and often, must therefore not be among them.
    common = " " if " " in characters else Counter("".join(sentences)).most_common(1)[0][0]
    model = BytesIO()
    package.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="unigram",
        vocab_size=1 + size,
        hard_vocab_limit=False,  # a small corpus has fewer pieces, and that is all right
        required_chars="".join(sorted(characters - {common})),
        character_coverage=1.0,
        normalization_rule_name="identity",
        add_dummy_prefix=" " in characters,  # the first word is cut like the others, where there are words
        max_sentence_length=1 << 30,  # in bytes; a longer one would be left out
        input_sentence_size=0,  # no sampling
        num_threads=1,
        unk_id=0,
        unk_piece=BLANK,  # "unknown" must have an id, and takes the one that no text has: `encode` refuses such texts
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


def _pieces(package: ModuleType, model: bytes) -> tuple[str, ...]:
    processor = package.SentencePieceProcessor(model_proto=model)
    return tuple(processor.id_to_piece(number) for number in range(len(processor)))


def _quoted(characters: Iterable[str]) -> str:
    return " ".join(map(repr, sorted(characters)))
