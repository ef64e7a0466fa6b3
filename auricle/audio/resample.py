"""Change of sampling rate, by the SoX resampler."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from auricle.core.errors import AudioError

QUALITY = "HQ"


def resample(wave: npt.NDArray[np.floating], from_hz: float, to_hz: float) -> npt.NDArray[np.floating]:
    """Resample along the last axis.

    Args:
        wave: samples, (..., T), float32 or float64.
        from_hz: present rate in Hz.
        to_hz: wanted rate in Hz.

    Returns:
        Samples of the same type, (..., about T * to_hz / from_hz); the input itself where the rates are equal.

    Raises:
        AudioError: a rate is not positive, or the samples are not floats.
    """
    if not (from_hz > 0 and to_hz > 0):
        raise AudioError(f"cannot resample from {from_hz} Hz to {to_hz} Hz; rates are positive")
    if wave.dtype not in (np.float32, np.float64):
        raise AudioError(f"samples of type {wave.dtype}; give float32 or float64")
    if from_hz == to_hz:
        return wave
    if wave.ndim == 1:
        return soxr.resample(wave, from_hz, to_hz, QUALITY)
    # rows one by one: soxr wants (T, C), and its count of channels is limited
    rows = [soxr.resample(row, from_hz, to_hz, QUALITY) for row in wave.reshape(-1, wave.shape[-1])]
    return np.stack(rows).reshape(*wave.shape[:-1], -1)
