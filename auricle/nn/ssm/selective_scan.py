"""Selective scan with a diagonal state matrix, the core of Mamba (Gu and Dao 2023, arXiv 2312.00752, algorithm 2).

h_t[e,n] = exp(delta_t[e] A[e,n]) h_{t-1}[e,n] + delta_t[e] B_t[n] x_t[e];  y_t[e] = sum_n C_t[n] h_t[e,n].

Shapes: x, delta (B, T, E); A (E, N); b, c (B, T, N); y (B, T, E). `delta` zero leaves the state as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from auricle.nn import native
from auricle.nn.ssm import gpu


def selective_scan_recurrent(x: Tensor, delta: Tensor, A: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Frame by frame, as the recurrence is written.

    Args:
        x: inputs (B, T, E).
        delta: time steps (B, T, E), at least 0.
        A: state matrix (E, N), negative.
        b: input vectors (B, T, N).
        c: output vectors (B, T, N).

    Returns:
        (B, T, E).
    """
    decay = torch.exp(delta.unsqueeze(-1) * A)  # (B, T, E, N)
    drive = (delta * x).unsqueeze(-1) * b.unsqueeze(-2)
    state = torch.zeros_like(drive[:, 0])
    outputs = []
    # Unbound first: indexing inside the loop would make autograd fill a full gradient at every step.
    for a_t, d_t, c_t in zip(decay.unbind(1), drive.unbind(1), c.unbind(1), strict=True):
        state = a_t * state + d_t
        outputs.append((state @ c_t.unsqueeze(-1)).squeeze(-1))
    return torch.stack(outputs, dim=1)


def _scan_forward(decay: Tensor, state: Tensor) -> None:
    """Turn drives into states in place: state_t += decay_t state_{t-1}, along axis 1 (a power of two long).

    Up- and down-sweep of a work-efficient prefix scan (Blelloch 1990). Overwrites `decay`. Only products of decays are
    formed, never quotients, so nothing can overflow.
    """
    size, step = state.shape[1], 1
    while step < size:
        target, source = slice(2 * step - 1, None, 2 * step), slice(step - 1, None, 2 * step)
        state[:, target].addcmul_(decay[:, target], state[:, source])
        decay[:, target].mul_(decay[:, source])
        step *= 2
    step //= 4
    while step >= 1:
        target, source = slice(3 * step - 1, None, 2 * step), slice(2 * step - 1, size - step, 2 * step)
        state[:, target].addcmul_(decay[:, target], state[:, source])
        step //= 2


def _scan_backward(decay: Tensor, state: Tensor) -> None:
    """Mirror of `_scan_forward`: state_t += decay_t state_{t+1}, in place."""
    size, step = state.shape[1], 1
    while step < size:
        target, source = slice(0, None, 2 * step), slice(step, None, 2 * step)
        state[:, target].addcmul_(decay[:, target], state[:, source])
        decay[:, target].mul_(decay[:, source])
        step *= 2
    step //= 4
    while step >= 1:
        target, source = slice(step, size - step, 2 * step), slice(2 * step, None, 2 * step)
        state[:, target].addcmul_(decay[:, target], state[:, source])
        step //= 2


def _chunk_decay(delta: Tensor, A: Tensor) -> Tensor:
    return delta.unsqueeze(-1).mul(A).exp_()  # (B, Q, E, N)


def _chunk_drive(x: Tensor, delta: Tensor, b: Tensor) -> Tensor:
    return (delta * x).unsqueeze(-1) * b.unsqueeze(-2)  # (B, Q, E, N)


def _chunk_states(decay: Tensor, drive: Tensor, carry: Tensor) -> None:
    """Turn the drives of a chunk into its states, in place; overwrites `decay` too."""
    drive[:, 0].addcmul_(decay[:, 0], carry)
    _scan_forward(decay, drive)


