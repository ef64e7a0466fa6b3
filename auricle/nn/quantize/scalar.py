"""Quantisers without a table: each coordinate is rounded on its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn.quantize.quantizer import Quantised, Quantizer, check_size, straight_through

_MARGIN = 1e-3  # keeps the outermost levels inside the bound


def _projections(dim: int, inner: int) -> tuple[nn.Module, nn.Module]:
    """Give the maps to the coordinates that are rounded and back; none where the widths agree."""
    if dim == inner:
        return nn.Identity(), nn.Identity()
    return nn.Linear(dim, inner), nn.Linear(inner, dim)


class FSQ(Quantizer):
    """Finite scalar quantisation (Mentzer et al., 2309.15505): bounded coordinates, each rounded to a few levels."""

    span: Tensor
    offset: Tensor
    basis: Tensor
    sizes: Tensor

    def __init__(self, dim: int, levels: Sequence[int]) -> None:
        """Fix the levels.

        Args:
            dim: width D; other than the number of levels, linear maps lead there and back.
            levels: levels of each coordinate, at least 3 each: of two, one lies where 0 has to be kept.

        Raises:
            ConfigError: a coordinate with fewer than three levels.
        """
        if not levels or min(levels) < 3:
            raise ConfigError(f"levels {tuple(levels)}; each coordinate of FSQ needs at least 3 (with two, use LFQ)")
        super().__init__()
        self.dim, self.n_codes = dim, math.prod(levels)
        check_size(dim, self.n_codes)
        sizes = torch.tensor(levels)
        half = (sizes - 1) * (1 - _MARGIN) / 2
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("span", half, persistent=False)
        self.register_buffer("offset", torch.where(sizes % 2 == 0, 0.5, 0.0), persistent=False)
        steps = [math.prod(levels[:place]) for place in range(len(levels))]
        self.register_buffer("basis", torch.tensor(steps), persistent=False)
        self.inward, self.outward = _projections(dim, len(levels))

    def bound(self, z: Tensor) -> Tensor:
        """Squeeze coordinates (..., levels) into the range that is rounded; smooth, with 0 kept near 0."""
        shift = torch.atanh(self.offset / self.span)
        return torch.tanh(z + shift) * self.span - self.offset

    def _quantise(self, z: Tensor) -> Quantised:
        """Quantise vectors (..., D); there is no loss. The gradient is that of `bound`."""
        bounded = self.bound(self.inward(z))
        rounded = bounded.round().detach()
        digits = rounded.long() + self.sizes // 2
        code = straight_through(bounded, rounded) / (self.sizes // 2)
        return Quantised(self.outward(code), (digits * self.basis).sum(dim=-1), {})

    def _look_up(self, indices: Tensor) -> Tensor:
        """Give (...) -> (..., D)."""
        digits = (self._known(indices)[..., None] // self.basis) % self.sizes
        code: Tensor = self.outward((digits - self.sizes // 2).to(self.span.dtype) / (self.sizes // 2))
        return code


class LFQ(Quantizer):
    """Lookup-free quantisation (Yu et al., 2310.05737): the signs of log2 K coordinates, with an entropy loss.

    Losses: ``commit = beta |z - code|^2``, and ``entropy``, a tenth of the mean entropy of the codes given a vector
    less the entropy of the mean, in nats, with ``p(code | z) ~ exp(-|z - code|^2 / temperature)``.
    """

    signs: Tensor

    def __init__(self, dim: int, n_codes: int, beta: float = 0.25, temperature: float = 0.1) -> None:
        """Fix the number of coordinates.

        Args:
            dim: width D; other than log2 K, linear maps lead there and back.
            n_codes: codes K, a power of two.
            beta: weight of the commitment loss.
            temperature: of the soft assignment in the entropy loss.

        Raises:
            ConfigError: K is no power of two.
        """
        check_size(dim, n_codes)
        bits = n_codes.bit_length() - 1
        if n_codes != 1 << bits:
            raise ConfigError(f"LFQ has 2, 4, 8, ... codes, not {n_codes}")
        super().__init__()
        self.dim, self.n_codes, self.beta, self.temperature = dim, n_codes, beta, temperature
        self.register_buffer("signs", 1 << torch.arange(bits), persistent=False)
        self.inward, self.outward = _projections(dim, bits)

    def _quantise(self, z: Tensor) -> Quantised:
        """Quantise vectors (..., D)."""
        inner = self.inward(z)
        positive = inner > 0
        code = positive.to(inner.dtype) * 2 - 1
        losses = {"commit": self.beta * F.mse_loss(inner, code)}
        if self.training:
            losses["entropy"] = 0.1 * self._entropy(inner.reshape(-1, inner.shape[-1]))
        latent = self.outward(straight_through(inner, code))
        return Quantised(latent, (positive * self.signs).sum(dim=-1), losses)

    def _look_up(self, indices: Tensor) -> Tensor:
        """Give (...) -> (..., D)."""
        bits = (self._known(indices)[..., None] & self.signs) != 0
        dtype = next((weight.dtype for weight in self.outward.parameters()), torch.get_default_dtype())
        code: Tensor = self.outward(bits.to(dtype) * 2 - 1)
        return code

    def _entropy(self, z: Tensor) -> Tensor:
        """Give the entropy loss of (N, bits)."""
        codes = torch.arange(self.n_codes, device=z.device)[:, None] & self.signs
        logits = 2 * (z @ ((codes != 0).to(z.dtype) * 2 - 1).T) / self.temperature  # (N, K); |z|^2 and |code|^2 cancel
        log_p = logits.log_softmax(dim=1)
        each = -(log_p.exp() * log_p).sum(dim=1).mean()
        mean = log_p.exp().mean(dim=0)
        return each + (mean * mean.clamp_min(1e-12).log()).sum()
