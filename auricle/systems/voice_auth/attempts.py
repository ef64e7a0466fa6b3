"""Baselines, controls and figures that may fail: each costs its own rows and a sentence, never the report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from auricle.core.errors import AuricleError

T = TypeVar("T")
FAILURES = (AuricleError, ValueError, ArithmeticError)  # LinAlgError is a ValueError


@dataclass(frozen=True)
class Attempts:
    """What was tried beside the audit itself; `warnings` name what failed."""

    warnings: list[str] = field(default_factory=list)

    def __call__(self, what: str, make: Callable[[], Iterable[T]]) -> list[T]:
        """Give what `make` gives, or nothing and a warning where it fails.

        Args:
            what: its name, such as ``the baseline lfcc_gmm``.
            make: measures or draws.
        """
        try:
            return list(make())
        except FAILURES as error:
            said = (str(error).splitlines() or [type(error).__name__])[0]
            self.warnings.append(f"{what} failed and is left out: {said}")
            return []
