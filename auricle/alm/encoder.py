"""A small audio encoder for log-mel input: 2-D convolutions, a few attention layers, auxiliary heads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError, DataError
from auricle.nn.attention import MultiHeadAttention
from auricle.nn.feedforward import SwiGLU
from auricle.nn.masking import mask_from_lengths, zero_masked


@dataclass(frozen=True)
class Encoded:
    """What the encoder makes of a batch of clips.

    Attributes:
        frames: (B, T', D), zero where padded.
        lengths: valid frames of each clip, (B,).
        heads: logits of each auxiliary head: (B, K) of a head over the clip, (B, T'', K) of one over frames, which are
            those before they are merged.
    """

    frames: Tensor
    lengths: Tensor
    heads: dict[str, Tensor] = field(default_factory=dict)


class _Conv(nn.Module):
    """3 x 3 convolution over time and frequency, a norm over channels at each place, GELU; padding stays zero.

    A norm over channels has no statistics of the batch: the same clip gives the same numbers in training and
    evaluation mode and in any company, which the ratio of GRPO relies on.
    """

    def __init__(self, into: int, out: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, stride, padding=1)
        self.norm = nn.LayerNorm(out)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.conv(x).permute(0, 2, 3, 1)  # (B, T, F, C)
        return zero_masked(F.gelu(self.norm(x)), mask).permute(0, 3, 1, 2)


class _Layer(nn.Module):
    """Pre-norm attention and feed-forward layer."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention, self.norm_feedforward = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = MultiHeadAttention(dim, heads, conv=0)
        self.feedforward = SwiGLU(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_attention(x), mask))
        out: Tensor = x + self.dropout(self.feedforward(self.norm_feedforward(x)))
        return out


