"""A small trainable vocoder in the manner of Vocos (Siuzdak, 2306.00814): frames in, frames of an STFT out.

ConvNeXt blocks work at the rate of the mel's frames; the head gives a log-magnitude and a phase for every bin, and the
inverse STFT gives the samples. Unlike Vocos, the log-magnitude is a correction of what mel inversion gives, so that
minutes of training go into phase and detail.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.audio.mel_inverse import magnitude_from_mel
from auricle.audio.transform import istft
from auricle.audio.vocoder_mel import MelContract, VocoderMel
from auricle.core.errors import ConfigError
from auricle.systems.unisrcodec.vocoder.config import VocoderModel

EMBED = 3  # frames of the first convolution
LOUDEST = 8.0  # greatest log-magnitude; a wave within [-1, 1] has at most ln(n_fft / 2) = 6.9
OFFSET, SCALE = 5.0, 3.0  # log-mels of about -11.5 to 2 become numbers around 0


class Block(nn.Module):
    """A ConvNeXt block over time: depth-wise convolution, norm over channels, two linear maps, a scaled residual."""

    def __init__(self, dim: int, kernel: int, expand: int, scale: float) -> None:
        """Build for D channels, an odd kernel, `expand` D hidden channels; the gain begins at `scale`."""
        super().__init__()
        self.mix = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, expand * dim), nn.Linear(expand * dim, dim)
        self.gain = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """Give (B, T, D) for (B, T, D)."""
        hidden = self.norm(self.mix(x.transpose(1, 2)).transpose(1, 2))
        out: Tensor = x + self.gain * self.down(nn.functional.gelu(self.up(hidden)))
        return out


class Vocoder(nn.Module):
    """Log-mels of `VocoderMel` to samples. Nothing is pooled over time: a frame depends on `reach` frames a side."""

    filters: Tensor

    def __init__(self, config: VocoderModel | None = None, contract: MelContract | None = None) -> None:
        """Build with fresh weights, for BigVGAN-v2's 44.1 kHz mel by default.

        Raises:
            ConfigError: an even kernel.
        """
        super().__init__()
        config = config or VocoderModel()
        if config.kernel % 2 == 0:
            raise ConfigError(f"model.kernel is {config.kernel}; it must be odd, so that a frame stays in its place")
        mel = VocoderMel(contract)
        self.contract, self.cut = mel.contract, mel.reach
        bins = mel.contract.n_fft // 2 + 1
        bank = nn.functional.pad(mel.filters.T, (0, bins - mel.bins))
        self.register_buffer("filters", bank, persistent=False)
        self.embed = nn.Conv1d(mel.contract.n_mels, config.dim, EMBED, padding=EMBED // 2)
        self.first = nn.LayerNorm(config.dim)
        sizes = (config.dim, config.kernel, config.expand, 1 / config.blocks)
        self.blocks = nn.ModuleList(Block(*sizes) for _ in range(config.blocks))
        self.last = nn.LayerNorm(config.dim)
        self.loudness, self.phase = nn.Linear(config.dim, bins), nn.Linear(config.dim, bins)
        nn.init.zeros_(self.loudness.weight)  # begin with the magnitudes of mel inversion
        nn.init.zeros_(self.loudness.bias)
        nn.init.uniform_(self.phase.bias, -torch.pi, torch.pi)  # and no click where all bins agree
        # frames that a sample depends on: convolutions, and frames of the STFT that overlap it
        overlap = -(-mel.contract.n_fft // (2 * mel.contract.hop))
        self.reach = EMBED // 2 + config.blocks * (config.kernel // 2) + overlap

    def spectrum(self, mel: Tensor) -> Tensor:
        """Give the complex STFT, (B, T, n_fft // 2 + 1), of log-mels (B, T, n_mels)."""
        x = self.first(self.embed(((mel + OFFSET) / SCALE).transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        x = self.last(x)
        with torch.no_grad():
            prior = magnitude_from_mel(mel.exp(), self.filters).clamp_min(1e-7).log()
        magnitude = (prior + self.loudness(x)).clamp_max(LOUDEST).exp()
        angle = self.phase(x)
        return torch.complex(magnitude * angle.cos(), magnitude * angle.sin())

    def forward(self, mel: Tensor) -> Tensor:
        """Make samples (B, frames * hop) of log-mels (B, frames, n_mels)."""
        n_fft, hop = self.contract.n_fft, self.contract.hop
        # frame t is centred on t * hop + hop / 2, so without centring the clip begins (n_fft - hop) / 2 samples in
        wave = istft(self.spectrum(mel), n_fft, hop, center=False)
        return wave[:, self.cut : self.cut + hop * mel.shape[1]]
