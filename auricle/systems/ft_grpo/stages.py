"""The three stages of training: auxiliary heads, SFT, GRPO. They take a network, clips and a recipe."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from auricle.alm.grpo import GrpoSettings
from auricle.alm.heads import HeadsStep, head_loss, head_measures
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.items import Batch, Items
from auricle.alm.sft import Policy, SftLoss
from auricle.alm.stages import GrpoStep, SftStep, Stage, dev_loss
from auricle.alm.writing import greedy
from auricle.core.seed import derive
from auricle.systems.ft_grpo.config import GrpoConfig, StageConfig
from auricle.systems.ft_grpo.items import time_reversed
from auricle.systems.ft_grpo.model import CLIP_HEADS
from auricle.systems.ft_grpo.rationale import read
from auricle.systems.ft_grpo.rewards import weighted
from auricle.train.loop import FitResult


def fit_heads(network: Policy, stage: Stage, how: StageConfig) -> FitResult:
    """Train the encoder by its auxiliary heads alone, half of the clips backwards in time."""

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        return head_measures(network, stage.dev, list(CLIP_HEADS))

    return stage.fit(network, HeadsStep(_some_reversed), measure, batch=how.batch, **how.loop())


def _some_reversed(batch: Batch) -> Batch:
    return time_reversed(batch, torch.rand(len(batch.rows)) < 0.5)


def fit_sft(network: Policy, stage: Stage, how: StageConfig, head_weight: float, max_new: int) -> FitResult:
    """Train on the rationales: cross-entropy of the assistant's tokens, the auxiliary losses beside it.

    Args:
        network: changed in place.
        stage: clips and folder.
        how: the recipe.
        head_weight: of the auxiliary losses.
        max_new: greatest number of tokens of the texts about dev clips.
    """

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        return {"dev_loss": dev_loss(network, stage.dev), **dev_hits(network, stage.dev, max_new)}

    step = sft_step(network, stage.items, head_weight)
    return stage.fit(network, step, measure, batch=how.batch, **how.loop())


def sft_step(network: Policy, items: Items, head_weight: float) -> SftStep:
    """Give the step of stage 1; clips that a frozen encoder has heard have no auxiliary losses."""

    def extra(text: SftLoss, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        total, losses = head_loss(text.heads, batch.targets)
        return head_weight * total, losses

    return SftStep(network, items, extra if head_weight and items.frames is None else None)


def fit_grpo(
    network: Policy, reference: AudioLanguageModel | None, stage: Stage, how: GrpoConfig, max_new: int
) -> FitResult:
    """Train by rewards.

    Args:
        network: changed in place.
        reference: where the policy must stay close to; None takes LoRA off.
        stage: clips and folder.
        how: the recipe.
        max_new: greatest number of tokens of the texts about dev clips.
    """

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        return dev_hits(network, stage.dev, max_new)

    step = grpo_step(network, reference, stage.items, how, derive(stage.seed, "rollouts"))
    return stage.fit(network, step, measure, batch=how.prompts, monitor="dev_label", mode="max", **how.loop())


def grpo_step(
    network: Policy, reference: AudioLanguageModel | None, items: Items, how: GrpoConfig, seed: int
) -> GrpoStep:
    """Give the step of stage 2, with the recipe's rewards."""
    return GrpoStep(
        network,
        reference,
        items,
        weighted(how.weights),
        GrpoSettings(how.kind, how.clip, None, how.beta, how.max_new, temperature=how.temperature),
        samples=how.samples,
        max_new=how.max_new,
        top_p=how.top_p,
        top_k=how.top_k,
        seed=seed,
    )


def dev_hits(network: Policy, dev: Items, max_new: int) -> dict[str, float]:
    """Give shares of dev clips whose greedy text has the right label, and of artefacts whose place is right."""
    parsed = [read(text) for text in greedy(network, dev, max_new)]
    truths = [truth.evidence for truth in dev.truths]
    pairs = [(claim, truth) for claim, truth in zip(parsed, truths, strict=True) if truth is not None]
    hits = {
        "dev_label": [claim.label == truth.label for claim, truth in pairs],
        "dev_band": [claim.band == truth.band for claim, truth in pairs if truth.band is not None],
        "dev_bin": [claim.bin == truth.bin for claim, truth in pairs if truth.bin is not None],
    }
    return {name: sum(each) / max(1, len(each)) for name, each in hits.items()}
