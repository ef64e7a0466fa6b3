"""Which subset of a key is scored: ASVspoof 2021 publishes eval, progress and hidden trials in one file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from auricle.core.errors import ConfigError

EVAL, ALL = "eval", "all"
_OF_2021 = {EVAL, "progress", "hidden"}


def choose(held: Iterable[str | None], wanted: str | None, what: str) -> tuple[str | None, str]:
    """Choose a subset.

    Args:
        held: the subset of each trial.
        wanted: a subset, ``all``, or None: ``eval`` for a key of ASVspoof 2021, as its scorer has it, else all.
        what: what holds the trials, for the message.

    Returns:
        The subset, None for all; and a sentence that names it and what is left out, ``""`` where nothing is.

    Raises:
        ConfigError: there is no such subset.
    """
    counts = Counter(name or "-" for name in held)
    if wanted is None and EVAL in counts and set(counts) <= _OF_2021:
        wanted = EVAL
    if wanted in (None, ALL):
        return None, ""
    if wanted not in counts:
        raise ConfigError(f"{what} has no subset {wanted!r}; it has {', '.join(sorted(counts)) or 'none'}")
    others = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if name != wanted)
    return wanted, f"subset {wanted} of the key: {counts[str(wanted)]} trials; left out: {others}" if others else ""
