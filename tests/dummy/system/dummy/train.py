"""`train`: read top to bottom, this is what happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from auricle.systems.dummy import data
from auricle.systems.dummy.config import DummyConfig
from auricle.systems.dummy.model import Network, padded, probabilities
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.run import FINAL, RunFolder
from auricle.core.seed import derive, rng
from auricle.train.checkpoint import load_model, save_model
from auricle.train.loop import fit
from auricle.train.seed import seed_everything

Batch = tuple[Tensor, Tensor, Tensor]


def train(cfg: DummyConfig, run: RunFolder) -> Path:
    """Train the network of a run, or go on with it; give the folder of the final checkpoint."""
    waves, labels, _ = data.load(cfg, run, "train")
    dev_waves, dev_labels, _ = data.load(cfg, run, "dev")
    network = new_network(cfg)

    def evaluate(model: nn.Module, step: int) -> dict[str, float]:
        right = probabilities(model, dev_waves) > 0.5
        return {"dev_accuracy": float(np.mean(right == dev_labels))}

    result = fit(
        network,
        step,
        Batches(cfg, waves, labels),
        folder=run.path,
        seed=cfg.seed,
        evaluate=evaluate,
        monitor="dev_accuracy",
        mode="max",
        **cfg.train.loop(),
    )
    load_model(result.best[0].path, network)
    return save_model(run.checkpoints / FINAL, network, {"steps": result.step})


def new_network(cfg: DummyConfig) -> Network:
    """Build the network with the weights that the run's seed gives."""
    seed_everything(derive(cfg.seed, "weights"))
    return Network(cfg)


class Batches:
    """Batches of an epoch, the same for the same epoch."""

    def __init__(self, cfg: DummyConfig, waves: list[np.ndarray], labels: np.ndarray) -> None:
        self.cfg, self.waves, self.labels = cfg, waves, labels

    def __call__(self, epoch: int) -> Iterator[Batch]:
        """Give the batches of an epoch: waves (B, N), lengths (B,), labels (B,)."""
        order = rng(self.cfg.seed, "batches", epoch).permutation(len(self.waves))
        for start in range(0, len(order), self.cfg.train.batch):
            chosen = order[start : start + self.cfg.train.batch]
            wave, lengths = padded([torch.from_numpy(self.waves[i]) for i in chosen])
            yield wave, lengths, torch.from_numpy(self.labels[chosen]).long()


def step(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Give the cross-entropy of one batch."""
    wave, lengths, labels = batch
    return {"loss": F.cross_entropy(model(wave, lengths), labels)}
