"""A small neural vocoder in the spectral domain: magnitude and phase of an inverse STFT are predicted, as in Vocos."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from auricle.audio.spectral import istft
from auricle.data.spoof.neural import Vocoder, say_again, shipped
from auricle.data.spoof.result import Spoof

NAME = "neural_istft"
SIZE, HOP = 640, 160
WIDTH, HIDDEN, BLOCKS = 160, 400, 5


class Block(nn.Module):
    """A ConvNeXt block over time: every frame keeps its rate from the first layer to the last."""

    def __init__(self) -> None:
        super().__init__()
        self.around = nn.Conv1d(WIDTH, WIDTH, 7, padding=3, groups=WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.inner = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))
        self.scale = nn.Parameter(torch.full((WIDTH,), 1.0 / BLOCKS))

    def forward(self, x: Tensor) -> Tensor:
        """Refine (B, T, WIDTH)."""
        around = self.around(x.transpose(1, 2)).transpose(1, 2)
        refined: Tensor = x + self.scale * self.inner(self.norm(around))
        return refined


class SpectralVocoder(Vocoder):
    """100 mel bands every 10 ms to the same frames of an STFT; after Siuzdak, "Vocos" (2306.00814), much smaller."""

    def __init__(self) -> None:
        super().__init__(bands=100, size=SIZE, hop=HOP)
        self.embed = nn.Conv1d(100, WIDTH, 7, padding=3)
        self.norm = nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList([Block() for _ in range(BLOCKS)])
        self.final = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, SIZE + 2)

    def wave(self, mel: Tensor) -> Tensor:
        """Make samples (B, 160 * (frames - 1)) of frames (B, 100, frames)."""
        x = self.norm(self.embed(mel).transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        level, angle = self.head(self.final(x)).chunk(2, dim=-1)
        # a bound on the exponential keeps a wild frame from drowning the clip
        spectrum = level.clamp_max(5.0).exp() * torch.complex(angle.cos(), angle.sin())
        return istft(spectrum, SIZE, HOP)


def copy(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Reduce a clip to a mel spectrum and let the vocoder say it again; nothing is drawn from `rng`.

    Args:
        wave: (T,).
        rate_hz: its rate.
        rng: not used.
        variant: not used; there is one.
    """
    return say_again(shipped(SpectralVocoder, NAME), wave, rate_hz, NAME)
