"""The detectors: frames of a spectral front end or of a speech encoder, then AASIST or a plain CNN; two logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from auricle.audio.spectral import LFCC, LogMel
from auricle.backbones.speech import SpeechEncoder
from auricle.core.errors import ConfigError
from auricle.nn.aasist import AASIST
from auricle.systems.voice_auth.config import DetectorConfig, VoiceAuthConfig

WINDOW_S = 0.032  # long enough to part the harmonics, whose smearing gives a wrong phase away
LEVEL = 0.05  # RMS that every clip is brought to: the level is no evidence


class PlainCNN(nn.Module):
    """The control: three convolutions over time and frequency, mean and maximum over the map, two logits."""

    def __init__(self, channels: tuple[int, int], dropout: float) -> None:
        super().__init__()
        narrow, wide = channels
        sizes = [(1, narrow), (narrow, wide), (wide, wide)]
        self.layers = nn.Sequential(
            *[
                nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.SiLU(), nn.MaxPool2d(2))
                for a, b in sizes
            ]
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * wide, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Score features (B, T, F); (B, 2), columns spoof and bona fide."""
        found = self.layers(features.unsqueeze(1)).flatten(2)  # (B, C, T' F')
        logits: Tensor = self.head(self.dropout(torch.cat([found.mean(2), found.amax(2)], dim=1)))
        return logits


