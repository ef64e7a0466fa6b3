"""Residual encoder and decoder for pictures of (frequency, time) whose result does not depend on how long they are.

Maps are (B, C, F, T). Nothing is averaged over time: the norms take their statistics per frame, and convolutions reach
a fixed number of frames, so overlapping tiles of a long picture give the same numbers as the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError


class FrameNorm(nn.Module):
    """Group normalisation with statistics over (channels of a group, frequency) of each frame, never over time."""

    def __init__(self, channels: int, groups: int, eps: float = 1e-6) -> None:
        """Fix the groups.

        Args:
            channels: C.
            groups: how many; C must be a multiple.
            eps: added to the variance.

        Raises:
            ConfigError: channels that cannot be grouped so.
        """
        if groups < 1 or channels % groups:
            raise ConfigError(f"{channels} channels in {groups} groups; the channels must be a multiple of the groups")
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, F, T)."""
        batch, channels, bands, time = x.shape
        grouped = x.reshape(batch, self.groups, -1, time)
        mean = grouped.mean(dim=2, keepdim=True)
        variance = (grouped - mean).square().mean(dim=2, keepdim=True)
        scaled = ((grouped - mean) * (variance + self.eps).rsqrt()).reshape(batch, channels, bands, time)
        return scaled * self.weight[:, None, None] + self.bias[:, None, None]


class ResidualBlock2d(nn.Module):
    """Twice norm, SiLU and 3x3 convolution, added to the input (1x1 convolution where the channels change)."""

    def __init__(self, inside: int, outside: int, groups: int) -> None:
        """Build a block.

        Args:
            inside: channels of the input.
            outside: channels of the output.
            groups: of the norms.
        """
        super().__init__()
        self.norms = nn.ModuleList([FrameNorm(inside, groups), FrameNorm(outside, groups)])
        self.convs = nn.ModuleList(
            [nn.Conv2d(inside, outside, 3, padding=1), nn.Conv2d(outside, outside, 3, padding=1)]
        )
        self.skip = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inside, F, T) to (B, outside, F, T)."""
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(F.silu(norm(y)))
        total: Tensor = self.skip(x) + y
        return total


def check_levels(channels: Sequence[int], strides: Sequence[int], blocks: int) -> None:
    """Refuse levels that do not fit together.

    Raises:
        ConfigError: not one stride a level, a stride below 1, or a negative number of blocks.
    """
    if not channels or len(channels) != len(strides) or min(strides) < 1 or blocks < 0:
        raise ConfigError(
            f"channels {tuple(channels)}, strides {tuple(strides)}, {blocks} blocks; one stride of at least 1 a level"
        )


class Encoder2d(nn.Module):
    """Halve a picture level by level: (B, 1, F, T) -> (B, D, F / s, T / s) with s the product of the strides.

    Each level strides first (kernel stride + 2) and then has its residual blocks, which costs a fraction of the other
    order; two blocks in the middle and a 1x1 convolution to D follow.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        dim: int,
        blocks: int = 2,
        groups: int = 32,
        linear: bool = False,
    ) -> None:
        """Build the levels.

        Args:
            channels: of each level.
            strides: of each level, in both axes.
            dim: D of the latents.
            blocks: residual blocks a level, and in the middle.
            groups: of the norms.
            linear: add a linear map of each patch of s x s to its latent, which is learnt long before the rest.
        """
        check_levels(channels, strides, blocks)
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for after, stride in zip(channels, strides, strict=True):
            layers.append(nn.Conv2d(before, after, stride + 2, stride, padding=1))
            layers += [ResidualBlock2d(after, after, groups) for _ in range(blocks)]
            before = after
        layers += [ResidualBlock2d(before, before, groups) for _ in range(blocks)]
        layers += [FrameNorm(before, groups), nn.SiLU(), nn.Conv2d(before, dim, 1)]
        self.layers = nn.Sequential(*layers)
        step = math.prod(strides)
        self.patch = nn.Conv2d(1, dim, step, step) if linear else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, F, T) to (B, D, F / s, T / s)."""
        z: Tensor = self.layers(x)
        return z if self.patch is None else z + self.patch(x)


class Decoder2d(nn.Module):
    """The mirror of `Encoder2d`: (B, D, F / s, T / s) -> (B, 1, F, T), with transposed convolutions going up."""

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        dim: int,
        blocks: int = 2,
        groups: int = 32,
        linear: bool = False,
    ) -> None:
        """Build the levels; the arguments are the encoder's."""
        check_levels(channels, strides, blocks)
        super().__init__()
        deepest = channels[-1]
        layers: list[nn.Module] = [nn.Conv2d(dim, deepest, 1)]
        layers += [ResidualBlock2d(deepest, deepest, groups) for _ in range(blocks)]
        for level in reversed(range(len(channels))):
            here, stride = channels[level], strides[level]
            layers += [ResidualBlock2d(here, here, groups) for _ in range(blocks)]
            layers += [FrameNorm(here, groups), nn.SiLU()]
            above = channels[level - 1] if level else 1
            layers.append(nn.ConvTranspose2d(here, above, stride + 2, stride, padding=1))
        self.layers = nn.Sequential(*layers)
        step = math.prod(strides)
        self.patch = nn.ConvTranspose2d(dim, 1, step, step, bias=False) if linear else None
        self.middle = nn.Parameter(torch.zeros(step, step)) if linear else None  # of all patches

    def forward(self, z: Tensor) -> Tensor:
        """Map (B, D, F / s, T / s) to (B, 1, F, T)."""
        x: Tensor = self.layers(z)
        if self.patch is None or self.middle is None:
            return x
        linear: Tensor = self.patch(z) + self.middle.repeat(z.shape[-2], z.shape[-1])
        return x + linear


