"""From a waveform to logits: a spectral front end with its mean taken out, or a speech encoder, and `MamBo`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from auricle.audio.spectral import LFCC, LogMel
from auricle.backbones.speech import SpeechEncoder
from auricle.backbones.whisper_front import WhisperFront
from auricle.core.errors import ConfigError
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.model import MamBo, Output

HOP_S = 0.01
WINDOW_S = 0.032  # long enough to part the harmonics, whose smearing gives a wrong phase away
LEVEL = 0.05  # RMS that every window is brought to: the level is no evidence, and the log's floor stays in place


class Network(nn.Module):
    """The detector on waveforms.

    Spectral features lose their mean over the clip and are divided by their spread over the training set: the upper
    coefficients carry the traces of synthesis and are some forty times smaller than the lowest.

    With a speech encoder (``model.frontend=ssl``) this only sets up its form. Its weights come with a checkpoint of the
    run or, if none was loaded, from ``model.encoder`` when the first batch passes through. Whisper's (``whisper``) are
    read where they are installed and never written with a run.

    Args:
        cfg: the whole config: rate and band of the data, front end and sizes of the model.

    Raises:
        ConfigError: ``ssl`` or ``whisper`` without an encoder, or at a rate that is not the encoder's.
        MissingExtra: ``ssl`` without Transformers.
    """

    scale: Tensor

    def __init__(self, cfg: MamboConfig) -> None:
        super().__init__()
        kind, dim, rate_hz = cfg.model.frontend, cfg.model.frontend_dim, cfg.data.rate_hz
        self.spectrum: LFCC | LogMel
        self.encoder: SpeechEncoder | WhisperFront | None = None
        if kind == "lfcc":
            # as many coefficients as filters: a rotation of the log spectrum that decorrelates it
            self.spectrum = LFCC(
                rate_hz,
                n_filters=dim,
                n_coefficients=dim,
                win_s=WINDOW_S,
                high_hz=cfg.data.band_hz,
                deltas=0,
                center=False,
            )
        elif kind == "logmel":
            self.spectrum = LogMel(
                rate_hz, n_mels=dim, hop=round(HOP_S * rate_hz), high_hz=cfg.data.band_hz, center=False
            )
        else:
            self.encoder = _encoder(cfg)
        if self.encoder is None:
            self.register_buffer("scale", torch.ones(dim))
        self.mambo = MamBo(cfg.model)

    @torch.no_grad()
    def fit_scale(self, waves: Iterable[Tensor]) -> None:
        """Set the spread of the features from training windows; a speech encoder that is trained has none to set.

        Args:
            waves: batches (B, N) of valid windows.
        """
        if isinstance(self.encoder, WhisperFront):
            self.encoder.fit_scale(waves)
        if self.encoder is not None:
            return
        self.scale.fill_(1.0)
        total, count = torch.zeros_like(self.scale, dtype=torch.float64), 0
        for wave in waves:
            features, _ = self._features(wave, None)
            total += features.double().square().sum(dim=(0, 1))
            count += features.shape[0] * features.shape[1]
        self.scale.copy_((total / max(count, 1)).sqrt().clamp_min(1e-3))

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> Output:
        """Score waveforms.

        Args:
            wave: (B, N) float32 at the config's rate.
            lengths: valid samples of each clip, (B,); None when all are.

        Returns:
            See `model.Output`; frames are 20 ms.

        Raises:
            CheckpointError: the speech encoder has no weights and none can be read.
        """
        features, mask = self._features(wave, lengths)
        output: Output = self.mambo(features, None if lengths is None else mask)
        return output

    def _features(self, wave: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Give frames (B, T, F) of the encoder, or log-spectral ones without the clip's mean; and their mask."""
        if self.encoder is not None:
            encoded: tuple[Tensor, Tensor] = self.encoder(wave, lengths)
            return encoded
        with torch.no_grad():
            wave = wave * (LEVEL / self._rms(wave, lengths).clamp_min(1e-6))[:, None]
            features = self.spectrum(wave, lengths)  # (B, T, F)
            if lengths is None:
                return (features - features.mean(dim=1, keepdim=True)) / self.scale, None
            frames = torch.as_tensor(self.spectrum.frames(lengths))
            mask = torch.arange(features.shape[1], device=wave.device) < frames[:, None]
            # the level and the steady colour of the channel are not evidence
            mean = (features * mask[..., None]).sum(1, keepdim=True) / mask.sum(1)[:, None, None]
            return (features - mean) / self.scale * mask[..., None], mask

    @staticmethod
    def _rms(wave: Tensor, lengths: Tensor | None) -> Tensor:
        """RMS of the valid samples of each clip, (B,)."""
        if lengths is None:
            return wave.square().mean(dim=1).sqrt()
        valid = torch.arange(wave.shape[1], device=wave.device) < lengths[:, None]
        return ((wave * valid).square().sum(1) / lengths).sqrt()


def _encoder(cfg: MamboConfig) -> SpeechEncoder | WhisperFront:
    """Set up the speech encoder that the config names."""
    model = cfg.model
    if cfg.data.rate_hz != SpeechEncoder.rate_hz:
        raise ConfigError(f"data.rate_hz is {cfg.data.rate_hz}; speech encoders take {SpeechEncoder.rate_hz} Hz")
    if model.frontend == "whisper" and model.encoder is not None and isinstance(model.encoder_layer, int):
        return WhisperFront(model.encoder, model.encoder_revision, model.encoder_layer, model.frontend_dim)
    if model.encoder is None or model.encoder_config is None:
        raise ConfigError(
            "model.frontend=ssl needs a speech encoder: give model.encoder=FOLDER (wav2vec 2.0, XLS-R, WavLM or HuBERT "
            "as Transformers saves them) and model.frontend_dim=WIDTH, or use model.frontend=lfcc or logmel"
        )
    values = {key: value for key, value in model.encoder_config.items() if key not in ("name", "revision")}
    return SpeechEncoder(
        values,
        layer=model.encoder_layer,
        freeze=model.encoder_freeze,
        pretrained=(model.encoder, model.encoder_revision),
    )
