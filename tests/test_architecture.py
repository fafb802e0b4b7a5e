"""The layers of the package, as code: imports point down, never up and never sideways."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LAYERS = [
    ["cli"],
    ["asr.commands.recipes"],
    ["asr.variants"],
    [
        "asr.experiment",
        "asr.commands.speech",
        "asr.commands.results",
        "asr.commands.scoring",
        "asr.commands.inspection",
        "asr.commands.language",
        "asr.commands.lexicon",
        "asr.commands.models",
    ],
    [
        "asr.stages.data_prep",
        "asr.stages.decode",
        "asr.stages.score",
        "asr.stages.train",
        "asr.stages.language_model",
        "asr.stages.tune",
    ],
    ["asr.side_by_side", "asr.stages.workplace"],
    [
        "asr.recipe",
        "asr.costs",
        "asr.tuner",
        "asr.verification",
        "asr.inspection.picture",
        "asr.inspection.page",
        "asr.lag.study",
        "asr.commands.g2p",
    ],
    [
        "asr.speech",
        "asr.aligner",
        "asr.evaluation",
        "asr.transcription",
        "asr.inspection.arrays",
        "asr.lm.training",
        "asr.lag.picture",
        "asr.g2p.training",
    ],
    ["asr.recognizer", "asr.lm.task", "asr.lag.report", "asr.g2p.task", "asr.head_start"],
    ["asr.assembly", "asr.training", "asr.tuned", "asr.server.launch", "asr.lag.gradient", "asr.lag.search"],
    [
        "asr.learner",
        "asr.joining",
        "asr.state",
        "asr.preparation",
        "asr.report",
        "asr.results",
        "asr.records",
        "asr.reading",
        "asr.lexicon.of_model",
        "asr.tuning",
        "asr.scoring.joining",
        "asr.server.app",
        "asr.lag.trial",
    ],
    ["asr.decoder", "asr.lexicon.corpus", "asr.task"],
    [
        "asr.search.phone_flashlight",
        "asr.preflight",
        "asr.card",
        "asr.scoring.printing",
        "asr.scoring.page",
        "asr.lexicon.words",
        "asr.scoring.texts",
        "asr.export",
        "asr.lm.neural",
        "asr.server.replies",
        "asr.g2p.pronouncer",
        "asr.lm.from_texts",
    ],
    [
        "asr.onnx",
        "asr.inspection.anatomy",
        "asr.lm.checkpoint",
        "asr.g2p.checkpoint",
        "asr.search.flashlight",
        "asr.lm.stored",
        "asr.catalogue",
        "asr.losses",
    ],
    [
        "asr.checkpoint",
        "asr.inspection.layers",
        "asr.scoring.tables",
        "asr.dataset",
        "asr.scoring.comparison",
        "asr.formats",
        "asr.scoring.exports",
        "asr.scoring.figures",
        "asr.listening",
        "asr.scoring.parsers",
        "asr.lm.arpa",
        "asr.lm.compact",
        "asr.lm.kenlm",
        "asr.lm.kneser_ney",
        "asr.g2p.words",
        "asr.lm.pruning",
    ],
    [
        "asr.lexicon.build",
        "asr.lexicon.check",
        "asr.augment",
        "asr.hearing",
        "asr.targets",
        "asr.corpus",
        "asr.transcript",
        "asr.segments",
        "asr.textgrid",
        "asr.outputs",
        "asr.shards",
        "asr.scoring.result",
        "asr.scoring.columns",
        "asr.scoring.entries",
        "asr.search.phones",
        "asr.lm.sentences",
        "asr.lm.ngram",
        "asr.lag.network",
        "asr.g2p.families",
        "asr.g2p.scoring",
        "asr.g2p.vocabulary",
        "asr.ensemble",
    ],
    [
        "asr.model",
        "asr.scoring.bootstrap",
        "asr.scoring.significance",
        "asr.normalisers",
        "asr.noise",
        "asr.voices",
        "asr.download",
        "asr.synthesis",
        "asr.lexicon.choose",
        "asr.stretches",
        "asr.windows",
        "asr.inputs",
        "asr.microphone",
        "asr.search.fusion",
        "asr.lexicon.dictionary",
        "asr.lexicon.entries",
        "asr.search.layout",
        "asr.lm.corpus",
        "asr.lm.counts",
        "asr.lm.vocabulary",
        "asr.lm.network",
        "asr.lm.rescoring",
        "asr.g2p.network",
    ],
    [
        "asr.alignment",
        "asr.optimizer",
        "asr.recurrent",
        "asr.transformer",
        "asr.features",
        "asr.audio",
        "asr.manifest",
        "asr.decoding",
        "asr.metrics",
        "asr.confidence",
        "asr.spoken",
        "asr.spelling",
        "asr.search.prefix",
        "asr.search.risk",
        "asr.search.hotwords",
        "asr.lm.units",
        "asr.lm.tokens",
        "asr.lag.tasks",
        "asr.shipped",
    ],
    [
        "asr.cells",
        "asr.peephole",
        "asr.commands.options",
        "asr.webpage",
        "asr.tabular",
        "asr.text",
        "asr.dashboard",
        "asr.events",
        "asr.distributed",
        "asr.muon",
        "asr.ogg",
        "asr.server.guard",
        "asr.server.jobs",
        "asr.server.uploads",
        "asr.model_folder",
    ],
    [
        "asr.files",
        "asr.config",
        "asr.progress",
        "asr.device",
        "asr.quantise",
        "asr.inspection.memory",
        "asr.server.refusal",
    ],
    ["asr.errors"],
]
"""From the top; a module imports only from rows below its own."""

NO_TORCH = [
    "asr.alignment",
    "asr.audio",
    "asr.card",
    "asr.catalogue",
    "asr.confidence",
    "asr.corpus",
    "asr.dashboard",
    "asr.events",
    "asr.formats",
    "asr.inputs",
    "asr.lexicon.choose",
    "asr.lexicon.build",
    "asr.lexicon.check",
    "asr.lexicon.dictionary",
    "asr.lexicon.entries",
    "asr.lexicon.words",
    "asr.targets",
    "asr.listening",
    "asr.lm.arpa",
    "asr.lm.compact",
    "asr.lm.corpus",
    "asr.lm.counts",
    "asr.lm.from_texts",
    "asr.lm.kenlm",
    "asr.lm.kneser_ney",
    "asr.lm.ngram",
    "asr.lm.pruning",
    "asr.lm.rescoring",
    "asr.lm.stored",
    "asr.lm.units",
    "asr.lm.vocabulary",
    "asr.manifest",
    "asr.metrics",
    "asr.normalisers",
    "asr.ogg",
    "asr.outputs",
    "asr.microphone",
    "asr.model_folder",
    "asr.report",
    "asr.results",
    "asr.search.flashlight",
    "asr.search.fusion",
    "asr.search.hotwords",
    "asr.search.layout",
    "asr.search.phone_flashlight",
    "asr.search.phones",
    "asr.search.prefix",
    "asr.search.risk",
    "asr.scoring.bootstrap",
    "asr.scoring.columns",
    "asr.scoring.comparison",
    "asr.scoring.exports",
    "asr.scoring.figures",
    "asr.scoring.printing",
    "asr.scoring.page",
    "asr.scoring.result",
    "asr.scoring.significance",
    "asr.scoring.tables",
    "asr.scoring.entries",
    "asr.scoring.joining",
    "asr.scoring.parsers",
    "asr.scoring.result",
    "asr.scoring.texts",
    "asr.segments",
    "asr.shards",
    "asr.shipped",
    "asr.server.app",
    "asr.server.guard",
    "asr.server.jobs",
    "asr.server.launch",
    "asr.server.refusal",
    "asr.server.replies",
    "asr.server.uploads",
    "asr.spelling",
    "asr.spoken",
    "asr.stretches",
    "asr.synthesis",
    "asr.tabular",
    "asr.text",
    "asr.textgrid",
    "asr.webpage",
    "asr.transcript",
]

MODULES = [module for row in LAYERS for module in row]


def imported(module: str) -> set[str]:
    """The modules of ours that a module names in its imports, those inside functions included."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names & set(MODULES)


