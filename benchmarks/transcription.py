"""From files to texts: against the bare model, against pocketsphinx, and where the time of a start goes.

    python benchmarks/transcription.py [MODEL MANIFEST] [--peer-python PEER/bin/python] [--device cuda]

- job: what `asr transcribe` does once the model is loaded: reading, features, model, decoding, words with their times.
- bound: the bare model on the very batches that the job gave it, whose features are there already. The two take turns.
- peer: pocketsphinx on the same utterances, a core each (see peer_pocketsphinx.py), and the WER of both.
- start: `asr transcribe` on five seconds in a fresh process, and a second one that looks at the clock on the way.

Job and start are measured with the model's tuned search and, as `--greedy` has it, without. Without a model, that of
the recipe numbers (asr run numbers).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from asr.audio import read
from asr.device import choose, describe
from asr.manifest import Utterance, hours, read_manifest, write_manifest
from asr.metrics import score, total
from asr.recognizer import Recognizer, load
from asr.scoring.bootstrap import interval
from asr.text import normalise
from asr.tuned import read_tuned

ROOT = Path(__file__).resolve().parents[1]
ONE_CORE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
START_S = 10.0

STAGES = """
import sys, time
from contextlib import ExitStack
marks = [("interpreter", float(sys.argv[1]), 0.0)]
def mark(name): marks.append((name, time.time(), time.process_time()))
from pathlib import Path
path, folder, device, greedy = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5] == "greedy"
mark("command line")
import cli
mark("numpy"); import numpy
mark("search, begun"); import asr.head_start
search = ExitStack()
decoder = None if greedy else search.enter_context(asr.head_start.begin(folder))
mark("torch"); import torch
mark("torchaudio"); import torchaudio
mark("other modules")
import soundfile
import asr.recognizer
from asr.audio import read
mark("model")
recognizer = asr.recognizer.load(folder, device, greedy, decoder=decoder)
reader = recognizer.reader
mark("audio"); waveform = read(path, recognizer.sample_rate_hz)
mark("features and model"); matrix = recognizer.matrix(waveform, recognizer.sample_rate_hz)
mark("search, awaited; decoding"); reader.read([matrix], [len(waveform) / recognizer.sample_rate_hz])
mark("end")
search.close()
import json
steps = {name: (end - at, end_cpu - cpu) for (name, at, cpu), (_, end, end_cpu) in zip(marks, marks[1:])}
print(json.dumps(steps))
"""
"""A start in the steps that `asr transcribe` takes; each name stands before what it is the time of. The search is built
by a process of its own meanwhile."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", default=Path("exp/numbers/model"))
    parser.add_argument("manifest", type=Path, nargs="?", default=Path("exp/numbers/data/dev.jsonl"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--utterances", type=int, default=200, help="of the manifest, spread over all")
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--peer-on", type=int, default=100, help="utterances that the peer is compared on")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--part", choices=("job", "peer", "start", "one-core"), action="append", help="default: all")
    options = parser.parse_args()
    if not options.model.is_dir():
        parser.exit(message=f"{options.model} is not there: name a model, or run 'asr run numbers' first\n")
    parts = options.part or ["job", "start", *(["peer"] if options.peer_python else [])]
    if parts == ["one-core"]:
        print(json.dumps(one_core(options)))
        return
    utterances = read_manifest(options.manifest)
    print(f"{options.model}, {options.manifest}; {describe(choose(options.device))}")
    if "job" in parts:
        for greedy in searches(options.model):
            recognizer = load(options.model, options.device, greedy)
            job_and_bound(f"job{named(greedy)}", recognizer, spread(utterances, options.utterances), options.turns)
    if "start" in parts:
        start(options, utterances)
    if "peer" in parts:
        peer(options, spread(utterances, options.peer_on))


def transcribe(recognizer: Recognizer, utterances: Sequence[Utterance]) -> dict[str, str]:
    """The whole job: the text of every utterance by its id.

    Raises:
        AsrError: One cannot be read.
    """
    texts = {}
    transcripts = recognizer.transcribe_many([utterance.audio_filepath for utterance in utterances])
    for utterance, transcript in zip(utterances, transcripts, strict=True):
        if transcript.error:
            raise transcript.error
        texts[utterance.id] = transcript.text
    return texts


def job_and_bound(title: str, recognizer: Recognizer, utterances: Sequence[Utterance], turns: int) -> None:
    def job() -> None:
        transcribe(recognizer, utterances)

    def bound() -> None:
        forward(recognizer, batches)

    batches = batches_of(recognizer, job)
    bound()
    times_s = [(seconds(job, recognizer.device), seconds(bound, recognizer.device)) for _ in range(turns)]
    job_s, bound_s = (median(column) for column in zip(*times_s, strict=True))
    ratios = sorted(job_s / bound_s for job_s, bound_s in times_s)
    audio_s = 3600 * hours(utterances)
    print(
        f"{title}: {len(utterances)} files, {audio_s:.0f} s of speech in {job_s:.2f} s, {audio_s / job_s:.0f} times "
        f"real time; bound {bound_s:.2f} s in {len(batches)} batches; {median(ratios):.2f}x the bound "
        f"({ratios[0]:.2f} to {ratios[-1]:.2f})",
        flush=True,
    )


def batches_of(recognizer: Recognizer, work: Callable[[], object]) -> list[tuple[Tensor, Tensor]]:
    """What the model was given, in the course of some work: features and lengths, on its device."""
    batches = []
    model = recognizer.checkpoint.model
    hook = model.register_forward_pre_hook(lambda _, inputs: batches.append(tuple(each.clone() for each in inputs)))
    work()
    hook.remove()
    return batches


@torch.inference_mode()
def forward(recognizer: Recognizer, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
    for features, lengths in batches:
        recognizer.checkpoint.model(features, lengths)


def peer(options: argparse.Namespace, utterances: Sequence[Utterance]) -> None:
    """Both on the same utterances, a core each, one after the other: speed, and WER with its interval over speakers."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "utterances.jsonl"
        write_manifest(manifest, utterances)
        ours = ["benchmarks/transcription.py", options.model.absolute(), manifest, "--part=one-core"]
        theirs = child([options.peer_python.absolute(), "benchmarks/peer_pocketsphinx.py", manifest])
        found = child([sys.executable, *ours])["searches"]
    for result in [theirs, *found]:
        speed(result, utterances, theirs)


def one_core(options: argparse.Namespace) -> dict[str, Any]:
    """Ours, in the peer's form, once for each search."""
    utterances = read_manifest(options.manifest)
    results = []
    for greedy in searches(options.model):
        loading = time.perf_counter()
        recognizer = load(options.model, "cpu", greedy, cores=1)
        began_s, began_cpu_s = time.perf_counter(), cpu_seconds()
        hypotheses = transcribe(recognizer, utterances)
        results.append(
            {
                "peer": f"ours{named(greedy)}",
                "load_s": began_s - loading,
                "audio_s": 3600 * hours(utterances),
                "reading_s": 0.0,
                "cpu_s": cpu_seconds() - began_cpu_s,
                "wall_s": time.perf_counter() - began_s,
                "hypotheses": hypotheses,
            }
        )
    return {"searches": results}


def speed(result: Mapping[str, Any], utterances: Sequence[Utterance], theirs: Mapping[str, Any]) -> None:
    references = {utterance.id: normalise(utterance.text) for utterance in utterances}
    errors = score(references, {name: normalise(text) for name, text in result["hypotheses"].items()})
    bounds = interval(errors, {utterance.id: utterance.speaker for utterance in utterances})
    factor = result["cpu_s"] / result["audio_s"]
    print(
        f"{result['peer']}: {result['cpu_s']:.1f} s of one core for {result['audio_s']:.0f} s of speech, real-time "
        f"factor {factor:.4f}, {theirs['cpu_s'] / result['cpu_s']:.1f}x as fast as the peer; loads in "
        f"{result['load_s']:.2f} s; WER {total(errors.values()).wer:.2%} ({bounds.low:.2%} to {bounds.high:.2%})"
    )


def start(options: argparse.Namespace, utterances: Sequence[Utterance]) -> None:
    """Seconds of a fresh process, the median of the turns: as a user sees it, then step by step."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "start.wav"
        soundfile.write(path, beginning(utterances), 16000)
        for greedy in searches(options.model):
            command = ["cli.py", "transcribe", path, "--model", options.model.absolute(), "--device", options.device]
            whole = [fresh([*command, *(["--greedy"] if greedy else [])]) for _ in range(options.turns)]
            steps = [stages(path, options, greedy) for _ in range(options.turns)]
            print(
                f"start{named(greedy)}: {median(whole):.2f} s for 'asr transcribe' on {START_S:g} s of speech; steps:"
            )
            for name in steps[0]:
                wall_s, cpu_s = (median(each[name][place] for each in steps) for place in (0, 1))
                print(f"    {name:28}{wall_s:6.2f} s, {cpu_s:.2f} s of it on a core", flush=True)


def beginning(utterances: Sequence[Utterance]) -> Any:
    """The first seconds of what they say, one after another."""
    heard = np.zeros(0, np.float32)
    for utterance in utterances:
        heard = np.append(heard, read(utterance.audio_filepath, 16000, utterance.offset_s, utterance.duration_s))
        if len(heard) >= START_S * 16000:
            break
    return heard[: round(START_S * 16000)]


def fresh(arguments: Sequence[object]) -> float:
    began_s = time.perf_counter()
    subprocess.run([sys.executable, *map(str, arguments)], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began_s


def stages(path: Path, options: argparse.Namespace, greedy: bool) -> dict[str, list[float]]:
    """Of each step, the seconds in all and those on a core."""
    arguments = [path, options.model.absolute(), options.device, "greedy" if greedy else "tuned"]
    return child([sys.executable, "-c", STAGES, str(time.time()), *arguments], {})


def child(command: Sequence[object], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What another process prints as its last line; on one core, unless another environment is given."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **(ONE_CORE if environment is None else environment)}
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=variables, check=True, stdout=subprocess.PIPE, text=True
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def searches(model: Path) -> list[bool]:
    """Whether to decode greedily: both ways, where a search was tuned for the model."""
    return [False, True] if (tuned := read_tuned(model)) and tuned.language_model else [True]


def named(greedy: bool) -> str:
    return ", greedy" if greedy else ", tuned search"


def spread(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """So many utterances, spread over all, that are whole recordings."""
    whole = [utterance for utterance in utterances if not utterance.offset_s]
    return whole[:: max(1, len(whole) // count)][:count]


def cpu_seconds() -> float:
    """Of this process, all its threads, and those of its children that have ended."""
    return sum(os.times()[:4])


def seconds(work: Callable[[], object], device: torch.device) -> float:
    began_s = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began_s


if __name__ == "__main__":
    main()
