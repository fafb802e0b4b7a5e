"""A model tuned on dev: decoding settings, the weight of a second language model, calibrated confidence."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.confidence import (
    Calibration,
    cross_fitted,
    expected_calibration_error,
    fit,
    normalised_cross_entropy,
    reliability,
    reliability_table,
    shifted,
)
from asr.dataset import SpeechDataset, load, plan
from asr.decoder import Decoder, DecodingConfig, distinct, text_of
from asr.errors import ConfigError, DataError, ModelError
from asr.evaluation import BEAM, GREEDY, score_split
from asr.files import digest
from asr.lexicon.entries import Lexicon
from asr.lexicon.of_model import FILE as LEXICON
from asr.lexicon.of_model import pronunciations_for
from asr.lm import rescoring
from asr.lm.neural import NeuralModel
from asr.lm.stored import read_vocabulary
from asr.manifest import Utterance, hours, read_manifest
from asr.metrics import correct_words, count_errors
from asr.model_folder import WEIGHTS
from asr.progress import say, track
from asr.reading import Reader, Reading, SentenceModel, gone_over
from asr.recognizer import Recognizer
from asr.recognizer import load as load_recognizer
from asr.report import summary
from asr.scoring.figures import figures_of
from asr.search import risk
from asr.shipped import require_own
from asr.text import Vocabulary, normalise
from asr.tuned import SECOND, Tuned, name_of_copy, write_tuned
from asr.tuning import WIDTHS, Tuning

TEST_NAME = re.compile(r"(?<![a-z])test(?![a-z])", re.IGNORECASE)

MOST_UNKNOWN = 0.2
"""Of dev's words, the share that a language model may lack before it is taken for one of other texts."""

BATCH_S = 120.0
AT_ONCE = 64
"""Matrices between two steps of a progress bar."""


@dataclass(frozen=True)
class Dev:
    """A dev set as the model hears it, once for all trials."""

    title: str
    utterances: list[Utterance]
    matrices: list[NDArray[Any]]

    @property
    def references(self) -> list[str]:
        return [utterance.text for utterance in self.utterances]

    @property
    def log_priors(self) -> tuple[float, ...]:
        """How likely each token is over all frames, in natural logarithms; impossible ones as one in a billion."""
        sums = sum(np.exp(matrix).sum(0, dtype=np.float64) for matrix in self.matrices)
        means = sums / max(1, sum(map(len, self.matrices)))
        return tuple(np.log(np.maximum(means, 1e-9)).round(4).tolist())

    def word_groups(self, readings: Sequence[Reading]) -> dict[str, tuple[list[float], list[bool]]]:
        """The confidences of each speaker's words, and which of the words are right."""
        groups: dict[str, tuple[list[float], list[bool]]] = defaultdict(lambda: ([], []))
        for utterance, reading in zip(self.utterances, readings, strict=True):
            confidences, right = groups[utterance.speaker or utterance.id]
            confidences += [word.confidence for word in reading.words]
            right += correct_words(utterance.text, reading.text)
        return dict(groups)


def tune(
    folder: Path,
    manifest: Path,
    language_model: Path | None = None,
    second: Path | None = None,
    start: DecodingConfig | None = None,
    device: str = "auto",
    force: bool = False,
    lexicon: Path | None = None,
) -> Tuned:
    """Finds decoding settings for a model on dev, calibrates its confidence there, and writes both into its folder.

    Args:
        folder: The model folder.
        manifest: Of dev, with its transcripts.
        language_model: An ARPA or compact file; without one only confidence is calibrated, that of greedy decoding.
        second: The folder of a recurrent language model, to go over the best hypotheses.
        start: Where the search for settings begins.
        force: Take a manifest that is called a test set, and a language model that lacks many of its words.
        lexicon: How the words of the language model are said, for a model that hears phones.

    Raises:
        ConfigError: The manifest is called a test set.
        DataError: It holds no words, or a recording is missing.
        ModelError: The model or a language model cannot be used, or does not fit; or the model is the package's.
    """
    if TEST_NAME.search(manifest.stem) and not force:
        raise ConfigError(f"{manifest}: a test set is not for tuning: name a dev set, or insist with --force")
    require_own(folder)
    if second and not language_model:
        raise ConfigError(f"--rescore {second}: it goes over what a beam search finds, and that needs --lm")
    recognizer = load_recognizer(folder, device, greedy=True)
    reader = Reader(recognizer.checkpoint.vocabulary, recognizer.frame_s)
    start = start or DecodingConfig()
    if not language_model:
        reader.check(str(folder))
    models: dict[str, Path] = {}
    pronunciations = None
    if language_model:
        models[name_of_copy(language_model)] = language_model
        pronunciations = _pronunciations(folder, reader.vocabulary, start, language_model, lexicon)
        decoder = Decoder(reader.vocabulary, replace(start, prior_weight=0.0), language_model, None, pronunciations)
    if second:
        models[SECOND] = second
        second_model = NeuralModel.load(second, device)
    recognizer.hear_as(start if language_model else DecodingConfig())
    dev = hear(recognizer, manifest)
    greedy, facts = _judge(dev, GREEDY, reader) if reader.vocabulary.spells else (Calibration(), {})
    tuned = Tuned(digest(folder / WEIGHTS), log_priors=dev.log_priors, greedy=greedy, dev={"dev": dev.title, **facts})
    if language_model:
        _check_words(dev, decoder, language_model, force)
        decoder.tell_limits()
        decoder.log_priors = np.array(tuned.log_priors)
        reader.decoder = found = _search(dev, decoder.reweighted(start))
        if second:
            _check_rate(second, second_model.perplexity(dev.references).oov_rate, force)
            reader.second = second_model
            reader.decoder = found = _weigh_second(dev, found, reader.second)
        reader.decoder = _weigh_risk(dev, found, reader)
        beam, more = _judge(dev, BEAM, reader)
        names = [*models, ""]
        tuned = replace(
            tuned,
            language_model=names[0],
            second=names[1],
            lexicon="" if pronunciations is None else LEXICON,
            decoding=reader.decoder.config,
            beam=beam,
            dev={**tuned.dev, **more},
        )
    write_tuned(folder, tuned, models, pronunciations)
    return tuned


