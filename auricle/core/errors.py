"""The errors Auricle raises. Each message says what was given, what is allowed and what to do."""

from __future__ import annotations


class AuricleError(Exception):
    """Base of every error that is the user's to mend; the command line prints it as one line."""


class ConfigError(AuricleError):
    """A setting that does not exist, has the wrong type, or contradicts another one."""


class DataError(AuricleError):
    """A manifest, a protocol, a score file or a corpus that cannot be used as it is."""


class AudioError(AuricleError):
    """A file or a waveform that is not usable audio."""


class CheckpointError(AuricleError):
    """A run folder or a checkpoint that is missing, damaged or of another system."""


class MissingExtra(AuricleError):
    """An optional package that this call needs is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        """Name the package, the extra that brings it and what it is needed for."""
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed; "
            f"install it with: pip install 'auricle[{extra}]'"
        )
        self.package = package
        self.extra = extra
