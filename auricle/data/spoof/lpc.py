"""Linear prediction: the vocal tract as an all-pole filter, driven by pulses or by noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.data.spoof import pitch
from auricle.data.spoof.framing import fft_size, frame, hann, overlap_add
from auricle.data.spoof.result import Spoof, finish


def order_for(rate_hz: int) -> int:
    """Give the usual prediction order: two poles a formant, one formant a kilohertz, and four for the slope."""
    return max(10, rate_hz // 1000 + 4)


def autocorrelation(frames: NDArray[np.float32], order: int) -> NDArray[np.float64]:
    """Give lags 0 to `order` of every frame, (N, order + 1), by FFT."""
    from scipy import fft

    size = fft.next_fast_len(frames.shape[1] + order, real=True)
    power = np.abs(fft.rfft(frames, n=size, axis=1)) ** 2
    lags: NDArray[np.float64] = fft.irfft(power, n=size, axis=1)[:, : order + 1].astype(np.float64)
    return lags


def levinson(lags: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Solve the normal equations of linear prediction for all frames at once.

    The Levinson-Durbin recursion (Durbin 1960; Makhoul 1975, equations 38), a loop over the order only.

    Args:
        lags: autocorrelation (N, order + 1).

    Returns:
        Prediction polynomials (N, order + 1), first coefficient 1, and prediction errors (N,), the residual's
        energy. A silent frame gives [1, 0, 0, ...] and 0.
    """
    n_frames, size = lags.shape
    poly = np.zeros((n_frames, size))
    poly[:, 0] = 1.0
    error = lags[:, 0].copy()
    for step in range(1, size):
        past = np.einsum("nk,nk->n", poly[:, :step], lags[:, step:0:-1])
        reflection = np.divide(-past, error, out=np.zeros_like(past), where=error > 0)
        poly[:, 1 : step + 1] += reflection[:, None] * poly[:, step - 1 :: -1][:, :step]
        error = error * np.maximum(1.0 - reflection**2, 0.0)
    return poly, error


def predict(frames: NDArray[np.float32], order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit an all-pole model to windowed frames; a noise floor 50 dB down keeps the poles off the unit circle.

    Args:
        frames: windowed, (N, size).
        order: number of poles.

    Returns:
        Polynomials (N, order + 1) and residual energies (N,), as `levinson`.
    """
    lags = autocorrelation(frames, order)
    lags[:, 0] *= 1.00001
    return levinson(lags)


def pulses(f0: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """Give a pulse train of unit power that follows a per-sample pitch; 0 where unvoiced.

    Args:
        f0: (T,) in hertz.
        rate_hz: rate of the samples.
    """
    turns = np.floor(np.cumsum(f0) / rate_hz)
    at = np.flatnonzero(np.diff(turns, prepend=0.0) > 0)
    train = np.zeros(len(f0))
    train[at] = np.sqrt(rate_hz / np.maximum(f0[at], pitch.FLOOR_HZ))
    return train


def _drive(wave: NDArray[np.float32], rate_hz: int, source: NDArray[np.float64]) -> NDArray[np.float32]:
    """Filter a unit-power source by the clip's all-pole model, frame by frame, at the clip's level."""
    from scipy import fft

    size = fft_size(rate_hz, 0.032)
    hop = size // 4
    window = hann(size)
    frames = frame(wave, size, hop)
    poly, error = predict(frames * window, order_for(rate_hz))
    # the source's window sums to 2 over four overlapping frames; mean(window**2) = 3/8 undoes the analysis window's
    gain = np.sqrt(error / (size * 3 / 8)) / 2
    # four times the frame leaves room for the filter's ringing, which would otherwise wrap round
    n_fft = 4 * size
    shape = gain[:, None].astype(np.float32) / fft.rfft(poly.astype(np.float32), n=n_fft, axis=1)
    pushed = fft.rfft(frame(source.astype(np.float32), size, hop) * window, n=n_fft, axis=1)
    driven = fft.irfft(pushed * shape, n=n_fft, axis=1).astype(np.float32, copy=False)
    return overlap_add(driven, hop, len(wave), lead=size // 2)


def pulse(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Drive the clip's vocal tract with pulses where it is voiced and noise elsewhere: the classic vocoder.

    Args:
        wave: (T,).
        rate_hz: its rate.
        rng: draws the noise.
        variant: empty; the family has none.
    """
    f0 = pitch.at_samples(pitch.track(wave, rate_hz), len(wave), rate_hz)
    source = np.where(f0 > 0, pulses(f0, rate_hz), rng.standard_normal(len(wave)))
    return finish(_drive(wave, rate_hz, source), rate_hz, "lpc_pulse", like=wave)


def noise(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Drive the clip's vocal tract with noise alone: a whisper."""
    return finish(_drive(wave, rate_hz, rng.standard_normal(len(wave))), rate_hz, "lpc_noise", like=wave)
