"""Auxiliary heads of an encoder: their losses, and a stage that trains the encoder by them alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.alm.items import Batch, Items, parts
from auricle.alm.sft import Policy

FRAME_WEIGHT = 4.0  # of an encoder frame of another class than 0 beside one of it; most are of class 0


def head_loss(
    heads: Mapping[str, Tensor], targets: Mapping[str, Tensor], frame_weight: float = FRAME_WEIGHT
) -> tuple[Tensor, dict[str, Tensor]]:
    """Give the sum of the heads' cross-entropies, and each.

    Args:
        heads: logits (B, K) over the clip or (B, T', K) over frames.
        targets: classes, (B,) and (B, T').
        frame_weight: of a frame of another class than 0, which is the rule.
    """
    losses = {}
    for name, logits in heads.items():
        weight = None
        if logits.ndim == 3:
            weight = torch.full((logits.shape[-1],), frame_weight, device=logits.device)
            weight[0] = 1.0
        losses[f"head/{name}"] = F.cross_entropy(logits.flatten(0, -2), targets[name].flatten(), weight=weight)
    return torch.stack(list(losses.values())).sum(), {name: value.detach() for name, value in losses.items()}


@dataclass(frozen=True)
class HeadsStep:
    """The loss of one batch of training by the heads alone: what decides has to be heard before it can be told.

    Attributes:
        change: makes another batch of a batch, to augment it; it may draw from torch's generator.
        frame_weight: see `head_loss`.
    """

    change: Callable[[Batch], Batch] | None = None
    frame_weight: float = FRAME_WEIGHT

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Give ``loss`` and the loss of each auxiliary head."""
        given = batch if self.change is None else self.change(batch)
        heads = model(lambda lm: lm.base.encoder(given.features, given.lengths).heads)
        loss, losses = head_loss(heads, given.targets, self.frame_weight)
        return {"loss": loss, **losses}


@torch.no_grad()
def head_measures(
    policy: Policy, items: Items, names: Sequence[str], frame_weight: float = FRAME_WEIGHT
) -> dict[str, float]:
    """Give ``dev_loss`` of the heads, and of each named head over the clip the share that is right.

    Args:
        policy: the model.
        items: conversations with targets, each about a clip.
        names: of heads over the clip.
        frame_weight: see `head_loss`.
    """
    totals = dict.fromkeys(("dev_loss", *(f"dev_{name}" for name in names)), 0.0)
    for part in parts(items):
        heads = policy.lm.base.encoder(part.features, part.lengths).heads
        totals["dev_loss"] += float(head_loss(heads, part.targets, frame_weight)[0]) * len(part.rows)
        for name in names:
            totals[f"dev_{name}"] += float((heads[name].argmax(-1) == part.targets[name]).sum())
    return {name: value / len(items) for name, value in totals.items()}
