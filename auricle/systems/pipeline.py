"""From a command's arguments to a finished run: the verbs in order, seeds, and the pooled report."""

from __future__ import annotations

import contextlib
import inspect
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from auricle.core.config import Config, override
from auricle.core.errors import AuricleError, ConfigError
from auricle.core.leftovers import is_part
from auricle.core.locks import FOLDER_LOCK
from auricle.core.report import Report, pool
from auricle.core.run import IMPORTED, RunFolder, clear, is_main_process, open_run
from auricle.report.evaluation import Evaluation, publish, report_of
from auricle.systems import System, system
from auricle.systems.contents import EVALUATION, changed, contents, refuse_changed, refuse_changed_audio, values_of

NO_SPACE = "no space left"  # in the words of a writer whose cause was lost on its way from another process
_begun: set[Path] = set()  # folders that this process made and has not prepared yet


def resolve(name: str, preset: str, data: str | None = None, settings: Sequence[str] = ()) -> Config:
    """Give the config of a preset with a data source and ``key=value`` settings applied.

    Raises:
        ConfigError: unknown system, preset or setting, or a setting that decides nothing beside the others.
    """
    begun = system(name).config(preset)
    chosen = [f"data.source={data}"] if data else []
    cfg = override(begun, [*chosen, *settings])
    refuse_ignored(begun, cfg)
    return cfg


def refuse_ignored(begun: Config, cfg: Config) -> None:
    """Refuse settings that were changed and decide nothing, as the config's class itself names them (`ignored`).

    Args:
        begun: the preset.
        cfg: with the user's settings.

    Raises:
        ConfigError: there is one.
    """
    reasons: Mapping[str, str] = getattr(cfg, "ignored", dict)()
    before, now = (values_of(one.model_dump(mode="json")) for one in (begun, cfg))
    for key, reason in reasons.items():
        if before[key] != now[key]:
            raise ConfigError(f"{key}={now[key]} would decide nothing: {reason}; leave it out")


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
        DataError: another process writes the folder.
    """
    path = Path(folder or Path("runs") / name)
    module = system(name)
    if preset is None and not data and not settings and not overwrite and (path / "config.json").exists():
        cfg, run = open_existing(name, path)
        return module, cfg, run
    cfg = resolve(name, preset or "laptop", data, settings)
    return module, cfg, begin(path, name, preset or "laptop", cfg, overwrite)


def begin(path: Path, name: str, preset: str, cfg: Config, overwrite: bool) -> RunFolder:
    """Make a run folder or go on with one; what `auricle.core.run.open_run` refuses leaves no new folder behind.

    Args:
        path: of the folder.
        name: of the system.
        preset: of the config.
        cfg: the config.
        overwrite: replace a run of another config, or of other contents behind the same paths.

    Raises:
        ConfigError: see `auricle.core.run.open_run`.
        DataError: another process writes the folder.
    """
    if path.exists() and not path.is_dir():
        return open_run(path, name, preset, cfg)  # which refuses it
    run = RunFolder(path)
    with writing(run):
        if _empty(path):
            _begun.add(path.absolute())
        found = open_run(path, name, preset, cfg, overwrite=overwrite)
        if overwrite and is_main_process() and changed(run.facts("prepare").get("contents") or {}, cfg):
            clear(run)
            found = open_run(path, name, preset, cfg)
    return found


@contextlib.contextmanager
def writing(run: RunFolder) -> Iterator[None]:
    """Be the only process that writes a run while the block runs; a new folder that the block left empty is removed.

    Args:
        run: the run.

    Raises:
        DataError: another process writes it; the message has its number.
    """
    try:
        with run.locked():
            yield
    finally:
        if run.path.absolute() in _begun and is_main_process():
            with contextlib.suppress(OSError):  # there is something in it, as there should be
                run.path.rmdir()


def take_back(run: RunFolder, error: AuricleError) -> None:
    """Empty a folder that this process made and could not prepare, so that it blocks no other settings.

    Where the disk was full, what there is stays: the same command goes on from it.

    Args:
        run: the run.
        error: why it could not be prepared.
    """
    full = isinstance(error.__cause__, OSError) or NO_SPACE in str(error)
    if run.path.absolute() in _begun and not full and is_main_process():
        clear(run)


def _empty(path: Path) -> bool:
    """Say whether nothing is in a folder, or it is not there; what killed processes left does not count."""
    return not path.exists() or all(one.name == FOLDER_LOCK or is_part(one) for one in path.iterdir())


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
        DataError: another process writes the folder.
    """
    if seeds < 1:
        raise ConfigError(f"--seeds {seeds}: at least 1 is needed")
    path = Path(folder or Path("runs") / name)
    module = system(name)
    if seeds == 1:
        cfg = resolve(name, preset, data, settings)
        return _one(module, cfg, begin(path, name, preset, cfg, overwrite))
    if (path / "config.json").exists() and not overwrite:
        raise ConfigError(f"{path} holds a run of a single seed; give another --run, or --overwrite")
    if any(setting.startswith("seed=") for setting in settings):
        raise ConfigError("give either --seeds or seed=N: --seeds K sets the seeds to 0 ... K-1")
    configs = [resolve(name, preset, data, [*settings, f"seed={seed}"]) for seed in range(seeds)]
    folders = [path / f"seed-{seed}" for seed in range(seeds)]
    above, new = RunFolder(path), _empty(path)
    try:
        with above.locked():
            for cfg, folder_of_seed in zip(configs, folders, strict=True):
                _one(module, cfg, begin(folder_of_seed, name, preset, cfg, overwrite))
            pooled = pool_folders(folders)
            pooled.save(path / "report.json")
            return pooled
    except AuricleError:
        if new and is_main_process() and not any(path.glob("seed-*")):
            shutil.rmtree(above.cache, ignore_errors=True)
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


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
    with writing(run):
        again = f"auricle run {module.name} --run {run.path}"
        if "prepare" in module.spec.verbs and not run.done("prepare"):
            prepare(module, cfg, run)
        refuse_changed(run, cfg, again)
        if "train" in module.spec.verbs and not run.done("train"):
            train(module, cfg, run)
        elif run.done("evaluate") and (run.path / "report.json").exists():
            refuse_changed_audio(run, again)
            others = changed(run.facts("evaluate").get("contents") or {}, cfg)
            if not others:
                tell(f"nothing to do: this run is complete ({run.path})")
                return Report.load(run.path / "report.json")
            tell(f"{', '.join(others)}: the content has changed since {run.path} was measured; measuring again")
        return evaluate(module, cfg, run)


