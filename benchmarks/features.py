"""Log-mel and LFCC of one hour of 16 kHz audio, beside librosa at the same n_fft.

python benchmarks/features.py [--quick] [--json]

The hour is 120 clips of 30 s of seeded noise. Auricle takes four clips a batch, librosa one clip a call (a batch makes
it no faster: it loops over the same FFTs). Both give the same numbers; tests/benchmarks/test_benchmarks.py holds that.
"""

from __future__ import annotations

from collections.abc import Iterator

import librosa
import numpy as np
import scipy.fft
import torch
from contract import Case, run

from auricle.audio.filterbank import linear_filterbank
from auricle.audio.spectral import LFCC, LogMel

RATE_HZ, CLIP_S, CLIPS, BATCH = 16_000, 30, 120, 4
N_FFT, HOP, WIN, MELS, FILTERS = 512, 160, 400, 80, 20


def hour(clips: int = CLIPS, clip_s: float = CLIP_S) -> np.ndarray:
    """Make the clips, (clips, T) float32."""
    draws = np.random.default_rng(0)
    return draws.standard_normal((clips, round(clip_s * RATE_HZ)), dtype=np.float32) * np.float32(0.1)


@torch.inference_mode()
def ours(module: torch.nn.Module, waves: np.ndarray) -> list[np.ndarray]:
    """Give the features of every clip, (T', D)."""
    found: list[np.ndarray] = []
    for start in range(0, len(waves), BATCH):
        found += list(module(torch.from_numpy(waves[start : start + BATCH])).numpy())
    return found


def librosa_log_mel(waves: np.ndarray) -> list[np.ndarray]:
    """Give log-mel, (T', 80) a clip."""
    return [
        np.log(
            np.maximum(
                librosa.feature.melspectrogram(
                    y=wave, sr=RATE_HZ, n_fft=N_FFT, hop_length=HOP, win_length=WIN, n_mels=MELS
                ),
                1e-10,
            )
        ).T
        for wave in waves
    ]


def librosa_lfcc(waves: np.ndarray) -> list[np.ndarray]:
    """Give LFCC with slopes and their slopes, (T', 60) a clip, put together from librosa's parts."""
    filters = linear_filterbank(FILTERS, N_FFT, RATE_HZ).numpy()
    found = []
    for wave in waves:
        emphasised = np.append(wave, np.float32(0)) - np.float32(0.97) * np.append(np.float32(0), wave)
        spectrum = librosa.stft(emphasised, n_fft=N_FFT, hop_length=HOP, win_length=320, window="hamming")
        power = np.abs(spectrum[:, : len(wave) // HOP + 1]) ** 2
        cepstrum = scipy.fft.dct(np.log(np.maximum(filters @ power, 1e-10)), axis=0, norm="ortho")
        slope = librosa.feature.delta(cepstrum, width=5, mode="nearest")
        slopes = librosa.feature.delta(slope, width=5, mode="nearest")
        found.append(np.concatenate([cepstrum, slope, slopes]).T)
    return found


def cases(quick: bool) -> Iterator[Case]:
    waves = hour()
    log_mel, lfcc = LogMel(RATE_HZ, MELS, N_FFT, HOP, WIN), LFCC(RATE_HZ, FILTERS, FILTERS, N_FFT)
    yield Case("log-mel 80 of one hour", lambda: ours(log_mel, waves), lambda: librosa_log_mel(waves), "librosa")
    yield Case("LFCC 60 of one hour", lambda: ours(lfcc, waves), lambda: librosa_lfcc(waves), "librosa + scipy")


if __name__ == "__main__":
    run(__doc__ or "", cases, quick_s=30.0)
