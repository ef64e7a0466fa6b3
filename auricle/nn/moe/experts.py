"""Experts: N two-layer networks of one shape, run on the tokens that were routed to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from auricle.core.errors import ConfigError, DataError
from auricle.nn import native
from auricle.nn.masking import wide
from auricle.nn.moe.router import Routing
from auricle.nn.quantize.quantizer import plain

Form = Literal["auto", "grouped", "all"]
FORMS = ("auto", "grouped", "all")
# products and sums of all experts on all tokens, below which that is faster than to sort the tokens
_FEW = 3_000_000
# where the loops in C are ahead of PyTorch's products: with AVX-512 from these widths on for any number of tokens, and
# up to so many tokens for any width; with AVX2 up to so many choices an expert
_LONG, _MANY, _A_DOZEN = 96, 1000, 24
_CACHED = 1 << 19  # floats of tokens that are worked on at once, so that they stay in the cache


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
            given = (x.to(dtype), self.into.to(dtype), self.back.to(dtype))
            if torch.is_grad_enabled() and any(one.requires_grad for one in (*given, routing.gates)):
                return _grouped(*given, routing.gates, routing.kept)
            return _mixture(*given, _runs(routing.gates, routing.kept))

    def _all(self, x: Tensor, routing: Routing) -> Tensor:
        hidden = F.silu(F.linear(x, self.into.flatten(0, 1))).view(len(x), *self.into.shape[:2])  # (V, N, H)
        weighed = (hidden * routing.gates[..., None].to(hidden.dtype)).flatten(1)
        return wide(weighed @ self.back.transpose(1, 2).flatten(0, 1))


class _Runs(NamedTuple):
    """Choices sorted by expert and then by token.

    Attributes:
        by_expert: (N, V) bool.
        token: token of each choice, (A,).
        ends: where each expert's choices begin, and at last A; N + 1 numbers.
        weight: gate of each choice, (A,).
    """

    by_expert: Tensor
    token: Tensor
    ends: list[int]
    weight: Tensor

    def rows(self, most: int = 1 << 62) -> Iterator[tuple[int, slice]]:
        """Give the experts that have choices with their rows, at most so many rows at once."""
        for expert, (start, end) in enumerate(pairwise(self.ends)):
            for first in range(start, end, most):
                yield expert, slice(first, min(first + most, end))


def _runs(gates: Tensor, kept: Tensor) -> _Runs:
    by_expert = kept.T.contiguous()
    ends = [0, *by_expert.sum(1).cumsum(0).tolist()]
    return _Runs(by_expert, by_expert.nonzero()[:, 1].contiguous(), ends, gates.T[by_expert])


def _mixture(
    x: Tensor, into: Tensor, back: Tensor, runs: _Runs, before: Tensor | None = None, opened: Tensor | None = None
) -> Tensor:
    """Give the mixture (V, O); fills `before` and `opened` (A, H), what lies before and after the SiLU, if given."""
    (_, hidden, dim), width, tokens = into.shape, back.shape[1], len(x)
    out = wide(x.new_empty(0)).new_zeros(tokens, width)
    if native.usable(x, into, back, runs.weight) and _compiled(into, tokens, len(runs.token)):
        opened = x.new_empty(len(runs.token), hidden) if opened is None else opened
        given = (x.contiguous(), into.contiguous(), back.contiguous(), runs.weight, runs.token, torch.tensor(runs.ends))
        native.call("experts_forward", out, before, opened, *given, len(into), dim, hidden, width)
        return out
    most = max(512, min(2048, _CACHED // (dim + hidden + width)))
    room = min(most, len(runs.token))
    own, inner, made = (x.new_empty(room, size) for size in (dim, hidden, width))
    for expert, rows in runs.rows(most):
        mine, size = runs.token[rows], rows.stop - rows.start
        torch.index_select(x, 0, mine, out=own[:size])
        a = inner[:size] if before is None else before[rows]
        torch.mm(own[:size], into[expert].T, out=a)
        s = F.silu(a, inplace=True) if opened is None else torch.ops.aten.silu.out(a, out=opened[rows])
        torch.mm(s, back[expert].T, out=made[:size])
        out.index_add_(0, mine, wide(made[:size]).mul_(runs.weight[rows, None]))
    return out


def _compiled(into: Tensor, tokens: int, choices: int) -> bool:
    """Say whether the loops in C are the faster ones for so many tokens."""
    speed = native.constant("experts_speed")
    if speed < 16:
        return speed > 0 and choices <= _A_DOZEN * len(into)
    return min(into.shape[1:]) >= _LONG or tokens <= _MANY


class _Grouped(torch.autograd.Function):
    """The mixture, an expert at a time on its own tokens; of the hidden layers what lies around the SiLU is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, into: Tensor, back: Tensor, gates: Tensor, kept: Tensor) -> Tensor:
        ctx.runs = runs = _runs(gates, kept)
        before, opened = (x.new_empty(len(runs.token), into.shape[1]) for _ in range(2))
        ctx.save_for_backward(x, into, back, before, opened)
        return _mixture(x, into, back, runs, before, opened)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, into, back, before, opened = ctx.saved_tensors
        runs: _Runs = ctx.runs
        grad = grads[0].to(x.dtype)
        grad_x = torch.zeros_like(wide(x)) if ctx.needs_input_grad[0] else None
        grad_into, grad_back = (torch.empty_like(weight) for weight in (into, back))
        for idle in (expert for expert, (start, end) in enumerate(pairwise(runs.ends)) if start == end):
            grad_into[idle], grad_back[idle] = 0.0, 0.0
        grad_weight = torch.empty_like(runs.weight)
        for expert, rows in runs.rows():
            mine, g = runs.token[rows], runs.weight[rows, None].to(x.dtype)
            down = grad.index_select(0, mine)
            to_opened = down @ back[expert]
            grad_weight[rows] = torch.linalg.vecdot(to_opened, opened[rows]).to(grad_weight.dtype)
            torch.mm(down.mul_(g).T, opened[rows], out=grad_back[expert])
            to_a = torch.ops.aten.silu_backward(to_opened.mul_(g), before[rows])
            torch.mm(to_a.T, x.index_select(0, mine), out=grad_into[expert])
            if grad_x is not None:
                grad_x.index_add_(0, mine, wide(to_a @ into[expert]))
        grad_gates = grad_weight.new_zeros(runs.by_expert.shape).masked_scatter_(runs.by_expert, grad_weight).T
        return None if grad_x is None else grad_x.to(x.dtype), grad_into, grad_back, grad_gates, None


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
