"""Root-mean-square normalisation, plain and gated. Per frame, so padding and batch mates never matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn.masking import wide


class RMSNorm(nn.Module):
    """Scale each vector to unit root mean square, then by a learned gain.

    Args:
        dim: width D.
        eps: added to the mean square.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis.

        Args:
            x: (..., D).

        Returns:
            (..., D); half precision is promoted to float32.
        """
        x = wide(x)
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


# elements that the gated norm works on at once: few enough to stay in the processor's cache
_BLOCK = 1 << 17


class _GatedNorm(torch.autograd.Function):
    """Gated RMSNorm of x + scale * source over rows, in blocks; the backward pass makes what lies between again."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gate: Tensor, weight: Tensor, source: Tensor | None, scale: Tensor | None,
        gate_first: bool, eps: float,
    ) -> Tensor:  # fmt: skip
        out = torch.empty_like(x)
        roots = x.new_empty(len(x), 1)
        for rows in _blocks(x):
            h, opened = _skipped(x, source, scale, rows), F.silu(gate[rows])
            if gate_first:
                h = h * opened
            root = torch.rsqrt(torch.linalg.vecdot(h, h).unsqueeze(-1) / x.shape[1] + eps)
            made = torch.mul(h * root, weight, out=out[rows])
            if not gate_first:
                made.mul_(opened)
            roots[rows] = root
        ctx.save_for_backward(x, gate, weight, source, scale, roots)
        ctx.gate_first = gate_first
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gate, weight, source, scale, roots = ctx.saved_tensors
        grad = grads[0]
        grad_x, grad_gate, grad_weight = torch.empty_like(x), torch.empty_like(gate), torch.zeros_like(weight)
        grad_source = None if source is None else torch.empty_like(source)
        grad_scale = None if scale is None else torch.empty_like(scale)
        for rows in _blocks(x):
            h, opened, root = _skipped(x, source, scale, rows), F.silu(gate[rows]), roots[rows]
            unit = (h * opened if ctx.gate_first else h) * root
            down = grad[rows]
            if ctx.gate_first:
                grad_weight += torch.linalg.vecdot(down, unit, dim=0)
                back = _unscaled(down * weight, unit, root)
                torch.mul(back, opened, out=grad_x[rows])
                to_gate = back * h
            else:
                inner = down * opened
                grad_weight += torch.linalg.vecdot(inner, unit, dim=0)
                grad_x[rows] = _unscaled(inner.mul_(weight), unit, root)
                to_gate = down * unit * weight
            grad_gate[rows] = torch.ops.aten.silu_backward(to_gate, gate[rows])
            if source is not None and scale is not None and grad_source is not None and grad_scale is not None:
                heads = grad_x[rows].view(-1, *source.shape[1:])
                torch.mul(heads, scale[rows].unsqueeze(-1), out=grad_source[rows])
                grad_scale[rows] = torch.linalg.vecdot(heads, source[rows])
        return grad_x, grad_gate, grad_weight, grad_source, grad_scale, None, None


def _blocks(x: Tensor) -> Iterator[slice]:
    step = max(1, _BLOCK // x.shape[1])
    return (slice(start, start + step) for start in range(0, len(x), step))


def _skipped(x: Tensor, source: Tensor | None, scale: Tensor | None, rows: slice) -> Tensor:
    if source is None or scale is None:
        return x[rows]
    heads = x[rows].view(-1, *source.shape[1:])
    return torch.addcmul(heads, source[rows], scale[rows].unsqueeze(-1)).flatten(1)


def _unscaled(grad: Tensor, unit: Tensor, root: Tensor) -> Tensor:
    """Go back through unit = h * root(h), (R, D); overwrites `grad`."""
    along = torch.linalg.vecdot(grad, unit).unsqueeze(-1) / grad.shape[1]
    return grad.sub_(unit * along).mul_(root)


_gated_norm: Callable[..., Tensor] = _GatedNorm.apply


class GatedRMSNorm(RMSNorm):
    """RMSNorm together with a SiLU gate, in either order.

    `gate_first`: RMSNorm(x * SiLU(gate)), as Mamba2 (Dao and Gu 2024). `norm_first`: RMSNorm(x) * SiLU(gate), as
    Hydra (Hwang et al. 2024) and Gated DeltaNet (Yang et al. 2024).

    Args:
        dim: width D.
        order: what comes first.
        eps: added to the mean square.

    Raises:
        ConfigError: unknown order.
    """

    def __init__(self, dim: int, order: Literal["gate_first", "norm_first"], eps: float = 1e-5) -> None:
        super().__init__(dim, eps)
        if order not in ("gate_first", "norm_first"):
            raise ConfigError(f"gated norm order is 'gate_first' or 'norm_first', got {order!r}")
        self.order = order

    def forward(
        self, x: Tensor, gate: Tensor | None = None, source: Tensor | None = None, scale: Tensor | None = None
    ) -> Tensor:
        """Normalise and gate, after adding what skips a scan.

        Args:
            x: (..., D).
            gate: (..., D) before its SiLU; None normalises only.
            source: (..., H, P) with H P = D, times `scale` added to x; None adds nothing.
            scale: (..., H).

        Returns:
            (..., D).
        """
        if gate is None:
            return super().forward(x)
        x = wide(x)
        given = [t if t is None else wide(t) for t in (source, scale)]
        heads = None if given[0] is None else given[0].reshape(-1, *given[0].shape[-2:])
        scales = None if given[1] is None else given[1].reshape(-1, given[1].shape[-1])
        rows, gates = x.reshape(-1, x.shape[-1]), wide(gate).reshape(-1, x.shape[-1])
        first = self.order == "gate_first"
        return _gated_norm(rows, gates, self.weight.to(x.dtype), heads, scales, first, self.eps).view(x.shape)
