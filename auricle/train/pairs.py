"""The training batches, and what distorts or mixes the clips in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auricle.audio import level
from auricle.audio.rawboost import rawboost
from auricle.core.errors import DataError
from auricle.core.seed import rng
from auricle.data import fields
from auricle.data.clips import Clips, as_int16


@dataclass(frozen=True)
class Batch:
    """One training batch.

    Attributes:
        wave: (B, N) float32.
        label: (B,) int64, 1 for bona fide.
        truth: (B, N // hop) int64, the same for each 10 ms, where a fake was pasted into its real clip.
    """

    wave: Tensor
    label: Tensor
    truth: Tensor


class PairedBatches:
    """Batches of which half is real, each real clip with a fake of the same utterance where there is one.

    Args:
        clips: the training clips.
        length: samples of a window.
        batch: clips in a batch, rounded down to whole pairs.
        hop: samples of one step of the frame truth.
        splice: share of the fakes that are pasted into their real clip in part only.
        seed: of the order and the draws.
        boost: RawBoost algorithm that distorts every window, 1 to 8; None for none.
        grid: samples of whose multiples a window begins at one; 1 lets it begin anywhere.
    """

    def __init__(
        self,
        clips: Clips,
        *,
        length: int,
        batch: int,
        hop: int,
        splice: float,
        seed: int,
        boost: int | None = None,
        grid: int = 1,
    ) -> None:
        self.clips, self.length, self.hop, self.splice, self.seed = clips, length, hop, splice, seed
        self.boost, self.grid = boost, grid
        self.pairs = max(1, batch // 2)
        self.real, self.fake = np.flatnonzero(clips.labels), np.flatnonzero(~clips.labels)
        if not len(self.real) or not len(self.fake):
            raise DataError("training needs both bona fide and spoof clips")
        self.utterances = clips.values(fields.PAIR)
        self.fakes_of: dict[str, list[int]] = defaultdict(list)
        for index in self.fake:
            self.fakes_of[self.utterances[index]].append(int(index))

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Give the batches of an epoch from the `start`-th on; the same at every call."""
        order = rng(self.seed, "order", epoch).permutation(self.real)
        # a corpus smaller than a batch still fills one: it wraps around
        order = np.resize(order, max(1, len(order) // self.pairs) * self.pairs)
        for number in range(start, len(order) // self.pairs):
            yield self._batch(order[number * self.pairs : (number + 1) * self.pairs], epoch, number)

    def _batch(self, reals: np.ndarray, epoch: int, number: int) -> Batch:
        draws = rng(self.seed, "batch", epoch, number)
        waves = np.zeros((2 * len(reals), self.length), np.float32)
        truth = np.zeros((2 * len(reals), self.length // self.hop), np.int64)
        for row, real in enumerate(reals):
            same_words = self.fakes_of.get(self.utterances[real]) if self.utterances[real] else None
            fake = int(draws.choice(same_words or self.fake))
            position = float(draws.random())
            waves[2 * row] = self._window(int(real), position)
            waves[2 * row + 1] = self._window(fake, position)
            truth[2 * row] = 1
            if draws.random() < self.splice:
                self._paste(waves, truth, 2 * row, draws)
        if self.boost is not None:
            # drawn by epoch, batch and row: the same on any number of workers, and after a resume
            for row, wave in enumerate(waves):
                row_draws = rng(self.seed, "rawboost", epoch, number, row)
                waves[row] = distorted(wave, self.clips.rate_hz, self.boost, row_draws)
        label = np.tile([1, 0], len(reals))
        return Batch(torch.from_numpy(waves), torch.from_numpy(label), torch.from_numpy(truth))

    def _window(self, index: int, position: float) -> np.ndarray:
        wave = self.clips.wave(index)
        if len(wave) <= self.length:
            return level.tile(wave, self.length)
        start = int(position * ((len(wave) - self.length) // self.grid + 1)) * self.grid
        return wave[start : start + self.length]

    def _paste(self, waves: np.ndarray, truth: np.ndarray, real: int, draws: np.random.Generator) -> None:
        """Keep only a stretch of the fake, inside the real clip; the clip stays a spoof."""
        steps = truth.shape[1]
        size = int(draws.integers(steps // 5, steps * 3 // 5))
        start = int(draws.integers(0, steps - size + 1))
        mixed, known = splice(waves[real], waves[real + 1], start, size, self.hop)
        waves[real + 1], truth[real + 1] = mixed, known


def distorted(wave: np.ndarray, rate_hz: int, algorithm: int, draws: np.random.Generator) -> np.ndarray:
    """Put a float wave (T,) through RawBoost; digital silence, which has no level to set noise by, stays as it is."""
    return rawboost(wave, rate_hz, algorithm, draws) if wave.any() else wave


def distorted_clips(clips: Clips, algorithm: int, seed: int) -> Clips:
    """Put every clip through RawBoost, with draws by its number: the same whenever it is asked for."""
    waves = [
        as_int16(distorted(clips.wave(index), clips.rate_hz, algorithm, rng(seed, "rawboost", index)))
        for index in range(len(clips))
    ]
    return replace(clips, waves=waves)


def splice(real: np.ndarray, fake: np.ndarray, start: int, size: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Paste steps ``start ... start + size`` of a fake into a real clip, with 5 ms cross-fades.

    Args:
        real: (N,).
        fake: (N,) at about the same level.
        start: first step of the fake part.
        size: its steps.
        hop: samples of a step.

    Returns:
        The mixture (N,) and the truth of each step (N // hop,), 1 for bona fide.
    """
    gain = np.zeros(len(real), np.float32)
    gain[start * hop : (start + size) * hop] = 1.0
    fade = max(1, hop // 2)
    gain = np.convolve(gain, np.ones(fade, np.float32) / fade, mode="same").astype(np.float32)
    truth = np.ones(len(real) // hop, np.int64)
    truth[start : start + size] = 0
    return real * (1 - gain) + fake * gain, truth
