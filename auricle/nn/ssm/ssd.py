"""State-space duality with one decay per head, the core of Mamba2 (Dao and Gu 2024, arXiv 2405.21060).

S_t = a_t S_{t-1} + b_t x_t^T;  y_t = S_t^T c_t, per head, with b and c shared by the heads (one group).

Shapes: x (B, T, H, P), already multiplied by its time step; log_decay (B, T, H) = A delta_t, at most 0; b, c (B, T, N);
y (B, T, H, P). Zero x and zero log_decay leave the state as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from auricle.nn.ssm import gpu
from auricle.nn.ssm.decay import filled
from auricle.nn.ssm.semiseparable import anticausal_after, causal, causal_before, product


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
    return ssd_chunked(x, log_decay, b, c, x.shape[1])


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
    return scan(x, torch.ones_like(log_decay), log_decay, b, c, chunk)


def scan(
    x: Tensor, delta: Tensor, log_decay: Tensor, b: Tensor, c: Tensor, chunk: int, skip: Tensor | None = None
) -> Tensor:
    """S_t = a_t S_{t-1} + delta_t b_t x_t^T;  y_t = S_t^T c_t + skip_t x_t, in chunks.

    Args:
        x: inputs (B, T, H, P).
        delta: time steps (B, T, H), at least 0.
        log_decay: log a, (B, T, H), at most 0.
        b: input vectors (B, T, N).
        c: output vectors (B, T, N).
        chunk: frames per chunk; all of them for the dual form.
        skip: (B, T, H), or None for none.

    Returns:
        (B, T, H, P).
    """
    y = gpu.ssd(x, delta, log_decay, b, c)
    if y is not None:
        return y if skip is None else torch.addcmul(y, x, skip.unsqueeze(-1))
    chunk, frames = min(chunk, x.shape[1]), x.shape[1]
    x, delta, log_decay, b, c = (filled(t, chunk) for t in (x, delta, log_decay, b, c))
    skip = None if skip is None else filled(skip, chunk)
    return product(x, (causal(log_decay, delta, c, b, chunk),), chunk, skip)[:, :frames]


def late(y: Tensor) -> Tensor:
    """Delay (B, T, H, P) by one frame; the first frame becomes zero."""
    return F.pad(y[:, :-1], (0, 0, 0, 0, 1, 0))


def scan_both_ways(
    x: Tensor,
    delta: tuple[Tensor, Tensor],
    log_decay: tuple[Tensor, Tensor],
    b: tuple[Tensor, Tensor],
    c: tuple[Tensor, Tensor],
    chunk: int,
    diagonal: Tensor | None = None,
) -> Tensor:
    """Two scans, one each way, each read one frame late, and a diagonal: the quasiseparable matrix of Hydra.

    Args:
        x: inputs (B, T, H, P).
        delta: time steps (B, T, H) of the forward and the backward scan, at least 0.
        log_decay: log a, (B, T, H), at most 0, likewise.
        b: input vectors (B, T, N), likewise.
        c: output vectors (B, T, N), likewise.
        chunk: frames per chunk; all of them for the dual form.
        diagonal: (B, T, H); None for zeros.

    Returns:
        (B, T, H, P).
    """
    ways = list(zip(delta, log_decay, b, c, strict=True))
    ahead = gpu.ssd(x, *ways[0])
    back = None if ahead is None else gpu.ssd(x.flip(1), *(t.flip(1) for t in ways[1]))
    if ahead is not None and back is not None:
        y = late(ahead) + late(back).flip(1)
        return y if diagonal is None else torch.addcmul(y, x, diagonal.unsqueeze(-1))
    chunk, frames = min(chunk, x.shape[1]), x.shape[1]
    delta, log_decay, b, c = (
        (filled(forward, chunk), filled(backward, chunk)) for forward, backward in (delta, log_decay, b, c)
    )
    sides = (
        causal_before(log_decay[0], delta[0], c[0], b[0], chunk),
        anticausal_after(log_decay[1], delta[1], c[1], b[1], chunk),
    )
    diagonal = None if diagonal is None else filled(diagonal, chunk)
    return product(filled(x, chunk), sides, chunk, diagonal)[:, :frames]