def test_every_module_has_its_row():
    files = [path.relative_to(ROOT) for path in (ROOT / "asr").rglob("*.py") if path.name != "__init__.py"]
    there = {".".join(path.with_suffix("").parts) for path in files}
    assert there | {"cli"} == set(MODULES)
    assert len(MODULES) == len(set(MODULES))


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    row = next(number for number, modules in enumerate(LAYERS) if module in modules)
    below = {name for modules in LAYERS[row + 1 :] for name in modules}
    assert imported(module) <= below


def test_training_never_sees_a_recipe():
    assert "recipe" not in (ROOT / "asr" / "training.py").read_text().lower()


def modules_loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True).stdout.split())


@pytest.mark.parametrize("module", NO_TORCH)
def test_no_torch_where_none_is_needed(module):
    loaded = modules_loaded_by(f"import {module}")
    assert module in loaded
    assert "torch" not in loaded


def test_help_loads_nothing_heavy():
    loaded = modules_loaded_by("import cli\ntry: cli.main(['--help'])\nexcept SystemExit: pass")
    assert "cli" in loaded
    assert not {"torch", "torchaudio", "numpy", "pydantic", "soundfile", "asr.config"} & loaded


def test_the_library_names_no_path_of_a_workplace():
    for path in [*(ROOT / "asr").rglob("*.py"), *(ROOT / "recipes").rglob("*"), ROOT / "cli.py"]:
        if path.is_file() and path.suffix in (".py", ".toml", ".md", ".txt"):
            assert "shared/" not in path.read_text(), path
