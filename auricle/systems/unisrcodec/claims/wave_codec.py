"""The other side of claim 1: a codec of one codebook that works on samples instead of mel pictures.

Strided 1-D convolutions and residual units down to the tokens and their mirror back, as SoundStream and EnCodec are
built (2107.03312, 2210.13438), with the mel codec's quantiser and, as it has, a linear map of patches beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.audio.vocoder_mel import MelContract
from auricle.core.config import Config
from auricle.nn.quantize import Quantised, make_quantizer
from auricle.systems.unisrcodec.vocoder.train import MultiScaleMelLoss

RATE_HZ = MelContract().rate_hz
MULTIPLES = (1, 2, 3, 4)  # of the width, level by level
SAMPLES = 0.1  # weight of the L1 of samples beside that of mels, as in EnCodec


class WaveConfig(Config):
    """Sizes of a waveform codec."""

    strides: tuple[int, ...]
    width: int = Field(8, ge=1)  # channels of the first level
    middle: int = Field(32, ge=1)  # hidden channels of the unit at the rate of the tokens
    dim: int = Field(8, ge=1)
    codes: int = Field(256, ge=2)
    beta: float = Field(0.25, ge=0)

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of the levels."""
        return tuple(self.width * MULTIPLES[level] for level in range(len(self.strides)))

    @property
    def step(self) -> int:
        """Samples of a token."""
        return math.prod(self.strides)


class ResidualUnit1d(nn.Module):
    """ELU, a wide convolution, ELU, a pointwise one, added to the input."""

    def __init__(self, channels: int, hidden: int, kernel: int = 7) -> None:
        """Build for C channels.

        Args:
            channels: C.
            hidden: channels between the two convolutions.
            kernel: samples of the first one, odd.
        """
        super().__init__()
        self.wide = nn.Conv1d(channels, hidden, kernel, padding=kernel // 2)
        self.point = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T) to (B, C, T)."""
        total: Tensor = x + self.point(F.elu(self.wide(F.elu(x))))
        return total


class WaveCodec(nn.Module):
    """Samples (B, T) to tokens (B, T / step) and back; T must be whole tokens."""

    def __init__(self, cfg: WaveConfig) -> None:
        """Build the codec.

        Args:
            cfg: its sizes.
        """
        super().__init__()
        self.step = cfg.step
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        before = 1
        for after, stride in zip(cfg.channels, cfg.strides, strict=True):
            edge = stride // 2
            down += [nn.Conv1d(before, after, 2 * stride, stride, padding=edge), ResidualUnit1d(after, after)]
            up[:0] = [ResidualUnit1d(after, after), nn.ConvTranspose1d(after, before, 2 * stride, stride, padding=edge)]
            before = after
        self.encoder = nn.Sequential(*down, ResidualUnit1d(before, cfg.middle), nn.ELU(), nn.Conv1d(before, cfg.dim, 1))
        self.decoder = nn.Sequential(nn.Conv1d(cfg.dim, before, 1), ResidualUnit1d(before, cfg.middle), *up)
        self.quantizer = make_quantizer("simvq", cfg.dim, cfg.codes, beta=cfg.beta)
        self.patch = nn.Conv1d(1, cfg.dim, cfg.step, cfg.step)
        self.unpatch = nn.ConvTranspose1d(cfg.dim, 1, cfg.step, cfg.step)

    def latents(self, wave: Tensor) -> Tensor:
        """Encode samples (B, T) to (B, T / step, D)."""
        z: Tensor = self.encoder(wave[:, None]) + self.patch(wave[:, None])
        return z.transpose(1, 2)

    def waves(self, latents: Tensor) -> Tensor:
        """Decode (B, T / step, D) to samples (B, T)."""
        x = latents.transpose(1, 2)
        wave: Tensor = self.decoder(x) + self.unpatch(x)
        return wave[:, 0]

    def forward(self, wave: Tensor) -> tuple[Tensor, Quantised]:
        """Code and decode samples (B, T)."""
        quantised = self.quantizer(self.latents(wave))
        return self.waves(quantised.latent), quantised


class WaveTraining(nn.Module):
    """The waveform codec with its losses: multi-scale log-mel L1, a little L1 of samples, and the quantiser's own."""

    def __init__(self, cfg: WaveConfig) -> None:
        """Build with the weights that the global seed gives."""
        super().__init__()
        self.codec = WaveCodec(cfg)
        self.distance = MultiScaleMelLoss(RATE_HZ)

    @torch.no_grad()
    def begin_with(self, wave: Tensor) -> None:
        """Set the codebook on the latents that the fresh encoder gives for samples (B, T)."""
        self.codec.quantizer.begin_with(self.codec.latents(wave).flatten(0, 1))

    def forward(self, rows: Tensor) -> Mapping[str, Tensor]:
        """Give the losses of samples (B, frames, hop)."""
        wave = rows.flatten(1)
        made, quantised = self.codec(wave)
        losses = {"mel": self.distance(made, wave), "samples": (made - wave).abs().mean()}
        total = losses["mel"] + SAMPLES * losses["samples"] + sum(quantised.losses.values())
        return {"loss": total, **losses, **quantised.losses}


def network_size(model: nn.Module) -> int:
    """Count what is trained of a codec, either kind, outside its codebook."""
    whole, codebook = (
        sum(parameter.numel() for parameter in part.parameters()) for part in (model, model.get_submodule("quantizer"))
    )
    return whole - codebook


@cache
def matched(strides: Sequence[int], codes: int, dim: int, target: int) -> WaveConfig:
    """Find the waveform codec of a number of parameters: the widest that fits, then the unit in the middle.

    Args:
        strides: of its levels; their product is the samples of a token.
        codes: size of the codebook.
        dim: width of a latent.
        target: parameters outside the codebook.

    Returns:
        Its sizes, within half the parameters of a hidden channel.
    """
    base = {"strides": tuple(strides), "codes": codes, "dim": dim}

    def count(width: int, middle: int) -> int:
        with torch.device("meta"):
            return network_size(WaveCodec(WaveConfig.model_validate({**base, "width": width, "middle": middle})))

    width = max((width for width in range(1, 33) if count(width, 4 * width) <= target), default=1)
    thinnest = count(width, 1)
    channel = count(width, 2) - thinnest
    middle = max(1, 1 + round((target - thinnest) / channel))
    return WaveConfig.model_validate({**base, "width": width, "middle": middle})
