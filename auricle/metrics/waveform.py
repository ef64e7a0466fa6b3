"""Measures between two waveforms."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError


def si_sdr(made: npt.ArrayLike, real: npt.ArrayLike) -> float:
    """Give the scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 1811.02508, equation 5, zero mean).

    Args:
        made: samples (T,).
        real: as many, not constant.

    Returns:
        The ratio; from -200 (nothing in common) to 200 (equal but for scale).

    Raises:
        DataError: other shapes, or a constant reference.
    """
    ours, truth = np.asarray(made, np.float64), np.asarray(real, np.float64)
    if ours.shape != truth.shape or ours.ndim != 1 or not ours.size:
        raise DataError(f"waves of shape {ours.shape} and {truth.shape}; give two of the same length (T,)")
    ours, truth = ours - ours.mean(), truth - truth.mean()
    energy = float(truth @ truth)
    if energy == 0:
        raise DataError("the reference is constant; it has no energy to measure against")
    target = (float(ours @ truth) / energy) * truth
    kept, lost = float(target @ target), float(np.square(ours - target).sum())
    if kept == 0 or lost == 0:
        return 200.0 if lost == 0 and kept > 0 else -200.0
    return float(np.clip(10 * math.log10(kept / lost), -200.0, 200.0))
