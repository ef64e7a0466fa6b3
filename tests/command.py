"""The `auricle` command, in a process of its own or in this one."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from unittest.mock import patch

Done = subprocess.CompletedProcess[str]


def in_child(*arguments: object, check: bool = True, **kwargs: object) -> Done:
    """Run the real command in a process of its own."""
    command = [sys.executable, "-m", "auricle", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, **kwargs)  # type: ignore[call-overload]
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def in_process(*arguments: object, check: bool = True) -> Done:
    """Run the command's own entry here, without the seconds that a new process takes to import torch.

    An exception that would be a traceback in a terminal is raised.
    """
    from auricle.cli.main import entry

    command = ["auricle", *map(str, arguments)]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with patch.object(sys, "argv", command), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            entry()
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    done = subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())
    if check and status != 0:
        raise AssertionError(f"{' '.join(command)}\nexit {status}\n{done.stdout}\n{done.stderr}")
    return done
