"""One training loop on Accelerate, with its optimiser, checkpoints, seeds and exact resume.

A system brings a `step(model, batch)` and an `epoch_batches(epoch)`; `fit` does the rest and writes
`metrics.jsonl` and `checkpoints/` into the run folder. Everything else here is usable on its own:
`save_model` and `load_model` need no loop.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auricle.train.checkpoint import average, load_model, load_weights, save_model
    from auricle.train.loop import FitResult, TrainingError, fit
    from auricle.train.monitor import BestCheckpoint, best_checkpoints
    from auricle.train.optim import learning_rate, optimizer_groups
    from auricle.train.recipe import Recipe
    from auricle.train.seed import rng_state, seed_everything, set_rng_state

# name -> file: a config inherits `Recipe` without loading torch
_HOME = {
    **dict.fromkeys(("average", "load_model", "load_weights", "save_model"), "checkpoint"),
    **dict.fromkeys(("FitResult", "TrainingError", "fit"), "loop"),
    **dict.fromkeys(("BestCheckpoint", "best_checkpoints"), "monitor"),
    **dict.fromkeys(("learning_rate", "optimizer_groups"), "optim"),
    **dict.fromkeys(("rng_state", "seed_everything", "set_rng_state"), "seed"),
    "Recipe": "recipe",
}

__all__ = [
    "BestCheckpoint",
    "FitResult",
    "Recipe",
    "TrainingError",
    "average",
    "best_checkpoints",
    "fit",
    "learning_rate",
    "load_model",
    "load_weights",
    "optimizer_groups",
    "rng_state",
    "save_model",
    "seed_everything",
    "set_rng_state",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
