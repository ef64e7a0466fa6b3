"""The detectors: a spectral front end, a speech encoder or fixed filters, then AASIST or a plain CNN; two logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from auricle.audio.spectral import LFCC, LogMel
from auricle.backbones.speech import SpeechEncoder
from auricle.core.errors import ConfigError
from auricle.data.clips import windows
from auricle.nn.aasist import AASIST
from auricle.nn.cnn import PlainCNN
from auricle.nn.sinc import SincBands
from auricle.systems.voice_auth.config import DetectorConfig, VoiceAuthConfig

WINDOW_S = 0.032  # long enough to part the harmonics, whose smearing gives a wrong phase away
LEVEL = 0.05  # RMS that every clip is brought to: the level is no evidence


class Network(nn.Module):
    """A detector on waveforms, or on features that were made before by `item`.

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
        settings, rate_hz, high_hz = cfg.detector, cfg.data.rate_hz, cfg.data.band_hz
        self.samples = round(settings.segment_s * rate_hz)
        self.released = settings.hearing == "released"
        self.spectrum: LFCC | LogMel | None = None
        self.encoder: SpeechEncoder | None = None
        self.bands: SincBands | None = None
        hop = round(settings.hop_s * rate_hz)
        size = 2 ** max(9, round(np.log2(WINDOW_S * rate_hz)))
        if settings.frontend == "lfcc":
            # as many coefficients as filters: a rotation of the log spectrum that decorrelates it
            self.spectrum = LFCC(
                rate_hz,
                n_filters=settings.frontend_dim,
                n_coefficients=settings.frontend_dim,
                n_fft=size,
                win_s=WINDOW_S,
                hop_s=settings.hop_s,
                high_hz=high_hz,
                deltas=0,
                center=False,
            )
        elif settings.frontend == "logmel":
            self.spectrum = LogMel(rate_hz, n_mels=settings.frontend_dim, hop=hop, high_hz=high_hz, center=False)
        elif settings.frontend == "raw":
            # the control has no use for a vector a sample
            self.bands = SincBands(settings.frontend_dim, rate_hz=rate_hz, hop=1 if settings.kind == "aasist" else hop)
        else:
            self.encoder = _encoder(settings, rate_hz)
        self.register_buffer("scale", torch.ones(settings.frontend_dim))
        self.body: AASIST | PlainCNN
        if settings.kind == "aasist":
            self.body = AASIST(
                settings.frontend_dim,
                settings.width,
                settings.channels,
                settings.graph,
                keep=settings.keep,
                dropouts=settings.dropouts,
                dead_norm=settings.dead_norm,
                maxima=self.bands is not None,
            )
        else:
            self.body = PlainCNN(settings.channels, settings.dropouts[-1])

    @property
    def steps(self) -> int:
        """Rows of a window that goes in: frames where features are cached, else samples."""
        return self.samples if self.spectrum is None else int(self.spectrum.frames(self.samples))

    @torch.inference_mode()
    def item(self, wave: np.ndarray) -> np.ndarray:
        """Give what is kept of a clip (T,): its frames (T', F) float32, or the clip where no spectrum is taken."""
        wave = np.asarray(wave, np.float32)
        if self.spectrum is None:
            return wave
        tiled = wave if len(wave) >= self.samples else np.resize(wave, self.samples)
        gain = LEVEL / max(float(np.sqrt(np.mean(np.square(tiled, dtype=np.float64)))), 1e-6)
        frames: np.ndarray = self.spectrum(torch.from_numpy(tiled * np.float32(gain))[None])[0].numpy()
        return frames

    def fit_scale(self, items: Sequence[np.ndarray]) -> None:
        """Set the spread of the features from training clips, where a spectrum is taken."""
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
        if self.encoder is not None:
            x = self.encoder(self._window(x, lengths))[0]
        elif self.bands is not None:
            x = self.bands(self._window(x, lengths))
        else:
            if x.ndim == 2 and self.spectrum is not None:
                x = self._window(x, lengths)
                with torch.no_grad():
                    x = self.spectrum(x * (LEVEL / x.square().mean(dim=1).sqrt().clamp_min(1e-6))[:, None])
            x = (x - x.mean(dim=1, keepdim=True)) / self.scale
        logits: Tensor = self.body(x)
        return logits

    def _window(self, wave: Tensor, lengths: Tensor | None) -> Tensor:
        """Take the first window of each clip (B, N), tiled where the clip is shorter."""
        if lengths is None:
            lengths = torch.full((wave.shape[0],), wave.shape[1], device=wave.device)
        index = torch.arange(self.samples, device=wave.device)[None] % lengths.to(wave.device)[:, None]
        return wave.gather(1, index)


def _encoder(settings: DetectorConfig, rate_hz: int) -> SpeechEncoder:
    """Set up the speech encoder that the config names."""
    if settings.encoder is None or settings.encoder_config is None:
        raise ConfigError(
            "detector.frontend=ssl needs a speech encoder: give detector.encoder=FOLDER (wav2vec 2.0, XLS-R, WavLM or "
            "HuBERT as Transformers saves them) and detector.frontend_dim=WIDTH, or use lfcc or logmel"
        )
    if rate_hz != SpeechEncoder.rate_hz:
        raise ConfigError(f"data.rate_hz is {rate_hz}; speech encoders take {SpeechEncoder.rate_hz} Hz")
    values = {key: value for key, value in settings.encoder_config.items() if key not in ("name", "revision")}
    if settings.normalize is not None:
        values["normalize"] = settings.normalize
    pretrained = (settings.encoder, settings.encoder_revision)
    return SpeechEncoder(values, layer=None, freeze=settings.encoder_freeze, pretrained=pretrained)


@torch.inference_mode()
def score_items(network: Network, items: Sequence[np.ndarray], batch: int) -> np.ndarray:
    """Score clips by the mean over their windows; as a released network is used, by the first one.

    Args:
        network: put into eval mode.
        items: of `Network.item`.
        batch: windows at once; it does not change a score.

    Returns:
        (N,) float64: logit of bona fide less logit of spoof; as released, the former alone.
    """
    network.eval()
    if network.released:
        items = [item[: network.steps] for item in items]
    cut = [windows(item, network.steps) for item in items]
    stacked = np.concatenate(cut)
    device = network.scale.device
    scores = []
    for start in range(0, len(stacked), batch):
        x = torch.from_numpy(np.ascontiguousarray(stacked[start : start + batch])).to(device)
        logits = network(x).float().cpu()
        scores.append((logits[:, 1] - (0 if network.released else logits[:, 0])).double().numpy())
    ends = np.cumsum([len(part) for part in cut])
    return np.array([part.mean() for part in np.split(np.concatenate(scores), ends[:-1])])
