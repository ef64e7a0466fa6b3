"""Routed experts beside a loop over experts, all experts on all tokens, and a dense adapter of as many weights.

python benchmarks/moe.py [--quick] [--json] [--only paper-B1-T25]

Cases are named size-batch-frames-pass. ``paper`` is MoE-Adapter's 94 M adapter (2560 -> 2048, eight experts of 1280,
four a token), ``small`` stands between Whisper tiny.en, four frames stacked, and SmolLM2-135M (1536 -> 576), ``laptop``
between a small encoder and a tiny decoder (64 -> 96). ``infer`` is the forward pass without gradients, ``step`` both.

Both sides hold the same weights and choose by the same router, which is within what is timed. "index_select loop": an
`nn.ModuleList` of experts, each given its tokens by index_select and added back by index_add, as such code is commonly
written. "all experts": one product over all experts' weights, what is not chosen weighted by zero. "dense": whole
adapters, norms included: ours is the parallel layout with its always-on block, the peer has as many weights altogether,
so that every token meets all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from contract import Case, Skipped, run
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.nn.moe import Experts, MoEAdapter, Router, dense_like

EXPERTS, TOP_K = 8, 4
SHAPES = ((1, 25), (1, 375), (32, 25), (32, 375))
LONGEST, QUICK = 4e12, 1.5e11  # operations of a call of the slower side, above which a case is skipped


@dataclass(frozen=True)
class Size:
    """Widths: tokens, hidden layer of an expert, output, hidden layer of the always-on block."""

    dim: int
    hidden: int
    out: int
    shared: int


SIZES = {
    "paper": Size(2560, 1280, 2048, 10_240),
    "small": Size(1536, 384, 576, 3072),
    "laptop": Size(64, 48, 96, 384),
}


class Loop(nn.Module):
    """The common way: a loop over experts, each on the tokens that index_select gives it."""

    def __init__(self, router: Router, experts: Experts) -> None:
        super().__init__()
        self.router = nn.Linear(router.weight.shape[1], router.experts, bias=False)
        self.experts = nn.ModuleList()
        with torch.no_grad():
            self.router.weight.copy_(router.weight)
            for into, back in zip(experts.into, experts.back, strict=True):
                one = nn.Sequential(
                    nn.Linear(*into.T.shape, bias=False), nn.SiLU(), nn.Linear(*back.T.shape, bias=False)
                )
                one[0].weight.copy_(into)
                one[2].weight.copy_(back)
                self.experts.append(one)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (V, D) to (V, O)."""
        best, chosen = self.router(x).topk(TOP_K, dim=-1)
        gates = best.softmax(-1)
        out = x.new_zeros(len(x), self.experts[0][2].out_features)
        for number, expert in enumerate(self.experts):
            token, place = (chosen == number).nonzero(as_tuple=True)
            made = expert(x.index_select(0, token)) * gates[token, place, None]
            out.index_add_(0, token, made)
        return out


class Routed(nn.Module):
    """Ours: router and experts."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.router = Router(size.dim, EXPERTS, TOP_K)
        self.experts = Experts(size.dim, size.hidden, size.out, EXPERTS)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (V, D) to (V, O)."""
        return self.experts(x, self.router(x))


class All(nn.Module):
    """All experts on all tokens, as one product, weighted by zero where they are not chosen."""

    def __init__(self, router: Router, experts: Experts) -> None:
        super().__init__()
        self.router = nn.Parameter(router.weight.detach().clone())
        self.into = nn.Parameter(experts.into.detach().flatten(0, 1).clone())
        self.back = nn.Parameter(experts.back.detach().transpose(1, 2).flatten(0, 1).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Mix (V, D) to (V, O)."""
        best, chosen = F.linear(x, self.router).topk(TOP_K, dim=-1)
        gates = x.new_zeros(len(x), EXPERTS).scatter(1, chosen, best.softmax(-1))
        hidden = F.silu(F.linear(x, self.into)).unflatten(1, (EXPERTS, -1)) * gates[..., None]
        return hidden.flatten(1) @ self.back


def sides(size: Size) -> tuple[Routed, dict[str, nn.Module]]:
    """Build ours and the peers on the same weights."""
    torch.manual_seed(0)
    ours = Routed(size)
    return ours, {"index_select loop": Loop(ours.router, ours.experts), "all experts": All(ours.router, ours.experts)}


def adapters(size: Size) -> tuple[MoEAdapter, nn.Module]:
    """Build the routed adapter and the dense one of as many weights."""
    torch.manual_seed(0)
    ours = MoEAdapter(
        size.dim, size.out, "parallel", experts=EXPERTS, top_k=TOP_K, hidden=size.hidden, shared_hidden=size.shared
    )
    return ours, dense_like(ours)


def job(model: nn.Module, x: Tensor, step: bool) -> Callable[[], None]:
    """Give one call of a module, forward or with both passes; the input has a gradient as after an encoder's norm."""

    def infer() -> None:
        with torch.no_grad():
            model(x)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        made = model(x.requires_grad_())
        (made if isinstance(made, Tensor) else made.frames).sum().backward()

    return train if step else infer


def cases(quick: bool) -> Iterator[Case | Skipped]:
    most = QUICK if quick else LONGEST
    for name, size in SIZES.items():
        for batch, frames in SHAPES:
            x = torch.randn(batch, frames, size.dim, generator=torch.Generator().manual_seed(1))
            for way in ("infer", "step"):
                case, step = f"{name}-B{batch}-T{frames}-{way}", way == "step"
                work = 2 * batch * frames * EXPERTS * size.hidden * (size.dim + size.out) * (3 if step else 1)
                if work > most:
                    yield Skipped(case, "index_select loop, all experts", f"{work / 1e9:.0f} billion operations a call")
                else:
                    ours, peers = sides(size)
                    tokens = x.flatten(0, 1)
                    for peer_name, peer in peers.items():
                        yield Case(case, job(ours, tokens.clone(), step), job(peer, tokens, step), peer_name, "ms")
                if 2 * work > most:
                    yield Skipped(case, "dense", f"{2 * work / 1e9:.0f} billion operations a call")
                else:
                    routed, dense = adapters(size)
                    yield Case(case, job(routed, x.clone(), step), job(dense, x.clone(), step), "dense", "ms")


if __name__ == "__main__":
    run(__doc__ or "", cases, quick_s=1.0, full_s=20.0)