class Network(nn.Module):
    """A detector on waveforms, or on features that were made before by `raw_features`.

    Spectral features lose their mean over the window and are divided by their spread over the training set. Every
    window has one length: a shorter clip is tiled (FOUND in the reference), so padding cannot change a result.

    Args:
        cfg: rate and band of the data, front end and sizes of the detector.

    Raises:
        ConfigError: ``ssl`` without an encoder, or at a rate that is not the encoder's.
    """

    scale: Tensor

    def __init__(self, cfg: VoiceAuthConfig) -> None:
        super().__init__()
        own, rate_hz, high_hz = cfg.detector, cfg.data.rate_hz, cfg.data.band_hz
        self.samples = round(own.segment_s * rate_hz)
        self.spectrum: LFCC | LogMel | None = None
        self.encoder: SpeechEncoder | None = None
        hop = round(own.hop_s * rate_hz)
        size = 2 ** max(9, round(np.log2(WINDOW_S * rate_hz)))
        if own.frontend == "lfcc":
            # as many coefficients as filters: a rotation of the log spectrum that decorrelates it
            self.spectrum = LFCC(
                rate_hz, n_filters=own.frontend_dim, n_coefficients=own.frontend_dim, n_fft=size, win_s=WINDOW_S,
                hop_s=own.hop_s, high_hz=high_hz, deltas=0, center=False,
            )  # fmt: skip
        elif own.frontend == "logmel":
            self.spectrum = LogMel(rate_hz, n_mels=own.frontend_dim, hop=hop, high_hz=high_hz, center=False)
        else:
            self.encoder = _encoder(own, rate_hz)
        self.register_buffer("scale", torch.ones(own.frontend_dim))
        self.body: AASIST | PlainCNN
        if own.kind == "aasist":
            self.body = AASIST(own.frontend_dim, own.width, own.channels, own.graph, dropouts=own.dropouts)
        else:
            self.body = PlainCNN(own.channels, own.dropouts[-1])

    @property
    def steps(self) -> int:
        """Rows of a window that goes in: frames where features are cached, else samples."""
        return self.samples if self.spectrum is None else int(self.spectrum.frames(self.samples))

    @torch.inference_mode()
    def item(self, wave: np.ndarray) -> np.ndarray:
        """Give what is kept of a clip (T,): its frames (T', F) float32, or the clip itself for a speech encoder."""
        wave = np.asarray(wave, np.float32)
        if self.spectrum is None:
            return wave
        tiled = wave if len(wave) >= self.samples else np.resize(wave, self.samples)
        gain = LEVEL / max(float(np.sqrt(np.mean(np.square(tiled, dtype=np.float64)))), 1e-6)
        frames: np.ndarray = self.spectrum(torch.from_numpy(tiled * np.float32(gain))[None])[0].numpy()
        return frames

    def fit_scale(self, items: Sequence[np.ndarray]) -> None:
        """Set the spread of the features from training clips; a speech encoder has none to set."""
        if self.spectrum is None:
            return
        squares = sum(np.square(item - item.mean(axis=0)).sum(axis=0, dtype=np.float64) for item in items)
        count = sum(len(item) for item in items)
        spread = np.sqrt(np.asarray(squares) / max(count, 1))
        self.scale.copy_(torch.from_numpy(np.maximum(spread, 1e-3)).float())

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score windows.

        Args:
            x: features (B, T', F) as `item` gives them, or waves (B, N).
            lengths: valid samples of each wave, (B,); None when all are.

        Returns:
            (B, 2), columns spoof and bona fide.
        """
        if x.ndim == 2:
            x = self._window(x, lengths)
            if self.encoder is not None:
                logits: Tensor = self.body(self.encoder(x)[0])
                return logits
            assert_spectrum = self.spectrum
            if assert_spectrum is None:  # one of the two is always there
                raise ConfigError("the detector has no front end")
            with torch.no_grad():
                x = x * (LEVEL / x.square().mean(dim=1).sqrt().clamp_min(1e-6))[:, None]
                x = assert_spectrum(x)
        x = (x - x.mean(dim=1, keepdim=True)) / self.scale
        scored: Tensor = self.body(x)
        return scored

    def _window(self, wave: Tensor, lengths: Tensor | None) -> Tensor:
        """Take the first window of each clip (B, N), tiled where the clip is shorter."""
        if lengths is None:
            lengths = torch.full((wave.shape[0],), wave.shape[1], device=wave.device)
        place = torch.arange(self.samples, device=wave.device)[None] % lengths.to(wave.device)[:, None]
        return wave.gather(1, place)


def _encoder(own: DetectorConfig, rate_hz: int) -> SpeechEncoder:
    """Set up the speech encoder that the config names."""
    if own.encoder is None or own.encoder_config is None:
        raise ConfigError(
            "detector.frontend=ssl needs a speech encoder: give detector.encoder=FOLDER (wav2vec 2.0, XLS-R, WavLM or "
            "HuBERT as Transformers saves them) and detector.frontend_dim=WIDTH, or use lfcc or logmel"
        )
    if rate_hz != SpeechEncoder.rate_hz:
        raise ConfigError(f"data.rate_hz is {rate_hz}; speech encoders take {SpeechEncoder.rate_hz} Hz")
    values = {key: value for key, value in own.encoder_config.items() if key not in ("name", "revision")}
    return SpeechEncoder(
        values, layer=None, freeze=own.encoder_freeze, pretrained=(own.encoder, own.encoder_revision)
    )  # fmt: skip


def pieces(item: np.ndarray, steps: int) -> np.ndarray:
    """Cut a clip's frames or samples into windows that overlap by half; a shorter one is tiled.

    Args:
        item: (T, ...).
        steps: rows of a window.

    Returns:
        (W, steps, ...), the last window ends where the clip ends.
    """
    if len(item) <= steps:
        return item[np.arange(steps) % len(item)][None]
    starts = list(range(0, len(item) - steps + 1, max(1, steps // 2)))
    if starts[-1] + steps < len(item):
        starts.append(len(item) - steps)
    return np.stack([item[start : start + steps] for start in starts])


@torch.inference_mode()
def score_items(network: Network, items: Sequence[np.ndarray], batch: int) -> np.ndarray:
    """Score clips by the mean over their windows.

    Args:
        network: put into eval mode.
        items: of `Network.item`.
        batch: windows at once; it does not change a score.

    Returns:
        (N,) float64: logit of bona fide less logit of spoof.
    """
    network.eval()
    cut = [pieces(item, network.steps) for item in items]
    flat = np.concatenate(cut)
    device = network.scale.device
    parts = []
    for start in range(0, len(flat), batch):
        logits = network(torch.from_numpy(np.ascontiguousarray(flat[start : start + batch])).to(device)).float().cpu()
        parts.append((logits[:, 1] - logits[:, 0]).double().numpy())
    scores = np.concatenate(parts)
    ends = np.cumsum([len(part) for part in cut])
    return np.array([part.mean() for part in np.split(scores, ends[:-1])])
