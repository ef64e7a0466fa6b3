"""What the claims of a system share: data prepared once, and numbers of trainings that several claims do alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from auricle.core.config import C
from auricle.core.files import read_json, write_json
from auricle.core.run import RunFolder, open_run


def once(path: Path, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Give the numbers of a file, made now if it is not there.

    Args:
        path: of the JSON file; its name says what decides the numbers.
        make: measures; finite numbers and lists of them.
    """
    if not path.exists():
        write_json(path, dict(make()))
    return dict(read_json(path))


def prepared(
    folder: Path, system: str, preset: str, cfg: C, prepare: Callable[[C, RunFolder], Mapping[str, Any]]
) -> RunFolder:
    """Prepare the data of a config in a folder, unless it is prepared there.

    Args:
        folder: where to.
        system: whose data.
        preset: of the config.
        cfg: what decides the data.
        prepare: the system's verb.

    Raises:
        ConfigError: the folder holds the data of another config.
    """
    run = open_run(folder, system, preset, cfg)
    if not run.done("prepare"):
        run.mark("prepare", **prepare(cfg, run))
    return run
