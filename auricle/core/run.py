"""The run folder: everything a run reads back, under names that never change.

config.json  environment.json  manifests/  checkpoints/  metrics.jsonl  scores/  report.json  report.html
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from auricle.core.config import C, Config, parse
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.files import digest, read_json, write_json
from auricle.core.leftovers import is_part, sweep
from auricle.core.locks import FOLDER_LOCK, only_writer

# The packages whose version can change a number.
TRACED = ("auricle", "torch", "numpy", "scipy", "soundfile", "soxr", "lhotse", "accelerate", "scikit-learn")
SUM = "checksum"  # in config.json: of all the rest of it
FINAL = "final"  # the checkpoint that answers
IMPORTED = "import"  # the stage of a run whose weights somebody else has released
OURS = ("config.json", "environment.json", "stages.json", "metrics.jsonl", "report.json", "report.html")


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds one run of one system."""

    path: Path

    @property
    def manifests(self) -> Path:
        """Where `prepare` writes."""
        return self.path / "manifests"

    @property
    def checkpoints(self) -> Path:
        """Where `train` writes."""
        return self.path / "checkpoints"

    @property
    def cache(self) -> Path:
        """What can be made again; the seeds of one run share it, for it does not depend on the seed."""
        return (self.path.parent if re.fullmatch(r"seed-\d+", self.path.name) else self.path) / "cache"

    @property
    def scores(self) -> Path:
        """Where `evaluate` writes one row per item."""
        return self.path / "scores"

    def saved_config(self) -> dict[str, Any]:
        """Read ``config.json``: system, preset, version and the resolved config.

        Raises:
            CheckpointError: the folder is not a run, or its config is damaged.
        """
        file = self.path / "config.json"
        if not file.is_file():
            raise CheckpointError(f"{self.path} is not a run folder: it has no config.json; make one with auricle run")
        try:
            saved = read_json(file)
        except DataError as error:
            raise CheckpointError(str(error)) from None
        if not isinstance(saved, dict) or not {"system", "preset", "config"} <= saved.keys():
            raise CheckpointError(f"{file} is not the config of a run: it needs system, preset and config")
        if SUM in saved and saved.pop(SUM) != _checksum(saved):
            raise CheckpointError(
                f"{file} is damaged or was changed since it was written: its checksum is another one. Use another run, "
                f"or take its line '{SUM}' out if you changed it knowingly"
            )
        return saved

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only process that writes this run while the block runs; of a launch of several, the main one is.

        Raises:
            DataError: another process writes it; the message has its number.
        """
        if not is_main_process():
            yield
            return
        with only_writer(self.path / FOLDER_LOCK, f"the run {self.path}"):
            yield

    def done(self, stage: str) -> bool:
        """Say whether a stage has been completed in this folder.

        Raises:
            CheckpointError: ``stages.json`` is damaged.
        """
        return stage in self._stages()

    def mark(self, stage: str, **facts: Any) -> None:
        """Record that a stage is complete, with facts about it such as counts and seconds; one process does it."""
        if not is_main_process():
            return
        write_json(self.path / "stages.json", {**self._stages(), stage: facts})

    def facts(self, stage: str) -> dict[str, Any]:
        """Read what `mark` recorded for a completed stage; empty when it is not complete."""
        return self._stages().get(stage, {})

    def _stages(self) -> dict[str, dict[str, Any]]:
        file = self.path / "stages.json"
        if not file.is_file():
            return {}
        try:
            stages = read_json(file)
        except DataError as error:
            raise CheckpointError(f"{error}; delete it, and the stages are done again") from None
        if not isinstance(stages, dict) or not all(isinstance(facts, dict) for facts in stages.values()):
            raise CheckpointError(
                f"{file} is not the list of a run's stages: it needs an object of objects; delete it, and the stages "
                "are done again"
            )
        return stages


@dataclass(frozen=True)
class Trained(Generic[C]):
    """A trained run, opened.

    Attributes:
        run: its folder.
        cfg: its config.
        preset: its preset.
        final: the folder of the checkpoint that answers.
    """

    run: RunFolder
    cfg: C
    preset: str
    final: Path


def seed_zero(folder: str | Path) -> Path:
    """Give the run that answers: the folder itself or, where it holds the runs of several seeds, seed 0's.

    Args:
        folder: a run folder, or one that holds ``seed-0`` and others.
    """
    path = Path(folder)
    several = not (path / "config.json").exists() and (path / "seed-0" / "config.json").exists()
    return path / "seed-0" if several else path


def open_trained(folder: str | Path, system: str, config: type[C], command: str | None = None) -> Trained[C]:
    """Open a trained run of a system.

    Args:
        folder: a run folder; of a run with several seeds, seed 0 is taken.
        system: whose run it must be.
        config: class of its config; settings that an older version did not have take their defaults.
        command: what trains it, without ``--run``; None: ``auricle train SYSTEM``.

    Raises:
        CheckpointError: not a run folder, another system's run, or one that is not trained.
        ConfigError: a config that this version cannot read.
    """
    run = RunFolder(seed_zero(folder))
    saved = run.saved_config()
    if saved["system"] != system:
        raise CheckpointError(f"{folder} is a run of '{saved['system']}', not of '{system}'")
    final = run.checkpoints / FINAL
    if not final.is_dir():
        command = command or f"auricle train {system}"
        raise CheckpointError(f"{folder} is not trained yet; train it with: {command} --run {folder}")
    return Trained(run, parse(config, saved["config"]), str(saved["preset"]), final)


def is_main_process() -> bool:
    """Say whether this is the one process of a launch (torchrun, accelerate) that writes what all share."""
    return os.environ.get("RANK", "0") == "0"


def open_run(path: str | Path, system: str, preset: str, config: Config, *, overwrite: bool = False) -> RunFolder:
    """Make a run folder, or go on with the one that is there.

    The same config resumes, and temporary files of a killed process are cleared away. Another config in the same
    folder is refused, unless `overwrite` clears what the earlier run wrote (and nothing else that lies in the folder).

    Raises:
        CheckpointError: its config is damaged.
        ConfigError: the folder holds another config, another system, or files that are no run.
    """
    run = RunFolder(Path(path))
    wanted = {"system": system, "preset": preset, "config": config.model_dump(mode="json")}
    if run.path.exists() and not run.path.is_dir():
        raise ConfigError(f"--run {run.path} is a file; give the name of a folder")
    if (run.path / "config.json").exists():
        saved = {**run.saved_config()}
        if saved["system"] != system and not overwrite:
            raise ConfigError(
                f"{run.path} is a run of '{saved['system']}', not of '{system}'; give another --run, or --overwrite"
            )
        saved["config"] = filled(saved["config"], type(config))
        if all(saved[key] == wanted[key] for key in wanted):
            if is_main_process():
                sweep(run.path)
                sweep(run.cache)
            return run
        if not overwrite:
            raise ConfigError(
                f"{run.path} holds a run with another config ({_difference(saved, wanted)}); "
                f"give another --run, the same settings to go on with it, or --overwrite to replace it"
            )
        clear(run)
    elif run.path.exists() and any(path.name != FOLDER_LOCK and not is_part(path) for path in run.path.iterdir()):
        raise ConfigError(f"{run.path} has files in it but no config.json; give an empty or new folder as --run")
    content = {**wanted, "version": importlib.metadata.version("auricle")}
    write_json(run.path / "config.json", {**content, SUM: _checksum(content)})
    write_json(run.path / "environment.json", environment())
    return run


def _checksum(content: Mapping[str, Any]) -> str:
    """Sum up plain values as a file gives them back."""
    return digest(json.loads(json.dumps(dict(content))))


def filled(saved: Any, config: type[Config]) -> Any:
    """Bring a config that an older version wrote to today's keys: new ones take their defaults, renamed ones move.

    Args:
        saved: plain values.
        config: the class that they are of.

    Returns:
        Plain values as this version would write them; the given ones where it cannot read them.
    """
    try:
        return parse(config, saved).model_dump(mode="json")
    except ConfigError:
        return saved


def clear(run: RunFolder) -> None:
    """Remove what a run wrote, and nothing else."""
    for name in OURS:
        (run.path / name).unlink(missing_ok=True)
    for folder in (run.manifests, run.checkpoints, run.scores, run.path / "cache"):
        shutil.rmtree(folder, ignore_errors=True)


def environment() -> dict[str, Any]:
    """Describe what a number may depend on: Python, platform, processor, package versions."""
    versions = {}
    for package in TRACED:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "python": sys.version.split()[0],
        "platform": " ".join([platform.system(), *platform.libc_ver()]).strip(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": versions,
    }


def _difference(saved: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name up to three settings in which two configs differ."""
    old, new = _flat(saved), _flat(wanted)
    changed = [
        f"{key.removeprefix('config.')}: there {old.get(key)!r}, asked {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if key != "version" and old.get(key) != new.get(key)
    ]
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return "; ".join(changed[:3]) + more


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat
