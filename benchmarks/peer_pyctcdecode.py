"""pyctcdecode as a peer of the beam search: decodes what `decoding.py` asks for, in a Python of its own.

    python -m venv PEER && PEER/bin/pip install pyctcdecode kenlm
    python benchmarks/decoding.py MODEL MANIFEST --lm LM --peer-python PEER/bin/python

It needs numpy below 2, hence the separate environment. Requests come as JSON lines on stdin, answers go to stdout. Its
own pruning is left as it comes.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from pyctcdecode import build_ctcdecoder


def main() -> None:
    posteriors, labels, words, language_model = sys.argv[1:]
    matrices = np.load(posteriors)
    names = sorted(matrices.files, key=int)
    loaded = [matrices[name] for name in names]
    unigrams = Path(words).read_text(encoding="utf-8").split("\n")
    decoder = build_ctcdecoder(json.loads(Path(labels).read_text()), language_model, unigrams)
    print(json.dumps({"ready": len(loaded)}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        decoder.reset_params(alpha=request["lm_weight"], beta=request["word_score"])
        began = time.perf_counter()
        texts = [decoder.decode(loaded[place], beam_width=request["beam"]) for place in request["places"]]
        print(json.dumps({"texts": texts, "seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main()
