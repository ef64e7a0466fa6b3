"""Training data of the detectors: features of clips, of distorted copies of them, and balanced batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auricle.audio import noise
from auricle.audio.rawboost import rawboost
from auricle.core.cache import combined_key
from auricle.core.errors import DataError
from auricle.core.seed import rng
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.systems.voice_auth.clips import TARGET_GROUP
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
class ClipFeatures:
    """The features of some clips, with the facts that training and measuring need.

    Attributes:
        copies: one list a clip, of the features (T', F) of the clip itself or of each distorted copy of it.
        labels: (N,) bool, true for bona fide.
        families: (N,) text, empty for bona fide.
        groups: (N,) text, the claimed speaker group.
        pairs: (N,) text, the recording behind each: a genuine clip and what was made of it share it.
    """

    copies: list[list[np.ndarray]]
    labels: np.ndarray
    families: np.ndarray
    groups: np.ndarray
    pairs: np.ndarray

    def __len__(self) -> int:
        return len(self.copies)

    def where(self, chosen: np.ndarray) -> ClipFeatures:
        """Keep the clips at which a boolean array (N,) is true."""
        index = np.flatnonzero(chosen)
        facts = (self.labels[index], self.families[index], self.groups[index], self.pairs[index])
        return ClipFeatures([self.copies[i] for i in index], *facts)

    def of_families(self, names: Sequence[str]) -> ClipFeatures:
        """Keep the genuine clips and those of some families."""
        return self.where(self.labels | np.isin(self.families, list(names)))

    def content(self) -> str:
        """Name all copies of all clips by their numbers, 64 hexadecimal digits."""
        return combined_key([copy.tobytes() for copies in self.copies for copy in copies])

    @property
    def first(self) -> list[np.ndarray]:
        """The first copy of each clip."""
        return [copies[0] for copies in self.copies]


def extract_features(clips: Clips, network: Network, cfg: TrainConfig | None = None, seed: int = 0) -> ClipFeatures:
    """Make the features of clips once.

    Args:
        clips: the clips.
        network: gives the features.
        cfg: its augmentation; None for none.
        seed: of the augmentation, whose draws go by the clip's place.
    """
    copies = []
    for index in range(len(clips)):
        wave = clips.wave(index)
        waves = [wave] if cfg is None or cfg.augment == "none" else _distorted(wave, clips.rate_hz, cfg, seed, index)
        copies.append([network.item(copy) for copy in waves])
    return ClipFeatures(
        copies, clips.labels, clips.values(fields.FAMILY), clips.values(TARGET_GROUP), clips.values(fields.PAIR)
    )


def _distorted(wave: np.ndarray, rate_hz: int, cfg: TrainConfig, seed: int, index: int) -> list[np.ndarray]:
    """Give distorted copies of a clip."""
    copies = []
    for copy in range(cfg.copies):
        draws = rng(seed, cfg.augment, index, copy)
        if not wave.any():
            copies.append(wave)
        elif cfg.augment == "rawboost":
            copies.append(np.asarray(rawboost(wave, rate_hz, cfg.rawboost, draws), np.float32))
        else:
            snr_db = float(draws.uniform(*WHITE_SNR_DB))
            copies.append(noise.add_noise(wave, noise.white(len(wave), draws), snr_db))
    return copies


class PairedBatches:
    """Batches whose fakes are drawn evenly over the families, most of them beside the real clip they were made of.

    Args:
        clips: the training clips.
        steps: rows of a window.
        batch: clips in a batch, half of them real.
        seed: of the order and the draws.

    Raises:
        DataError: a class is missing.
    """

    def __init__(self, clips: ClipFeatures, *, steps: int, batch: int, seed: int) -> None:
        self.clips, self.steps, self.seed = clips, steps, seed
        self.half = max(1, batch // 2)
        self.real = np.flatnonzero(clips.labels)
        self.fakes = [np.flatnonzero(clips.families == name) for name in sorted(set(clips.families[~clips.labels]))]
        if not len(self.real) or not self.fakes:
            raise DataError("training a detector needs both bona fide and spoof clips")
        self.real_of = {str(clips.pairs[index]): int(index) for index in self.real}

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Give the batches of an epoch (as many as cover the real clips) from the `start`-th on; the same each time."""
        label = torch.tensor([1] * self.half + [0] * self.half)
        for number in range(start, max(1, len(self.real) // self.half)):
            draws = rng(self.seed, "batch", epoch, number)
            families = [self.fakes[i] for i in draws.permutation(np.arange(self.half) % len(self.fakes))]
            real, fake = [], []
            for family in families:
                spoof, where = int(draws.choice(family)), float(draws.random())
                partner = self.real_of.get(str(self.clips.pairs[spoof])) if draws.random() < PAIRED else None
                partner = int(draws.choice(self.real)) if partner is None else partner
                fake.append(self._window(spoof, where, draws))
                real.append(self._window(partner, where, draws))
            yield Batch(torch.from_numpy(np.stack([*real, *fake])), label.clone())

    def _window(self, index: int, where: float, draws: np.random.Generator) -> np.ndarray:
        """Cut a window out of a copy of a clip, at a share `where` of the places it can begin at; short clips tile."""
        copies = self.clips.copies[index]
        frames = copies[int(draws.integers(len(copies)))]
        if len(frames) <= self.steps:
            return frames[np.arange(self.steps) % len(frames)]
        first = int(where * (len(frames) - self.steps + 1))
        return frames[first : first + self.steps]
