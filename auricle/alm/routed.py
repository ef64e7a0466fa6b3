"""Routed adapters inside an audio language model: where frames go, and whether domains pull the weights apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auricle.alm.items import Batch, Items, batch, projected, sft_batch
from auricle.alm.sampling import evaluating
from auricle.alm.sft import Policy, sft_loss
from auricle.core.seed import derive, rng
from auricle.metrics.interference import Cosine, gradient_cosines, zero_padded
from auricle.metrics.routing import Information, mutual_information, routing_histogram
from auricle.metrics.trials import FloatArray
from auricle.nn.masking import mask_from_lengths
from auricle.nn.moe import Adapted, DenseAdapter, MoEAdapter, Routing, clip_counts
from auricle.train.gradients import expert_parts, gradient_products

Cosines = dict[tuple[str, str], Cosine]


class Bridge(nn.Module):
    """What stands between encoder and language model: a first linear layer where one is asked for, and the adapter.

    Args:
        adapter: dense or routed.
        into: width of the encoder's frames.
        front: width to which they are brought first, by LayerNorm, linear, SiLU, LayerNorm; None leaves them.

    Attributes:
        last: what the adapter gave in the last call: losses and routing. Whoever needs it reads it before the next.
    """

    def __init__(self, adapter: DenseAdapter | MoEAdapter, into: int, front: int | None = None) -> None:
        super().__init__()
        self.front: nn.Module | None = None
        if front is not None:
            self.front = nn.Sequential(nn.LayerNorm(into), nn.Linear(into, front), nn.SiLU(), nn.LayerNorm(front))
        self.adapter = adapter
        self.last: Adapted | None = None

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Adapt frames (B, T, E) with their mask (B, T) to (B, T, D)."""
        self.last = self.adapt(frames, mask)
        return self.last.frames

    def adapt(self, frames: Tensor, mask: Tensor | None = None) -> Adapted:
        """Give frames, losses and routing, and keep nothing: for several threads at once."""
        made: Adapted = self.adapter(frames if self.front is None else self.front(frames), mask)
        return made

    @property
    def losses(self) -> dict[str, Tensor]:
        """The weighted routing losses of the last call, by name; none of a dense adapter."""
        return {} if self.last is None else self.last.losses

    @property
    def routing(self) -> Routing | None:
        """Where the tokens of the last call went; None of a dense adapter."""
        return None if self.last is None else self.last.routing


def bridge_of(network: Policy) -> Bridge:
    """Give the adapter of a network that was built with a `Bridge`."""
    found: Bridge = network.lm.base.projector
    return found


@torch.no_grad()
def expert_counts(network: Policy, clips: Items, at_once: int = 64) -> Tensor:
    """Count for each clip how many of its frames went to each expert, (C, N); N is 0 of a dense adapter.

    Args:
        network: the model.
        clips: with features, or with ready frames.
        at_once: clips in a batch.
    """
    base, found, features = network.lm.base, [], clips.features
    for start in range(0, 0 if features is None else len(features), at_once):
        part = features[start : start + at_once]  # type: ignore[index]
        rows = slice(start, start + len(part))
        lengths = torch.full((len(part),), part.shape[1]) if clips.lengths is None else clips.lengths[rows]
        if clips.frames is None:
            with evaluating(network):
                frames = base.encoder(part.float(), lengths).frames
        else:
            frames = clips.frames[rows]
        sizes = torch.tensor([network.lm.audio_frames(int(size)) for size in lengths])
        mask = mask_from_lengths(sizes, frames.shape[1])
        routing = bridge_of(network).adapt(frames, mask).routing
        found.append(torch.zeros(len(mask), 0) if routing is None else clip_counts(routing, mask))
    return torch.cat(found)


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


def usage(network: Policy, items: Items, domains: Sequence[str], seed: int) -> Usage:
    """Say where the frames of clips go, by domain.

    Args:
        network: with a routed adapter.
        items: conversations about clips.
        domains: of each conversation.
        seed: of the permutations.
    """
    pairs = zip(map(items.clip, range(len(items))), domains, strict=True)
    of_clip = {clip: name for clip, name in pairs if clip is not None}
    counts = expert_counts(network, items)[torch.tensor(sorted(of_clip))].numpy()
    own = [of_clip[clip] for clip in sorted(of_clip)]
    information = mutual_information(counts, own, seed=seed, n=500)
    return Usage(routing_histogram(counts, own), information, int((counts.sum(0) == 0).sum()), len(own))


def domain_batches(items: Items, domains: Sequence[str], count: int, size: int, seed: int) -> list[Batch]:
    """Draw disjoint batches of equal size, each of one domain; as many of each domain, at most `count`."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(domains):
        rows.setdefault(name, []).append(row)
    most = min(count, *(len(own) // size for own in rows.values()))
    found = []
    for name, own in rows.items():
        order = rng(seed, "gradient batches", name).permutation(len(own))
        found += [batch(items, [own[index] for index in order[n * size : (n + 1) * size]]) for n in range(most)]
    return found


def domain_cosines(
    network: Policy, items: Items, domains: Sequence[str], count: int, size: int, seed: int
) -> dict[str, Cosines]:
    """Compare the domains' mean gradients of the adapter: by part of its weights, each with two nulls.

    Args:
        network: its language model plays its part, and its weights are left out.
        items: conversations with answers, about clips that were heard.
        domains: of each conversation.
        count: disjoint batches a domain.
        size: conversations of each.
        seed: of the draws.

    Returns:
        By part: ``all``; of a routed adapter also ``router``, ``experts``, each expert, ``rest`` and ``padded``, in
        which experts that a domain seldom selects count as zero.
    """
    batches = domain_batches(items, domains, count, size, seed)
    own = [domains[one.rows[0]] for one in batches]
    bridge = bridge_of(network)

    def loss(one: Batch) -> Tensor:  # of the answers alone: a routing loss would pull all domains one way
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
        products["padded"] = _padded(network, items, domains, products, own)
    moving = {name: table for name, table in products.items() if (np.diagonal(table) > 0).any()}  # not a dead expert
    return {name: gradient_cosines(table, own, seed=derive(seed, name)) for name, table in moving.items()}


def cosine_table(parts: Mapping[str, Cosines]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Give the cosines of every part of the weights as plain numbers."""

    def plain(cosine: Cosine) -> dict[str, float | None]:
        numbers = {
            "value": cosine.value,
            "low": cosine.ci95[0],
            "high": cosine.ci95[1],
            "at_half": cosine.at_half,
            "halves": cosine.halves,
            "shuffled": cosine.shuffled,
            "p": cosine.p,
        }
        return {name: float(number) if np.isfinite(number) else None for name, number in numbers.items()}

    return {
        part: {f"{one} and {other}": plain(cosine) for (one, other), cosine in found.items()}
        for part, found in parts.items()
    }


def _padded(
    network: Policy, items: Items, domains: Sequence[str], products: dict[str, FloatArray], own: Sequence[str]
) -> FloatArray:
    """Leave out of each domain's gradient the experts that are not among its k most used ones."""
    shares = usage(network, items, domains, 0).shares
    router: Any = bridge_of(network).adapter.router
    selected = {name: np.argsort(-share)[: router.top_k].tolist() for name, share in shares.items()}
    experts = {number: products[f"expert {number}"] for number in range(len(next(iter(shares.values()))))}
    return zero_padded(experts, own, selected, products["router"] + products["rest"])
