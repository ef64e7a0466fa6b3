"""The script of continuous integration: both parts run, pytest's closing line comes last, any failure is its status."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / ".ci" / "run"
CLOSING = "========= 7 passed, 2 skipped in 3.21s ========="


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(("tests", "base", "status"), [(0, 0, 0), (2, 0, 2), (0, 2, 2), (2, 2, 2)])
def test_the_script_ends_with_the_closing_line_and_the_right_status(tmp_path, tests, base, status):
    (tmp_path / ".ci").mkdir()
    shutil.copy(SCRIPT, tmp_path / ".ci" / "run")
    (tmp_path / "Makefile").write_text(
        f"test:\n\t@echo '{CLOSING}'\n\t@exit {tests}\ntest-base:\n\t@echo the base install\n\t@exit {base}\n"
    )
    done = subprocess.run([tmp_path / ".ci" / "run"], capture_output=True, text=True)
    assert done.returncode == status
    lines = done.stdout.splitlines()
    assert lines[-1] == CLOSING
    assert "the base install" in lines
