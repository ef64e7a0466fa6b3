"""Gradient surgery (PCGrad, Yu et al. 2020, algorithm 1): what one domain would undo of another is taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from auricle.alm.items import Batch, Items, batch
from auricle.alm.sft import Policy
from auricle.systems.moe_adapter.config import DOMAINS
from auricle.systems.moe_adapter.stages import sft_step


def projected_gradients(gradients: Sequence[Tensor]) -> Tensor:
    """Sum gradients of tasks, each without its components against the others.

    Args:
        gradients: (P,) of each task, flat. Each is projected in the others' order, which the algorithm shuffles; here
            it is that of the list, so that a run repeats.

    Returns:
        (P,).
    """
    total = torch.zeros_like(gradients[0])
    for place, own in enumerate(gradients):
        kept = own.clone()
        for other, theirs in enumerate(gradients):
            inner = torch.dot(kept, theirs)
            if other != place and inner < 0:
                kept -= inner / theirs.square().sum().clamp_min(1e-20) * theirs
        total += kept
    return total


def projecting_step(network: Policy, items: Items, domains: Sequence[str]) -> Callable[..., dict[str, Tensor]]:
    """Give a step whose gradient is that of the batch's domains after surgery.

    The loss it gives is a sum of weights times that gradient, less itself: its value is the text's loss.

    Args:
        network: whose trained weights are looked at.
        items: conversations.
        domains: of each.
    """
    step = sft_step(network, items)

    def surgery(model: nn.Module, given: Batch) -> dict[str, Tensor]:
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        found, losses, counts = [], [], []
        for name in DOMAINS:
            rows = [row for row in given.rows if domains[row] == name]
            if not rows:
                continue
            made = step(model, batch(items, rows, given.number))
            gradient = torch.autograd.grad(made["loss"] * made["weight"], weights)
            found.append(torch.cat([one.flatten() for one in gradient]))
            losses.append(made["loss"].detach() * made["weight"])
            counts.append(made["weight"])
        total = torch.stack(counts).sum()
        wanted = projected_gradients(found) / total
        flat = torch.cat([weight.flatten() for weight in weights])
        linear = torch.dot(flat, wanted)
        return {"loss": linear - linear.detach() + torch.stack(losses).sum() / total, "weight": total}

    return surgery
