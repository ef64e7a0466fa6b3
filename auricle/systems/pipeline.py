"""From a command's arguments to a finished run: the verbs in order, seeds, and the pooled report."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from auricle.core.config import Config, override
from auricle.core.errors import ConfigError
from auricle.core.report import Report, pool
from auricle.core.run import RunFolder, open_run
from auricle.report.evaluation import publish, report_of
from auricle.systems import System, system


def resolve(name: str, preset: str, data: str | None = None, settings: Sequence[str] = ()) -> Config:
    """Give the config of a preset with a data source and ``key=value`` settings applied.

    Raises:
        ConfigError: unknown system, preset or setting.
    """
    chosen = [f"data.source={data}"] if data else []
    return override(system(name).config(preset), [*chosen, *settings])


def open_with(
    name: str,
    preset: str | None,
    folder: str | Path | None,
    data: str | None = None,
    settings: Sequence[str] = (),
    overwrite: bool = False,
) -> tuple[System, Any, RunFolder]:
    """Open a run folder for one verb. Without a preset, data or settings an existing folder's own config holds.

    Raises:
        ConfigError: see `resolve` and `auricle.core.run.open_run`.
    """
    path = Path(folder or Path("runs") / name)
    module = system(name)
    if preset is None and not data and not settings and not overwrite and (path / "config.json").exists():
        cfg, run = open_existing(name, path)
        return module, cfg, run
    cfg = resolve(name, preset or "laptop", data, settings)
    return module, cfg, open_run(path, name, preset or "laptop", cfg, overwrite=overwrite)


def open_existing(name: str, folder: str | Path) -> tuple[Any, RunFolder]:
    """Open a run folder that is there and belongs to the system.

    Raises:
        CheckpointError: not a run folder.
        ConfigError: a run of another system, or a config this version cannot read.
    """
    run = RunFolder(Path(folder))
    saved = run.saved_config()
    if saved["system"] != name:
        raise ConfigError(f"{folder} is a run of '{saved['system']}', not of '{name}'")
    return system(name).parse_config(saved["config"]), run


def run_all(
    name: str,
    preset: str = "laptop",
    folder: str | Path | None = None,
    data: str | None = None,
    settings: Sequence[str] = (),
    seeds: int = 1,
    overwrite: bool = False,
) -> Report:
    """Prepare, train and evaluate; with several seeds, once a seed, and pool the reports.

    A finished stage is not done again. With `seeds` above one the runs lie in ``seed-0 ... seed-K-1``,
    they share the prepared data, and ``report.json`` of the folder above is the pooled one.

    Raises:
        ConfigError: fewer than one seed, or as `open_with`.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds {seeds}: at least 1 is needed")
    path = Path(folder or Path("runs") / name)
    module = system(name)
    if seeds == 1:
        cfg = resolve(name, preset, data, settings)
        return _one(module, cfg, open_run(path, name, preset, cfg, overwrite=overwrite))
    if (path / "config.json").exists() and not overwrite:
        raise ConfigError(f"{path} holds a run of a single seed; give another --run, or --overwrite")
    if any(setting.startswith("seed=") for setting in settings):
        raise ConfigError("give either --seeds or seed=N: --seeds K sets the seeds to 0 ... K-1")
    folders = [path / f"seed-{seed}" for seed in range(seeds)]
    for seed, seed_folder in enumerate(folders):
        cfg = resolve(name, preset, data, [*settings, f"seed={seed}"])
        _one(module, cfg, open_run(seed_folder, name, preset, cfg, overwrite=overwrite))
    pooled = pool_folders(folders)
    pooled.save(path / "report.json")
    return pooled


def pool_folders(folders: Sequence[Path]) -> Report:
    """Pool finished runs of one system.

    Raises:
        ConfigError: runs of different systems.
        CheckpointError: not a run folder.
    """
    names = {str(RunFolder(folder).saved_config()["system"]) for folder in folders}
    if len(names) != 1:
        raise ConfigError(f"runs of different systems cannot be pooled: {', '.join(sorted(names))}")
    module = system(names.pop())
    if module.has("pool_runs"):
        return cast(Report, module.verb("pool_runs")(folders))
    return pool([Report.load(folder / "report.json") for folder in folders])


def _one(module: System, cfg: Any, run: RunFolder) -> Report:
    """Run the verbs that the system has, each stage once."""
    if "prepare" in module.spec.verbs and not run.done("prepare"):
        prepare(module, cfg, run)
    if "train" in module.spec.verbs and not run.done("train"):
        train(module, cfg, run)
    if run.done("evaluate") and (run.path / "report.json").exists():
        return Report.load(run.path / "report.json")
    return evaluate(module, cfg, run)


def prepare(module: System, cfg: Any, run: RunFolder) -> dict[str, Any]:
    """Build the data and mark the stage complete, with its counts and seconds."""
    started = time.monotonic()
    facts: dict[str, Any] = module.verb("prepare")(cfg, run)
    run.mark("prepare", **facts, seconds=round(time.monotonic() - started, 1))
    return facts


def train(module: System, cfg: Any, run: RunFolder) -> Path:
    """Train and mark the stage complete.

    Raises:
        ConfigError: nothing was prepared yet.
    """
    if "prepare" in module.spec.verbs and not run.done("prepare"):
        raise ConfigError(f"{run.path} has no prepared data; first: auricle prepare {module.name} --run {run.path}")
    started = time.monotonic()
    best: Path = module.verb("train")(cfg, run)
    run.mark("train", seconds=round(time.monotonic() - started, 1))
    return best


def evaluate(module: System, cfg: Any, run: RunFolder) -> Report:
    """Measure and mark the stage complete.

    Raises:
        ConfigError: nothing was trained yet.
    """
    if "train" in module.spec.verbs and not run.done("train"):
        raise ConfigError(f"{run.path} is not trained; first: auricle train {module.name} --run {run.path}")
    started = time.monotonic()
    found = module.verb("evaluate")(cfg, run)
    report = publish(found, run, cfg, module.spec, str(run.saved_config()["preset"]), seed=cfg.seed)
    run.mark("evaluate", seconds=round(time.monotonic() - started, 1))
    return report


def evaluate_manifest(module: System, cfg: Any, run: RunFolder, path: Path) -> Report:
    """Measure a trained run on data of the user's; write ``report-NAME.json`` and its scores.

    Raises:
        ConfigError: the system cannot.
    """
    found = module.verb("evaluate_manifest")(cfg, run, path)
    preset = str(run.saved_config()["preset"])
    return publish(found, run, cfg, module.spec, preset, seed=cfg.seed, name=f"report-{found.data}")


def evaluate_scores(
    module: System,
    score_file: Path,
    key_file: Path,
    *,
    by: str | None = None,
    subset: str | None = None,
    asv_scores: Path | None = None,
) -> Report:
    """Measure any model of a system's task by its score file; nothing is written.

    Args:
        module: the system.
        score_file: scores of trials.
        key_file: which trial is what.
        by: column of the key to report by.
        subset: part of the key that is scored.
        asv_scores: scores of a speaker verifier, for the tandem cost.

    Raises:
        ConfigError: the system cannot, or has no such option.
    """
    verb = module.verb("evaluate_scores")
    given = {"by": by, "subset": subset, "asv_scores": asv_scores}
    options = {name: value for name, value in given.items() if value is not None}
    unknown = [f"--{name.replace('_', '-')}" for name in options if name not in inspect.signature(verb).parameters]
    if unknown:
        raise ConfigError(f"auricle evaluate {module.name} --scores has no option {', '.join(unknown)}")
    return report_of(verb(score_file, key_file, **options), module.name, "scores")
