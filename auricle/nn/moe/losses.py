"""Losses that spread tokens over experts, each under its own name, and what to log of a batch's routing.

Names are easily confused: ``importance`` is about the experts' gates, ``load`` about how many tokens they get, and
``balance`` is their product, which the MoE-Adapter paper (2601.02967) uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor

from auricle.core.errors import ConfigError
from auricle.nn.moe.router import Routing

LOSSES = ("balance", "importance", "load")
_TINY = 1e-10


def balance(
    routing: Routing, probabilities: Literal["full", "chosen"] = "full", shares: Literal["one", "k"] = "one"
) -> Tensor:
    """Give N sum_e f_e P_e (Fedus et al. 2021, equations 4-6; equation 3 of the report on Eureka-Audio, 2602.13954).

    f_e is the share of tokens that go to expert e, P_e the mean routing probability. The papers leave two things open.
    The defaults, the softmax before the choice and f divided by k, give 1 when all experts are used alike and N / k
    when all tokens go to the same k.

    Args:
        routing: of the valid tokens.
        probabilities: P from the softmax over all experts (``full``) or over the chosen ones.
        shares: what f sums to: 1, or k as in Transformers' Mixtral, where the loss is k times as large.
    """
    tokens, experts = routing.chosen.shape
    per_token = routing.gates if probabilities == "chosen" else routing.noisy.softmax(-1)
    share = routing.chosen.sum(0) / max(tokens if shares == "k" else tokens * routing.top_k, 1)
    return experts * (share * per_token.sum(0) / max(tokens, 1)).sum()


def importance(routing: Routing) -> Tensor:
    """Give the squared coefficient of variation of the experts' summed gates (Shazeer et al. 2017, equations 6-7).

    Its gradient reaches the chosen experts only: it evens their gates out, and does not bring a dead expert back.

    Args:
        routing: of the valid tokens.
    """
    return _variation(routing.gates.sum(0))


def load(routing: Routing) -> Tensor:
    """Give the squared coefficient of variation of the experts' expected number of tokens (Shazeer 2017, appendix A).

    A token counts for an expert by the probability that the expert is chosen when its noise alone is drawn again:
    Phi((logit - threshold) / sigma), where the threshold is the k-th greatest noisy logit of the others (equations
    8-11, with the fixed sigma of Riquelme et al. 2021, appendix A.2).

    Args:
        routing: of the valid tokens.

    Raises:
        ConfigError: no noise, or every expert is chosen: then the loss would have no gradient.
    """
    if not routing.noise:
        raise ConfigError("the load loss needs noise on the router's logits; give the router noise above 0")
    if not _choice(routing):
        raise ConfigError("the load loss says nothing when a token goes to all experts that it may have; lower top_k")
    best = routing.noisy.topk(routing.top_k + 1, dim=-1).values
    threshold = torch.where(routing.chosen, best[:, -1:], best[:, -2:-1])
    return _variation(torch.special.ndtr((routing.logits - threshold) / routing.noise).sum(0))


def _choice(routing: Routing) -> bool:
    """Say whether any token may have more experts than it gets; true of no tokens."""
    allowed = routing.logits.isfinite().sum(1)
    return not len(allowed) or int(allowed.max()) > routing.top_k


def _variation(totals: Tensor) -> Tensor:
    """Squared coefficient of variation over experts."""
    return totals.var(correction=0) / (totals.mean().square() + _TINY)


_BY_NAME: dict[str, Callable[[Routing], Tensor]] = {"importance": importance, "load": load}


def check_weights(weights: Mapping[str, float]) -> None:
    """Refuse losses that do not exist.

    Args:
        weights: of each loss by name.

    Raises:
        ConfigError: an unknown name, or a weight below 0.
    """
    for name, weight in weights.items():
        if name not in LOSSES:
            raise ConfigError(f"there is no routing loss {name!r}; it can be {', '.join(LOSSES)}")
        if not weight >= 0:
            raise ConfigError(f"the routing loss {name!r} has the weight {weight}; give 0 or more")


def routing_losses(
    routing: Routing,
    weights: Mapping[str, float],
    probabilities: Literal["full", "chosen"] = "full",
    shares: Literal["one", "k"] = "one",
) -> dict[str, Tensor]:
    """Give the weighted losses by name, to be added to the training loss; those of weight 0 are left out.

    Args:
        routing: of the valid tokens.
        weights: of each of `LOSSES`.
        probabilities: see `balance`.
        shares: see `balance`.
    """
    return {
        name: weight * (balance(routing, probabilities, shares) if name == "balance" else _BY_NAME[name](routing))
        for name, weight in weights.items()
        if weight
    }


@torch.no_grad()
def routing_log(routing: Routing) -> dict[str, float]:
    """Give what shows a router's health, as numbers for a log.

    Returns:
        ``router_entropy``: mean entropy of a token's softmax in nats (log N when undecided); ``usage_entropy``: entropy
        of the experts' shares, in nats; ``dead_experts``: how many no token went to; ``dropped``: share of choices over
        the capacity; ``usage_0`` ...: share of tokens that go to each expert (k in all); and the three losses without
        weights, ``load`` only with noise and k below N.
    """
    tokens = len(routing.chosen)
    counts = routing.kept.sum(0).double()
    shares = counts / counts.sum().clamp_min(1)
    # entr is 0 at 0, so experts outside a token's group count nothing
    found = {
        "router_entropy": float(torch.special.entr(routing.logits.softmax(-1)).sum(-1).mean()) if tokens else 0.0,
        "usage_entropy": float(torch.special.entr(shares).sum()),
        "dead_experts": float((counts == 0).sum()),
        "dropped": 1.0 - float(counts.sum()) / max(int(routing.chosen.sum()), 1),
        "balance": float(balance(routing)),
        "importance": float(importance(routing)),
    }
    if routing.noise and _choice(routing):
        found["load"] = float(load(routing))
    usage = (counts / max(tokens, 1)).tolist()
    return found | {f"usage_{number}": share for number, share in enumerate(usage)}


def clip_counts(routing: Routing, mask: Tensor) -> Tensor:
    """Count the tokens of each clip that went to each expert, (B, N) int64.

    Args:
        routing: of the valid tokens of a batch.
        mask: (B, T) bool, True where valid, as it was given to the adapter.
    """
    clips = torch.arange(len(mask), device=mask.device)[:, None].expand(mask.shape)[mask]
    counts = torch.zeros(len(mask), routing.chosen.shape[1], dtype=torch.long, device=mask.device)
    return counts.index_add_(0, clips, routing.chosen.long())
