"""Products with semiseparable matrices by the loops in C; the equations are those of `auricle.nn.ssm.semiseparable`.

`flat` are the tensors of each side in the order of its fields: rows, columns, row_log, column_log, total.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from auricle.nn import native

# The heads are divided among as many tasks a clip, each of which makes the scores of its chunks: enough for two or
# four threads at a batch of one.
_PARTS = 2
_FIELDS = 5


def fits(x: Tensor, flat: list[Tensor]) -> bool:
    """Say whether the loops take these sizes, whole vectors of sixteen, and this machine runs them."""
    return x.shape[-1] % 16 == 0 and flat[0].shape[-1] % 16 == 0 and native.usable(x, *flat[:2])


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, diagonal: Tensor | None, chunk: int, *flat: Tensor) -> Tensor:
        x = x.contiguous()
        y = torch.zeros_like(x) if diagonal is None else x * diagonal.unsqueeze(-1)
        batch, frames, heads, width = x.shape
        chunks = frames // chunk
        sides: list[Tensor] = []
        kept: list[Tensor | None] = []
        for start in range(0, len(flat), _FIELDS):
            rows, columns, *logs = (t.contiguous() for t in flat[start : start + _FIELDS])
            states = x.new_empty(batch, chunks, heads, rows.shape[-1], width) if chunks > 1 else None
            sizes = _sizes(x, rows, chunk, len(flat), start)
            native.call("semiseparable_forward", y, states, x, rows, columns, *logs, *sizes)
            sides += [rows, columns, *logs]
            kept.append(states)
        ctx.save_for_backward(x, diagonal, *sides, *kept)
        ctx.chunk, ctx.inputs = chunk, len(flat)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, diagonal, *rest = ctx.saved_tensors
        flat, kept, dy = rest[: ctx.inputs], rest[ctx.inputs :], grads[0].contiguous()
        dx = torch.zeros_like(x) if diagonal is None else dy * diagonal.unsqueeze(-1)
        made: list[Tensor] = []
        for start, states in zip(range(0, len(flat), _FIELDS), kept, strict=True):
            side = flat[start : start + _FIELDS]
            parts = [t.new_empty(_PARTS, *t.shape) for t in side[:2]]
            logs = [torch.empty_like(t, dtype=x.dtype) for t in side[2:]]
            sizes = _sizes(x, side[0], ctx.chunk, len(flat), start)
            native.call("semiseparable_backward", dx, *parts, *logs, dy, states, x, *side, *sizes)
            made += [part.sum(0) for part in parts] + [log.double() for log in logs]
        return dx, None if diagonal is None else torch.linalg.vecdot(x, dy), None, *made


def _sizes(x: Tensor, rows: Tensor, chunk: int, inputs: int, start: int) -> tuple[int, ...]:
    batch, frames, heads, width = x.shape
    two = inputs > _FIELDS
    return batch, frames // chunk, chunk, heads, width, rows.shape[-1], two, start > 0, _PARTS


native_product: Callable[..., Tensor] = _Product.apply
