"""Gated delta rule, the core of Gated DeltaNet (Yang, Kautz and Hatamizadeh 2024, arXiv 2412.06464).

S_t = alpha_t S_{t-1} (I - beta_t k_t k_t^T) + beta_t v_t k_t^T;  o_t = S_t q_t, per head.

Shapes: q, k (B, T, H, K), already normalised and scaled; v (B, T, H, V); beta, log_alpha (B, T, H), log_alpha at most
0; o (B, T, H, V). beta and log_alpha of zero leave the state as it is. The state is stored K x V.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from auricle.nn import native
from auricle.nn.ssm import gpu
from auricle.nn.ssm.decay import decay_matrix, filled, log_decay_sum


def delta_rule_recurrent(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_alpha: Tensor) -> Tensor:
    """Frame by frame: decay the state, read what the key holds, write the correction.

    Args:
        q: queries (B, T, H, K).
        k: keys of unit length (B, T, H, K).
        v: values (B, T, H, V).
        beta: writing strength (B, T, H) in [0, 1].
        log_alpha: log decay (B, T, H), at most 0.

    Returns:
        (B, T, H, V).
    """
    batch, _, heads, keys = k.shape
    state = v.new_zeros(batch, heads, keys, v.shape[-1])
    outputs = []
    steps = zip(q.unbind(1), k.unbind(1), v.unbind(1), beta.unbind(1), log_alpha.exp().unbind(1), strict=True)
    for q_t, k_t, v_t, beta_t, alpha_t in steps:
        state = alpha_t[..., None, None] * state
        held = (k_t.unsqueeze(-2) @ state).squeeze(-2)  # (B, H, V)
        state = state + k_t.unsqueeze(-1) * (beta_t.unsqueeze(-1) * (v_t - held)).unsqueeze(-2)
        outputs.append((q_t.unsqueeze(-2) @ state).squeeze(-2))
    return torch.stack(outputs, dim=1)


class _Chunks(NamedTuple):
    """What the chunks of all clips and heads hold, one after the other: (M, Q, ...), M = B H chunks.

    Attributes:
        decay: L_ij, decay from frame j to frame i of a chunk (M, Q, Q), zero above the diagonal.
        gram: k_i . k_j, (M, Q, Q).
        overlap: beta_i L_ij k_i . k_j; only what lies below the diagonal counts.
        inside: L_ij q_i . k_j, (M, Q, Q).
        from_start: decay from a chunk's beginning to the frame, (M, Q, 1).
        to_end: decay from the frame to the chunk's end, (M, Q, 1).
        through: decay of the chunk, (M, 1, 1).
    """

    decay: Tensor
    gram: Tensor
    overlap: Tensor
    inside: Tensor
    from_start: Tensor
    to_end: Tensor
    through: Tensor


def _chunks(q: Tensor, k: Tensor, beta: Tensor, log_alpha: Tensor) -> _Chunks:
    decay = decay_matrix(log_alpha)
    total = log_decay_sum(log_alpha)
    k_t = k.transpose(1, 2)
    gram = k @ k_t
    inside = (q @ k_t).mul_(decay)
    from_start, to_end = total.exp().to(q.dtype), (total[:, -1:] - total).exp().to(q.dtype)
    overlap = (decay * gram).mul_(beta)
    return _Chunks(
        decay, gram, overlap, inside, from_start.unsqueeze(-1), to_end.unsqueeze(-1), from_start[:, -1:].unsqueeze(-1)
    )


class _Layout(NamedTuple):
    """Turns (B, T, H, ...) into chunks of one head after the other, and back."""

    batch: int
    frames: int
    heads: int
    chunk: int

    @property
    def chunks(self) -> int:
        return -(-self.frames // self.chunk)

    def rows(self, x: Tensor) -> Tensor:
        """(B, T, H, ...) -> (B H chunks, Q, ...), with frames of zeros to fill the last chunk."""
        by_head = filled(x, self.chunk).transpose(1, 2)
        return by_head.reshape(self.batch * self.heads * self.chunks, self.chunk, *x.shape[3:]).contiguous()

    def frames_of(self, x: Tensor) -> Tensor:
        """Undo `rows`."""
        by_head = x.reshape(self.batch, self.heads, -1, *x.shape[2:])
        return by_head.transpose(1, 2)[:, : self.frames].contiguous()


class _DeltaRule(torch.autograd.Function):
    """WY form with a backward pass by hand: what lies inside the chunks is made again, the states are kept."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_alpha: Tensor, chunk: int) -> Tensor:
        layout = _Layout(beta.shape[0], beta.shape[1], beta.shape[2], chunk)
        # q, k (M, Q, K), v (M, Q, V), beta (M, Q, 1), log_alpha (M, Q); the chunks of a clip and head lie in a row
        q, k, v, beta, log_alpha = (layout.rows(t) for t in (q, k, v, beta.unsqueeze(-1), log_alpha))
        chunks = layout.chunks
        made = _chunks(q, k, beta, log_alpha)
        values = v.shape[-1]
        right = torch.cat([v * beta, k * (beta * made.from_start)], dim=-1)
        solved: Tensor = torch.linalg.solve_triangular(made.overlap, right, upper=False, unitriangular=True)
        fresh = solved[..., :values].contiguous()  # becomes the corrected values
        states = v.new_zeros(len(q), k.shape[-1], values)  # what each chunk finds
        if chunks > 1:
            keys = (k * made.to_end).transpose(1, 2)
            parts = [_by_chunk(t, chunks) for t in (fresh, states, solved[..., values:], keys, made.through)]
            for c in range(chunks):
                fresh_c, state_c, read_c, key_c, through_c = (part[:, c] for part in parts)
                fresh_c.baddbmm_(read_c, state_c, alpha=-1)
                if c + 1 < chunks:
                    parts[1][:, c + 1] = torch.baddbmm(state_c * through_c, key_c, fresh_c)
        out: Tensor = made.inside @ fresh
        if chunks > 1:
            out.baddbmm_(q * made.from_start, states)
        ctx.save_for_backward(q, k, v, beta, log_alpha, solved, fresh, states)
        ctx.layout = layout
        return layout.frames_of(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, beta, log_alpha, solved, fresh, states = ctx.saved_tensors
        layout: _Layout = ctx.layout
        grad, chunks, values = layout.rows(grads[0]), layout.chunks, v.shape[-1]
        made = _chunks(q, k, beta, log_alpha)
        d_fresh = made.inside.transpose(1, 2) @ grad
        d_q, d_k = torch.zeros_like(q), torch.zeros_like(k)
        d_solved = torch.zeros_like(solved)
        d_total = made.from_start.new_zeros(len(q), q.shape[1], dtype=torch.float64)  # of the cumulative log decay
        if chunks > 1:
            started, ended = q * made.from_start, k * made.to_end
            d_states = started.transpose(1, 2) @ grad  # of what a chunk finds; turns into that of what it leaves
            reads = solved[..., values:]
            parts = [_by_chunk(t, chunks) for t in (d_fresh, d_states, reads, ended, made.through)]
            ahead = torch.zeros_like(parts[1][:, 0])
            for c in reversed(range(chunks)):
                d_fresh_c, d_state_c, read_c, end_c, through_c = (part[:, c] for part in parts)
                d_fresh_c.baddbmm_(end_c, ahead)
                found = torch.baddbmm(d_state_c, read_c.transpose(1, 2), d_fresh_c, alpha=-1).addcmul_(ahead, through_c)
                d_state_c.copy_(ahead)
                ahead = found
            d_solved[..., values:].baddbmm_(d_fresh, states.transpose(1, 2), alpha=-1)
            d_started, d_ended = grad @ states.transpose(1, 2), fresh @ d_states.transpose(1, 2)
            d_total += _dots(started, d_started) - _dots(ended, d_ended)
            kept = torch.einsum("mkv,mkv->m", d_states, states) * made.through.flatten()
            d_total[:, -1] += kept + _dots(ended, d_ended).sum(-1)
            d_q.addcmul_(d_started, made.from_start)
            d_k.addcmul_(d_ended, made.to_end)
        d_inside = (grad @ fresh.transpose(1, 2)).mul_(made.decay)
        d_q.baddbmm_(d_inside, k)
        d_k.baddbmm_(d_inside.transpose(1, 2), q)
        d_solved[..., :values] = d_fresh
        d_right = torch.linalg.solve_triangular(made.overlap.transpose(1, 2), d_solved, upper=True, unitriangular=True)
        d_overlap = (d_right @ solved.transpose(1, 2)).neg_().mul_(made.decay).tril_(-1)
        d_write, d_read = d_right[..., :values], d_right[..., values:]
        d_v = d_write * beta
        read_keys = _dots(d_read, k).unsqueeze(-1)
        d_beta = (
            _dots(d_write, v).unsqueeze(-1) + read_keys * made.from_start + _dots(d_overlap, made.gram).unsqueeze(-1)
        )
        d_k.addcmul_(d_read, beta * made.from_start)
        d_gram = d_overlap * beta
        d_k.baddbmm_(d_gram, k).baddbmm_(d_gram.transpose(1, 2), k)
        # entry ij of both matrices is proportional to exp(total_i - total_j)
        entries = d_gram.mul_(made.gram)
        entries += d_inside.mul_(q @ k.transpose(1, 2))
        d_total += entries.sum(-1).double() - entries.sum(-2).double()
        d_total += (read_keys * beta * made.from_start).squeeze(-1)
        d_log_alpha = d_total.flip(1).cumsum(1).flip(1).to(log_alpha.dtype)
        given = (d_q, d_k, d_v, d_beta.squeeze(-1), d_log_alpha)
        return *(layout.frames_of(t) for t in given), None


def _by_chunk(x: Tensor, chunks: int) -> Tensor:
    return x.view(-1, chunks, *x.shape[1:])


def _dots(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.linalg.vecdot(a, b)
    return product


class _NativeDeltaRule(torch.autograd.Function):
    """The same by the loops in C, with the same states kept."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_alpha: Tensor, chunk: int) -> Tensor:
        q, k, v, beta, log_alpha = (t.contiguous() for t in (q, k, v, beta, log_alpha))
        batch, frames, heads, keys = k.shape
        sizes = (batch, frames // chunk, chunk, heads, keys, v.shape[-1])
        out, fresh = torch.empty_like(v), torch.empty_like(v)
        states = v.new_empty(batch, heads, frames // chunk, keys, v.shape[-1])
        native.call("delta_rule_forward", out, fresh, states, q, k, v, beta, log_alpha, *sizes)
        ctx.save_for_backward(fresh, states, q, k, v, beta, log_alpha)
        ctx.sizes = sizes
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        fresh, states, *inputs = ctx.saved_tensors
        made = [torch.empty_like(tensor) for tensor in inputs]
        native.call("delta_rule_backward", *made, grads[0].contiguous(), fresh, states, *inputs, *ctx.sizes)
        return *made, None


_delta_rule: Callable[..., Tensor] = _DeltaRule.apply
_native_delta_rule: Callable[..., Tensor] = _NativeDeltaRule.apply


def delta_rule_chunked(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_alpha: Tensor, chunk: int = 32) -> Tensor:
    """WY form: corrections within a chunk by one triangular solve, states carried between chunks.

    Args:
        q: queries (B, T, H, K).
        k: keys of unit length (B, T, H, K).
        v: values (B, T, H, V).
        beta: writing strength (B, T, H) in [0, 1].
        log_alpha: log decay (B, T, H), at most 0.
        chunk: frames Q per chunk.

    Returns:
        (B, T, H, V).
    """
    by_kernel = gpu.delta_rule(q, k, v, beta, log_alpha)
    if by_kernel is not None:
        return by_kernel
    chunk = min(chunk, q.shape[1])
    if k.shape[-1] % 16 or v.shape[-1] % 16 or not native.usable(q, k, v, beta, log_alpha):
        return _delta_rule(q, k, v, beta, log_alpha, chunk)
    whole = (filled(t, chunk) for t in (q, k, v, beta, log_alpha))
    return _native_delta_rule(*whole, chunk)[:, : q.shape[1]]
