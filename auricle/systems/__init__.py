"""The systems: one folder each, found by name in a fixed table. Systems never import each other."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from auricle.core.config import Config, parse
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.names import PAPERS, Spec, paper
from auricle.core.report import Report
from auricle.core.run import RunFolder

NAMES: tuple[str, ...] = tuple(row.system for row in PAPERS if row.works)


class Result(Protocol):
    """What `infer` gives for one input."""

    def as_dict(self) -> dict[str, Any]:
        """Give the result as plain JSON values."""
        ...


@dataclass(frozen=True)
class System:
    """A system by name: its verbs, each imported from the file of that name when it is called.

    (A function ``train`` in a system's package would be overwritten by its own submodule ``train`` on first import.)
    """

    name: str

    def _file(self, part: str = "") -> ModuleType:
        return importlib.import_module(f"auricle.systems.{self.name}{part}")

    @property
    def spec(self) -> Spec:
        """What the system declares about itself."""
        return cast(Spec, self._file().SPEC)

    def config(self, preset: str) -> Config:
        """Give a preset's config.

        Raises:
            ConfigError: no such preset.
        """
        presets = self._file(".config").PRESETS
        if preset not in presets:
            raise ConfigError(f"there is no preset '{preset}'; presets: {', '.join(presets)}")
        return cast(Config, presets[preset]())

    def parse_config(self, values: Any) -> Config:
        """Validate a saved config."""
        return parse(type(self.config("laptop")), values)

    def pretrained(self) -> Path:
        """Give the run folder of the small model that comes in the package.

        Raises:
            CheckpointError: this system has none.
        """
        folder = Path(str(self._file().__file__)).parent / "pretrained"
        if not (folder / "config.json").is_file():
            raise CheckpointError(
                f"no model of '{self.name}' comes with Auricle; train one with: auricle run {self.name}"
            )
        return folder

    def prepare(self, cfg: Config, run: RunFolder) -> dict[str, Any]:
        """Build or read the data; give counts."""
        return cast(dict[str, Any], self._file(".data").prepare(cfg, run))

    def train(self, cfg: Config, run: RunFolder) -> Path:
        """Train; give the folder of the final checkpoint."""
        return cast(Path, self._file(".train").train(cfg, run))

    def evaluate(self, cfg: Config, run: RunFolder) -> Report:
        """Measure on the test split; write scores and reports."""
        return cast(Report, self._file(".evaluate").evaluate(cfg, run))

    def evaluate_manifest(self, cfg: Config, run: RunFolder, path: str | Path) -> Report:
        """Measure a trained run on a labelled manifest."""
        return cast(Report, self._file(".evaluate").evaluate_manifest(cfg, run, path))

    def evaluate_scores(self, score_file: str | Path, key_file: str | Path) -> Report:
        """Measure any model of this task by its score file."""
        return cast(Report, self._file(".evaluate").evaluate_scores(score_file, key_file))

    def pool_runs(self, folders: Sequence[Path]) -> Report:
        """Pool the reports of finished runs over seeds and splits."""
        return cast(Report, self._file(".evaluate").pool_runs(folders))

    def load(self, folder: str | Path) -> Any:
        """Load a trained run from its folder alone."""
        return self._file(".infer").load(folder)

    def infer(self, model: Any, inputs: Iterable[str | Path]) -> Iterator[Result]:
        """Answer for each input, in order."""
        return cast(Iterator[Result], self._file(".infer").infer(model, inputs))


def system(name: str) -> System:
    """Find a system by name.

    Raises:
        ConfigError: no such system, or one that this version does not contain yet.
    """
    if not paper(name).works:
        raise ConfigError(f"'{name}' is planned and not in this version; what works today: {', '.join(NAMES)}")
    return System(name)
