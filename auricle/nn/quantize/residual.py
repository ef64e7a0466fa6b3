"""Residual quantisation: each stage codes what the stages before it left over."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from auricle.core.errors import ConfigError, DataError
from auricle.nn.quantize.quantizer import Quantised, Quantizer, straight_through


class ResidualVQ(Quantizer):
    """A stack of quantisers of one width and size (SoundStream, 2107.03312, algorithm 1)."""

    def __init__(self, quantizers: Sequence[Quantizer]) -> None:
        """Take the stages.

        Args:
            quantizers: at least one, alike in `dim` and `n_codes`.

        Raises:
            ConfigError: none, or stages that differ.
        """
        if not quantizers or len({(one.dim, one.n_codes) for one in quantizers}) > 1:
            raise ConfigError("a residual stack needs at least one stage, all of one width and number of codes")
        super().__init__()
        self.quantizers = nn.ModuleList(quantizers)
        self.dim, self.n_codes, self.stages = quantizers[0].dim, quantizers[0].n_codes, len(quantizers)

    def _quantise(self, z: Tensor) -> Quantised:
        """Quantise vectors (..., D) to indices (..., stages); losses are the stages' means."""
        total = torch.zeros_like(z)
        indices, losses = [], dict[str, Tensor]()
        for quantizer in self.quantizers:
            found = quantizer(z - total.detach())
            # the gradient of a stage's own weights (its maps) passes; that to z comes once, from the sum
            total = total + found.latent
            indices.append(found.indices)
            for name, value in found.losses.items():
                losses[name] = losses.get(name, z.new_zeros(())) + value / self.stages
        return Quantised(straight_through(z, total.detach()), torch.stack(indices, dim=-1), losses)

    @torch.no_grad()
    def begin_with(self, z: Tensor, centres: bool = False) -> None:
        """Begin each stage with what the stages before it leave over of z (N, D)."""
        left = self._wide(z)
        for quantizer in self.quantizers:
            quantizer.begin_with(left, centres)  # type: ignore[operator]
            left = left - quantizer(left).latent

    def _look_up(self, indices: Tensor) -> Tensor:
        """Give (..., stages) -> (..., D)."""
        if indices.shape[-1:] != (self.stages,):
            raise DataError(f"indices of shape {tuple(indices.shape)}; the last axis must hold {self.stages} stages")
        parts = [one.decode(found) for one, found in zip(self.quantizers, indices.unbind(-1), strict=True)]  # type: ignore[operator]
        total = torch.zeros_like(parts[0])
        for part in parts:  # one at a time, in the order of `forward`, so that the sum is the same to the bit
            total = total + part
        return total
