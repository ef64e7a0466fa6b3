"""State-space duality with one decay per head, the core of Mamba2 (Dao and Gu 2024, arXiv 2405.21060).

S_t = a_t S_{t-1} + b_t x_t^T;  y_t = S_t^T c_t, per head, with b and c shared by the heads (one group).

Shapes: x (B, T, H, P), already multiplied by its time step; log_decay (B, T, H) = A delta_t, at most 0; b, c (B, T, N);
y (B, T, H, P). Zero x and zero log_decay leave the state as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from auricle.nn.ssm.decay import decay_matrix, log_decay_sum


def ssd_recurrent(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Frame by frame, as the recurrence is written.

    Args:
        x: inputs times time step (B, T, H, P).
        log_decay: (B, T, H), at most 0.
        b: input vectors (B, T, N).
        c: output vectors (B, T, N).

    Returns:
        (B, T, H, P).
    """
    batch, _, heads, width = x.shape
    state = x.new_zeros(batch, heads, b.shape[-1], width)
    outputs = []
    decays = torch.exp(log_decay).unbind(1)
    for x_t, a_t, b_t, c_t in zip(x.unbind(1), decays, b.unbind(1), c.unbind(1), strict=True):
        state = a_t[:, :, None, None] * state + b_t[:, None, :, None] * x_t[:, :, None, :]
        outputs.append(torch.einsum("bn,bhnp->bhp", c_t, state))
    return torch.stack(outputs, dim=1)


def ssd_dual(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """All pairs of frames at once: Y = (L o C B^T) X. Quadratic in T, the fastest form for short clips.

    Args:
        x: inputs times time step (B, T, H, P).
        log_decay: (B, T, H), at most 0.
        b: input vectors (B, T, N).
        c: output vectors (B, T, N).

    Returns:
        (B, T, H, P).
    """
    decay = decay_matrix(log_decay.transpose(1, 2))  # (B, H, T, T)
    scores = (c @ b.transpose(1, 2)).unsqueeze(1)  # (B, 1, T, T)
    return ((decay * scores) @ x.transpose(1, 2)).transpose(1, 2)


def ssd_chunked(x: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, chunk: int = 64) -> Tensor:
    """Dual form inside chunks, states carried between them. Linear in T.

    Args:
        x: inputs times time step (B, T, H, P).
        log_decay: (B, T, H), at most 0.
        b: input vectors (B, T, N).
        c: output vectors (B, T, N).
        chunk: frames Q per chunk.

    Returns:
        (B, T, H, P).
    """
    batch, frames, heads, width = x.shape
    chunk = min(chunk, frames)
    short = -frames % chunk
    if short:
        x = F.pad(x, (0, 0, 0, 0, 0, short))
        log_decay, b, c = (F.pad(t, (0, 0, 0, short)) for t in (log_decay, b, c))
    count = x.shape[1] // chunk
    x, log_decay, b, c = (t.reshape(batch, count, chunk, *t.shape[2:]) for t in (x, log_decay, b, c))
    log_decay = log_decay.transpose(2, 3)  # (B, K, H, Q)

    # Inside each chunk.
    scores = (c @ b.transpose(2, 3)).unsqueeze(2)  # (B, K, 1, Q, Q)
    out = ((decay_matrix(log_decay) * scores) @ x.transpose(2, 3)).transpose(2, 3)  # (B, K, Q, H, P)
    if count > 1:
        # What each chunk adds to the state, and how far the state decays on the way.
        total = log_decay_sum(log_decay)
        to_end = torch.exp(total[..., -1:] - total).to(x.dtype).transpose(2, 3)  # (B, K, Q, H)
        added = b.transpose(2, 3) @ (x * to_end.unsqueeze(-1)).flatten(3)  # (B, K, N, H P)
        through = torch.exp(total[..., -1]).to(x.dtype).repeat_interleave(width, dim=-1).unsqueeze(2)
        state, before = torch.zeros_like(added[:, 0]), []
        for add_k, through_k in zip(added.unbind(1), through.unbind(1), strict=True):
            before.append(state)
            state = through_k * state + add_k
        carried = (c @ torch.stack(before, dim=1)).view(x.shape)  # (B, K, Q, H, P)
        out = out + carried * torch.exp(total).to(x.dtype).transpose(2, 3).unsqueeze(-1)
    return out.reshape(batch, count * chunk, heads, width)[:, :frames]
