"""What an experiment's stages read and wrote when they last ended well: `stages.json` in its folder."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asr.config import Table, differences
from asr.errors import DataError
from asr.files import digest, read_json, write_json
from asr.manifest import Utterance, read_manifest


class Records:
    """The records of one experiment folder; files are named by their path in it and known by their content."""

    def __init__(self, folder: Path, recipe: str) -> None:
        self.folder = folder
        self.recipe = recipe
        self.path = folder / "stages.json"

    def last(self, stage: str) -> Table:
        """The record of a stage, empty when it has not ended well since it last began."""
        return self._all().get(stage) or {}

    def begin(self, stage: str) -> None:
        """From here on the stage counts as not done."""
        write_json(self.path, {**self._all(), stage: None})

    def end(self, stage: str, inputs: Table, outputs: Iterable[Path], **origin: str) -> None:
        names = [path.relative_to(self.folder).as_posix() for path in outputs]
        write_json(self.path, {**self._all(), stage: {"inputs": inputs, "outputs": self.digests(names), **origin}})

    def changes(self, stage: str, inputs: Table) -> list[str]:
        """What is not as it was when the stage last ended, as `name old -> new`."""
        last = self.last(stage)
        outputs = self.digests(last["outputs"])
        return differences(last["inputs"], inputs) + differences(last["outputs"], outputs)

    def digests(self, names: Iterable[str]) -> Table:
        """The digest of each file; None for one that is not there."""
        paths = {name: self.folder / name for name in names}
        return {name: digest(path) if path.is_file() else None for name, path in paths.items()}

    def prepared(self, splits: Iterable[str]) -> list[str]:
        """Those of the splits that data-prep found in the corpus."""
        outputs = self.last("data-prep").get("outputs", {})
        return [split for split in splits if _manifest(split) in outputs]

    def manifests(self, splits: Iterable[str]) -> list[str]:
        """The manifests of the splits that data-prep found.

        Raises:
            DataError: There are none, or one is gone.
        """
        names = [_manifest(split) for split in self.prepared(splits)]
        if not names:
            raise DataError(f"{self.folder / 'data'}: no manifests; run: asr data-prep {self.recipe}")
        if missing := [name for name in names if not (self.folder / name).exists()]:
            raise DataError(f"{self.folder / missing[0]}: gone; run: asr data-prep {self.recipe}")
        return names

    def utterances(self, *splits: str) -> list[Utterance]:
        """The utterances of the splits that data-prep found.

        Raises:
            DataError: As `manifests`; or a manifest is not one.
        """
        return [utterance for name in self.manifests(splits) for utterance in read_manifest(self.folder / name)]

    def _all(self) -> dict[str, Any]:
        records: dict[str, Any] = read_json(self.path) if self.path.exists() else {}
        return records


def _manifest(split: str) -> str:
    return f"data/{split}.jsonl"
