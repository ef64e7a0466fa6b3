"""From a waveform to what the encoder takes: one band, one length, one level, log-mel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from auricle.alm.public import load_features
from auricle.audio import channel, level
from auricle.audio.spectral import MelSpectrogram
from auricle.data.worlds.artefacts import CLIP_S, RATE_HZ

SAMPLES = round(CLIP_S * RATE_HZ)
LOW_HZ, HIGH_HZ = 60.0, 3800.0  # what every source has; above it nobody looks
LEVEL_DBFS = -26.0
MELS, FRAMES = 64, 150
MADE_AT_ONCE = 256  # clips
_FLOOR_DB = -60.0  # of the log-mel, under the clip's loudest cell


def narrowed(wave: np.ndarray) -> np.ndarray:
    """Keep the band that the artefact world has, and no offset: (T,) to (T,)."""
    wave = channel.band_limit(wave, RATE_HZ, LOW_HZ, HIGH_HZ)
    return np.asarray(wave - wave.mean())


def as_int16(wave: np.ndarray, level_db: float = LEVEL_DBFS) -> np.ndarray:
    """Bring a wave (T,) to a level, as int16."""
    return np.round(level.set_level(wave, level_db) * 32767.0).astype(np.int16)


def middle(wave: np.ndarray) -> np.ndarray:
    """Bring any clip (T,) at 16 kHz to the world's band and length: tiled, or its middle 1.5 s."""
    start = max(0, (len(wave) - SAMPLES) // 2)
    return narrowed(level.tile(wave[start : start + SAMPLES], SAMPLES))


def heard(wave: np.ndarray) -> np.ndarray:
    """Bring any clip (T,) at 16 kHz to what `infer` and `evaluate` alike ask a model about: (SAMPLES,) int16."""
    return as_int16(middle(wave))


def log_mel(waves: np.ndarray) -> Tensor:
    """Give log-mel spectra: 64 bands from 60 to 3,900 Hz, 25 ms windows every 10 ms, level taken out.

    A cell is in units of 20 dB over the clip's mean, and held above 60 dB under its loudest cell.

    Args:
        waves: samples (B, N) at 16 kHz, float or int16.

    Returns:
        (B, N // 160, 64), 150 frames for a clip of 1.5 s.
    """
    samples = torch.as_tensor(waves)
    wave = samples.float() / 32768.0 if samples.dtype == torch.int16 else samples.float()
    with torch.no_grad():
        power = _mel()(wave)[:, : wave.shape[1] // 160]
        db = 10 * torch.log10(power.clamp_min(1e-12))
        db = torch.maximum(db, db.amax((1, 2), keepdim=True) + _FLOOR_DB)
        return (db - db.mean((1, 2), keepdim=True)) / 20


@cache
def _mel() -> MelSpectrogram:
    return MelSpectrogram(RATE_HZ, MELS, 512, 160, 400, low_hz=60.0, high_hz=3900.0)


def features_of(waves: Sequence[np.ndarray], backbone: str | None) -> Tensor:
    """Give the features that a model takes, in half precision: what is kept is twice as much otherwise.

    Args:
        waves: int16 clips of one length.
        backbone: folder of a public model, which brings its own features; None for the log-mel above.

    Returns:
        (N, T, M) float16.
    """
    public = None if backbone is None else load_features(backbone)
    parts = []
    for start in range(0, len(waves), MADE_AT_ONCE):
        part = np.stack(waves[start : start + MADE_AT_ONCE])
        features = log_mel(part) if public is None else public(torch.from_numpy(part.astype(np.float32) / 32768.0))
        parts.append(features.half())
    return torch.cat(parts)
