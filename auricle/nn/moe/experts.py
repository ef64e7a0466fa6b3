"""Experts: N two-layer networks of one shape, run on the tokens that were routed to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from auricle.core.errors import ConfigError, DataError
from auricle.nn.masking import wide
from auricle.nn.moe.router import Routing
from auricle.nn.quantize.quantizer import plain

Form = Literal["auto", "grouped", "all"]
FORMS = ("auto", "grouped", "all")
# products and sums of all experts on all tokens, below which that is faster than to sort the tokens
_FEW = 10_000_000


class Experts(nn.Module):
    """N networks W_out,e SiLU(W_in,e x) without biases, mixed by the gates of a `Routing`.

    Forms agree in output and gradients. ``all`` runs every expert on every token. ``grouped`` sorts the tokens by
    expert once and gives each expert its own, a matrix product each. ``auto`` takes ``all`` where there is so little to
    do that sorting would cost more, else ``grouped``.

    Args:
        dim: width D of the tokens.
        hidden: inner width H of one expert.
        out: width O of the result.
        experts: number of experts N.
        form: one of `FORMS`.

    Raises:
        ConfigError: a size below 1, or an unknown form.
    """

    def __init__(self, dim: int, hidden: int, out: int, experts: int, form: Form = "auto") -> None:
        super().__init__()
        if min(dim, hidden, out, experts) < 1:
            raise ConfigError(f"{experts} experts of widths {dim}, {hidden}, {out}; all must be at least 1")
        if form not in FORMS:
            raise ConfigError(f"there is no form {form!r} of experts; it can be {', '.join(FORMS)}")
        self.form = form
        # rows are units, as in nn.Linear
        self.into = nn.Parameter(torch.empty(experts, hidden, dim))
        self.back = nn.Parameter(torch.empty(experts, out, hidden))
        for weight in (self.into, self.back):
            nn.init.uniform_(weight, -(weight.shape[2] ** -0.5), weight.shape[2] ** -0.5)

    def forward(self, x: Tensor, routing: Routing) -> Tensor:
        """Run the experts on their tokens and mix.

        Args:
            x: (V, D), valid tokens only.
            routing: of these tokens.

        Returns:
            (V, O); half precision is promoted to float32.

        Raises:
            DataError: tokens of another width, or a routing of other tokens.
        """
        experts, hidden, dim = self.into.shape
        if x.ndim != 2 or x.shape[1] != dim or routing.gates.shape != (len(x), experts):
            raise DataError(
                f"tokens {tuple(x.shape)} and gates {tuple(routing.gates.shape)}; experts take (V, {dim}) and "
                f"(V, {experts})"
            )
        work = len(x) * experts * hidden * (dim + self.back.shape[1])
        if self.form == "all" or (self.form == "auto" and (work <= _FEW or x.is_meta or torch.compiler.is_compiling())):
            return self._all(x, routing)
        dtype = torch.promote_types(x.dtype, self.into.dtype)
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
        with plain(x.device):
            return _grouped(x.to(dtype), self.into.to(dtype), self.back.to(dtype), routing.gates, routing.kept)

    def _all(self, x: Tensor, routing: Routing) -> Tensor:
        hidden = F.silu(F.linear(x, self.into.flatten(0, 1))).unflatten(1, self.into.shape[:2])  # (V, N, H)
        weighed = (hidden * routing.gates[..., None].to(hidden.dtype)).flatten(1)
        return wide(weighed @ self.back.transpose(1, 2).flatten(0, 1))


def _runs(kept: Tensor) -> tuple[Tensor, Tensor, list[tuple[int, slice]]]:
    """Sort the choices (V, N) by expert and then token: (N, V) choices, token of each, rows of each expert in use."""
    by_expert = kept.T.contiguous()
    token = by_expert.nonzero()[:, 1]
    rows, start = [], 0
    for expert, count in enumerate(by_expert.sum(1).tolist()):
        if count:
            rows.append((expert, slice(start, start + count)))
        start += count
    return by_expert, token, rows


class _Grouped(torch.autograd.Function):
    """The mixture, an expert at a time on its own tokens; the backward pass keeps only what comes before each SiLU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, into: Tensor, back: Tensor, gates: Tensor, kept: Tensor) -> Tensor:
        by_expert, token, ctx.rows = _runs(kept)
        weight = gates.T[by_expert]
        before = x.new_empty(len(token), into.shape[1])
        out = wide(x.new_empty(0)).new_zeros(len(x), back.shape[1])
        for expert, rows in ctx.rows:
            mine = token[rows]
            torch.mm(x.index_select(0, mine), into[expert].T, out=before[rows])
            made = wide(F.silu(before[rows]) @ back[expert].T)
            out.index_add_(0, mine, made.mul_(weight[rows, None]))
        ctx.save_for_backward(x, into, back, before, weight, by_expert, token)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, into, back, before, weight, by_expert, token = ctx.saved_tensors
        grad = grads[0].to(x.dtype)
        grad_x, grad_into, grad_back = (torch.zeros_like(one) for one in (wide(x), into, back))
        grad_weight = torch.empty_like(weight)
        for expert, rows in ctx.rows:
            mine, a, g = token[rows], before[rows], weight[rows, None].to(x.dtype)
            down, opened = grad.index_select(0, mine), F.silu(before[rows])
            to_opened = down @ back[expert]
            grad_weight[rows] = torch.linalg.vecdot(to_opened, opened).to(weight.dtype)
            torch.mm(down.T, opened.mul_(g), out=grad_back[expert])
            to_a = torch.ops.aten.silu_backward(to_opened.mul_(g), a)
            torch.mm(to_a.T, x.index_select(0, mine), out=grad_into[expert])
            grad_x.index_add_(0, mine, wide(to_a @ into[expert]))
        grad_gates = weight.new_zeros(by_expert.shape).masked_scatter_(by_expert, grad_weight).T
        return grad_x.to(x.dtype), grad_into, grad_back, grad_gates, None


_grouped: Callable[..., Tensor] = _Grouped.apply


def loop_over_experts(x: Tensor, into: Tensor, back: Tensor, gates: Tensor) -> Tensor:
    """Give the mixture as the equation is written, sum_e g_e W_out,e SiLU(W_in,e x): for reading and for tests.

    Args:
        x: (V, D).
        into: (N, H, D).
        back: (N, O, H).
        gates: (V, N), zero where an expert is not chosen.

    Returns:
        (V, O).
    """
    parts = (gates[:, e, None] * F.linear(F.silu(F.linear(x, into[e])), back[e]) for e in range(len(into)))
    return torch.stack(list(parts)).sum(0)