def _pronunciations(
    folder: Path, vocabulary: Vocabulary, start: DecodingConfig, language_model: Path, lexicon: Path | None
) -> Lexicon | None:
    """How the words of a language model are said, for a search in phones; None for one in letters."""
    if vocabulary.phones and start.head != "text":
        return pronunciations_for(read_vocabulary(language_model)[1], folder, vocabulary, lexicon)
    if lexicon:
        raise ConfigError(f"--lexicon {lexicon}: it tells phones, and the model is searched for letters")
    return None


def hear(recognizer: Recognizer, manifest: Path) -> Dev:
    """A manifest's utterances, texts normalised, and their matrices."""
    utterances = [replace(each, text=normalise(each.text)) for each in read_manifest(manifest)]
    if not any(utterance.text for utterance in utterances):
        raise DataError(f"{manifest}: no transcripts to tune on")
    vocabulary = recognizer.checkpoint.vocabulary
    unknown = vocabulary.unknown("".join(utterance.text for utterance in utterances))
    if vocabulary.spells and unknown:
        say(f"warning: {manifest}: characters that the model cannot write: {' '.join(map(repr, unknown))}")
    dataset = SpeechDataset(utterances, recognizer.sample_rate_hz)
    batches = load(dataset, plan(utterances, BATCH_S))
    heard = {
        name: matrix
        for batch in track(batches, "listening")
        for name, matrix in zip(batch.ids, recognizer.matrices(batch), strict=True)
    }
    title = f"{manifest.stem}, {len(utterances)} utterances, {hours(utterances):.2f} h"
    return Dev(title, utterances, [heard[utterance.id] for utterance in utterances])


def _read(dev: Dev, reader: Reader) -> list[Reading]:
    readings: list[Reading] = []
    for start in track(range(0, len(dev.matrices), AT_ONCE), "decoding"):
        part = slice(start, start + AT_ONCE)
        durations_s = [utterance.duration_s or 0.0 for utterance in dev.utterances[part]]
        readings += reader.read(dev.matrices[part], durations_s)
    return readings


def _judge(dev: Dev, decoding: str, reader: Reader) -> tuple[Calibration, dict[str, str]]:
    """How a reader does on dev: says and returns WER and calibration, as figures in words."""
    readings = _read(dev, reader)
    texts = {utterance.id: reading.text for utterance, reading in zip(dev.utterances, readings, strict=True)}
    figures = figures_of(score_split(dev.title, dev.utterances, texts), dev.title.split(",")[0], decoding)
    say(f"tune: {summary(figures)}")
    calibration, words = _calibrate(dev, decoding, readings)
    return calibration, {f"WER, {decoding}": figures.wer_in_words, f"confidence, {decoding}": words}


def _calibrate(dev: Dev, decoding: str, readings: Sequence[Reading]) -> tuple[Calibration, str]:
    """A calibration from all of dev, and in words how well one from half of its speakers serves the other half."""
    groups = dev.word_groups(readings)
    raw = [value for values, _ in groups.values() for value in values]
    right = [label for _, labels in groups.values() for label in labels]
    before = expected_calibration_error(raw, right)
    try:
        calibration, (unseen, labels) = fit(raw, right), cross_fitted(groups)
    except DataError as error:
        calibration = shifted(raw, right) if raw else Calibration()
        after = expected_calibration_error(calibration(raw).tolist(), right)
        say(f"tune: confidence of {decoding} decoding is only brought to the right mean: {error}")
        return calibration, f"brought to the right mean, off by {after:.2%} ({before:.2%} before)"
    words = (
        f"off by {expected_calibration_error(unseen, labels):.2%} on speakers that the calibration has not seen "
        f"({before:.2%} before), normalised cross entropy {normalised_cross_entropy(unseen, labels):.3f}"
    )
    say(f"tune: confidence of {decoding} decoding is {words}")
    say(reliability_table(reliability(unseen, labels)).rstrip())
    return calibration, words


