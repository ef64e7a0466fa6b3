"""The systems: one folder each, found by name in a fixed table. Systems never import each other."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

from auricle.core.config import Config
from auricle.core.errors import ConfigError
from auricle.core.names import PAPERS, Spec, paper
from auricle.core.report import Report
from auricle.core.run import RunFolder

NAMES: tuple[str, ...] = tuple(row.system for row in PAPERS if row.works)


class Result(Protocol):
    """What `infer` gives for one input."""

    def as_dict(self) -> dict[str, Any]:
        """Give the result as plain JSON values."""
        ...


class System(Protocol):
    """The face that every system's package shows. A system declares in its SPEC which verbs it has."""

    SPEC: Spec

    def config(self, preset: str) -> Config:
        """Give a preset's config."""
        ...

    def parse_config(self, values: dict[str, Any]) -> Config:
        """Validate a saved config."""
        ...

    def prepare(self, cfg: Any, run: RunFolder) -> dict[str, Any]:
        """Build or read the data; give counts."""
        ...

    def train(self, cfg: Any, run: RunFolder) -> Path:
        """Train; give the folder of the best checkpoint."""
        ...

    def evaluate(self, cfg: Any, run: RunFolder) -> Report:
        """Measure on the test split; write scores and reports."""
        ...

    def load(self, folder: str | Path) -> Any:
        """Load a trained run from its folder alone."""
        ...

    def infer(self, model: Any, inputs: Iterable[str | Path]) -> Iterator[Result]:
        """Answer for each input, in order."""
        ...


def system(name: str) -> System:
    """Import a system by name.

    Raises:
        ConfigError: no such system, or one that this version does not contain yet.
    """
    if not paper(name).works:
        raise ConfigError(f"'{name}' is planned and not in this version; what works today: {', '.join(NAMES)}")
    return cast(System, importlib.import_module(f"auricle.systems.{name}"))
