"""Fixed band-pass filters on the waveform: windowed sincs whose bands are equally wide in mel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.audio.filterbank import hz_to_mel, mel_to_hz
from auricle.core.errors import ConfigError, DataError


def sinc_filters(n_filters: int, taps: int, rate_hz: int) -> Tensor:
    """Make the filters of RawNet2 and AASIST (2011.01108, 2110.01200), whose bands touch and reach half the rate.

    Args:
        n_filters: number of bands F.
        taps: length K of a filter in samples, odd.
        rate_hz: sampling rate in Hz.

    Returns:
        (F, K) float32: the difference of two low-pass filters, under a Hamming window.

    Raises:
        ConfigError: no filter, or an even number of taps, which has no middle.
    """
    if n_filters < 1 or taps < 3 or taps % 2 == 0:
        raise ConfigError(f"{n_filters} filters of {taps} taps; give at least one, of an odd number of taps above 1")
    edges_hz = mel_to_hz(np.linspace(0.0, hz_to_mel(rate_hz / 2, "htk"), n_filters + 1), "htk")
    width = 2 * edges_hz[:, None] / rate_hz
    low_pass = width * np.sinc(width * (np.arange(taps) - taps // 2))  # (F + 1, K)
    return torch.from_numpy((low_pass[1:] - low_pass[:-1]) * np.hamming(taps)).float()


class SincBands(nn.Module):
    """Magnitudes of a waveform in mel bands, one for each sample; nothing in it is learned or saved.

    Args:
        n_filters: number of bands F.
        taps: length of a filter in samples, odd.
        rate_hz: sampling rate in Hz.
        hop: of so many samples the largest magnitude stays.

    Raises:
        ConfigError: as `sinc_filters`.
    """

    filters: Tensor

    def __init__(self, n_filters: int = 70, taps: int = 129, rate_hz: int = 16000, hop: int = 1) -> None:
        super().__init__()
        self.hop = hop
        self.register_buffer("filters", sinc_filters(n_filters, taps, rate_hz)[:, None], persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Filter waveforms (B, N) without padding; (B, (N - taps + 1) // hop, F).

        Raises:
            DataError: fewer samples than a filter has.
        """
        if wave.shape[1] < self.filters.shape[2]:
            raise DataError(f"a clip of {wave.shape[1]} samples; these filters need {self.filters.shape[2]}")
        bands = F.conv1d(wave[:, None], self.filters).abs()
        return (F.max_pool1d(bands, self.hop) if self.hop > 1 else bands).transpose(1, 2)
