"""ECAPA-TDNN (Desplanques et al. 2020, arXiv 2005.07143) in the sizes and conventions of SpeechBrain's recipe.

Convolutions fill in by reflection at a clip's own end and every mean over time knows the clip's length, so neither
padding nor batch mates change an embedding. In training, batch normalisation does count padded frames: train on crops
of one length, as the recipe does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.audio.filterbank import hz_to_mel, mel_to_hz
from auricle.audio.spectral import Spectrum
from auricle.core.errors import ConfigError, DataError
from auricle.nn.masking import mask_from_lengths

VARIANCE_FLOOR = 1e-12
TOP_DB = 80.0
POWER_FLOOR = 1e-10


@dataclass(frozen=True)
class EcapaSizes:
    """Sizes of an ECAPA-TDNN; the defaults are those of the published VoxCeleb model.

    Attributes:
        n_mels: bands of the input.
        channels: width C of the first layer and of the blocks, a multiple of `scale`.
        blocks: number of SE-Res2 blocks; block i (from 1) has dilation i + 1.
        aggregate: width A after the blocks' outputs are joined.
        scale: groups of channels in a Res2 layer.
        squeeze: inner width of squeeze and excitation.
        attention: inner width of the attentive pooling.
        dim: width D of an embedding.
    """

    n_mels: int = 80
    channels: int = 1024
    blocks: int = 3
    aggregate: int = 3072
    scale: int = 8
    squeeze: int = 128
    attention: int = 128
    dim: int = 192

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be built.

        Raises:
            ConfigError: naming the size.
        """
        for name, value in vars(self).items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"ECAPA size {name} is {value!r}; it must be a whole number of at least 1")
        if self.scale < 2 or self.channels % self.scale:
            raise ConfigError(
                f"ECAPA channels {self.channels} and scale {self.scale}: channels must be a multiple of scale, and "
                "scale at least 2"
            )

    @property
    def least_frames(self) -> int:
        """Frames that a clip needs, so that there is something to reflect."""
        return max(2, self.blocks + 1) + 1


class ReflectConv(nn.Conv1d):
    """A convolution over time that reflects each clip at its own first and last frame; the length stays."""

    def __init__(self, channels: int, width: int, taps: int, dilation: int = 1) -> None:
        super().__init__(channels, width, taps, dilation=dilation)
        self.reach = dilation * (taps - 1) // 2

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:  # type: ignore[override]
        """Filter.

        Args:
            x: (B, C, T).
            ends: valid frames of each clip, (B,), more than `reach`.

        Returns:
            (B, width, T).
        """
        if self.reach == 0:
            return super().forward(x)
        steps = torch.arange(self.reach, device=x.device)
        mirror = (ends[:, None] - 2 - steps)[:, None].expand(-1, x.shape[1], -1)
        beyond = (ends[:, None] + self.reach + steps)[:, None].expand_as(mirror)
        left = x[:, :, 1 : self.reach + 1].flip(2)
        padded = F.pad(torch.cat([left, x], dim=2), (0, self.reach))
        return super().forward(padded.scatter(2, beyond, x.gather(2, mirror)))


class Tdnn(nn.Module):
    """Convolution, ReLU, batch normalisation, in this order."""

    def __init__(self, channels: int, width: int, taps: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = ReflectConv(channels, width, taps, dilation)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:
        """(B, C, T) -> (B, width, T)."""
        made: Tensor = self.norm(F.relu(self.conv(x, ends)))
        return made


class Squeeze(nn.Module):
    """Squeeze and excitation: scale each channel by a gate that sees the channels' means over time."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.down = nn.Conv1d(channels, hidden, 1)
        self.up = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor, share: Tensor) -> Tensor:
        """Scale (B, C, T); `share` (B, 1, T) holds 1 / length at valid frames and 0 elsewhere."""
        mean = (x * share).sum(2, keepdim=True)
        return x * torch.sigmoid(self.up(F.relu(self.down(mean))))


class SERes2Block(nn.Module):
    """1x1 TDNN, Res2 layer of dilated TDNNs, 1x1 TDNN, squeeze and excitation, residual sum."""

    def __init__(self, channels: int, scale: int, squeeze: int, dilation: int) -> None:
        super().__init__()
        self.enter = Tdnn(channels, channels)
        self.branches = nn.ModuleList(Tdnn(channels // scale, channels // scale, 3, dilation) for _ in range(scale - 1))
        self.leave = Tdnn(channels, channels)
        self.squeeze = Squeeze(channels, squeeze)

    def forward(self, x: Tensor, ends: Tensor, share: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        first, *groups = self.enter(x, ends).chunk(len(self.branches) + 1, dim=1)
        made = [first]
        for branch, group in zip(self.branches, groups, strict=True):
            # the first group passes as it is and is not added to the second
            made.append(branch(group if len(made) == 1 else group + made[-1], ends))
        scaled: Tensor = self.squeeze(self.leave(torch.cat(made, dim=1), ends), share)
        return scaled + x


class AttentivePooling(nn.Module):
    """Attentive statistics with global context: weights per channel and frame, then mean and deviation."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.hidden = Tdnn(3 * channels, hidden)
        self.score = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor, mask: Tensor, share: Tensor) -> Tensor:
        """(B, C, T) with mask and share (B, 1, T) -> (B, 2 C)."""
        around = torch.cat(_moments(x, share), dim=1)[:, :, None]
        conv = self.hidden.conv
        # the context is the same at every frame: its part of the product is taken once, not T times
        seen = F.conv1d(x, conv.weight[:, : x.shape[1]], conv.bias) + F.conv1d(around, conv.weight[:, x.shape[1] :])
        scores = self.score(torch.tanh(self.hidden.norm(F.relu(seen))))
        weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), dim=2)
        return torch.cat(_moments(x, weights), dim=1)


