"""A small neural vocoder in the time domain: mel frames are upsampled to samples by convolutions, as in HiFi-GAN."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.data.spoof.neural import Vocoder, say_again, shipped
from auricle.data.spoof.result import Spoof

NAME = "neural_upsampling"
SLOPE = 0.2


class Residual(nn.Module):
    """Dilated convolutions, each with a short cut around it."""

    def __init__(self, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.wide = nn.ModuleList(
            [nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation) for dilation in dilations]
        )
        self.mix = nn.ModuleList([nn.Conv1d(width, width, 1) for _ in dilations])

    def forward(self, x: Tensor) -> Tensor:
        """Refine (B, width, T)."""
        for wide, mix in zip(self.wide, self.mix, strict=True):
            x = x + mix(F.leaky_relu(wide(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class Upsampler(Vocoder):
    """80 mel bands every 16 ms, upsampled by 8, 8 and 4; after Kong et al., "HiFi-GAN" (2010.05646), much smaller."""

    def __init__(self) -> None:
        super().__init__(bands=80, size=1024, hop=256)
        self.pre = nn.Conv1d(80, 160, 7, padding=3)
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose1d(160, 80, 16, stride=8, padding=4),
                nn.ConvTranspose1d(80, 40, 16, stride=8, padding=4),
                nn.ConvTranspose1d(40, 12, 8, stride=4, padding=2),
            ]
        )
        self.refine = nn.ModuleList([Residual(80, (1, 3, 9)), Residual(40, (1, 3, 9)), Residual(12, (1, 3))])
        self.post = nn.Conv1d(12, 1, 7, padding=3)

    def wave(self, mel: Tensor) -> Tensor:
        """Make samples (B, 256 * frames) of frames (B, 80, frames)."""
        x = self.pre(mel)
        for up, refine in zip(self.up, self.refine, strict=True):
            x = refine(up(F.leaky_relu(x, SLOPE)))
        # frames are centred on multiples of the hop: the first half hop lies before the clip
        made: Tensor = self.post(F.leaky_relu(x, SLOPE)).tanh()[:, 0, self.hop // 2 :]
        return made


def copy(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Reduce a clip to a mel spectrum and let the vocoder say it again; nothing is drawn from `rng`.

    Args:
        wave: (T,).
        rate_hz: its rate.
        rng: not used.
        variant: not used; there is one.
    """
    return say_again(shipped(Upsampler, NAME), wave, rate_hz, NAME)
