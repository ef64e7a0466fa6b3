"""Clips in memory: read once, at one level, with their facts; and the windows that a network sees of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from auricle.audio import level
from auricle.audio.files import read_mono
from auricle.core.errors import DataError
from auricle.data import fields

if TYPE_CHECKING:
    from lhotse import CutSet

LEVEL_DBFS = -26.0


@dataclass(frozen=True)
class Clips:
    """Audio and facts of the clips of one split.

    Attributes:
        waves: one (T,) int16 array a clip; half the memory of float32 and all that the files hold.
        facts: the custom fields of each cut, and its id.
        rate_hz: rate of all of them.
    """

    waves: list[np.ndarray]
    facts: list[dict[str, Any]]
    rate_hz: int

    def __len__(self) -> int:
        return len(self.waves)

    @property
    def labels(self) -> np.ndarray:
        """Booleans (N,), true for bona fide."""
        return np.array([fact[fields.LABEL] == "bonafide" for fact in self.facts])

    def values(self, field: str) -> np.ndarray:
        """Give one field of every clip, as text (N,)."""
        return np.array([str(fact.get(field) or "") for fact in self.facts])

    def where(self, chosen: np.ndarray) -> Clips:
        """Keep the clips at which a boolean array (N,) is true."""
        index = np.flatnonzero(chosen)
        return Clips([self.waves[i] for i in index], [self.facts[i] for i in index], self.rate_hz)

    def wave(self, index: int) -> np.ndarray:
        """Give one clip as float32 (T,)."""
        return self.waves[index].astype(np.float32) / 32768.0


def load_clips(cuts: CutSet, rate_hz: int) -> Clips:
    """Read the audio of every cut, mono at one rate.

    Raises:
        DataError: there is none, or a file cannot be read; the message names the first ones.
    """
    rows = list(cuts)
    if not rows:
        raise DataError("the manifest is empty")
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda cut: _read(cut, rate_hz), rows))
    failed = [f"{cut.id}: {wave}" for cut, wave in zip(rows, read, strict=True) if isinstance(wave, Exception)]
    if failed:
        raise DataError(f"{len(failed)} of {len(rows)} clips cannot be read: {'; '.join(failed[:5])}")
    waves = [wave for wave in read if isinstance(wave, np.ndarray)]
    return Clips(waves, [{**(cut.custom or {}), "id": cut.id, "path": _path(cut)} for cut in rows], rate_hz)


def _path(cut: Any) -> str:
    return str(cut.recording.sources[0].source)


def _read(cut: Any, rate_hz: int) -> np.ndarray | Exception:
    try:
        wave, rate, _ = read_mono(_path(cut), rate_hz)
    except Exception as error:
        return error
    start, length = round(cut.start * rate), round(cut.duration * rate)
    return as_int16(wave[start : start + length])


def as_int16(wave: np.ndarray) -> np.ndarray:
    """Bring a float wave (T,) to the common level, as int16; the level is no evidence."""
    return np.round(level.set_level(wave, LEVEL_DBFS) * 32767.0).astype(np.int16)


def windows(wave: np.ndarray, length: int) -> np.ndarray:
    """Cut a clip into windows that overlap by half; a shorter one is tiled, and the last ends where the clip ends.

    Args:
        wave: (T,).
        length: samples of a window.

    Returns:
        (W, length), W at least 1.
    """
    if len(wave) <= length:
        return level.tile(wave, length)[None]
    starts = list(range(0, len(wave) - length + 1, length // 2))
    if starts[-1] + length < len(wave):
        starts.append(len(wave) - length)
    return np.stack([wave[start : start + length] for start in starts])


def batched(arrays: Sequence[np.ndarray], size: int) -> Iterator[Tensor]:
    """Stack arrays of one shape, `size` at a time, into float32 tensors."""
    for start in range(0, len(arrays), size):
        yield torch.from_numpy(np.stack(arrays[start : start + size]).astype(np.float32))
