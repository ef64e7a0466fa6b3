"""What stands beside a result may fail: that costs its own rows and is said, and the report is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from auricle.core.errors import AuricleError

T = TypeVar("T")
# LinAlgError of NumPy is a ValueError and that of PyTorch a RuntimeError, as libsndfile's errors are
FAULTS = (AuricleError, ValueError, ArithmeticError, RuntimeError, LookupError, TypeError, AttributeError)


class Attempts(Protocol):
    """How `Spared` and `unspared` are called."""

    def __call__(self, name: str, attempt: Callable[[], T]) -> T | None:
        """Give what an attempt gives, or None."""
        ...


def unspared(name: str, attempt: Callable[[], T]) -> T | None:
    """Give what an attempt gives; what it raises is raised."""
    return attempt()


class Spared:
    """Tries what may fail, and remembers what did."""

    def __init__(self) -> None:
        """Begin with nothing failed."""
        self.failed: dict[str, str] = {}

    def __call__(self, name: str, attempt: Callable[[], T]) -> T | None:
        """Give what an attempt gives, or None; after a failure nothing of that name is tried again.

        Args:
            name: of what is tried, for the report.
            attempt: does it.
        """
        if name in self.failed:
            return None
        try:
            return attempt()
        except FAULTS as error:
            text = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.failed[name] = text if isinstance(error, AuricleError) else f"{type(error).__name__}: {text}"
            return None

    def rows(self, name: str, attempt: Callable[[], Iterable[T]]) -> list[T]:
        """Give all that an attempt gives, or nothing where it fails on the way.

        Args:
            name: of what is tried, for the report.
            attempt: gives rows, plots.
        """
        return self(name, lambda: list(attempt())) or []

    def notes(self) -> list[str]:
        """Say what failed, and why."""
        return [f"{name} failed and has no rows in this report: {text}" for name, text in self.failed.items()]
