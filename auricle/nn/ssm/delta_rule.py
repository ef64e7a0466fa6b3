"""Gated delta rule, the core of Gated DeltaNet (Yang, Kautz and Hatamizadeh 2024, arXiv 2412.06464).

S_t = alpha_t S_{t-1} (I - beta_t k_t k_t^T) + beta_t v_t k_t^T;  o_t = S_t q_t, per head.

Shapes: q, k (B, T, H, K), already normalised and scaled; v (B, T, H, V); beta, log_alpha (B, T, H), log_alpha at most
0; o (B, T, H, V). beta and log_alpha of zero leave the state as it is. The state is stored K x V.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from auricle.nn.ssm.decay import decay_matrix, log_decay_sum


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
    batch, frames, values = q.shape[0], q.shape[1], v.shape[-1]
    chunk = min(chunk, frames)
    short = -frames % chunk
    if short:
        q, k, v = (F.pad(t, (0, 0, 0, 0, 0, short)) for t in (q, k, v))
        beta, log_alpha = (F.pad(t, (0, 0, 0, short)) for t in (beta, log_alpha))
    count = q.shape[1] // chunk
    # (B, T, H, ...) -> (B, H, chunks, Q, ...)
    q, k, v = (t.reshape(batch, count, chunk, *t.shape[2:]).permute(0, 3, 1, 2, 4) for t in (q, k, v))
    beta, log_alpha = (t.reshape(batch, count, chunk, -1).permute(0, 3, 1, 2) for t in (beta, log_alpha))

    between = decay_matrix(log_alpha)  # (B, H, chunks, Q, Q)
    total = log_decay_sum(log_alpha)
    from_start = torch.exp(total).to(v.dtype).unsqueeze(-1)  # (B, H, chunks, Q, 1)
    k_beta, k_t = k * beta.unsqueeze(-1), k.transpose(-1, -2)
    # The solve reads the strict lower triangle only: its diagonal of ones is implied.
    overlap = between * (k_beta @ k_t)
    right = torch.cat([v * beta.unsqueeze(-1), k_beta * from_start], dim=-1)
    solved: Tensor = torch.linalg.solve_triangular(overlap, right, upper=False, unitriangular=True)
    inside = between * (q @ k_t)
    if count == 1:
        return (inside @ solved[..., :values]).squeeze(2).transpose(1, 2)[:, :frames]

    to_end = torch.exp(total[..., -1:] - total).to(v.dtype).unsqueeze(-1)
    writes, reads = torch.split(solved, [values, k.shape[-1]], dim=-1)
    through = torch.exp(total[..., -1]).to(v.dtype)[..., None, None]
    parts = (q * from_start, (k * to_end).transpose(-1, -2), writes, reads, inside, through)
    state, outputs = v.new_zeros(*k.shape[:2], k.shape[-1], values), []
    for q_c, k_c, write, read, inside_c, through_c in zip(*(t.unbind(2) for t in parts), strict=True):
        fresh = write - read @ state  # corrected values (B, H, Q, V)
        outputs.append(q_c @ state + inside_c @ fresh)
        state = through_c * state + k_c @ fresh
    return torch.cat(outputs, dim=2).transpose(1, 2)[:, :frames]
