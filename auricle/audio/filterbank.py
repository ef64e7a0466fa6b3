"""Triangular filterbanks over the bins of a spectrum: mel and linear; and the DCT that follows them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auricle.core.errors import AudioError


def hz_to_mel(frequency_hz: npt.ArrayLike, scale: str = "slaney") -> npt.NDArray[np.float64]:
    """Convert Hz to mel: ``slaney`` (linear below 1 kHz, Auditory Toolbox) or ``htk`` (2595 log10(1 + f / 700))."""
    f = np.asarray(frequency_hz, np.float64)
    if scale == "htk":
        return 2595 * np.log10(1 + f / 700)
    _check_scale(scale)
    return np.where(f < 1000, f * 3 / 200, 15 + 27 * np.log(np.maximum(f, 1000) / 1000) / np.log(6.4))


def mel_to_hz(mel: npt.ArrayLike, scale: str = "slaney") -> npt.NDArray[np.float64]:
    """Convert mel to Hz, the inverse of `hz_to_mel`."""
    m = np.asarray(mel, np.float64)
    if scale == "htk":
        return 700 * (10 ** (m / 2595) - 1)
    _check_scale(scale)
    return np.where(m < 15, m * 200 / 3, 1000 * np.exp(np.log(6.4) / 27 * (np.maximum(m, 15) - 15)))


def _check_scale(scale: str) -> None:
    if scale not in ("slaney", "htk"):
        raise AudioError(f"unknown mel scale {scale!r}; it can be slaney or htk")


def _triangles(edges_hz: npt.NDArray[np.float64], n_fft: int, rate_hz: int) -> npt.NDArray[np.float64]:
    bins_hz = np.linspace(0, rate_hz / 2, n_fft // 2 + 1)
    width = np.diff(edges_hz)
    ramps = edges_hz[:, None] - bins_hz[None]
    return np.maximum(0, np.minimum(-ramps[:-2] / width[:-1, None], ramps[2:] / width[1:, None]))


def _checked_band(rate_hz: int, low_hz: float, high_hz: float | None, count: int) -> float:
    high = rate_hz / 2 if high_hz is None else high_hz
    if not (0 <= low_hz < high <= rate_hz / 2 and count > 0):
        raise AudioError(
            f"{count} filters from {low_hz} to {high} Hz at {rate_hz} Hz; at most half the rate is allowed"
        )
    return high


def mel_filterbank(
    n_mels: int,
    n_fft: int,
    rate_hz: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
    scale: str = "slaney",
    norm: str | None = "slaney",
) -> Tensor:
    """Build triangular mel filters, as librosa does.

    Args:
        n_mels: number of filters.
        n_fft: samples in a frame.
        rate_hz: sampling rate in Hz.
        low_hz: lower edge of the first filter in Hz.
        high_hz: upper edge of the last one in Hz; half the rate by default.
        scale: ``slaney`` or ``htk``.
        norm: ``slaney`` gives every filter the same area; None a height of 1.

    Returns:
        Weights, (n_mels, n_fft // 2 + 1), float32.

    Raises:
        AudioError: unknown scale or norm, or edges out of range.
    """
    if norm not in ("slaney", None):
        raise AudioError(f"unknown norm {norm!r}; it can be slaney or None")
    high = _checked_band(rate_hz, low_hz, high_hz, n_mels)
    edges = mel_to_hz(np.linspace(hz_to_mel(low_hz, scale), hz_to_mel(high, scale), n_mels + 2), scale)
    weights = _triangles(edges, n_fft, rate_hz)
    if norm == "slaney":
        weights *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return torch.from_numpy(weights).float()


def linear_filterbank(
    n_filters: int, n_fft: int, rate_hz: int, low_hz: float = 0.0, high_hz: float | None = None
) -> Tensor:
    """Build triangular filters of height 1, equally spaced in Hz, each reaching to its neighbours' centres.

    Args:
        n_filters: number of filters.
        n_fft: samples in a frame.
        rate_hz: sampling rate in Hz.
        low_hz: lower edge of the first filter in Hz.
        high_hz: upper edge of the last one in Hz; half the rate by default.

    Returns:
        Weights, (n_filters, n_fft // 2 + 1), float32.

    Raises:
        AudioError: edges out of range.
    """
    high = _checked_band(rate_hz, low_hz, high_hz, n_filters)
    edges = np.linspace(low_hz, high, n_filters + 2)
    return torch.from_numpy(_triangles(edges, n_fft, rate_hz)).float()


def dct_matrix(n_coefficients: int, n_inputs: int) -> Tensor:
    """Build the orthonormal DCT of type II, (n_inputs, n_coefficients), to be multiplied from the right."""
    k = torch.arange(n_coefficients, dtype=torch.float64)
    n = torch.arange(n_inputs, dtype=torch.float64)
    matrix = torch.cos(torch.pi / n_inputs * (n[:, None] + 0.5) * k) * (2 / n_inputs) ** 0.5
    matrix[:, 0] /= 2**0.5
    return matrix.float()
