"""A sum of harmonics under the clip's spectrum, and noise where there is no voice: a sinusoidal model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.data.spoof import pitch
from auricle.data.spoof.framing import fft_size, frame, hann, overlap_add
from auricle.data.spoof.result import Spoof, finish

NOISE = 0.1  # of the clip's magnitude between the harmonics of a voice
HIGHEST = 120  # harmonics; beyond it a low voice has noise alone
FADE_S = 0.01  # between voice and noise


def copy(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Say a clip as sinusoids: their amplitudes are read from its spectrum at multiples of F0, their phases run freely.

    After McAulay and Quatieri (1986), "Speech analysis/synthesis based on a sinusoidal representation", with harmonics
    for the tracked peaks.

    Args:
        wave: (T,).
        rate_hz: its rate.
        rng: draws the noise and the first phases.
        variant: not used; there is one.

    Raises:
        AudioError: less than 0.1 s of voice.
    """
    f0 = pitch.track(wave, rate_hz)
    pitch.require_voiced(f0, "harmonic")
    f0 = pitch.at_samples(f0, len(wave), rate_hz)
    size = fft_size(rate_hz, 0.032)
    hop = size // 4
    window = hann(size)
    magnitude = np.abs(np.fft.rfft(frame(wave, size, hop) * window, axis=1))
    noise = rng.standard_normal(len(wave)).astype(np.float32)
    shaped = np.fft.rfft(frame(noise, size, hop) * window, axis=1)
    shaped *= magnitude / np.sqrt(np.mean(np.abs(shaped) ** 2))
    hiss = overlap_add((np.fft.irfft(shaped, axis=1) * window).astype(np.float32), hop, len(wave)) / 1.5
    fade = max(1, round(FADE_S * rate_hz))
    voiced = np.convolve(f0 > 0, np.ones(fade) / fade, mode="same")
    tones = _voice(magnitude, f0, rate_hz, size, hop, rng)
    return finish(voiced * tones + (1 - (1 - NOISE) * voiced) * hiss, rate_hz, "harmonic", like=wave)


def _voice(
    magnitude: NDArray[np.float64],
    f0: NDArray[np.float64],
    rate_hz: int,
    size: int,
    hop: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Sum the harmonics of F0 (T,), with amplitudes from frames of magnitudes (F, bins)."""
    places = np.arange(len(magnitude)) * hop
    steps = f0[np.minimum(places, len(f0) - 1)]
    phase = 2 * np.pi * np.cumsum(f0) / rate_hz
    samples, rows = np.arange(len(f0)), np.arange(len(magnitude))
    out = np.zeros(len(f0))
    starts = rng.uniform(0, 2 * np.pi, HIGHEST + 1)
    for number in range(1, HIGHEST + 1):
        if not (number * f0[f0 > 0] < 0.48 * rate_hz).any():
            break
        at = number * steps * size / rate_hz
        low = np.minimum(at.astype(np.int64), magnitude.shape[1] - 2)
        share = np.minimum(at - low, 1.0)
        # a Hann window of this size shows a sinusoid of amplitude 1 as size / 4
        height = ((1 - share) * magnitude[rows, low] + share * magnitude[rows, low + 1]) * 4 / size
        height[(steps <= 0) | (number * steps > 0.48 * rate_hz)] = 0.0
        out += np.interp(samples, places, height) * np.cos(number * phase + starts[number])
    return out * (f0 > 0)
