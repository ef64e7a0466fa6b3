"""The one pitch tracker of this room: DIO refined by StoneMask, from the WORLD library."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.audio.resample import resample
from auricle.core.errors import AudioError

FLOOR_HZ = 65.0
CEIL_HZ = 500.0
PERIOD_S = 0.01
# WORLD reads outside its buffers below 16 kHz (seen: heap corruption at 4 and 6 kHz), and F0 needs no more.
TRACK_HZ = 16000


def track(wave: NDArray[np.floating], rate_hz: int) -> NDArray[np.float64]:
    """Track F0 every 10 ms.

    DIO and StoneMask as in Morise, Kawahara and Katayose (2009) and Morise (2016).

    Args:
        wave: (T,) at any rate.
        rate_hz: its rate.

    Returns:
        (F,) in hertz, frame k at k * 10 ms, 0 where unvoiced.
    """
    import pyworld

    wave = np.ascontiguousarray(resample(np.asarray(wave, np.float32), rate_hz, TRACK_HZ), dtype=np.float64)
    f0, times = pyworld.dio(wave, TRACK_HZ, f0_floor=FLOOR_HZ, f0_ceil=CEIL_HZ, frame_period=1000 * PERIOD_S, speed=2)
    return pyworld.stonemask(wave, f0, times, TRACK_HZ)


def require_voiced(f0: NDArray[np.float64], family: str, what: str = "the clip", least_s: float = 0.1) -> None:
    """Refuse a track with too little voice for a family that works on pitch.

    Raises:
        AudioError: fewer than `least_s` seconds are voiced.
    """
    voiced_s = float(np.count_nonzero(f0)) * PERIOD_S
    if voiced_s < least_s:
        raise AudioError(
            f"{family} needs at least {least_s:g} s of voiced speech and {what} has {voiced_s:.2f} s; leave it out"
        )


def at_samples(f0: NDArray[np.float64], n_samples: int, rate_hz: int) -> NDArray[np.float64]:
    """Spread a track over samples: F0 is interpolated inside voiced runs and 0 elsewhere.

    Args:
        f0: (F,) from `track`.
        n_samples: samples wanted, T.
        rate_hz: rate of those samples.

    Returns:
        (T,) in hertz.
    """
    position = np.arange(n_samples) / (rate_hz * PERIOD_S)
    voiced = f0 > 0
    if not voiced.any():
        return np.zeros(n_samples)
    frames = np.arange(len(f0))
    # interpolating over the voiced frames alone keeps the zeros of unvoiced frames out of the curve
    curve = np.interp(position, frames[voiced], f0[voiced])
    nearest = np.minimum(np.round(position).astype(np.int64), len(f0) - 1)
    return np.where(voiced[nearest], curve, 0.0)
