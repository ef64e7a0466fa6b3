"""Singing made of speech: WORLD's analysis of a spoken clip, spoken slower and on the notes of a melody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auricle.data.spoof.pitch import require_voiced
from auricle.data.spoof.world import PERIOD_MS, analyse, resynthesise

RATE_HZ = 16_000
_SCALE = (0, 2, 4, 5, 7, 9, 11, 12)  # semitones of a major scale over its root
_SLOWER = (1.2, 1.6)
_NOTE_S = (0.25, 0.6)
_VIBRATO_HZ, _VIBRATO_SEMITONES = (4.5, 6.5), (0.1, 0.5)


@dataclass(frozen=True)
class Voice:
    """What WORLD says of a spoken clip: `f0` (F,), `envelope` and `aperiodicity` (F, bins)."""

    f0: npt.NDArray[np.float64]
    envelope: npt.NDArray[np.float64]
    aperiodicity: npt.NDArray[np.float64]


def voice(wave: npt.NDArray[np.floating]) -> Voice:
    """Analyse a spoken clip once; many melodies can be sung with it.

    Args:
        wave: samples (T,) at `RATE_HZ`.

    Raises:
        AudioError: hardly any of it is voiced.
    """
    parts = analyse(wave, RATE_HZ)
    require_voiced(parts.f0, "singing", least_s=0.3)
    return Voice(parts.f0, parts.envelope, parts.aperiodicity())


def sing(parts: Voice, n_samples: int, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """Sing what was spoken: slower, with every voiced frame on a note, notes of a quarter to half a second, vibrato.

    Args:
        parts: from `voice`.
        n_samples: samples to give.
        rng: draws tempo, root, melody and vibrato.

    Returns:
        Samples (n_samples,) at `RATE_HZ`; what is sung again from its beginning where the clip is too short.
    """
    frames = int(np.ceil(n_samples / RATE_HZ * 1000 / PERIOD_MS)) + 1
    at = (np.arange(frames) / float(rng.uniform(*_SLOWER))).astype(np.int64) + int(rng.integers(len(parts.f0)))
    at %= len(parts.f0)
    voiced = parts.f0[at] > 0
    spoken = float(np.median(parts.f0[parts.f0 > 0]))
    f0 = np.where(voiced, spoken * 2 ** (_melody(frames, rng) / 12), 0.0)
    return resynthesise(f0, parts.envelope[at], parts.aperiodicity[at], RATE_HZ, RATE_HZ, n_samples)


def _melody(frames: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw semitones over the voice's own pitch for every frame: a walk over the scale, gliding, with vibrato."""
    seconds = np.arange(frames) * PERIOD_MS / 1000
    notes = np.zeros(frames)
    start, step = 0.0, int(rng.integers(len(_SCALE)))
    while start < seconds[-1]:
        notes[seconds >= start] = _SCALE[step]
        start += float(rng.uniform(*_NOTE_S))
        step = int(np.clip(step + rng.integers(-2, 3), 0, len(_SCALE) - 1))
    glide = np.convolve(np.pad(notes, 3, mode="edge"), np.ones(7) / 7, mode="valid")
    vibrato = float(rng.uniform(*_VIBRATO_SEMITONES)) * np.sin(2 * np.pi * float(rng.uniform(*_VIBRATO_HZ)) * seconds)
    return glide + vibrato - float(rng.uniform(2, 6))