def tell(text: str) -> None:
    """Write a line to standard error; one process of a launch does it."""
    if is_main_process():
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def prepare(module: System, cfg: Any, run: RunFolder) -> dict[str, Any]:
    """Build the data and mark the stage complete, with its counts, seconds, and what its paths held.

    A folder that this process made is taken back where the data are refused.

    Raises:
        ConfigError: the run is trained, and on other data than the path now holds.
        DataError: another process writes the folder.
    """
    started = time.monotonic()
    with writing(run):
        if run.checkpoints.is_dir() and any(run.checkpoints.iterdir()):
            refuse_changed(run, cfg, f"auricle prepare {module.name} --run {run.path}")
        found = contents(cfg)  # before they are read: what changes meanwhile is noticed
        try:
            facts: dict[str, Any] = module.verb("prepare")(cfg, run)
        except AuricleError as error:
            take_back(run, error)
            raise
        _begun.discard(run.path.absolute())
        run.mark("prepare", **facts, contents=found, seconds=round(time.monotonic() - started, 1))
    return facts


def train(module: System, cfg: Any, run: RunFolder) -> Path:
    """Train and mark the stage complete.

    Raises:
        ConfigError: nothing was prepared yet, or other contents lie behind the config's paths than then.
        DataError: another process writes the folder.
    """
    if "prepare" in module.spec.verbs and not run.done("prepare"):
        raise ConfigError(f"{run.path} has no prepared data; first: auricle prepare {module.name} --run {run.path}")
    started = time.monotonic()
    with run.locked():
        refuse_changed(run, cfg, f"auricle run {module.name} --run {run.path}")
        best: Path = module.verb("train")(cfg, run)
        run.mark("train", seconds=round(time.monotonic() - started, 1))
    return best


def evaluate(module: System, cfg: Any, run: RunFolder) -> Report:
    """Measure and mark the stage complete.

    Raises:
        ConfigError: nothing was trained yet, or other contents lie behind the config's paths than when it was prepared.
        DataError: another process writes the folder.
    """
    if run.done(IMPORTED) and not run.done("prepare"):
        raise ConfigError(
            f"{run.path} holds released weights and no test clips; measure it on labelled ones of yours: "
            f"auricle evaluate {module.name} --run {run.path} --manifest FILE"
        )
    if "train" in module.spec.verbs and not run.done("train"):
        raise ConfigError(f"{run.path} is not trained; first: auricle train {module.name} --run {run.path}")
    started = time.monotonic()
    with run.locked():
        refuse_changed(run, cfg, f"auricle run {module.name} --run {run.path}")
        measured = {key: name for key, name in contents(cfg).items() if key.startswith(EVALUATION)}
        found = module.verb("evaluate")(cfg, run)
        report = _published(module, cfg, run, found)
        run.mark("evaluate", contents=measured, seconds=round(time.monotonic() - started, 1))
    return report


def evaluate_manifest(module: System, cfg: Any, run: RunFolder, path: Path) -> Report:
    """Measure a trained run on data of the user's; write ``report-NAME.json`` and its scores.

    Raises:
        ConfigError: the system cannot.
        DataError: another process writes the folder.
    """
    measure = module.verb("evaluate_manifest")
    with run.locked():
        found = measure(cfg, run, path)
        return _published(module, cfg, run, found, f"report-{found.data}")


def _published(module: System, cfg: Any, run: RunFolder, found: Evaluation, name: str = "report") -> Report:
    """Write a report; a page that cannot be drawn costs the page, not the report."""
    preset = str(run.saved_config()["preset"])
    try:
        return publish(found, run, cfg, module.spec, preset, seed=cfg.seed, name=name)
    except (AuricleError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
        if found.page is None:
            raise
        said = f"the page could not be drawn: {type(error).__name__}: {error}"
        alone = replace(found, page=None, warnings=[*found.warnings, said])
        report = publish(alone, run, cfg, module.spec, preset, seed=cfg.seed, name=name)
        (run.path / f"{name}.html").unlink(missing_ok=True)  # of an earlier report
        return report


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