def _moments(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and deviation over time, (B, C) each; weights sum to one."""
    mean = (weights * x).sum(2)
    variance = (weights * (x - mean[:, :, None]).square()).sum(2)
    return mean, variance.clamp_min(VARIANCE_FLOOR).sqrt()


class EcapaTdnn(nn.Module):
    """Features to speaker embeddings.

    Args:
        sizes: see `EcapaSizes`.
    """

    def __init__(self, sizes: EcapaSizes | None = None) -> None:
        super().__init__()
        self.sizes = s = sizes or EcapaSizes()
        self.stem = Tdnn(s.n_mels, s.channels, 5)
        self.layers = nn.ModuleList(SERes2Block(s.channels, s.scale, s.squeeze, i + 2) for i in range(s.blocks))
        self.aggregate = Tdnn(s.blocks * s.channels, s.aggregate)
        self.pool = AttentivePooling(s.aggregate, s.attention)
        self.pool_norm = nn.BatchNorm1d(2 * s.aggregate)
        self.embed = nn.Conv1d(2 * s.aggregate, s.dim, 1)

    def forward(self, features: Tensor, frames: Tensor | None = None) -> Tensor:
        """Embed clips.

        Args:
            features: (B, T, n_mels), as `EcapaFbank` makes them.
            frames: valid frames of each clip, (B,); all by default.

        Returns:
            (B, D), of any length.

        Raises:
            DataError: features of another shape, or a clip of fewer frames than `EcapaSizes.least_frames`.
        """
        if features.ndim != 3 or features.shape[2] != self.sizes.n_mels:
            raise DataError(f"ECAPA takes features (B, T, {self.sizes.n_mels}), got {tuple(features.shape)}")
        batch, time, _ = features.shape
        ends = torch.full((batch,), time) if frames is None else frames
        ends = ends.to(features.device)
        mask = mask_from_lengths(ends, time)[:, None]
        if int(ends.min()) < self.sizes.least_frames:
            raise DataError(f"a clip of {int(ends.min())} frames; ECAPA needs {self.sizes.least_frames}")
        share = mask / ends[:, None, None]
        # what padded frames hold does not matter, but NaN times 0 would
        x = self.stem(torch.where(mask, features.transpose(1, 2), 0.0), ends)
        outputs = []
        for layer in self.layers:
            x = layer(x, ends, share)
            outputs.append(x)
        x = self.aggregate(torch.cat(outputs, dim=1), ends)
        pooled = self.pool_norm(self.pool(x, mask, share))
        made: Tensor = self.embed(pooled[:, :, None])[:, :, 0]
        return made


class EcapaFbank(Spectrum):
    """The log-mel front end of SpeechBrain's recipe, (B, T) -> (B, frames, n_mels).

    25 / 10 ms Hamming frames, n_fft 400, power; triangles of height 1, equally spaced on the HTK mel scale, as wide to
    the right as to the left; 10 log10, not below 1e-10 nor 80 dB under the clip's maximum; the clip's mean taken away.
    """

    filters: Tensor

    def __init__(self, n_mels: int = 80, rate_hz: int = 16_000) -> None:
        """Fix frames and filters.

        Args:
            n_mels: number of bands.
            rate_hz: sampling rate in Hz.
        """
        win = round(0.025 * rate_hz)
        super().__init__(win, round(0.01 * rate_hz), win, "hamming", 2.0, center=True)
        top = float(hz_to_mel(rate_hz / 2, "htk"))
        edges = torch.from_numpy(mel_to_hz(torch.linspace(0, top, n_mels + 2, dtype=torch.float64).numpy(), "htk"))
        bins = torch.linspace(0, rate_hz // 2, win // 2 + 1, dtype=torch.float64)
        slope = (bins - edges[1:-1, None]) / edges.diff()[:-1, None]
        bank = (1 - slope.abs()).clamp_min(0).float()  # (n_mels, bins)
        self.register_buffer("filters", self._keep(bank), persistent=False)

    def features(self, wave: Tensor, lengths: Tensor | None) -> Tensor:
        """Compute the features of a checked batch."""
        level = 10 * (super().features(wave, lengths) @ self.filters).clamp_min(POWER_FLOOR).log10()
        whole = torch.full((len(wave),), wave.shape[1], device=wave.device) if lengths is None else lengths
        frames = self.frames(whole)
        valid = (torch.arange(level.shape[1], device=wave.device) < torch.as_tensor(frames)[:, None])[..., None]
        top = level.masked_fill(~valid, -torch.inf).amax((1, 2), keepdim=True)
        level = torch.maximum(level, top - TOP_DB)
        mean = torch.where(valid, level, 0.0).sum(1, keepdim=True) / valid.sum(1, keepdim=True)
        return level - mean
