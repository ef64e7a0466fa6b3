"""Frames and overlap-add in NumPy, for families that filter or move frames rather than transform them in place.

The transforms themselves (STFT, its inverse, Griffin-Lim) are those of `auricle.audio.spectral`.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray


def fft_size(rate_hz: int, window_s: float = 0.064) -> int:
    """Give the power of two nearest to `window_s` at this rate (1024 at 16 kHz by default)."""
    return int(2 ** round(np.log2(rate_hz * window_s)))


def hann(size: int) -> NDArray[np.float32]:
    """Give a periodic Hann window, whose copies shifted by a quarter add up to 2."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def frame(wave: NDArray[np.float32], size: int, hop: int) -> NDArray[np.float32]:
    """Cut centred frames: frame k is centred on sample k * hop, with zeros beyond both ends.

    Args:
        wave: (T,).
        size: samples per frame, a multiple of `hop`.
        hop: samples between frames.

    Returns:
        (1 + T // hop, size), read-only: the frames of a centred STFT.
    """
    n_frames = 1 + len(wave) // hop
    padded = np.zeros(len(wave) + size, np.float32)
    padded[size // 2 : size // 2 + len(wave)] = wave
    return sliding_window_view(padded, size)[::hop][:n_frames]


def overlap_add(frames: NDArray[np.float32], hop: int, n_samples: int, lead: int | None = None) -> NDArray[np.float32]:
    """Add frames back at the places `frame` took them from.

    Args:
        frames: (N, size), size a multiple of `hop`.
        hop: samples between frames.
        n_samples: length to return; the frames must cover it.
        lead: samples of a frame before its centre; None means half the frame. A frame that has grown a tail keeps
            the lead it was cut with.
    """
    n_frames, size = frames.shape
    blocks = size // hop
    parts = np.ascontiguousarray(frames).reshape(n_frames, blocks, hop)
    out = np.zeros((n_frames + blocks - 1, hop), np.float32)
    for block in range(blocks):
        out[block : block + n_frames] += parts[:, block]
    lead = size // 2 if lead is None else lead
    return out.reshape(-1)[lead : lead + n_samples]
