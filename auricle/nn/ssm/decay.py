"""Decay between pairs of frames, kept accurate where the cumulative sum is large; and whole chunks of frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def log_decay_sum(log_decay: Tensor) -> Tensor:
    """Cumulative log decay along the last axis, in float64.

    A difference of two large float32 sums would lose the digits that matter next to the diagonal; the tensor is small,
    so doubles cost nothing.

    Args:
        log_decay: (..., T), at most 0.

    Returns:
        (..., T) float64.
    """
    return torch.cumsum(log_decay, dim=-1, dtype=torch.float64)


def filled(x: Tensor, chunk: int) -> Tensor:
    """Add frames of zeros until there are whole chunks, (B, T, ...); zero time steps change no state."""
    short = -x.shape[1] % chunk
    return F.pad(x, (0, 0) * (x.dim() - 2) + (0, short)) if short else x


class _DecayMatrix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_decay: Tensor) -> Tensor:
        total = log_decay_sum(log_decay)
        out = (total.unsqueeze(-1) - total.unsqueeze(-2)).to(log_decay.dtype)
        # The upper triangle would be exp of positive numbers, so it is held at 0 before exp and cut after. The lower
        # limit is far below what counts; exp of minus infinity is several times slower than exp of a number.
        out.clamp_(-80.0, 0.0).exp_().tril_()
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (out,) = ctx.saved_tensors
        weighted = grads[0] * out
        # d out_ij / d log_decay_k = out_ij for j < k <= i: what rows i >= k give, less what columns j >= k take.
        change = weighted.sum(-1).double() - weighted.sum(-2).double()
        grad: Tensor = change.flip(-1).cumsum(-1).flip(-1).to(out.dtype)
        return grad


_decay_matrix: Callable[..., Tensor] = _DecayMatrix.apply


def decay_matrix(log_decay: Tensor) -> Tensor:
    """Lower triangular matrix of decays between frames.

    Args:
        log_decay: (..., T), log of the decay applied at each frame, at most 0.

    Returns:
        (..., T, T) with entry ij = exp(sum of log_decay over j+1..i) for i >= j, else 0.
    """
    return _decay_matrix(log_decay)
