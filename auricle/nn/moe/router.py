"""Top-k routing of tokens to experts: choose k, then softmax over the chosen; noise and a capacity on request."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError, DataError
from auricle.nn.quantize.quantizer import plain

ANY_GROUP = -1  # group of a token that may go to every expert


class Routing(NamedTuple):
    """Where V tokens go among N experts.

    Attributes:
        logits: (V, N) without noise, float32 or wider; -inf for experts that a token may not have.
        noisy: (V, N) the same with noise, by which the experts were chosen; `logits` itself without noise.
        chosen: (V, N) bool, k of each row.
        kept: (V, N) bool, those of `chosen` that an expert had room for.
        gates: (V, N) weights of the mixture, zero where not kept; a row sums to 1 where nothing was dropped.
        top_k: experts k of a token.
        noise: standard deviation of the noise while training.
    """

    logits: Tensor
    noisy: Tensor
    chosen: Tensor
    kept: Tensor
    gates: Tensor
    top_k: int
    noise: float


class Router(nn.Module):
    """Linear router: logits x W_g, the greatest k of them, softmax over those k (Shazeer et al. 2017, equations 3-5).

    Logits and softmax are float32 under autocast too: bfloat16 rounds away the difference between experts
    (Fedus et al. 2021, section 2.4).

    Args:
        dim: width D of the tokens.
        experts: number of experts N.
        top_k: experts k of a token.
        groups: the experts are split into so many equal blocks, and a token of group g goes to experts of block g only.
        noise: standard deviation of Gaussian noise on the logits while training (Riquelme et al. 2021, section 2.1,
            who take 1 / N).
        capacity: an expert takes at most ceil(capacity V k / N) tokens while training: first choices first, then by
            position (Fedus et al. 2021, equation 3). Then a token depends on its batch mates. None for no limit.

    Raises:
        ConfigError: sizes that do not fit together.
    """

    def __init__(
        self,
        dim: int,
        experts: int,
        top_k: int,
        *,
        groups: int = 1,
        noise: float = 0.0,
        capacity: float | None = None,
    ) -> None:
        super().__init__()
        if dim < 1 or groups < 1 or experts < 1 or experts % groups:
            raise ConfigError(f"{experts} experts in {groups} groups, width {dim}; groups must divide the experts")
        if not 1 <= top_k <= experts // groups:
            raise ConfigError(f"top_k {top_k} of {experts // groups} experts a group; it can be 1 to that number")
        if noise < 0 or (capacity is not None and capacity <= 0):
            raise ConfigError(f"noise {noise}, capacity {capacity}; noise is 0 or more, a capacity above 0")
        self.experts, self.top_k, self.groups = experts, top_k, groups
        self.noise, self.capacity = noise, capacity
        self.weight = nn.Parameter(torch.empty(experts, dim))
        nn.init.uniform_(self.weight, -(dim**-0.5), dim**-0.5)
        self.silenced: frozenset[int] = frozenset()
        self.avoided: frozenset[int] = frozenset()

    def forward(self, x: Tensor, group: Tensor | None = None) -> Routing:
        """Route tokens.

        Args:
            x: (V, D), valid tokens only.
            group: (V,) group of each token, `ANY_GROUP` where it is not known; None without groups.

        Raises:
            DataError: groups without a group of each token, or one that does not exist.
        """
        with plain(x.device):
            weight = self.weight
            logits = F.linear(x.to(torch.promote_types(x.dtype, weight.dtype)), weight)
            allowed = self._allowed(x, group)
            if allowed is not None:
                logits = logits.masked_fill(~allowed, float("-inf"))
            noise = self.noise if self.training else 0.0
            noisy = logits + noise * torch.randn_like(logits) if noise else logits
            ranked = noisy.topk(self.top_k, dim=-1).indices  # (V, k), the best first
            chosen = torch.zeros_like(noisy, dtype=torch.bool).scatter_(1, ranked, True)
            gates = noisy.masked_fill(~chosen, float("-inf")).softmax(-1)
            kept = self._kept(ranked, chosen)
            return Routing(
                logits, noisy, chosen, kept, gates if kept is chosen else gates * kept, self.top_k, self.noise
            )

    def _allowed(self, x: Tensor, group: Tensor | None) -> Tensor | None:
        """Give the experts that each token may have, (V, N) or (1, N); None for all."""
        allowed = None
        if self.groups > 1:
            if group is None or group.shape != x.shape[:1]:
                given = None if group is None else tuple(group.shape)
                raise DataError(
                    f"groups of shape {given} for {len(x)} tokens; give each token a group from 0 to "
                    f"{self.groups - 1}, or {ANY_GROUP} where it is not known"
                )
            if len(group) and not ANY_GROUP <= int(group.min()) <= int(group.max()) < self.groups:
                raise DataError(
                    f"groups {sorted(set(group.tolist()))}; there are 0 to {self.groups - 1} and {ANY_GROUP}"
                )
            owner = torch.arange(self.experts, device=x.device) // (self.experts // self.groups)
            allowed = (group[:, None] == owner) | (group[:, None] == ANY_GROUP)
        if self.avoided:
            free = torch.ones(1, self.experts, dtype=torch.bool, device=x.device)
            free[:, sorted(self.avoided)] = False
            allowed = free if allowed is None else allowed & free
        return allowed

    def _kept(self, ranked: Tensor, chosen: Tensor) -> Tensor:
        """Drop what is over the capacity, and silenced experts; gives `chosen` itself where nothing is dropped."""
        kept = chosen
        if self.capacity is not None and self.training:
            room = math.ceil(self.capacity * ranked.numel() / self.experts)
            order = ranked.T.reshape(-1)  # first choices of all tokens, then second ones
            taken = F.one_hot(order, self.experts).cumsum(0).gather(1, order[:, None])[:, 0] <= room
            kept = torch.zeros_like(chosen).scatter_(1, ranked, taken.view(ranked.T.shape).T)
        if self.silenced:
            kept = kept.clone()
            kept[:, sorted(self.silenced)] = False
        return kept


@contextmanager
def ablated(
    model: nn.Module, experts: Iterable[int], how: Literal["silence", "reroute"] = "silence"
) -> Iterator[nn.Module]:
    """Turn experts off inside the block, in every router of a model.

    Args:
        model: holds one `Router` or more.
        experts: their numbers.
        how: ``silence`` leaves the routing as it is and takes the experts' part out of the mixture; ``reroute`` lets
            the tokens go to the next best experts, whose gates then sum to 1.

    Raises:
        ConfigError: no router, an expert that it does not have, too few experts left to route to, or an unknown `how`.
    """
    off = frozenset(experts)
    routers = [module for module in model.modules() if isinstance(module, Router)]
    if how not in ("silence", "reroute"):
        raise ConfigError(f"an expert is turned off by 'silence' or 'reroute', got {how!r}")
    if not routers:
        raise ConfigError("the model has no router, so there is no expert to turn off; give a model with nn.moe inside")
    for router in routers:
        if unknown := sorted(off - set(range(router.experts))):
            raise ConfigError(f"there is no expert {unknown[0]}; the router has 0 to {router.experts - 1}")
        size = router.experts // router.groups
        left = min(sum(one not in off for one in range(g * size, (g + 1) * size)) for g in range(router.groups))
        if how == "reroute" and left < router.top_k:
            raise ConfigError(f"{left} experts would be left for top_k {router.top_k}; turn fewer off, or silence them")
    before = [(router.silenced, router.avoided) for router in routers]
    try:
        for router in routers:
            if how == "silence":
                router.silenced |= off
            else:
                router.avoided |= off
        yield model
    finally:
        for router, (silenced, avoided) in zip(routers, before, strict=True):
            router.silenced, router.avoided = silenced, avoided
