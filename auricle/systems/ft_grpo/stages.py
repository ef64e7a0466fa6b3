"""The three stages of training: auxiliary heads, SFT, GRPO. They take a network, clips and a recipe."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from auricle.alm.grpo import GrpoBatch, GrpoSettings, Reward, advantages, grpo_loss, round_logs, score
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora, merge
from auricle.alm.sampling import evaluating, rollout
from auricle.alm.sft import sft_loss
from auricle.core.seed import derive
from auricle.systems.ft_grpo.config import GrpoConfig, ModelConfig, StageConfig
from auricle.systems.ft_grpo.generate import greedy
from auricle.systems.ft_grpo.items import Batch, Batches, Items, head_loss, parts, sft_batch, time_reversed
from auricle.systems.ft_grpo.model import CLIP_HEADS, Network
from auricle.systems.ft_grpo.rationale import read
from auricle.systems.ft_grpo.rewards import weighted
from auricle.train.loop import FitResult, fit
from auricle.train.recipe import Recipe

Step = Callable[[nn.Module, Any], Mapping[str, Tensor]]
Measure = Callable[[nn.Module, int], Mapping[str, float]]


@dataclass(frozen=True)
class Stage:
    """What a stage trains on, and where.

    Attributes:
        items: training clips.
        dev: clips for the log.
        folder: of the stage's log and states; its name is part of the seeds.
        seed: of batches and draws.
        max_new: greatest number of tokens of the texts about dev clips.
        shown: show a bar.
    """

    items: Items
    dev: Items
    folder: Path
    seed: int
    max_new: int
    shown: bool = True

    def fit(
        self,
        network: Network,
        step: Step,
        measure: Measure,
        how: Recipe,
        batch: int,
        monitor: str = "dev_loss",
        mode: Literal["min", "max"] = "min",
    ) -> FitResult:
        """Run the stage to its end, or go on with it; the last update's weights are kept, none are chosen by dev."""
        name = self.folder.name
        return fit(
            network,
            step,
            Batches(self.items, batch, derive(self.seed, "batches", name)),
            folder=self.folder,
            seed=derive(self.seed, name),
            evaluate=measure,
            monitor=monitor,
            mode=mode,
            meta={"system": "ft_grpo", "stage": name},
            progress=self.shown,
            **how.loop(),
        )


def fit_heads(network: Network, stage: Stage, how: StageConfig) -> FitResult:
    """Train the encoder by its auxiliary heads alone: an artefact has to be heard before it can be told.

    Args:
        network: changed in place.
        stage: clips and folder.
        how: the recipe.
    """

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        totals = dict.fromkeys(("dev_loss", *(f"dev_{name}" for name in CLIP_HEADS)), 0.0)
        for part in parts(stage.dev):
            heads = network.lm.base.encoder(part.features, part.lengths).heads
            totals["dev_loss"] += float(head_loss(heads, part.targets)[0]) * len(part.rows)
            for name in CLIP_HEADS:
                totals[f"dev_{name}"] += float((heads[name].argmax(-1) == part.targets[name]).sum())
        return {name: value / len(stage.dev) for name, value in totals.items()}

    return stage.fit(network, heads_step, measure, how, how.batch)


