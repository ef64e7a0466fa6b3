"""One finished smoke run of each system, made once by the real command and shared by all test processes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import in_child
from tests.contract.adapter import adapter_of

Finished = Callable[[str], Path]
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # the numbers of a run may depend on the number of threads


def one_thread() -> dict[str, str]:
    """Give the environment of a command that must come to the numbers of a finished run."""
    return os.environ | ONE_THREAD


def finish(name: str, place: Path) -> Path:
    """Give the folder of the system's finished smoke run; the first caller of all test processes makes it.

    Args:
        name: the system.
        place: folder that all test processes of this session share.

    Returns:
        The run folder, for reading only: copy what a test changes. What the command printed lies beside it in
        ``stdout.txt`` and ``stderr.txt``.
    """
    from filelock import FileLock

    from auricle.core.extras import available

    for package, command in adapter_of(name).packages.items():
        if not available(package):
            pytest.skip(f"a run of {name} needs {package}: {command}")
    home = place / name
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(str(home / "lock")):
        if not (home / "state.json").exists():
            shutil.rmtree(home / "run", ignore_errors=True)
            done = in_child("run", name, "--preset", "smoke", "--run", home / "run", check=False, env=one_thread())
            (home / "stdout.txt").write_text(done.stdout)
            (home / "stderr.txt").write_text(done.stderr)
            (home / "state.json").write_text(json.dumps({"status": done.returncode, "files": state(home / "run")}))
        status = json.loads((home / "state.json").read_text())["status"]
    if status != 0:
        said = (home / "stderr.txt").read_text()
        raise AssertionError(f"auricle run {name} --preset smoke ended with exit status {status}:\n{said}")
    return home / "run"


def state(folder: Path) -> dict[str, list[int]]:
    """Give size and time of change of every file of a folder, by its name there."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): [path.stat().st_size, path.stat().st_mtime_ns] for path in files}


def assert_unchanged(run: Path) -> None:
    """Hold every test to reading: a finished run that one of them changed would spoil the others.

    Raises:
        AssertionError: the files that are new, gone or changed.
    """
    before, now = json.loads((run.parent / "state.json").read_text())["files"], state(run)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    assert not changed, f"a test changed the finished run of {run.parent.name}, which all share: {', '.join(changed)}"
