"""Letters as tones, and a space as a pause."""

import random

import numpy as np
import soundfile

from asr.corpus import Corpus
from asr.files import make_folder
from asr.manifest import Utterance

FREQUENCY_HZ = {"a": 300, "b": 800, "c": 1800, " ": 0}
SAMPLE_RATE_HZ = 8000
LETTER_SAMPLES = 960


def prepare(corpus: Corpus, *, seed: int = 1, train_utterances: int = 80) -> dict[str, list[Utterance]]:
    chance = random.Random(seed)
    counts = {"train": train_utterances, "dev": 24, "test": 24}
    return {
        split: [_utterance(f"{split}-{number}", chance, corpus) for number in range(count)]
        for split, count in counts.items()
    }


def _utterance(name: str, chance: random.Random, corpus: Corpus) -> Utterance:
    words = ["".join(chance.choices("abc", k=chance.randint(1, 3))) for _ in range(chance.randint(1, 3))]
    text = " ".join(words)
    path = make_folder(corpus.made) / f"{name}.wav"
    soundfile.write(path, np.concatenate([_tone(FREQUENCY_HZ[letter]) for letter in text]), SAMPLE_RATE_HZ)
    return Utterance(name, path, text, f"speaker {chance.randrange(6)}")


def _tone(frequency_hz: int) -> np.ndarray:
    time_s = np.arange(LETTER_SAMPLES) / SAMPLE_RATE_HZ
    return 0.3 * np.sin(2 * np.pi * frequency_hz * time_s) * np.hanning(LETTER_SAMPLES)
