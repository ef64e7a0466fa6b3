"""`train`: a file."""

from __future__ import annotations

from pathlib import Path

from auricle.systems.steps import CALLS
from auricle.systems.steps.config import StepsConfig

from auricle.core.files import write_json
from auricle.core.run import FINAL, RunFolder


def train(cfg: StepsConfig, run: RunFolder) -> Path:
    """Write a checkpoint."""
    CALLS.append("train")
    write_json(run.checkpoints / FINAL / "meta.json", {})
    return run.checkpoints / FINAL