def _check_words(dev: Dev, decoder: Decoder, language_model: Path, force: bool) -> None:
    """Raises where a language model of words lacks too many of dev's."""
    if decoder.lexicon is None:
        return
    known = set(decoder.lexicon)
    words = [word for reference in dev.references for word in reference.split()]
    unknown = [word for word in words if word not in known]
    _check_rate(language_model, len(unknown) / max(len(words), 1), force, f", such as {(unknown or [''])[0]!r}")


def _check_rate(language_model: Path, rate: float, force: bool, example: str = "") -> None:
    say(f"tune: {rate:.2%} of the words of dev are not in {language_model}")
    if rate > MOST_UNKNOWN and not force:
        raise ModelError(
            f"{language_model}: lacks {rate:.1%} of the words of dev{example}; train it on texts of that kind, or "
            "insist with 'asr tune --force'"
        )


def _search(dev: Dev, decoder: Decoder) -> Decoder:
    """The decoder with the settings that make the fewest word errors on dev."""

    def decode(config: DecodingConfig, matrices: Sequence[NDArray[Any]]) -> list[str]:
        trial = decoder.reweighted(config)
        try:
            starts = track(range(0, len(matrices), AT_ONCE), "decoding")
            found = [best for start in starts for best in trial.decode_many(matrices[start : start + AT_ONCE])]
        finally:
            trial.close()
        return [text_of(hypotheses[0], decoder.vocabulary) for hypotheses in found]

    # Among characters there are the spaces, and a score for words would cost flashlight-text much.
    start = replace(decoder.config, word_score=0.0) if decoder.units == "characters" else decoder.config
    widths = {name: values for name, values in WIDTHS.items() if decoder.is_fast or name != "tokens_per_frame"}
    tuning = Tuning(decode, dev.matrices, dev.references, decoder.units == "words", widths)
    return decoder.reweighted(tuning.run(start))


def _weigh_second(dev: Dev, found: Decoder, second: SentenceModel) -> Decoder:
    """The decoder with the weights of the second language model that make the fewest word errors on dev."""
    decoder = found.reweighted(found.config, nbest=found.config.rescored)
    pairs: list[tuple[list[rescoring.Scored], list[float]]] = []
    for start in track(range(0, len(dev.matrices), AT_ONCE), "decoding"):
        found_now = decoder.decode_many(dev.matrices[start : start + AT_ONCE])
        pairs += gone_over([distinct(hypotheses, decoder.vocabulary) for hypotheses in found_now], second)
    decoder.close()
    lists, scores = zip(*pairs, strict=True)
    weights, errors = rescoring.tune(lists, scores, dev.references)
    wer = errors / max(1, sum(len(reference.split()) for reference in dev.references))
    found_best = ", ".join(f"{name} {value:g}" for name, value in vars(weights).items())
    say(f"tune: second model: {found_best}: WER {wer:.2%}")
    config = replace(decoder.config, **{f"rescoring_{name}": value for name, value in vars(weights).items()})
    return decoder.reweighted(config, nbest=config.rescored)


def _weigh_risk(dev: Dev, found: Decoder, reader: Reader) -> Decoder:
    """The decoder with the scale of minimum Bayes risk that makes the fewest word errors on dev."""
    config = replace(found.config, mbr_scale=0.0)
    decoder = found.reweighted(config, nbest=max(found.nbest, risk.CANDIDATES))
    likeliest, errors = replace(reader, decoder=decoder), dict.fromkeys(risk.SCALES, 0)
    for start in track(range(0, len(dev.matrices), AT_ONCE), "decoding"):
        part = slice(start, start + AT_ONCE)
        hypotheses = likeliest.candidates(dev.matrices[part])
        for reference, candidates in zip(dev.references[part], hypotheses, strict=True):
            texts = [text_of(each, decoder.vocabulary) for each in candidates]
            wrong = [count_errors(reference, text).word_errors for text in texts]
            for scale in errors:
                expected = risk.expected_errors(texts, [each.score for each in candidates], scale)
                errors[scale] += wrong[int(expected.argmin()) if scale else 0]
    decoder.close()
    best = min(errors, key=errors.__getitem__)
    wer = errors[best] / max(1, sum(len(reference.split()) for reference in dev.references))
    say(f"tune: minimum Bayes risk: scale {best:g}: WER {wer:.2%}")
    return decoder.reweighted(replace(config, mbr_scale=best), nbest=decoder.nbest if best else found.nbest)
