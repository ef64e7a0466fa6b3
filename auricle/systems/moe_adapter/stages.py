"""The stages of training: the stand-in by its heads, the language model by text, the adapter, adapter and model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.alm.items import Batch, Items, heard, parts
from auricle.alm.routed import Bridge, bridge_of
from auricle.alm.sampling import evaluating
from auricle.alm.sft import Policy, SftLoss
from auricle.alm.stages import SftStep, Stage, dev_loss
from auricle.nn.moe import routing_log
from auricle.systems.moe_adapter.config import StageConfig
from auricle.systems.moe_adapter.items import UNKNOWN
from auricle.train.loop import FitResult

SHIFTED_BANDS, SHIFTED_FRAMES = 2, 8  # farthest that training moves a log-mel, in pitch and in time
MASKED_BANDS, MASKED_FRAMES = 8, 12  # widest stripe of it that training hides


def head_loss(heads: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Give the cross-entropy of the classes that are known, summed over heads, a clip."""
    losses = [
        F.cross_entropy(logits, targets[name], ignore_index=UNKNOWN, reduction="sum") for name, logits in heads.items()
    ]
    return torch.stack(losses).sum() / max(1, len(next(iter(targets.values()))))


def changed(features: Tensor) -> Tensor:
    """Move each clip (B, T, M) a little in pitch and time, and hide a stripe of bands and a stretch of frames.

    There are few voices and recordings; none of the questions is about pitch or time as such.
    """
    out = features.clone()
    for row in out:
        bands, frames = (int(torch.randint(-most, most + 1, ())) for most in (SHIFTED_BANDS, SHIFTED_FRAMES))
        moved = row.roll((frames, bands), (0, 1))
        if frames:
            edge = slice(0, frames) if frames > 0 else slice(frames, None)
            moved[edge] = row.amin()  # as silent as the clip gets
        band, frame = (int(torch.randint(size, ())) for size in (row.shape[1], row.shape[0]))
        moved[:, band : band + int(torch.randint(MASKED_BANDS, ()))] = 0.0
        moved[frame : frame + int(torch.randint(MASKED_FRAMES, ()))] = 0.0
        row.copy_(moved)
    return out


def fit_encoder(network: Policy, stage: Stage, how: StageConfig) -> FitResult:
    """Train the stand-in by its auxiliary heads alone; it ends with its best weights on dev."""

    def step(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        features = changed(batch.features)
        heads = model(lambda lm: lm.base.encoder(features, batch.lengths).heads)
        return {"loss": head_loss(heads, batch.targets)}

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        with torch.no_grad(), evaluating(network):
            return head_measures(network, stage.dev)

    return stage.fit(network, step, measure, batch=how.batch, take_best=True, **how.loop())


def head_measures(network: Policy, dev: Items) -> dict[str, float]:
    """Give ``dev_loss`` of the heads, and the share of known classes that each tells right."""
    total, right, known = 0.0, dict[str, int](), dict[str, int]()
    for part in parts(dev):
        heads = network.lm.base.encoder(part.features, part.lengths).heads
        total += float(head_loss(heads, part.targets)) * len(part.rows)
        for name, logits in heads.items():
            truth = part.targets[name]
            right[name] = right.get(name, 0) + int((logits.argmax(-1) == truth).sum())
            known[name] = known.get(name, 0) + int((truth != UNKNOWN).sum())
    shares = {f"dev_{name}": right[name] / count for name, count in known.items() if count}
    return {"dev_loss": total / len(dev), **shares}


@dataclass(frozen=True)
class WithRouting:
    """Adds the routing losses of a batch to that of its text; with heads, those of an encoder that is trained."""

    bridge: Bridge

    def __call__(self, text: SftLoss, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Give the weighted sum and each loss by name."""
        losses = dict(self.bridge.losses) if len(batch.lengths) else {}
        if text.heads:
            losses["heads"] = head_loss(text.heads, batch.targets)
        total = torch.stack(list(losses.values())).sum() if losses else text.loss.new_zeros(())
        return total, {name: value.detach() for name, value in losses.items()}


def sft_step(network: Policy, items: Items) -> SftStep:
    """Give the step of every stage with text: cross-entropy of the answers, the routing losses beside it."""
    return SftStep(network, items, WithRouting(bridge_of(network)))


def fit_text(network: Policy, stage: Stage, how: StageConfig) -> FitResult:
    """Train by answers; which weights are trained has been chosen before.

    Batches are mixed: those of like length would be those of like answers, and of one task.

    Args:
        network: changed in place.
        stage: conversations and folder.
        how: the recipe.
    """

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        return {"dev_loss": dev_loss(network, stage.dev), **routing_measures(network, stage.dev)}

    return stage.fit(network, sft_step(network, stage.items), measure, batch=how.batch, take_best=True, **how.loop())


@torch.no_grad()
def routing_measures(network: Policy, items: Items) -> dict[str, float]:
    """Give entropy, dead experts and losses of the router on some clips; nothing for a dense adapter or for texts."""
    with evaluating(network):
        for part in parts(items):
            heard(network.lm, part)
            routing = bridge_of(network).routing if len(part.lengths) else None
            if routing is not None:
                kept = ("router_entropy", "usage_entropy", "dead_experts", "dropped", "importance")
                log = routing_log(routing)
                return {f"dev_{name}": log[name] for name in kept}
            break
    return {}
