"""How far the spectra of two waveforms are apart on several scales, as codecs are compared (DAC, 2306.06546)."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auricle.audio.filterbank import mel_filterbank
from auricle.audio.transform import stft
from auricle.core.errors import AudioError

MEL_SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))  # window, bands
STFT_WINDOWS = (2048, 512)
_FLOOR = 1e-5

Wave = npt.NDArray[np.floating]


@functools.cache
def _filters(bands: int, window: int, rate_hz: int) -> Tensor:
    return mel_filterbank(bands, window, rate_hz).T


def _pair(made: Wave, real: Wave) -> Tensor:
    both = np.stack([np.asarray(made, np.float32), np.asarray(real, np.float32)]) if made.shape == real.shape else None
    if both is None or both.ndim != 2 or not both.size:
        raise AudioError(f"waves of shape {made.shape} and {real.shape}; give two of the same length (T,)")
    return torch.from_numpy(both)


def _magnitudes(waves: Tensor, window: int) -> Tensor:
    return stft(waves, window, window // 4).abs()


def mel_distance(made: Wave, real: Wave, rate_hz: int) -> float:
    """Give the mean over scales of the L1 between log10 mel magnitudes.

    Windows of 32, 64 ... 2048 samples, a quarter apart, with 5, 10 ... 320 bands, magnitudes floored at 1e-5.

    Args:
        made: samples (T,).
        real: as many.
        rate_hz: their rate in Hz.

    Raises:
        AudioError: waves of different lengths.
    """
    waves = _pair(made, real)
    gaps = []
    for window, bands in MEL_SCALES:
        mels = (_magnitudes(waves, window) @ _filters(bands, window, rate_hz)).clamp_min(_FLOOR).log10()
        gaps.append(float((mels[0] - mels[1]).abs().mean()))
    return math.fsum(gaps) / len(gaps)


def stft_distance(made: Wave, real: Wave) -> float:
    """Give the mean over windows of 2048 and 512 of the L1 of log10 magnitudes plus the L1 of magnitudes.

    Args:
        made: samples (T,).
        real: as many.

    Raises:
        AudioError: waves of different lengths.
    """
    waves = _pair(made, real)
    gaps = []
    for window in STFT_WINDOWS:
        magnitudes = _magnitudes(waves, window)
        logs = magnitudes.clamp_min(_FLOOR).log10()
        gaps.append(float((logs[0] - logs[1]).abs().mean() + (magnitudes[0] - magnitudes[1]).abs().mean()))
    return math.fsum(gaps) / len(gaps)
