"""A system made by the recipe of CONTRIBUTING.md alone passes the suites that every system passes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DUMMY = Path(__file__).parents[1] / "dummy"
SUITES = ("test_model.py", "test_verbs.py")


def test_it_passes_the_contract_and_the_verbs(tmp_path):
    command = [sys.executable, "-m", "pytest", "-q", "-k", "dummy", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, "--basetemp", tmp_path / "tests", *(Path(__file__).parent / suite for suite in SUITES)],
        capture_output=True,
        text=True,
        check=False,
        cwd=DUMMY.parents[1],
        env={**{key: value for key, value in os.environ.items() if "PYTEST" not in key}, "AURICLE_DUMMY": "1"},
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = int(done.stdout.rsplit(" passed", 1)[0].split()[-1])
    assert passed > 40, done.stdout[-500:]


def test_it_is_small():
    files = [path for path in DUMMY.rglob("*") if path.suffix in (".py", ".md")]
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 700
