"""Whether a model does what its card says: data decoded and scored anew, and held against the claims in its folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asr.card import FILE as CARD
from asr.card import claimed_in, claims, model_index
from asr.distributed import Processes
from asr.errors import DataError
from asr.evaluation import read_utterances, readers_for, score_split
from asr.files import digest
from asr.manifest import Utterance, read_manifest
from asr.model_folder import WEIGHTS, require_model
from asr.recognizer import load as load_recognizer
from asr.scoring.figures import FILE, Figures, Results, digest_of_references, figures_of, read_results
from asr.text import normalise

TOLERANCE = 0.001
"""Between WERs as fractions: other hardware rounds otherwise, and now and then another token is the best."""

ALL = "all"
BATCH_S = 120.0


@dataclass(frozen=True)
class Comparison:
    """A claim and what came of decoding the same data again."""

    claimed: Figures
    found: Figures

    @property
    def exact(self) -> bool:
        return self.claimed.errors == self.found.errors

    @property
    def holds(self) -> bool:
        return (
            self.exact or round(abs(self.found.wer - self.claimed.wer), 9) <= TOLERANCE
        )  # 0.041 - 0.04 is more than it

    @property
    def change(self) -> str:
        """In points and, where the words are as many, in errors."""
        if self.exact:
            return "the same errors"
        errors = self.found.errors.word_errors - self.claimed.errors.word_errors
        points = f"{100 * (self.found.wer - self.claimed.wer):+.2f} points"
        return points + (f", {errors:+d} errors" if self.found.words == self.claimed.words else "")

    def __str__(self) -> str:
        claimed, found = self.claimed, self.found
        return (
            f"{claimed.split}, {claimed.decoding}: claimed {claimed.wer_in_words}, {_count(claimed)}; "
            f"found {found.wer:.2%}, {_count(found)}: {self.change}"
        )


@dataclass(frozen=True)
class Verification:
    """What came of it."""

    comparisons: Sequence[Comparison]
    complaints: Sequence[str]
    """What is wrong whatever the WER."""

    @property
    def holds(self) -> bool:
        return not self.complaints and all(each.holds for each in self.comparisons)

    @property
    def verdict(self) -> str:
        off = [f"{each.claimed.split}, {each.claimed.decoding}" for each in self.comparisons if not each.holds]
        points = f"{100 * TOLERANCE:g} points"
        if off:
            return f"not as claimed: {'; '.join(off)}: off by more than {points}"
        if self.complaints:
            return "not verified: see above"
        if all(each.exact for each in self.comparisons):
            return "verified: every count is as claimed"
        return f"verified: within {points}, which is what other hardware's rounding can make"


def verify(folder: Path, manifest: Path, split: str = "", decoding: str = ALL, device: str = "auto") -> Verification:
    """Decodes a manifest with a model, as the recipe's stages do, and compares with what the model folder claims.

    Args:
        folder: The model folder, with its `results.json`.
        manifest: Its texts are normalised as data-prep does it.
        split: Compare with the claim for this split, even when its references were others; else the claim is that
            for the same references.
        decoding: `greedy`, `beam`, or all that there are claims for.

    Raises:
        DataError: There is no claim for this data, or for this decoding; names those that there are.
        AsrError: The model or a recording cannot be used.
    """
    require_model(folder)
    if not (folder / FILE).is_file():
        raise DataError(f"{folder}: no {FILE}, and so no claim that could be verified; 'asr score RECIPE' writes it")
    results = read_results(folder / FILE)
    utterances = [replace(each, text=normalise(each.text)) for each in read_manifest(manifest)]
    references = digest_of_references((each.id, each.text) for each in utterances)
    chosen = choose_claims(results, manifest, references, split, decoding)
    complaints = [*_strange_weights(folder, results), *card_complaints(folder / CARD, results)]
    if chosen[0].references != references:
        complaints.append(
            f"{manifest}: other utterances or texts than {chosen[0].split} was scored with "
            f"({len(utterances)} utterances here, {chosen[0].utterances} there)"
        )
    found = _decode(folder, utterances, chosen, device)
    return Verification([Comparison(each, found[each.decoding]) for each in chosen], complaints)


def choose_claims(
    results: Results, manifest: Path, references: str, split: str = "", decoding: str = ALL
) -> list[Figures]:
    """The scores to compare with: those of the split that is named, else those of the same references.

    Raises:
        DataError: There are none; names the splits that there are.
    """
    same = [score for score in results.scores if (score.split == split if split else score.references == references)]
    there = ", ".join(dict.fromkeys(score.split for score in results.scores)) or "nothing"
    if not same:
        if split:
            raise DataError(f"--split {split}: no claim for it; there are claims for {there}")
        named = [score for score in results.scores if score.split == manifest.stem]
        hint = f"; --split {manifest.stem} compares all the same" if named else ""
        reason = f"its texts are not those that {manifest.stem} was scored with" if named else "no claim for this data"
        raise DataError(f"{manifest}: {reason}; there are claims for {there}{hint}")
    of_one_split = [score for score in same if score.split == same[0].split]
    chosen = [score for score in of_one_split if decoding in (ALL, score.decoding)]
    if not chosen:
        known = ", ".join(score.decoding for score in of_one_split)
        raise DataError(f"--decoding {decoding}: no claim for it on {same[0].split}; there are claims for {known}")
    return chosen


def card_complaints(card: Path, results: Results) -> Iterator[str]:
    """Where the card does not show the scores of the results: somebody may have edited it."""
    if not card.is_file():
        yield f"{card}: there is no card"
        return
    said = claimed_in(card)
    for name, wer in claims(results).items():
        if name not in said:
            yield f"{card}: says nothing of the {name}, {FILE} {wer}"
        elif said[name] != wer:
            yield f"{card}: says {said[name]} for the {name}, {FILE} {wer}"
    if "\n".join(model_index(results)) not in card.read_text(encoding="utf-8"):
        yield f"{card}: the error rates in its metadata are not those of {FILE}"


def _strange_weights(folder: Path, results: Results) -> Iterator[str]:
    if digest(folder / WEIGHTS) != results.weights:
        yield f"{folder / WEIGHTS}: other weights than those that {FILE} tells of"


def _decode(
    folder: Path, utterances: Sequence[Utterance], claimed: Sequence[Figures], device: str
) -> Mapping[str, Figures]:
    """The figures of each decoding that there is a claim for.

    Raises:
        DataError: The model folder is not set up for one.
    """
    recognizer = load_recognizer(folder, device, greedy=True)
    readers = readers_for(recognizer, folder)
    wanted = [score.decoding for score in claimed]
    if missing := [name for name in wanted if name not in readers]:
        raise DataError(f"{folder}: {missing[0]} decoding is claimed, and the folder is not set up for it")
    heard = [replace(each, text="") for each in utterances]  # a text beyond the alphabet is no reason to stop
    chosen = {name: readers[name] for name in wanted}
    readings = read_utterances(recognizer, chosen, heard, BATCH_S, Processes())
    texts = {name: {key: reading.text for key, reading in found.items()} for name, found in readings.items()}
    split = claimed[0].split
    return {name: figures_of(score_split(split, utterances, heard), split, name) for name, heard in texts.items()}


def _count(figures: Figures) -> str:
    return f"{figures.errors.word_errors} errors in {figures.words} words"
