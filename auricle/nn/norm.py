"""Root-mean-square normalisation, plain and gated. Per frame, so padding and batch mates never matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn import native
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
# rows whose part of the weight's gradient is summed by one thread of the loops in C
_NORM_ROWS = 32


class _GatedNorm(torch.autograd.Function):
    """Gated RMSNorm over rows, in blocks; the backward pass makes what lies between again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, weight: Tensor, gate_first: bool, eps: float) -> Tensor:
        out = torch.empty_like(x)
        roots = x.new_empty(len(x), 1)
        ctx.gate_first, ctx.native = gate_first, native.usable(x, gate, weight)
        if ctx.native:
            x, gate, weight = x.contiguous(), gate.contiguous(), weight.contiguous()
            native.call("gated_norm_forward", out, roots, x, gate, weight, *x.shape, gate_first, eps)
            ctx.save_for_backward(x, gate, weight, roots)
            return out
        for rows in _blocks(x):
            h, opened = x[rows], F.silu(gate[rows])
            if gate_first:
                h = h * opened
            root = torch.rsqrt(torch.linalg.vecdot(h, h).unsqueeze(-1) / x.shape[1] + eps)
            made = torch.mul(h * root, weight, out=out[rows])
            if not gate_first:
                made.mul_(opened)
            roots[rows] = root
        ctx.save_for_backward(x, gate, weight, roots)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gate, weight, roots = ctx.saved_tensors
        grad = grads[0]
        grad_x, grad_gate, grad_weight = torch.empty_like(x), torch.empty_like(gate), torch.zeros_like(weight)
        if ctx.native:
            parts = x.new_empty(-(-len(x) // _NORM_ROWS), x.shape[1])
            given = (grad_x, grad_gate, parts, grad.contiguous(), roots, x, gate, weight)
            native.call("gated_norm_backward", *given, *x.shape, _NORM_ROWS, ctx.gate_first)
            return grad_x, grad_gate, parts.sum(0), None, None
        for rows in _blocks(x):
            h, opened, root = x[rows], F.silu(gate[rows]), roots[rows]
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
        return grad_x, grad_gate, grad_weight, None, None


def _blocks(x: Tensor) -> Iterator[slice]:
    step = max(1, _BLOCK // x.shape[1])
    return (slice(start, start + step) for start in range(0, len(x), step))


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

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Normalise and gate.

        Args:
            x: (..., D).
            gate: (..., D) before its SiLU; None normalises only.

        Returns:
            (..., D).
        """
        if gate is None:
            return super().forward(x)
        x = wide(x)
        rows, gates = x.reshape(-1, x.shape[-1]), wide(gate).reshape(-1, x.shape[-1])
        return _gated_norm(rows, gates, self.weight.to(x.dtype), self.order == "gate_first", self.eps).view(x.shape)