@torch.no_grad()
def begin_with_components(encoder: Encoder2d, decoder: Decoder2d, pictures: Tensor) -> None:
    """Begin as linear coding: the linear paths project on the principal components of the patches, the rest is silent.

    The latents lie around 0 and have one common scale, at which the mean of their standard deviations is 1. Of the mean
    patch only the level is put back, not the shape: begun with the shape too, a codec is nearer to the pictures at
    first and learns worse (measured on dev recordings). The last convolutions begin at 0.

    Args:
        encoder: built with ``linear``.
        decoder: its mirror.
        pictures: (B, 1, F, T), whole patches.

    Raises:
        ConfigError: there are no linear paths.
    """
    if encoder.patch is None or decoder.patch is None or decoder.middle is None:
        raise ConfigError("there is no linear path to begin with components; build with linear=True")
    step, dim = encoder.patch.stride[0], encoder.patch.out_channels
    patches = nn.functional.unfold(pictures, step, stride=step).transpose(1, 2).reshape(-1, step * step)
    middle = patches.mean(dim=0)
    values, vectors = torch.linalg.eigh((patches - middle).T @ (patches - middle) / len(patches))
    scale = values[-dim:].clamp_min(0).sqrt().mean().clamp_min(1e-6)
    inward, outward = vectors[:, -dim:] / scale, vectors[:, -dim:] * scale  # (s * s, D)
    encoder.patch.weight.copy_(inward.T.reshape(dim, 1, step, step))
    encoder.patch.get_parameter("bias").copy_(-middle @ inward)
    decoder.patch.weight.copy_(outward.T.reshape(dim, 1, step, step))
    decoder.middle.fill_(float(middle.mean()))
    for parameter in (*encoder.layers[-1].parameters(), *decoder.layers[-1].parameters()):
        parameter.zero_()


def reach_columns(strides: Sequence[int], blocks: int) -> int:
    """Bound how many columns of latents to each side a picture's column depends on, through encoder or decoder.

    Args:
        strides: of the levels.
        blocks: residual blocks a level and in the middle.

    Returns:
        Columns; tiles that overlap by as many give the whole picture's numbers.
    """
    frames, jump = 0, 1
    for stride in strides:
        frames += jump * stride  # a strided kernel reaches one sample past its own stride; one stride bounds it
        jump *= stride
        frames += jump * 2 * blocks
    frames += jump * 2 * blocks
    return -(-frames // jump)
