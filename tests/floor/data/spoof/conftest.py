"""Synthetic voiced speech: a pulse train with a moving pitch through formant resonators, pauses and a little noise."""

from __future__ import annotations

from collections.abc import Callable

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

FORMANTS = ((650.0, 80.0), (1200.0, 100.0), (2500.0, 150.0), (3500.0, 200.0))


def make_voice(
    f0_hz: float = 120.0,
    rate_hz: int = 16000,
    duration_s: float = 1.2,
    formant_scale: float = 1.0,
    swing: float = 0.08,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Make (T,) of a vowel whose pitch swings by `swing` about `f0_hz`."""
    n = round(duration_s * rate_hz)
    t = np.arange(n) / rate_hz
    pitch = f0_hz * (1 + swing * np.sin(2 * np.pi * 1.5 * t))
    phase = np.cumsum(pitch) / rate_hz
    wave = np.zeros(n)
    wave[np.flatnonzero(np.diff(np.floor(phase), prepend=0.0))] = 1.0
    wave = lfilter([1.0], [1.0, -0.9], wave) + 0.003 * np.random.default_rng(seed).standard_normal(n)
    for centre, width in FORMANTS:
        centre *= formant_scale
        if centre < 0.45 * rate_hz:
            radius = np.exp(-np.pi * width / rate_hz)
            wave = lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * centre / rate_hz), radius**2], wave)
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


class Measure:
    """Measures by other means than the code under test, where there are any."""

    @staticmethod
    def median_f0(wave: NDArray[np.float32], rate_hz: int) -> float:
        """Median pitch in hertz, by librosa's YIN: not the tracker of the room."""
        track = librosa.yin(wave.astype(np.float64), fmin=70, fmax=400, sr=rate_hz, frame_length=rate_hz // 10)
        return float(np.median(track[5:-5]))

    @staticmethod
    def log_mel_distance(a: NDArray[np.float32], b: NDArray[np.float32], rate_hz: int) -> float:
        """Mean absolute difference of 80-band log-mel power spectra, in nepers of power."""
        n = min(len(a), len(b))
        mels = [librosa.feature.melspectrogram(y=wave[:n], sr=rate_hz, n_mels=80) for wave in (a, b)]
        return float(np.mean(np.abs(np.log(mels[0] + 1e-6) - np.log(mels[1] + 1e-6))))

    @staticmethod
    def formant_peak(wave: NDArray[np.float32], rate_hz: int, low_hz: float, high_hz: float) -> float:
        """Frequency of the highest point of an all-pole envelope (librosa's Burg) between two frequencies."""
        poly = librosa.lpc(wave.astype(np.float64), order=rate_hz // 1000 + 4)
        hz = np.linspace(0, rate_hz / 2, 4097)
        envelope = 1 / np.abs(np.fft.rfft(poly, 8192))
        band = (hz >= low_hz) & (hz <= high_hz)
        return float(hz[band][np.argmax(envelope[band])])

    @staticmethod
    def mean_log_spectrum(wave: NDArray[np.float32]) -> NDArray[np.float64]:
        """Long-term log magnitude spectrum in 40 mel bands, without its mean: the colour of a voice."""
        mel = librosa.feature.melspectrogram(y=wave, sr=16000, n_mels=40)
        log = np.log(mel.mean(axis=1) + 1e-8)
        return log - log.mean()


@pytest.fixture(scope="session", name="make_voice")
def _make_voice() -> Callable[..., NDArray[np.float32]]:
    return make_voice


@pytest.fixture(scope="session")
def measure() -> type[Measure]:
    return Measure


@pytest.fixture(scope="session")
def voice() -> NDArray[np.float32]:
    """A low voice, 120 Hz, at 16 kHz."""
    return make_voice()


@pytest.fixture(scope="session")
def other_voice() -> NDArray[np.float32]:
    """A high voice with a shorter vocal tract, 210 Hz, at 16 kHz."""
    return make_voice(210.0, formant_scale=1.15, seed=1)
