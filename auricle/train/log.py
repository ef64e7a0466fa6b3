"""Where the numbers of a run go: JSON lines, TensorBoard, and a bar or a few lines on standard error."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auricle.core.errors import CheckpointError
from auricle.core.extras import require
from auricle.core.files import atomic_path


class MetricsLog:
    """Appends one JSON object per step to a file, and to TensorBoard if asked."""

    def __init__(self, path: Path, step: int, tensorboard: bool) -> None:
        """Open the log of a run that stands at `step`; rows after it are cut, as they will be made again.

        Args:
            path: ``metrics.jsonl``.
            step: updates already done.
            tensorboard: also write event files into ``tensorboard/`` beside it.

        Raises:
            MissingExtra: TensorBoard was asked for and is not installed.
            CheckpointError: the file cannot be written.
        """
        self.path = path
        self.last: dict[str, Any] = {}
        self.writer: Any = None
        if tensorboard:
            require("tensorboard", "tensorboard", "Writing training curves for TensorBoard")
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(path.parent / "tensorboard"), purge_step=step + 1)
        try:
            self._cut(step)
            # without a buffer, so that a refused row is not tried again when the file is closed
            self.file = open(path, "ab", buffering=0)  # noqa: SIM115 - open for the whole run
        except OSError as error:
            raise self._refused(error) from error

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row and hand it to the operating system, so that a killed process has lost nothing."""
        try:
            rest = (json.dumps(row, allow_nan=False) + "\n").encode()
            while rest:
                rest = rest[self.file.write(rest) :]
        except OSError as error:
            raise self._refused(error) from error
        self.last = dict(row)
        if self.writer is not None:
            for name, value in row.items():
                if name not in {"step", "epoch"} and value is not None:
                    self.writer.add_scalar(name, value, row["step"])

    def sync(self) -> None:
        """Wait until the rows are on the disk: a state must never be newer than the log."""
        try:
            os.fsync(self.file.fileno())
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Close the files."""
        if self.writer is not None:
            self.writer.close()
        self.file.close()

    def _cut(self, step: int) -> None:
        """Keep the rows up to `step`; a half-written last line of a killed run goes too."""
        if not self.path.exists():
            return
        kept = []
        with open(self.path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    break
                if not isinstance(row, dict) or row.get("step", step + 1) > step:
                    break
                kept.append(line)
                self.last = row
        with atomic_path(self.path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")

    def _refused(self, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"cannot write {self.path}: {error.strerror or error}. Checkpoints on disk are untouched; "
            "make room or choose another folder, and start the same command again"
        )


class Progress:
    """A bar on a terminal; elsewhere a line every tenth of the run. All of it on standard error."""

    def __init__(self, step: int, max_steps: int, shown: bool) -> None:
        """Start at `step` of `max_steps`; with `shown` false only messages are printed."""
        self.max_steps = max_steps
        self.shown = shown
        self.tenth = 10 * step // max_steps
        self.bar: Any = None
        if shown and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                MofNCompleteColumn(),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}", markup=False),
            )
            self.bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task("", total=max_steps, completed=step)
            self.bar.start()

    def advance(self, row: Mapping[str, Any]) -> None:
        """Show one more step."""
        if self.bar is not None:
            self.bar.update(self.task, completed=row["step"], description=_brief(row))
            return
        tenth = 10 * row["step"] // self.max_steps
        if self.shown and tenth > self.tenth:
            self.tenth = tenth
            self.message(f"step {row['step']}/{self.max_steps}  {_brief(row)}  {row['seconds']:.0f} s")

    def message(self, text: str) -> None:
        """Print a line that must be seen, bar or not."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            announce(text)

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.stop()


def announce(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _brief(row: Mapping[str, Any]) -> str:
    """Show the loss and whatever the evaluation added."""
    hidden = {"step", "epoch", "seconds", "grad_norm"}
    return "  ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in hidden and v is not None)


def finite_or_none(value: float) -> float | None:
    """Give a number JSON can hold: NaN and infinities become null."""
    return float(value) if math.isfinite(value) else None
