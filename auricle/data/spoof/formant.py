"""Formant shift: the spectral envelope stretched along frequency under harmonics that stay where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from auricle.data.spoof.framing import fft_size, frame, hann
from auricle.data.spoof.lpc import order_for, predict
from auricle.data.spoof.result import Spoof, finish

MAX_GAIN_DB = 30.0


def log_envelope(wave: NDArray[np.float32], rate_hz: int, size: int, hop: int) -> NDArray[np.float32]:
    """Give the log magnitude of each frame's all-pole envelope, (N, size // 2 + 1), without its gain."""
    from scipy import fft

    poly, _ = predict(frame(wave, size, hop) * hann(size), order_for(rate_hz))
    envelope: NDArray[np.float32] = -np.log(np.abs(fft.rfft(poly.astype(np.float32), n=size, axis=1)))
    return envelope


def warp(log_envelope: NDArray[Any], factor: float) -> NDArray[Any]:
    """Stretch the frequency axis of log envelopes so that a peak at f moves to factor * f.

    Args:
        log_envelope: (..., bins) from 0 to half the rate.
        factor: above 1 moves formants up, as a shorter vocal tract does.

    Returns:
        (..., bins) of the same type; beyond the old upper end its last value goes on.
    """
    bins = log_envelope.shape[-1]
    position = np.minimum(np.arange(bins) / factor, bins - 1)
    low = np.minimum(position.astype(np.int64), bins - 2)
    share = (position - low).astype(log_envelope.dtype)
    warped: NDArray[Any] = log_envelope[..., low] * (1 - share) + log_envelope[..., low + 1] * share
    return warped


def move(wave: NDArray[np.float32], rate_hz: int, factor: float) -> NDArray[np.float32]:
    """Move the formants to `factor` times their frequencies and leave pitch and duration alone.

    The spectrum is multiplied by the warped envelope over the envelope itself; phases are kept.

    Args:
        wave: (T,).
        rate_hz: its rate.
        factor: above 1 sounds like a shorter vocal tract.
    """
    import torch

    from auricle.audio.spectral import istft, stft

    size = fft_size(rate_hz, 0.032)
    hop = size // 4
    envelope = log_envelope(wave, rate_hz, size, hop)
    warped = warp(envelope, factor)
    limit = MAX_GAIN_DB * np.log(10) / 20
    gain = np.exp(np.clip(warped - envelope, -limit, limit)).astype(np.float32)
    spectra = stft(torch.from_numpy(wave)[None], size, hop) * torch.from_numpy(gain)
    return istft(spectra, size, hop, length=len(wave))[0].numpy()


def shift(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Shift a clip's formants by the factor that `variant` names; nothing is drawn from `rng`."""
    return finish(move(wave, rate_hz, float(variant)), rate_hz, f"formant-{variant}", like=wave)
