"""What every quantiser does: vectors in; the code's vector, its index and its losses out; and back from the index."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from auricle.core.errors import ConfigError, DataError


class Quantised(NamedTuple):
    """What a quantiser makes of vectors.

    Attributes:
        latent: (..., D), exactly what `Quantizer.decode` gives for `indices`; its gradient goes to the input as it is.
        indices: (...) int64; of a residual stack (..., stages).
        losses: scalars by name, to be added to the training loss with the weight 1.
    """

    latent: Tensor
    indices: Tensor
    losses: Mapping[str, Tensor]


class Quantizer(nn.Module):
    """Base of the quantisers.

    They work in the precision of their own weights, under autocast too: a distance, a running mean or a level in
    bfloat16 would pick other codes than `decode` knows.

    Attributes:
        dim: width D of the vectors.
        n_codes: number of codes K of a stage.
        stages: indices a vector.
    """

    dim: int
    n_codes: int
    stages: int = 1

    def forward(self, z: Tensor) -> Quantised:
        """Quantise vectors (..., D); the latent has the precision of the quantiser's weights, whatever z has.

        Raises:
            DataError: vectors of another width.
        """
        with plain(z.device):
            return self._quantise(self._checked(self._wide(z)))

    def decode(self, indices: Tensor) -> Tensor:
        """Give the vectors (..., D) of indices (...), or (..., stages) of a stack.

        Raises:
            DataError: an index that is no code's, or another number of stages.
        """
        with plain(indices.device):
            return self._look_up(indices)

    def _quantise(self, z: Tensor) -> Quantised:
        """Quantise vectors (..., D) of the quantiser's own precision."""
        raise NotImplementedError

    def _look_up(self, indices: Tensor) -> Tensor:
        """Give the vectors of indices."""
        raise NotImplementedError

    def _wide(self, z: Tensor) -> Tensor:
        """Bring vectors to the precision of the quantiser's weights, or leave a wider one."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        own = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
        return z.to(torch.promote_types(z.dtype, own))

    def begin_with(self, z: Tensor, centres: bool = False) -> None:
        """Start from the vectors (N, D) that an untrained encoder gives; without a table there is nothing to set.

        A table that lies elsewhere than the vectors uses a handful of its codes, and training takes long to mend that.

        Args:
            z: the vectors.
            centres: begin with their k-means centres.

        Raises:
            DataError: fewer vectors than a table needs.
        """

    def _checked(self, z: Tensor) -> Tensor:
        if z.shape[-1] != self.dim:
            raise DataError(f"vectors are {z.shape[-1]} wide; this quantiser takes {self.dim}")
        return z

    def _known(self, indices: Tensor) -> Tensor:
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < self.n_codes:
            raise DataError(
                f"indices from {int(indices.min())} to {int(indices.max())}; this quantiser has codes 0 to "
                f"{self.n_codes - 1}"
            )
        return indices.long()


def plain(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Give a context without autocast."""
    if not torch.amp.is_autocast_available(device.type):  # such as the meta device
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


class _StraightThrough(torch.autograd.Function):
    """The code's vector forward, bit for bit (z + (q - z) would round); the gradient back to z unchanged."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, code: Tensor) -> Tensor:
        return code.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        return grads[0], None


def straight_through(z: Tensor, code: Tensor) -> Tensor:
    """Give `code` with the gradient of `z` (Bengio et al., 1308.3432).

    Args:
        z: (..., D), gets the gradient.
        code: (..., D), gets none.
    """
    out: Tensor = _StraightThrough.apply(z, code)  # type: ignore[no-untyped-call]
    return out


def check_size(dim: int, n_codes: int) -> None:
    """Refuse a codebook without width or with fewer than two codes.

    Raises:
        ConfigError: `dim` below 1 or `n_codes` below 2.
    """
    if dim < 1 or n_codes < 2:
        raise ConfigError(f"{n_codes} codes of width {dim}; at least 2 of width 1 are needed")
