"""How much a sound moves: the changes of its cepstrum from frame to frame.

What is steady over a recording (its colour, its level, a voice's mean spectrum) is not in it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch

from auricle.audio.level import set_level
from auricle.audio.spectral import LFCC

FILTERS, COEFFICIENTS = 40, 12
LOUD = 0.7  # share of the frames that are described, the loudest


@functools.cache
def _cepstrum(rate_hz: int, band_hz: float) -> LFCC:
    """Give the front end, whose filters are made once."""
    return LFCC(
        rate_hz, n_filters=FILTERS, n_coefficients=COEFFICIENTS, high_hz=band_hz, deltas=0, center=True, floor=1e-8
    )


def motion(waves: Sequence[np.ndarray], rate_hz: int, band_hz: float) -> np.ndarray:
    """Describe windows of one length by how much their cepstrum changes within 10 ms.

    Args:
        waves: (T,) each, at least 0.1 s.
        rate_hz: their rate in Hz.
        band_hz: nothing above it counts, so that a source's bandwidth does not decide.

    Returns:
        (windows, 12): log standard deviations of each coefficient's steps between neighbouring loud frames.

    Raises:
        AudioError: a window is silent.
    """
    levelled = torch.from_numpy(np.stack([set_level(wave) for wave in waves]))
    frames = _cepstrum(rate_hz, band_hz)(levelled).double().numpy()  # (windows, frames, 12)
    loud = frames[..., 0] >= np.quantile(frames[..., 0], 1 - LOUD, axis=1, keepdims=True)
    both = (loud[:, 1:] & loud[:, :-1])[..., None]
    count = np.maximum(both.sum(1), 1)
    steps = np.diff(frames, axis=1) * both
    variance = (steps**2).sum(1) / count - (steps.sum(1) / count) ** 2
    return np.asarray(np.log(np.sqrt(np.maximum(variance, 0)) + 1e-3))
