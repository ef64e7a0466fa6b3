"""Do domains pull the adapter's weights apart, and do experts know them? Gradients and routing on the test items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from auricle.alm.items import Batch, Items, batch, projected, sft_batch
from auricle.alm.questions import OPEN, Question, as_items
from auricle.alm.sampling import evaluating
from auricle.alm.sft import Policy, sft_loss
from auricle.core.seed import derive, rng
from auricle.metrics.interference import Cosine, gradient_cosines, zero_padded
from auricle.metrics.routing import Information, mutual_information, routing_histogram
from auricle.metrics.trials import FloatArray
from auricle.nn.moe import MoEAdapter
from auricle.systems.moe_adapter.config import DOMAINS
from auricle.systems.moe_adapter.items import domain_of
from auricle.systems.moe_adapter.model import bridge_of, expert_counts
from auricle.train.gradients import expert_parts, gradient_products

Cosines = dict[tuple[str, str], Cosine]


@dataclass(frozen=True)
class Usage:
    """Where the frames of clips go.

    Attributes:
        shares: of choices by domain, (N,) each.
        information: of domain and expert, with its permutation null.
        dead: experts that no frame went to.
        clips: how many.
    """

    shares: dict[str, FloatArray]
    information: Information
    dead: int
    clips: int


def domain_batches(questions: Sequence[Question], clips: Items, count: int, size: int, seed: int) -> list[Batch]:
    """Draw disjoint batches of equal size, each of one domain; as many of each domain, at most `count`."""
    items = as_items(questions, clips, OPEN)
    rows = {name: [row for row, one in enumerate(questions) if domain_of(one) == name] for name in DOMAINS}
    most = min(count, *(len(own) // size for own in rows.values()))
    found = []
    for name, own in rows.items():
        order = rng(seed, "gradient batches", name).permutation(len(own))
        found += [batch(items, [own[index] for index in order[n * size : (n + 1) * size]]) for n in range(most)]
    return found


def cosines(
    network: Policy, questions: Sequence[Question], clips: Items, count: int, size: int, seed: int
) -> dict[str, Cosines]:
    """Compare the domains' mean gradients of the adapter: by part of its weights, each with two nulls.

    Args:
        network: an arm; its decoder plays its part and its weights are left out.
        questions: with their clips.
        clips: the clips, heard.
        count: disjoint batches a domain.
        size: items of each.
        seed: of the draws.

    Returns:
        By part: ``all``; of a routed adapter also ``router``, ``experts``, each expert, ``rest`` and ``padded``, in
        which experts that a domain seldom selects count as zero.
    """
    batches = domain_batches(questions, clips, count, size, seed)
    each = len(batches) // len(DOMAINS)
    domains = [name for name in DOMAINS for _ in range(each)]
    bridge, items = bridge_of(network), as_items(questions, clips, OPEN)

    def loss(one: Batch) -> torch.Tensor:  # of the answers alone: a routing loss would pull all domains one way
        return sft_loss(network.lm, sft_batch(network, items, one), projected(network.lm, one)).loss

    routed = isinstance(bridge.adapter, MoEAdapter)
    wanted = [weight.requires_grad for weight in bridge.parameters()]
    bridge.requires_grad_(True)
    try:
        with torch.enable_grad(), evaluating(network):  # an evaluation in training has them off
            products = gradient_products(bridge, loss, batches, expert_parts(bridge) if routed else None)
    finally:
        for weight, before in zip(bridge.parameters(), wanted, strict=True):
            weight.requires_grad_(before)
    if routed:
        products["padded"] = _padded(network, questions, clips, products, domains)
    moving = {name: table for name, table in products.items() if (np.diagonal(table) > 0).any()}  # not a dead expert
    return {name: gradient_cosines(table, domains, seed=derive(seed, name)) for name, table in moving.items()}


def _padded(
    network: Policy,
    questions: Sequence[Question],
    clips: Items,
    products: dict[str, FloatArray],
    domains: Sequence[str],
) -> FloatArray:
    """Leave out of each domain's gradient the experts that are not among its k most used ones."""
    shares = usage(network, questions, clips, 0).shares
    router: Any = bridge_of(network).adapter.router
    selected = {name: np.argsort(-own)[: router.top_k].tolist() for name, own in shares.items()}
    experts = {number: products[f"expert {number}"] for number in range(len(next(iter(shares.values()))))}
    return zero_padded(experts, domains, selected, products["router"] + products["rest"])


def usage(network: Policy, questions: Sequence[Question], clips: Items, seed: int) -> Usage:
    """Say where the frames of the questions' clips go, by domain.

    Args:
        network: the routed arm.
        questions: with their clips.
        clips: the clips, heard.
        seed: of the permutations.
    """
    of_clip = {int(one.clip): domain_of(one) for one in questions if one.clip is not None}
    counts = expert_counts(network, clips)[torch.tensor(sorted(of_clip))].numpy()
    domains = [of_clip[clip] for clip in sorted(of_clip)]
    information = mutual_information(counts, domains, seed=seed, n=500)
    return Usage(routing_histogram(counts, domains), information, int((counts.sum(0) == 0).sum()), len(domains))