def heads_step(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Give ``loss`` and the loss of each auxiliary head; half of the clips run backwards in time."""
    given = time_reversed(batch, torch.rand(len(batch.rows)) < 0.5)
    heads = model(lambda lm: lm.base.encoder(given.features, given.lengths).heads)
    loss, losses = head_loss(heads, given.targets)
    return {"loss": loss, **losses}


def fit_sft(network: Network, stage: Stage, how: StageConfig, head_weight: float) -> FitResult:
    """Train on the rationales: cross-entropy of the assistant's tokens, the auxiliary losses beside it.

    Args:
        network: changed in place.
        stage: clips and folder.
        how: the recipe.
        head_weight: of the auxiliary losses.
    """
    plain = SftStep(network, stage.dev, 0.0)

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        losses = [plain(model, part) for part in parts(stage.dev)]
        total = sum(float(loss["loss"] * loss["weight"]) for loss in losses)
        dev_loss = total / sum(float(loss["weight"]) for loss in losses)
        return {"dev_loss": dev_loss, **dev_hits(network, stage)}

    return stage.fit(network, SftStep(network, stage.items, head_weight), measure, how, how.batch)


@dataclass(frozen=True)
class SftStep:
    """The loss of one batch of stage 1.

    Attributes:
        network: makes tokens of texts.
        items: the clips that batches name.
        head_weight: of the auxiliary losses.
    """

    network: Network
    items: Items
    head_weight: float

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Give ``loss``, ``text`` (nats a token) and each auxiliary loss."""
        rows, frames = sft_batch(self.network, self.items, batch), batch.frames
        text = model(lambda lm: sft_loss(lm, rows, None if frames is None else self.network.project(frames)))
        if not self.head_weight or not text.heads:
            return {"loss": text.loss, "weight": text.weight}
        extra, losses = head_loss(text.heads, batch.targets)
        return {"loss": text.loss + self.head_weight * extra, "text": text.loss.detach(), **losses}


def for_grpo(network: Network, model: ModelConfig, seed: int) -> tuple[Network, AudioLanguageModel | None]:
    """Make of the SFT model the policy and the reference of stage 2.

    With LoRA the update is merged, as the released scripts do, and fresh LoRA put on it; the reference is that model
    with LoRA off (None). Without, it is a frozen copy.
    """
    lm = network.lm
    if model.lora_rank:
        seed = derive(seed, "grpo")
        policy = add_lora(merge(lm.model), rank=model.lora_rank, alpha=model.lora_alpha, seed=seed)
        return Network(AudioLanguageModel(policy, lm.tokenizer, lm.banned)), None
    frozen = copy.deepcopy(lm.model).eval().requires_grad_(False)
    return network, AudioLanguageModel(frozen, lm.tokenizer, lm.banned)


def fit_grpo(network: Network, reference: AudioLanguageModel | None, stage: Stage, how: GrpoConfig) -> FitResult:
    """Train by rewards.

    Args:
        network: changed in place.
        reference: where the policy must stay close to; None takes LoRA off.
        stage: clips and folder.
        how: the recipe.
    """

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        return dev_hits(network, stage)

    step = GrpoStep(network, reference, stage.items, how, weighted(how.weights), derive(stage.seed, "rollouts"))
    return stage.fit(network, step, measure, how, how.prompts, monitor="dev_label", mode="max")


@dataclass(frozen=True)
class GrpoStep:
    """Sample G answers to each prompt, reward them, and give the loss of the policy that sampled.

    Attributes:
        network: the policy.
        reference: see `for_grpo`.
        items: the clips that batches name, with what the rewards know.
        how: settings.
        rewards: name -> reward and its weight.
        seed: of the draws.
    """

    network: Network
    reference: AudioLanguageModel | None
    items: Items
    how: GrpoConfig
    rewards: Mapping[str, tuple[Reward, float]]
    seed: int

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Give ``loss`` and what there is to log: reward parts, zero-variance share, length, entropy, KL."""
        loss, logs, weight = model(lambda lm: self._loss(lm, batch))
        numbers = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in logs.items()}
        return {"loss": loss, "weight": weight, **numbers}

    def _loss(self, lm: AudioLanguageModel, batch: Batch) -> tuple[Tensor, Mapping[str, Any], Tensor]:
        how = self.how
        prompts = [self.network.prompt(int(size)) for size in batch.lengths]
        ready = None if batch.frames is None else self.network.project(batch.frames)
        with torch.no_grad(), evaluating(lm.model):
            audio = self.network.encode(batch.features, batch.lengths) if ready is None else ready
        drawn = rollout(
            lm,
            prompts,
            audio,
            samples=how.samples,
            max_new=how.max_new,
            temperature=how.temperature,
            top_p=how.top_p,
            top_k=how.top_k,
            seed=derive(self.seed, batch.number),
        )
        texts = [lm.text(ids[mask]) for ids, mask in zip(drawn.ids, drawn.mask, strict=True)]
        truths = [self.items.truths[row] for row in batch.rows]
        rewards, each = score(texts, truths, self.rewards, how.samples)
        answers = GrpoBatch(
            prompts,
            drawn.ids,
            drawn.mask,
            advantages(rewards).flatten(),
            audio=ready,
            features=batch.features,
            lengths=batch.lengths,
            ref=self._reference(prompts, drawn.ids, drawn.mask, batch),
        )
        settings = GrpoSettings(how.kind, how.clip, None, how.beta, how.max_new, temperature=how.temperature)
        loss = grpo_loss(lm, answers, settings)
        return loss.loss, {**round_logs(rewards, each, drawn, texts), **loss.logs}, loss.weight

    @torch.no_grad()
    def _reference(self, prompts: list[list[int]], ids: Tensor, mask: Tensor, batch: Batch) -> Tensor | None:
        """Give the reference's log-probabilities; None where there is no KL, or where it is the policy without LoRA."""
        if self.reference is None or not self.how.beta:
            return None
        frozen = Network(self.reference)
        ready = batch.frames
        audio = frozen.encode(batch.features, batch.lengths) if ready is None else frozen.project(ready)
        return self.reference.logprobs(prompts, ids, mask, audio, self.how.temperature)[0]


def dev_hits(network: Network, stage: Stage) -> dict[str, float]:
    """Give shares of dev clips whose greedy text has the right label, and of artefacts whose place is right."""
    parsed = [read(text) for text in greedy(network, stage.dev, stage.max_new)]
    truths = [truth.evidence for truth in stage.dev.truths]
    pairs = [(claim, truth) for claim, truth in zip(parsed, truths, strict=True) if truth is not None]
    hits = {
        "dev_label": [claim.label == truth.label for claim, truth in pairs],
        "dev_band": [claim.band == truth.band for claim, truth in pairs if truth.band is not None],
        "dev_bin": [claim.bin == truth.bin for claim, truth in pairs if truth.bin is not None],
    }
    return {name: sum(each) / max(1, len(each)) for name, each in hits.items()}
