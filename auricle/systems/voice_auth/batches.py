"""Training data of the detectors: kept features, their distorted copies, and balanced batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auricle.audio import noise
from auricle.audio.rawboost import rawboost
from auricle.core.errors import DataError
from auricle.core.seed import rng
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.systems.voice_auth.config import TrainConfig
from auricle.systems.voice_auth.network import Network

PAIRED = 0.75  # of the fakes stand beside their own real clip; the others beside any, enrolment clips among them
WHITE_SNR_DB = (10.0, 40.0)  # of the control for RawBoost, whose own noise is drawn from this range


@dataclass(frozen=True)
class Batch:
    """One training batch: `x` features (B, T', F) or waves (B, N), `label` (B,) int64, 1 for bona fide."""

    x: Tensor
    label: Tensor


@dataclass(frozen=True)
class Items:
    """What is kept of some clips, with what is known of them.

    Attributes:
        items: one list of copies a clip, the clip itself or what augmentation made of it.
        labels: (N,) bool, true for bona fide.
        families: (N,) text, empty for bona fide.
        groups: (N,) text, the claimed speaker group.
        pairs: (N,) text, the recording behind each: a genuine clip and what was made of it share it.
    """

    items: list[list[np.ndarray]]
    labels: np.ndarray
    families: np.ndarray
    groups: np.ndarray
    pairs: np.ndarray

    def __len__(self) -> int:
        return len(self.items)

    def where(self, chosen: np.ndarray) -> Items:
        """Keep the clips at which a boolean array (N,) is true."""
        index = np.flatnonzero(chosen)
        facts = (self.labels[index], self.families[index], self.groups[index], self.pairs[index])
        return Items([self.items[i] for i in index], *facts)

    @property
    def first(self) -> list[np.ndarray]:
        """The first copy of each clip."""
        return [copies[0] for copies in self.items]


def keep(clips: Clips, network: Network, cfg: TrainConfig | None = None, seed: int = 0) -> Items:
    """Make the features of clips once.

    Args:
        clips: what to keep.
        network: gives the features.
        cfg: its augmentation; None for none.
        seed: of the augmentation, whose draws go by the clip's place.
    """
    kept = []
    for index in range(len(clips)):
        wave = clips.wave(index)
        waves = [wave] if cfg is None or cfg.augment == "none" else _augmented(wave, clips.rate_hz, cfg, seed, index)
        kept.append([network.item(one) for one in waves])
    return Items(
        kept, clips.labels, clips.values(fields.FAMILY), clips.values("target_group"), clips.values(fields.PAIR)
    )


def _augmented(wave: np.ndarray, rate_hz: int, cfg: TrainConfig, seed: int, index: int) -> list[np.ndarray]:
    """Give distorted copies of a clip."""
    made = []
    for copy in range(cfg.copies):
        draws = rng(seed, cfg.augment, index, copy)
        if not wave.any():
            made.append(wave)
        elif cfg.augment == "rawboost":
            made.append(np.asarray(rawboost(wave, rate_hz, cfg.rawboost, draws), np.float32))
        else:
            snr_db = float(draws.uniform(*WHITE_SNR_DB))
            made.append(noise.add_noise(wave, noise.white(len(wave), draws), snr_db))
    return made


class PairedBatches:
    """Batches whose fakes are drawn evenly over the families, most of them beside the real clip they were made of.

    Args:
        items: the training clips.
        steps: rows of a window.
        batch: clips in a batch, half of them real.
        seed: of the order and the draws.

    Raises:
        DataError: a class is missing.
    """

    def __init__(self, items: Items, *, steps: int, batch: int, seed: int) -> None:
        self.items, self.steps, self.seed = items, steps, seed
        self.half = max(1, batch // 2)
        self.real = np.flatnonzero(items.labels)
        self.fakes = [np.flatnonzero(items.families == name) for name in sorted(set(items.families[~items.labels]))]
        if not len(self.real) or not self.fakes:
            raise DataError("training a detector needs both bona fide and spoof clips")
        self.real_of = {str(items.pairs[index]): int(index) for index in self.real}

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Give the batches of an epoch (as many as cover the real clips) from the `start`-th on; the same each time."""
        for place in range(start, max(1, len(self.real) // self.half)):
            draws = rng(self.seed, "batch", epoch, place)
            families = [self.fakes[i] for i in draws.permutation(np.arange(self.half) % len(self.fakes))]
            real, fake = [], []
            for family in families:
                one, where = int(draws.choice(family)), float(draws.random())
                other = self.real_of.get(str(self.items.pairs[one])) if draws.random() < PAIRED else None
                other = int(draws.choice(self.real)) if other is None else other
                fake.append(self._window(one, where, draws))
                real.append(self._window(other, where, draws))
            label = torch.tensor([1] * self.half + [0] * self.half)
            yield Batch(torch.from_numpy(np.stack([*real, *fake])), label)

    def _window(self, index: int, where: float, draws: np.random.Generator) -> np.ndarray:
        copies: Sequence[np.ndarray] = self.items.items[index]
        item = copies[int(draws.integers(len(copies)))]
        if len(item) <= self.steps:
            return item[np.arange(self.steps) % len(item)]
        first = int(where * (len(item) - self.steps + 1))
        return item[first : first + self.steps]
