"""pocketsphinx as a peer for transcription: what it hears in the utterances of a manifest, and how long it takes.

    python -m venv PEER && PEER/bin/pip install "pocketsphinx>=5.1,<6" numpy soundfile soxr av
    PYTHONPATH=. PEER/bin/python benchmarks/peer_pocketsphinx.py MANIFEST

The US English model and trigram that come inside the package, its own settings, one process, one core. Samples are read
by `asr.audio`, as ours are; reading is timed apart. Prints one line of JSON.
"""

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pocketsphinx import Decoder

from asr.audio import read
from asr.manifest import read_manifest

SAMPLE_RATE_HZ = 16000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    options = parser.parse_args()
    began_s = time.perf_counter()
    decoder = Decoder(samprate=SAMPLE_RATE_HZ, loglevel="FATAL")
    load_s = time.perf_counter() - began_s
    samples, reading_s, cpu_s, wall_s = 0, 0.0, 0.0, 0.0
    hypotheses = {}
    for utterance in read_manifest(options.manifest):
        began_s = time.perf_counter()
        waveform = read(utterance.audio_filepath, SAMPLE_RATE_HZ, utterance.offset_s, utterance.duration_s)
        pcm = np.clip(np.rint(waveform * 32768), -32768, 32767).astype(np.int16)
        samples += len(pcm)
        reading_s += time.perf_counter() - began_s
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        hypotheses[utterance.id] = decode(decoder, pcm.tobytes())
        wall_s += time.perf_counter() - began_s
        cpu_s += time.process_time() - began_cpu_s
    result = {
        "peer": f"pocketsphinx {version('pocketsphinx')}",
        "load_s": load_s,
        "audio_s": samples / SAMPLE_RATE_HZ,
        "reading_s": reading_s,
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "hypotheses": hypotheses,
    }
    print(json.dumps(result))


def decode(decoder: Decoder, samples: bytes) -> str:
    """What it hears in an utterance of 16-bit samples."""
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    best = decoder.hyp()
    return best.hypstr if best else ""


if __name__ == "__main__":
    main()
