"""One training loop on Accelerate, with its optimiser, checkpoints, seeds and exact resume.

A system brings a `step(model, batch)` and an `epoch_batches(epoch)`; `fit` does the rest and writes
`metrics.jsonl` and `checkpoints/` into the run folder. Everything else here is usable on its own:
`save_model` and `load_model` need no loop.
"""

from auricle.train.checkpoint import average, load_model, load_weights, save_model
from auricle.train.loop import FitResult, TrainingError, fit
from auricle.train.monitor import BestCheckpoint, best_checkpoints
from auricle.train.optim import learning_rate, optimizer_groups
from auricle.train.seed import rng_state, seed_everything, set_rng_state

__all__ = [
    "BestCheckpoint",
    "FitResult",
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
