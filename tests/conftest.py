"""Tests never leave the machine: only loopback and unix sockets, in this process and in its children."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "offline"
ROOT = Path(__file__).parent.parent

os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("COLUMNS", "160")  # tables of child processes are not folded
_spec = importlib.util.spec_from_file_location("offline_guard", OFFLINE / "sitecustomize.py")
assert _spec is not None
assert _spec.loader is not None
_spec.loader.exec_module(importlib.util.module_from_spec(_spec))


def auricle(*arguments: object, check: bool = True, **kwargs: object) -> subprocess.CompletedProcess[str]:
    """Run the real command."""
    command = [sys.executable, "-m", "auricle", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)  # type: ignore[call-overload]
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@pytest.fixture(scope="session", name="auricle")
def _auricle():
    return auricle


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """One finished `auricle run mambo --preset smoke`, shared by all test processes; never write into it."""
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if hasattr(request.config, "workerinput") else base
    folder = shared / "smoke-mambo"
    with FileLock(str(shared / "smoke.lock")):
        if not (folder / "report.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            done = auricle("run", "mambo", "--preset", "smoke", "--run", folder)
            (folder / "stdout.txt").write_text(done.stdout)
            (folder / "stderr.txt").write_text(done.stderr)
    return folder
