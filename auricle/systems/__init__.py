"""The systems: one folder each, found by name in a fixed table. Systems never import each other."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from auricle.core.answers import Answer, Refused
from auricle.core.config import Config, parse
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.files import read_json
from auricle.core.names import PAPERS, PRESETS, Spec, paper
from auricle.core.request import Request
from auricle.core.run import RunFolder, seed_zero

if TYPE_CHECKING:
    from auricle.claims.claim import Claim

NAMES: tuple[str, ...] = tuple(row.system for row in PAPERS if row.works)
# verb -> the file of a system's folder that it stands in; a system has the verbs that it needs
HOME = {
    "prepare": "data",
    "train": "train",
    "evaluate": "evaluate",
    "evaluate_manifest": "evaluate",
    "evaluate_scores": "evaluate",
    "pool_runs": "evaluate",
    "load": "infer",
    "infer": "infer",
    "imported": "released",
}


@dataclass(frozen=True)
class System:
    """A system by name: its verbs, each imported from its file when it is asked for.

    (A function ``train`` in a system's package would be overwritten by its own submodule ``train`` on first import.)
    """

    name: str

    def _file(self, part: str = "") -> ModuleType:
        return importlib.import_module(f"auricle.systems.{self.name}{part}")

    def _has_file(self, part: str) -> bool:
        return importlib.util.find_spec(f"auricle.systems.{self.name}.{part}") is not None

    @property
    def spec(self) -> Spec:
        """What the system declares about itself."""
        return cast(Spec, self._file().SPEC)

    def has(self, name: str) -> bool:
        """Say whether the system has a verb of `HOME`."""
        return self._has_file(HOME[name]) and hasattr(self._file(f".{HOME[name]}"), name)

    def verb(self, name: str) -> Callable[..., Any]:
        """Give one of the system's verbs.

        Args:
            name: a key of `HOME`: ``prepare(cfg, run) -> counts``, ``train(cfg, run) -> folder``,
                ``evaluate(cfg, run) -> Evaluation``, ``evaluate_manifest(cfg, run, path) -> Evaluation``,
                ``evaluate_scores(scores, key) -> Evaluation``, ``pool_runs(folders) -> Report``,
                ``load(folder) -> model``, ``infer(model, requests) -> answers``,
                ``imported(checkpoint, out, part, dev, encoder) -> folder``.

        Raises:
            ConfigError: the system has no such verb; the message lists those that it has.
        """
        if not self.has(name):
            raise ConfigError(f"'{self.name}' has no {name}; it has {', '.join(filter(self.has, HOME))}")
        return cast(Callable[..., Any], getattr(self._file(f".{HOME[name]}"), name))

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claims of its paper as experiments.

        Raises:
            ConfigError: it has none in this version.
        """
        if not self._has_file("claims"):
            raise ConfigError(f"'{self.name}' has no claims in this version")
        return cast("tuple[Claim, ...]", self._file(".claims").CLAIMS)

    def config(self, preset: str) -> Config:
        """Give a preset's config.

        Raises:
            ConfigError: no such preset, or one that this system does not have.
        """
        presets = self._file(".config").PRESETS
        if preset not in presets:
            known = f"'{self.name}' has no preset '{preset}'" if preset in PRESETS else f"there is no preset '{preset}'"
            raise ConfigError(f"{known}; presets: {', '.join(presets)}")
        return cast(Config, presets[preset]())

    def parse_config(self, values: Any) -> Config:
        """Validate a saved config; settings that an older version did not have take their defaults."""
        return parse(type(self.config("laptop")), values)

    def pretrained(self, model: str | None = None) -> Path:
        """Give the run folder of a small model that comes in the package.

        Args:
            model: the preset that it was made with, where several come; None is the one that needs nothing beside it.

        Raises:
            CheckpointError: this system has none.
            ConfigError: it has others.
        """
        folder = Path(str(self._file().__file__)).parent / "pretrained"
        if not (folder / "config.json").is_file():
            raise CheckpointError(
                f"no model of '{self.name}' comes with Auricle; train one with: auricle run {self.name}"
            )
        found = {read_json(config)["preset"]: config.parent for config in sorted(folder.rglob("config.json"))}
        if model is not None and model not in found:
            raise ConfigError(f"no model {model!r} of '{self.name}' comes with Auricle; there are: {', '.join(found)}")
        return folder if model is None else found[model]

    def infer(self, model: Any, inputs: Iterable[str | Path | Request]) -> Iterator[Answer | Refused]:
        """Answer for requests, files and folders, in order; what cannot be answered gives `Refused`.

        Args:
            model: from `load`.
            inputs: requests; paths stand for requests, a folder for one request a file in it.
        """
        from auricle.systems.inference import requested

        return requested(self, model, inputs)


def system(name: str) -> System:
    """Find a system by name.

    Raises:
        ConfigError: no such system, or one that this version does not contain yet.
    """
    if not paper(name).works:
        raise ConfigError(f"'{name}' is planned and not in this version; what works today: {', '.join(NAMES)}")
    return System(name)


def load(folder: str | Path) -> Any:
    """Load a trained run from its folder, whatever the system; see `auricle.load`.

    Raises:
        CheckpointError: not a run folder, or a damaged or untrained one.
    """
    path = seed_zero(folder)
    return system(str(RunFolder(path).saved_config()["system"])).verb("load")(path)
