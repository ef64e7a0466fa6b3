"""From a waveform to what the adapter's encoder takes: one band, one length, one level; log-mel or Whisper's frames."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auricle.alm.adapter import encoded_clips
from auricle.audio import channel, level, noise
from auricle.audio.spectral import MelSpectrogram
from auricle.backbones.whisper import load_whisper_encoder
from auricle.core.errors import ConfigError
from auricle.core.seed import rng
from auricle.data.worlds.events import RATE_HZ
from auricle.systems.moe_adapter.config import DataConfig, ModelConfig

MELS = 80
# samples; windows of 50 ms, since a minor third has to be told from a major one
FFT, WINDOW, HOP = 1024, 800, 320
TIME_STRIDES, MEL_STRIDES = (2, 2, 1), (2, 2, 2)  # of the stand-in: frames of 80 ms, as the paper has
AT_ONCE = 256  # clips
_FLOOR_DB = -60.0  # of the log-mel, under the clip's loudest cell
_EDGE_HZ = 150.0  # above the world's band, where nobody looks


def heard(wave: npt.NDArray[Any], cfg: DataConfig) -> npt.NDArray[np.int16]:
    """Bring any clip (T,) at 16 kHz to what the world's clips are: the same band, length, level and faint noise.

    Of a longer clip it takes the stretch with most sound; a shorter one stands in the middle.

    Returns:
        (N,) int16.
    """
    samples = round(cfg.seconds * RATE_HZ)
    whole = np.asarray(wave, np.float64)
    if len(whole) > samples:
        power = np.concatenate([[0.0], np.cumsum(whole**2)])
        start = int(np.argmax(power[samples:] - power[:-samples]))
        whole = whole[start : start + samples]
    before = (samples - len(whole)) // 2
    placed = np.pad(whole, (before, samples - len(whole) - before))
    hiss = noise.pink(samples, rng(0, "moe_adapter", "hiss"))
    noisy = noise.add_noise(placed, hiss, sum(cfg.snr_db) / 2)
    narrow = channel.band_limit(noisy, RATE_HZ, *cfg.band_hz)
    levelled = level.set_level(narrow, sum(cfg.level_dbfs) / 2)
    return np.round(levelled * 32767.0).astype(np.int16)


class Hearing:
    """What a frozen encoder takes, or has made already, of clips.

    Args:
        model: log-mel for the stand-in, which is part of the network; of a Whisper its frames.
        band_hz: of the clips.

    Raises:
        ConfigError: the Whisper's frames are of another width than `model.width`.
        MissingWeights: the named weights are not installed.
        CheckpointError: a folder without such a model.
    """

    def __init__(self, model: ModelConfig, band_hz: tuple[float, float]) -> None:
        self.band_hz = band_hz
        self.whisper: Any = None
        if model.encoder is not None:
            self.whisper = load_whisper_encoder(model.encoder, model.revision).eval()
            if self.whisper.dim != model.width:
                raise ConfigError(
                    f"frames of {model.encoder} are {self.whisper.dim} wide; set model.width to that, not {model.width}"
                )

    def __call__(self, waves: Sequence[npt.NDArray[np.int16]] | npt.NDArray[np.int16]) -> tuple[Tensor, Tensor]:
        """Give features (C, T, M) in half precision, and the valid frames of each clip (C,)."""
        if self.whisper is not None:
            return encoded_clips(self.whisper, [wave.astype(np.float32) / 32768.0 for wave in waves])
        parts = [
            log_mel(np.stack(list(waves[start : start + AT_ONCE])), self.band_hz)
            for start in range(0, len(waves), AT_ONCE)
        ]
        made = torch.cat(parts).half()
        return made, torch.full((len(made),), made.shape[1])


@torch.no_grad()
def log_mel(waves: npt.NDArray[np.int16], band_hz: tuple[float, float]) -> Tensor:
    """Give log-mel spectra, a frame every 20 ms, level taken out; a cell is in units of 20 dB over the clip's mean.

    Args:
        waves: (B, N) int16 at 16 kHz.
        band_hz: where bands are.

    Returns:
        (B, N // 320, 80).
    """
    wave = torch.from_numpy(np.ascontiguousarray(waves)).float() / 32768.0
    power = _mel(*band_hz)(wave)[:, : wave.shape[1] // HOP]
    db = 10 * torch.log10(power.clamp_min(1e-12))
    db = torch.maximum(db, db.amax((1, 2), keepdim=True) + _FLOOR_DB)
    return (db - db.mean((1, 2), keepdim=True)) / 20


@cache
def _mel(low_hz: float, high_hz: float) -> MelSpectrogram:
    return MelSpectrogram(RATE_HZ, MELS, FFT, HOP, WINDOW, low_hz=low_hz, high_hz=high_hz + _EDGE_HZ)
