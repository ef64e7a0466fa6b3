"""From a waveform to logits: the spectral front end, the mean taken out, and `MamBo`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.audio.spectral import LFCC, LogMel
from auricle.core.errors import ConfigError
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.model import Output, build

HOP_S = 0.01
LEVEL = 0.05  # RMS that every window is brought to: the level is no evidence, and the log's floor stays in place


class Network(nn.Module):
    """The detector on waveforms.

    Args:
        cfg: the whole config: rate and band of the data, front end and sizes of the model.

    Raises:
        ConfigError: a front end that does not work on waveforms in this version.
    """

    def __init__(self, cfg: MamboConfig) -> None:
        super().__init__()
        kind, dim, rate_hz = cfg.model.frontend, cfg.model.frontend_dim, cfg.data.rate_hz
        self.spectrum: LFCC | LogMel
        if kind == "lfcc":
            # as many coefficients as filters: a rotation of the log spectrum that decorrelates it
            self.spectrum = LFCC(
                rate_hz, n_filters=dim, n_coefficients=dim, high_hz=cfg.data.band_hz, deltas=0, center=False
            )
        elif kind == "logmel":
            self.spectrum = LogMel(
                rate_hz, n_mels=dim, hop=round(HOP_S * rate_hz), high_hz=cfg.data.band_hz, center=False
            )
        else:
            raise ConfigError(
                "model.frontend=ssl needs a pretrained speech encoder, which this version cannot load yet; "
                "use model.frontend=lfcc or logmel, or give MamBo features of your own"
            )
        self.mambo = build(cfg.model)

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> Output:
        """Score waveforms.

        Args:
            wave: (B, N) float32 at the config's rate.
            lengths: valid samples of each clip, (B,); None when all are.

        Returns:
            See `model.Output`; frames are 20 ms.
        """
        with torch.no_grad():
            wave = wave * (LEVEL / self._rms(wave, lengths).clamp_min(1e-6))[:, None]
            features = self.spectrum(wave, lengths)  # (B, T, F)
            mask = None
            if lengths is None:
                features = features - features.mean(dim=1, keepdim=True)
            else:
                frames = torch.as_tensor(self.spectrum.frames(lengths))
                mask = torch.arange(features.shape[1], device=wave.device) < frames[:, None]
                # the level and the steady colour of the channel are not evidence
                mean = (features * mask[..., None]).sum(1, keepdim=True) / mask.sum(1)[:, None, None]
                features = (features - mean) * mask[..., None]
        output: Output = self.mambo(features, mask)
        return output

    @staticmethod
    def _rms(wave: Tensor, lengths: Tensor | None) -> Tensor:
        """RMS of the valid samples of each clip, (B,)."""
        if lengths is None:
            return wave.square().mean(dim=1).sqrt()
        valid = torch.arange(wave.shape[1], device=wave.device) < lengths[:, None]
        return ((wave * valid).square().sum(1) / lengths).sqrt()