class MelEncoder(nn.Module):
    """Log-mel frames to features; a clip's features depend on nothing but the clip.

    Two-dimensional convolutions see where in frequency something is, which one-dimensional ones over mel bins hardly
    learn. Auxiliary heads give the encoder a direct signal: a head over the clip (a band, say) reads the mean and the
    maximum over its frames, a head over frames (an artefact here?) reads each frame.

    Args:
        n_mels: mel bins M.
        dim: width D of the output.
        channels: channels of each convolution.
        time_strides: stride over time of each convolution.
        mel_strides: stride over mel bins of each convolution.
        layers: attention layers on top.
        heads: attention heads; divides D.
        dropout: in the attention layers.
        merge: so many frames next to each other become one at the end: the language model has less to run through.
        summary: put one more frame in front, made of the mean and the maximum over the clip, which is what the heads
            over the clip read: what they have learnt to find, the language model need not search for again.
        position_heads: attention heads over the frames; the mean position that each attends to is part of what is
            pooled over the clip: something short is found alike wherever it lies, and the place is read off.
        clip_heads: name and number of classes of each auxiliary head over the clip.
        frame_heads: the same of each head over frames.

    Raises:
        ConfigError: sizes that do not fit together.
    """

    def __init__(
        self,
        n_mels: int = 64,
        dim: int = 128,
        channels: Sequence[int] = (24, 48, 64),
        time_strides: Sequence[int] = (2, 2, 1),
        mel_strides: Sequence[int] = (2, 2, 2),
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        merge: int = 1,
        summary: bool = False,
        position_heads: int = 0,
        clip_heads: Mapping[str, int] | None = None,
        frame_heads: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        if not len(channels) == len(time_strides) == len(mel_strides) or not channels:
            raise ConfigError(
                f"channels {tuple(channels)}, time_strides {tuple(time_strides)} and mel_strides {tuple(mel_strides)} "
                "must be as long as each other, and not empty"
            )
        if merge < 1:
            raise ConfigError(f"merge {merge}; at least 1 frame becomes one")
        clip_heads, frame_heads = dict(clip_heads or {}), dict(frame_heads or {})
        if both := set(clip_heads) & set(frame_heads):
            raise ConfigError(f"the head {sorted(both)[0]!r} is given both over the clip and over frames; rename one")
        self.n_mels, self.dim, self.time_strides = n_mels, dim, tuple(time_strides)
        sizes = [1, *channels]
        self.convs = nn.ModuleList(
            _Conv(into, out, (time, mel))
            for into, out, time, mel in zip(sizes, channels, time_strides, mel_strides, strict=False)
        )
        mels = n_mels
        for stride in mel_strides:
            mels = strided(mels, stride)
        self.flat = nn.Linear(channels[-1] * mels, dim)
        self.layers = nn.ModuleList(_Layer(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.merge = merge
        self.merged = nn.Linear(merge * dim, dim) if merge > 1 else None
        self.seekers = nn.Linear(dim, position_heads) if position_heads else None  # so named in saved weights
        pooled = (2 + position_heads) * dim
        self.summary = nn.Linear(pooled, dim) if summary else None
        self.clip_heads = nn.ModuleDict({name: nn.Linear(pooled, size) for name, size in clip_heads.items()})
        self.frame_heads = nn.ModuleDict({name: nn.Linear(dim, size) for name, size in frame_heads.items()})

    def frames(self, frames: int) -> int:
        """Count the output frames of a clip of so many mel frames."""
        for stride in self.time_strides:
            frames = strided(frames, stride)
        return -(-frames // self.merge) + (self.summary is not None)

    def forward(self, mel: Tensor, lengths: Tensor | None = None) -> Encoded:
        """Encode clips.

        Args:
            mel: (B, T, M) log-mel; what padded frames hold does not matter.
            lengths: valid frames of each clip, (B,); None when all are.

        Raises:
            DataError: shapes that do not fit, or a clip without a frame.
        """
        if mel.ndim != 3 or mel.shape[-1] != self.n_mels or 0 in mel.shape:
            raise DataError(f"log-mel of shape {tuple(mel.shape)}; give (B, T, {self.n_mels})")
        if lengths is None:
            lengths = mel.new_full((mel.shape[0],), mel.shape[1], dtype=torch.long)
        if lengths.shape != mel.shape[:1] or int(lengths.min()) < 1:
            raise DataError(f"lengths {lengths.tolist()[:5]} for log-mel of shape {tuple(mel.shape)}; give 1 to T each")
        mask = mask_from_lengths(lengths, mel.shape[1])
        x = zero_masked(mel, mask).unsqueeze(1)  # (B, 1, T, M)
        for conv, stride in zip(self.convs, self.time_strides, strict=True):
            lengths = (lengths - 1) // stride + 1
            mask = mask_from_lengths(lengths, strided(x.shape[2], stride))
            x = conv(x, mask)
        x = self.flat(x.permute(0, 2, 1, 3).flatten(2))  # (B, T', D)
        x = zero_masked(x + positions(x), mask)
        for layer in self.layers:
            x = layer(x, mask)
        x = zero_masked(self.norm(x), mask)
        pooled = self._pooled(x, mask, lengths)
        heads = {name: head(x) for name, head in self.frame_heads.items()}
        heads |= {name: head(pooled) for name, head in self.clip_heads.items()}
        if self.merged is not None:
            x = F.pad(x, (0, 0, 0, -x.shape[1] % self.merge)).reshape(len(x), -1, self.merge * self.dim)
            lengths = (lengths + self.merge - 1) // self.merge
            x = zero_masked(self.merged(x), mask_from_lengths(lengths, x.shape[1]))
        if self.summary is not None:
            x, lengths = torch.cat([self.summary(pooled)[:, None], x], dim=1), lengths + 1
        return Encoded(x, lengths, heads)

    def _pooled(self, x: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
        """Give mean and maximum over the valid frames and each head's position, (B, (2 + S) D)."""
        greatest = x.masked_fill(~mask[..., None], float("-inf")).amax(1)
        found = [x.sum(1) / lengths[:, None], greatest]
        if self.seekers is not None:
            weights = self.seekers(x).masked_fill(~mask[..., None], float("-inf")).softmax(1)  # (B, T, S)
            found.append((weights.transpose(1, 2) @ positions(x)).flatten(1))
        return torch.cat(found, dim=-1)


def strided(size: int, stride: int) -> int:
    """Count what a 3-tap convolution with one place of padding on each side leaves of `size` places."""
    return (size - 1) // stride + 1


def positions(x: Tensor) -> Tensor:
    """Give sinusoidal positions for (B, T, D), as (T, D): sines in the first half, cosines in the second."""
    half = x.shape[-1] // 2
    rates = torch.exp(torch.arange(half, device=x.device) * (-math.log(10_000.0) / max(1, half - 1)))
    angles = torch.arange(x.shape[1], device=x.device)[:, None] * rates
    return F.pad(torch.cat([angles.sin(), angles.cos()], dim=-1), (0, x.shape[-1] - 2 * half)).to(x.dtype)
