"""Which checkpoints are the best so far, and when to stop waiting for a better one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from auricle.core.errors import CheckpointError
from auricle.train.checkpoint import read_meta

BEST = "best-"


@dataclasses.dataclass(frozen=True)
class BestCheckpoint:
    """One of the kept checkpoints: its folder, its step (updates done) and its value of the monitored metric."""

    path: Path
    step: int
    value: float


class Monitor:
    """Keeps the list of the k best evaluations and counts those without a gain.

    Of two equal values the earlier one is better, so a plateau neither churns the disk nor feeds the patience.
    """

    def __init__(self, folder: Path, mode: str, keep: int, patience: int | None) -> None:
        """Start empty.

        Args:
            folder: where the ``best-<step>`` folders are.
            mode: ``min`` or ``max``.
            keep: how many to keep.
            patience: evaluations without a gain after which `exhausted` is true; None for never.
        """
        self.folder = folder
        self.sign = 1.0 if mode == "min" else -1.0
        self.keep = keep
        self.patience = patience
        self.best: list[BestCheckpoint] = []
        self.without_gain = 0

    def update(self, step: int, value: float) -> BestCheckpoint | None:
        """Take in one evaluation; give the checkpoint to write if it is among the best, else None."""
        gain = not self.best or self.sign * value < self.sign * self.best[0].value
        self.without_gain = 0 if gain else self.without_gain + 1
        entry = BestCheckpoint(self.folder / f"{BEST}{step:06d}", step, value)
        self.best = sorted([*self.best, entry], key=lambda one: (self.sign * one.value, one.step))[: self.keep]
        return entry if entry in self.best else None

    @property
    def exhausted(self) -> bool:
        """Whether the patience is used up."""
        return self.patience is not None and self.without_gain >= self.patience

    def state(self) -> dict[str, Any]:
        """Give what a resume needs; folders by step, so that a run folder may be moved."""
        return {"best": [(one.step, one.value) for one in self.best], "without_gain": self.without_gain}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        self.best = [BestCheckpoint(self.folder / f"{BEST}{step:06d}", step, value) for step, value in state["best"]]
        self.without_gain = state["without_gain"]


def best_checkpoints(folder: str | Path) -> list[BestCheckpoint]:
    """Find the best checkpoints of a run from its folder alone, best first.

    Args:
        folder: the run folder given to `fit`.

    Returns:
        The kept checkpoints; empty if the run has none.

    Raises:
        CheckpointError: a checkpoint's meta data cannot be read.
    """
    found: list[tuple[float, int, BestCheckpoint]] = []
    for path in (Path(folder) / "checkpoints").glob(f"{BEST}*"):
        try:
            meta = read_meta(path)
            step, value, sign = int(meta["step"]), float(meta["value"]), 1.0 if meta["mode"] == "min" else -1.0
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is not a whole checkpoint: {error}") from error
        found.append((sign * value, step, BestCheckpoint(path, step, value)))
    return [one for _, _, one in sorted(found, key=lambda item: item[:2])]
