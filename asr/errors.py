"""What can go wrong for a reason that the user can mend."""


class AsrError(Exception):
    """A mistake outside the program; its text is the one line that the user sees.

    The text names the file and the value. Anything else that is raised is a bug and keeps its traceback.
    """

    def __str__(self) -> str:
        return super().__str__().translate({10: "\\n", 13: "\\r"})  # names of files may hold either


class ConfigError(AsrError):
    """A recipe, a setting or a model's `config.json` that cannot be used."""


class AudioError(AsrError):
    """A recording that cannot be read."""


class DataError(AsrError):
    """A manifest, a corpus or a split that cannot be used."""


class DownloadError(AsrError):
    """A corpus that could not be fetched, checked or unpacked."""


class Interrupted(AsrError):
    """The user stopped the work; what was done is saved, and the text says how to go on."""


class ModelError(AsrError):
    """A model folder that cannot be loaded."""
