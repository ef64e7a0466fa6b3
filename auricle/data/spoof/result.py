"""What a family hands back, and the checks every result passes before it leaves the room."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.core.errors import AudioError

# Below this RMS (-80 dBFS) a result is silence: no family turns speech into that on purpose.
SILENT_RMS = 1e-4
# A hair under full scale, so that a later conversion to 16 bits cannot wrap.
PEAK = 0.999


@dataclass(frozen=True)
class Spoof:
    """One synthetic waveform: `wave` (T,) float32, its rate, and the family and variant that made it."""

    wave: NDArray[np.float32]
    rate_hz: int
    generator: str


def finish(wave: NDArray[np.floating], rate_hz: int, generator: str, like: NDArray[np.floating] | None = None) -> Spoof:
    """Check a family's output, set its level and make it float32.

    Args:
        wave: the raw output, (T,).
        rate_hz: its rate.
        generator: family and variant, such as ``psola-0.85``.
        like: the real clip whose RMS the result takes, so that level does not give the family away;
            None keeps the output's own level.

    Returns:
        A finite, audible result with peak at most 1.

    Raises:
        AudioError: the family made nothing audible of this input.
    """
    if wave.size == 0 or not np.isfinite(wave).all():
        raise AudioError(f"{generator} gave no finite waveform for this input; leave the clip out")
    rms = rms_of(wave)
    if rms < SILENT_RMS:
        raise AudioError(f"{generator} gave silence for this input; leave the clip out")
    gain = 1.0 if like is None else rms_of(like) / rms
    peak = float(np.max(np.abs(wave))) * gain
    if peak > PEAK:
        gain *= PEAK / peak
    return Spoof((wave * gain).astype(np.float32), rate_hz, generator)


def rms_of(wave: NDArray[np.floating]) -> float:
    """Root mean square of a waveform about its mean, so that an offset does not count as signal."""
    return float(np.std(np.asarray(wave, dtype=np.float64)))


def fit_length(wave: NDArray[np.floating], n_samples: int) -> NDArray[np.floating]:
    """Cut or zero-pad the end of a waveform to exactly `n_samples`."""
    if len(wave) >= n_samples:
        return wave[:n_samples]
    return np.pad(wave, (0, n_samples - len(wave)))
