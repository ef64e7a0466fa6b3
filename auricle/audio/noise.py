"""Noise: coloured by a power law, and added at a true signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from auricle.audio.check import Float
from auricle.audio.level import tile
from auricle.core.errors import AudioError


def coloured(length: int, exponent: float, rng: np.random.Generator) -> Float:
    """Draw Gaussian noise whose power falls as 1 / f**exponent: 0 white, 1 pink, 2 brown, -1 blue.

    Args:
        length: number of samples.
        exponent: of the power law.
        rng: the source of randomness.

    Returns:
        Samples (length,), zero mean but for white, RMS 1.

    Raises:
        AudioError: fewer than two samples.
    """
    if length < 2:
        raise AudioError(f"{length} samples of noise; at least 2 are needed")
    draw = rng.standard_normal(length)
    if exponent != 0:
        spectrum = np.fft.rfft(draw)
        frequency = np.arange(len(spectrum), dtype=np.float64)
        # the power law has a pole at 0 Hz: no DC
        spectrum[0] = 0
        spectrum[1:] *= frequency[1:] ** (-exponent / 2)
        draw = np.fft.irfft(spectrum, length)
    return (draw / np.sqrt(np.mean(draw**2))).astype(np.float32)


def white(length: int, rng: np.random.Generator) -> Float:
    """Draw white Gaussian noise of RMS 1, (length,)."""
    return coloured(length, 0.0, rng)


def pink(length: int, rng: np.random.Generator) -> Float:
    """Draw pink noise (power 1 / f) of RMS 1, (length,)."""
    return coloured(length, 1.0, rng)


def add_noise(
    wave: npt.NDArray[np.floating],
    noise: npt.NDArray[np.floating],
    snr_db: float,
    rng: np.random.Generator | None = None,
) -> Float:
    """Add noise at a signal-to-noise ratio, measured as mean power over the whole waveform.

    Args:
        wave: the signal, (T,).
        noise: the noise, (N,) of any length: tiled if shorter, cut if longer.
        snr_db: the ratio in dB.
        rng: draws which part of the noise is used; without it, its beginning.

    Returns:
        The sum (T,), float32, not clipped and not rescaled: it may exceed 1.

    Raises:
        AudioError: the signal or the noise is silent, so that no ratio exists.
    """
    offset = int(rng.integers(len(noise))) if rng is not None and len(noise) else 0
    part = tile(np.roll(noise, -offset) if offset else noise, len(wave)).astype(np.float64)
    signal_power, noise_power = np.mean(np.square(wave, dtype=np.float64)), np.mean(part**2)
    if not (signal_power > 0 and noise_power > 0):
        raise AudioError("a silent signal or silent noise has no signal-to-noise ratio")
    gain = np.sqrt(signal_power / noise_power * 10 ** (-snr_db / 10))
    return (wave + gain * part).astype(np.float32)