class _ChunkedScan(torch.autograd.Function):
    """Chunk by chunk with only the states between chunks kept; the backward pass recomputes the inside of a chunk."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: Tensor, A: Tensor, b: Tensor, c: Tensor, chunk: int) -> Tensor:
        ctx.native = _fits(x, A) and native.usable(x, delta, A, b, c)
        if ctx.native:
            return _native_forward(ctx, *(t.contiguous() for t in (x, delta, A.t(), b, c)))
        batch, frames, inner = x.shape
        carry = x.new_zeros(batch, inner, A.shape[1])
        carries, out = [], torch.empty_like(x)
        for start in range(0, frames, chunk):
            span = slice(start, start + chunk)
            carries.append(carry)
            states = _chunk_drive(x[:, span], delta[:, span], b[:, span])
            _chunk_states(_chunk_decay(delta[:, span], A), states, carry)
            out[:, span] = (states @ c[:, span].unsqueeze(-1)).squeeze(-1)
            carry = states[:, -1].clone()
        ctx.save_for_backward(x, delta, A, b, c, torch.stack(carries))
        ctx.chunk = chunk
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.native:
            return _native_backward(ctx, grads[0].contiguous())
        x, delta, A, b, c, carries = ctx.saved_tensors
        grad, chunk = grads[0].contiguous(), ctx.chunk
        grad_x, grad_delta = torch.empty_like(x), torch.empty_like(delta)
        grad_b, grad_c, grad_A = torch.empty_like(b), torch.empty_like(c), torch.zeros_like(A)
        future = torch.zeros_like(carries[0])  # gradient that later chunks send to this chunk's last state
        for index in reversed(range(carries.shape[0])):
            span = slice(index * chunk, (index + 1) * chunk)
            x_q, delta_q, grad_q = x[:, span], delta[:, span], grad[:, span]
            decay, drive = _chunk_decay(delta_q, A), _chunk_drive(x_q, delta_q, b[:, span])
            states = drive.clone()
            _chunk_states(decay.clone(), states, carries[index])
            adjoint = grad_q.unsqueeze(-1) * c[:, span].unsqueeze(-2)  # (B, Q, E, N)
            adjoint[:, -1].add_(future)
            first = decay[:, 0].clone()
            # The adjoint of frame t is decayed by the step to t + 1.
            ahead = torch.empty_like(decay)
            ahead[:, :-1], ahead[:, -1] = decay[:, 1:], 0.0
            _scan_backward(ahead, adjoint)
            future = first * adjoint[:, 0]
            grad_c[:, span] = (grad_q.unsqueeze(-2) @ states).squeeze(-2)
            grad_b[:, span] = ((delta_q * x_q).unsqueeze(-2) @ adjoint).squeeze(-2)
            pull = (adjoint @ b[:, span].unsqueeze(-1)).squeeze(-1)  # (B, Q, E)
            grad_x[:, span] = pull * delta_q
            # d exp(delta A) / d(delta A) times the previous state is the state less its drive.
            exponent = states.sub_(drive).mul_(adjoint)
            grad_A += torch.einsum("bqen,bqe->en", exponent, delta_q)
            grad_delta[:, span] = pull * x_q + torch.einsum("bqen,en->bqe", exponent, A)
        return grad_x, grad_delta, grad_A, grad_b, grad_c, None


# of the loops in C: frames between the states that are kept, the most states, and parts of the channels
_SPAN, _MOST, _PARTS = 16, 64, 2


def _fits(x: Tensor, A: Tensor) -> bool:
    return x.shape[2] % 16 == 0 and A.shape[1] <= _MOST


def _native_forward(ctx: Any, x: Tensor, delta: Tensor, A: Tensor, b: Tensor, c: Tensor) -> Tensor:
    y, states = torch.empty_like(x), A.shape[0]
    kept = x.new_empty(x.shape[0], -(-x.shape[1] // _SPAN), *A.shape)
    native.call("selective_scan_forward", y, kept, x, delta, A, b, c, *x.shape, states)
    ctx.save_for_backward(x, delta, A, b, c, kept)
    return y


def _native_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, delta, A, b, c, kept = ctx.saved_tensors
    grad_x, grad_delta = torch.empty_like(x), torch.empty_like(delta)
    parts = min(_PARTS, x.shape[2] // 16)
    of_A = A.new_empty(len(x), *A.shape)
    of_b, of_c = b.new_empty(parts, *b.shape), c.new_empty(parts, *c.shape)
    given = (grad_x, grad_delta, of_A, of_b, of_c, grad, kept, x, delta, A, b, c)
    native.call("selective_scan_backward", *given, *x.shape, A.shape[0], parts)
    return grad_x, grad_delta, of_A.sum(0).t(), of_b.sum(0), of_c.sum(0), None


_chunked_scan: Callable[..., Tensor] = _ChunkedScan.apply


def selective_scan_chunked(x: Tensor, delta: Tensor, A: Tensor, b: Tensor, c: Tensor, chunk: int = 16) -> Tensor:
    """Parallel prefix scan inside chunks, a loop over chunks, no loop over frames. Memory grows with the chunk only.

    The loops in C, where they run, go frame by frame instead, with the states of sixteen channels in the processor's
    registers.

    Args:
        x: inputs (B, T, E).
        delta: time steps (B, T, E), at least 0.
        A: state matrix (E, N), negative.
        b: input vectors (B, T, N).
        c: output vectors (B, T, N).
        chunk: frames per chunk, a power of two.

    Returns:
        (B, T, E).
    """
    y = gpu.selective_scan(x, delta, A, b, c)
    if y is not None:
        return y
    frames = x.shape[1]
    chunk = min(chunk, 1 << (frames - 1).bit_length())
    short = -frames % chunk
    if short and not (_fits(x, A) and native.usable(x, delta, A, b, c)):  # a zero time step changes no state
        x, delta, b, c = (F.pad(t, (0, 0, 0, short)) for t in (x, delta, b, c))
    return _chunked_scan(x, delta, A, b, c, chunk)[:, :frames]
