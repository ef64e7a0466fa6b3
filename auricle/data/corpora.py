"""The corpora that Auricle carries or builds, by the names that ``--data`` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from auricle.core.errors import ConfigError
from auricle.data import embedded, rec

NAMES = ("embedded", "rec")


class Corpus(Protocol):
    """What every one of them offers: the modules `auricle.data.embedded` and `auricle.data.rec`."""

    def clips(self, kind: str | None = None, language: str | None = None) -> Sequence[embedded.Clip]:
        """List the clips in a fixed order."""
        ...

    def clip(self, name: str) -> embedded.Clip:
        """Give one clip by its id."""
        ...


def corpus(name: str) -> Corpus:
    """Find a corpus by name.

    Args:
        name: one of `NAMES`.

    Raises:
        ConfigError: no such corpus.
    """
    found: dict[str, Corpus] = {"embedded": embedded, "rec": rec}
    if name not in found:
        raise ConfigError(f"there is no corpus {name!r}; use {' or '.join(NAMES)}")
    return found[name]
