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
from auricle.core.errors import AudioError, DataError
from auricle.data import fields
from auricle.data.cut_audio import first_path, mono_cut
from auricle.metrics.scores import read_scores

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
        cuts: where each comes from, for what looks at the audio before level and rate were changed; None where the
            clips are no longer those of cuts.
    """

    waves: list[np.ndarray]
    facts: list[dict[str, Any]]
    rate_hz: int
    cuts: list[Any] | None = None

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
        cuts = None if self.cuts is None else [self.cuts[i] for i in index]
        return Clips([self.waves[i] for i in index], [self.facts[i] for i in index], self.rate_hz, cuts)

    def wave(self, index: int) -> np.ndarray:
        """Give one clip as float32 (T,)."""
        return self.waves[index].astype(np.float32) / 32768.0


def load_clips(cuts: CutSet, rate_hz: int) -> Clips:
    """Read the audio of every cut, mono at one rate; see `auricle.data.cut_audio.mono_cut`.

    Raises:
        DataError: there is none, or a cut cannot be read (damaged, silent, past its file's end, changed since the
            manifest was made); the message names the first ones.
    """
    rows = list(cuts)
    if not rows:
        raise DataError("the manifest is empty")
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda cut: _read(cut, rate_hz), rows))
    failed = [wave for wave in read if isinstance(wave, str)]
    if failed:
        raise DataError(f"{len(failed)} of {len(rows)} clips cannot be read: {'; '.join(failed[:5])}")
    waves = [wave for wave in read if isinstance(wave, np.ndarray)]
    facts = [{**(cut.custom or {}), "id": cut.id, "path": first_path(cut)} for cut in rows]
    return Clips(waves, facts, rate_hz, rows)


def _read(cut: Any, rate_hz: int) -> np.ndarray | str:
    """Give the samples, or why there are none."""
    try:
        return as_int16(mono_cut(cut, rate_hz)[0])
    except DataError as error:
        return str(error)
    except AudioError as error:
        return f"{cut.id}: {error}"


def as_int16(wave: np.ndarray) -> np.ndarray:
    """Bring a float wave (T,) to the common level, as int16; the level is no evidence."""
    return np.round(level.set_level(wave, LEVEL_DBFS) * 32767.0).astype(np.int16)


def scores_in(path: str, clips: Clips) -> np.ndarray:
    """Read the scores of clips from a file, see `auricle.metrics.scores.read_scores`, (N,).

    Raises:
        DataError: what `read_scores` refuses, or a clip without a score.
    """
    scores = read_scores(path)
    names = clips.values("id")
    missing = [name for name in names if name not in scores]
    if missing:
        raise DataError(f"{path} has no score for {len(missing)} of {len(names)} clips, such as {missing[0]}")
    return np.array([scores[name][0] for name in names])


def windows(wave: np.ndarray, length: int) -> np.ndarray:
    """Cut a clip into windows that overlap by half; a shorter one is tiled, and the last ends where the clip ends.

    Args:
        wave: samples (T,), or frames of features (T, F).
        length: samples or frames of a window.

    Returns:
        (W, length) or (W, length, F), W at least 1.
    """
    if len(wave) <= length:
        tiled: np.ndarray = wave[level.tile(np.arange(len(wave)), length)][None]
        return tiled
    starts = list(range(0, len(wave) - length + 1, max(1, length // 2)))
    if starts[-1] + length < len(wave):
        starts.append(len(wave) - length)
    return np.stack([wave[start : start + length] for start in starts])


def batched(arrays: Sequence[np.ndarray], size: int) -> Iterator[Tensor]:
    """Stack arrays of one shape, `size` at a time, into float32 tensors."""
    for start in range(0, len(arrays), size):
        yield torch.from_numpy(np.stack(arrays[start : start + size]).astype(np.float32))
