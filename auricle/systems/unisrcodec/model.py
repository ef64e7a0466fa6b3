"""The codec: log-mel picture -> latents -> one codebook -> log-mel picture; and the discriminator that trains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from auricle.audio.vocoder_mel import MelContract, VocoderMel
from auricle.core.cache import combined_key
from auricle.nn.image import Decoder2d, Encoder2d, reach_columns
from auricle.nn.quantize import Quantised, make_quantizer
from auricle.systems.unisrcodec.config import ModelConfig

OFFSET, SCALE = 5.0, 4.0  # (mel + 5) / 4 lies around unit scale
BAND_EDGES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of the discriminator, as in DAC


@dataclass(frozen=True)
class Output:
    """What the codec makes of log-mels.

    Attributes:
        mel: (B, T, n_mels), decoded.
        quantised: latent (B, T', F', D), indices (B, T', F') and the quantiser's losses.
    """

    mel: Tensor
    quantised: Quantised


def picture(mel: Tensor) -> Tensor:
    """Turn log-mels (B, T, n_mels) into pictures (B, 1, n_mels, T) of about unit scale."""
    return ((mel + OFFSET) / SCALE).transpose(1, 2)[:, None]


class Codec(nn.Module):
    """Log-mels (B, T, 128) to tokens (B, T', F') and back; T must be whole columns of `step` frames."""

    def __init__(self, cfg: ModelConfig) -> None:
        """Build the codec with fresh weights."""
        super().__init__()
        self.contract = MelContract()
        self.step = cfg.step
        self.rows = self.contract.n_mels // cfg.step
        self.reach = reach_columns(cfg.strides, cfg.blocks)
        self.mel = VocoderMel(self.contract)
        sizes = (cfg.channels, cfg.strides, cfg.dim, cfg.blocks, cfg.groups, cfg.linear)
        self.encoder = Encoder2d(*sizes)
        self.quantizer = make_quantizer(cfg.quantizer, cfg.dim, cfg.codes, beta=cfg.beta, stages=cfg.stages)
        self.decoder = Decoder2d(*sizes)

    @property
    def column(self) -> int:
        """Samples of a column of tokens."""
        return self.step * self.contract.hop

    @property
    def bits(self) -> int:
        """Bits of an index."""
        return (self.quantizer.n_codes - 1).bit_length()

    def latents(self, mel: Tensor) -> Tensor:
        """Encode (B, T, n_mels) frame-wise: column by column, in each from low to high frequency, (B, T', F', D)."""
        z: Tensor = self.encoder(picture(mel))  # (B, D, F', T')
        return z.permute(0, 3, 2, 1)

    def pictures(self, latents: Tensor) -> Tensor:
        """Decode (B, T', F', D) to log-mels (B, T, n_mels)."""
        made: Tensor = self.decoder(latents.permute(0, 3, 2, 1))
        return made[:, 0].transpose(1, 2) * SCALE - OFFSET

    def encode(self, mel: Tensor) -> Tensor:
        """Give the tokens (B, T', F') of log-mels (B, T, n_mels); of a residual stack (B, T', F', stages)."""
        quantised: Quantised = self.quantizer(self.latents(mel))
        return quantised.indices

    def decode(self, indices: Tensor) -> Tensor:
        """Give the log-mels (B, T, n_mels) of tokens (B, T', F')."""
        return self.pictures(self.quantizer.decode(indices))

    def forward(self, mel: Tensor) -> Output:
        """Code and decode log-mels (B, T, n_mels)."""
        quantised = self.quantizer(self.latents(mel))
        return Output(self.pictures(quantised.latent), quantised)


def fingerprint(codec: nn.Module) -> str:
    """Name a codec by its weights, 32 hex digits: tokens of one cannot be decoded by another."""
    parts = [name.encode() + tensor.detach().numpy().tobytes() for name, tensor in sorted(codec.state_dict().items())]
    return combined_key(parts)[:32]


class BandStack(nn.Module):
    """Convolutions over one band of the mel: kernels of 3 bands and 9 frames, stride 2 in time three times."""

    def __init__(self, channels: int) -> None:
        """Build for C channels."""
        super().__init__()
        layers = [nn.Conv2d(1, channels, (3, 9), padding=(1, 4))]
        layers += [nn.Conv2d(channels, channels, (3, 9), (1, 2), padding=(1, 4)) for _ in range(3)]
        layers += [nn.Conv2d(channels, channels, (3, 3), padding=(1, 1))]
        self.layers = nn.ModuleList(weight_norm(layer) for layer in layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Give the features of every layer for (B, 1, bands, T)."""
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            features.append(x)
        return features


class Discriminator(nn.Module):
    """The spectral discriminator: bands of the mel picture apart, then one map (form inferred from DAC's)."""

    def __init__(self, channels: int, n_mels: int = 128) -> None:
        """Build stacks of so many channels for a mel of so many bands."""
        super().__init__()
        edges = [round(edge * n_mels) for edge in BAND_EDGES]
        self.bands = [slice(low, high) for low, high in pairwise(edges)]
        self.stacks = nn.ModuleList(BandStack(channels) for _ in self.bands)
        self.last = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, mel: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge log-mels (B, T, n_mels): a map that is near 1 for real ones, and all features."""
        whole = picture(mel)
        by_band = [stack(whole[:, :, band]) for stack, band in zip(self.stacks, self.bands, strict=True)]
        judged: Tensor = self.last(torch.cat([features[-1] for features in by_band], dim=2))
        return judged, [feature for features in by_band for feature in features]


def sub_band_loss(made: Tensor, real: Tensor, low: float, high: float) -> Tensor:
    """Weigh the L1 of the lower half of mels (B, T, n_mels) against that of the upper half (the paper's L_sub)."""
    middle = made.shape[-1] // 2
    gap = (made - real).abs()
    return low * gap[..., :middle].mean() + high * gap[..., middle:].mean()


def feature_matching(made: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Give the mean L1 between the discriminator's features of made and of real pictures."""
    gaps = [(ours - theirs.detach()).abs().mean() for ours, theirs in zip(made, real, strict=True)]
    return torch.stack(gaps).mean()
