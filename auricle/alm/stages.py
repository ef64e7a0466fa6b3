"""Training an audio language model in stages: what is trained, what is frozen, from which weights, and the steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from auricle.alm.grpo import GrpoBatch, GrpoSettings, Reward, advantages, grpo_loss, round_logs, score
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.items import PART, Batch, Batches, Items, heard, parts, projected, prompts, sft_batch
from auricle.alm.lora import add_lora, merge
from auricle.alm.sampling import evaluating, rollout
from auricle.alm.sft import Policy, SftLoss, sft_loss
from auricle.core.errors import ConfigError
from auricle.core.files import read_jsonl, write_jsonl
from auricle.core.seed import derive
from auricle.train.checkpoint import load_model
from auricle.train.loop import Evaluate, FitResult, fit
from auricle.train.update import Step

P = TypeVar("P", bound=Policy)
Extra = Callable[[SftLoss, Batch], tuple[Tensor, Mapping[str, Tensor]]]
LORA = "lora"


@dataclass(frozen=True)
class Stage:
    """What a stage trains on, and where.

    Attributes:
        items: conversations to train on.
        dev: conversations for the log, and for the choice of weights.
        folder: of the stage's log and states; its name is part of the seeds.
        seed: of batches and draws.
        shown: show a bar.
        meta: JSON data to go into every checkpoint.
    """

    items: Items
    dev: Items
    folder: Path
    seed: int
    shown: bool = True
    meta: Mapping[str, Any] = field(default_factory=dict)

    def fit(
        self,
        policy: Policy,
        step: Step,
        measure: Evaluate,
        *,
        batch: int,
        monitor: str = "dev_loss",
        mode: Literal["min", "max"] = "min",
        take_best: bool = False,
        lengths: Sequence[int] | None = None,
        **loop: Any,
    ) -> FitResult:
        """Run the stage to its end, or go on with it.

        Args:
            policy: trained in place, in those weights that want a gradient.
            step: loss of a batch of the items.
            measure: what it gives on dev.
            batch: conversations in a batch.
            monitor: the measure that decides.
            mode: whether its lower or higher values are better.
            take_best: end with the weights of the best evaluation; otherwise with those of the last update.
            lengths: tokens of each conversation, to batch those of like length; see `auricle.alm.items.Batches`.
            **loop: further arguments of `auricle.train.loop.fit`, such as ``max_steps`` and ``lr``.
        """
        name = self.folder.name
        result = fit(
            policy,
            step,
            Batches(self.items, batch, derive(self.seed, "batches", name), lengths),
            folder=self.folder,
            seed=derive(self.seed, name),
            evaluate=measure,
            monitor=monitor,
            mode=mode,
            meta={**self.meta, "stage": name},
            progress=self.shown,
            **loop,
        )
        if take_best:
            load_model(result.best[0].path, policy)
        return result


def train_only(policy: Policy, parts: Sequence[str]) -> int:
    """Train some parts of a model and freeze all else.

    Args:
        policy: its weights come to want a gradient, or not.
        parts: names of direct parts of the model, such as ``encoder``, ``projector`` and ``decoder``, without the
            low-rank weights in them; ``lora`` for those.

    Returns:
        The number of trained weights.

    Raises:
        ConfigError: the model has no such part.
    """
    known = [name for name, _ in policy.lm.base.named_children()]
    low_rank = [name for name, _ in policy.named_parameters() if "lora_" in name]
    for part in parts:
        if part not in known and not (part == LORA and low_rank):
            raise ConfigError(f"the model has no part {part!r}; its parts are {', '.join([*known, LORA])}")
    policy.requires_grad_(False)
    for part in set(parts) - {LORA}:
        for name, weight in getattr(policy.lm.base, part).named_parameters():
            weight.requires_grad_("lora_" not in name)
    for name, weight in policy.named_parameters():
        if LORA in parts and "lora_" in name:
            weight.requires_grad_(True)
    return sum(weight.numel() for weight in policy.parameters() if weight.requires_grad)


@dataclass(frozen=True)
class SftStep:
    """The loss of one batch of supervised training.

    It is the mean over the batch's learned tokens, and ``weight`` is their number: under accumulation, and with
    several processes, every token counts once, whatever the lengths of its batch (see `auricle.train.update`).

    Attributes:
        policy: makes tokens of texts.
        items: the conversations that batches name.
        extra: further losses of a batch, such as those of auxiliary heads or of a router: their weighted sum, which
            is added, and each by name, for the log. Of a batch without gradient for it None is right.
    """

    policy: Policy
    items: Items
    extra: Extra | None = None

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Give ``loss`` and ``weight``; with further losses ``text`` (nats a token) and each of them too."""
        rows = sft_batch(self.policy, self.items, batch)
        text, more = model(lambda lm: self._losses(lm, rows, batch))
        if more is None:
            return {"loss": text.loss, "weight": text.weight}
        added, losses = more
        return {"loss": text.loss + added, "weight": text.weight, "text": text.loss.detach(), **losses}

    def _losses(self, lm: AudioLanguageModel, rows: Any, batch: Batch) -> tuple[SftLoss, Any]:
        text = sft_loss(lm, rows, projected(lm, batch))
        return text, None if self.extra is None else self.extra(text, batch)


@torch.no_grad()
def dev_loss(policy: Policy, items: Items, at_once: int = PART) -> float:
    """Give the mean cross-entropy over all learned tokens of conversations, in nats.

    Args:
        policy: the model.
        items: conversations with answers.
        at_once: conversations in a batch.
    """
    step = SftStep(policy, items)
    losses = [step(policy, part) for part in parts(items, at_once)]
    total = sum(float(loss["loss"] * loss["weight"]) for loss in losses)
    return total / sum(float(loss["weight"]) for loss in losses)


def for_grpo(policy: P, *, rank: int, alpha: float, seed: int) -> tuple[P, AudioLanguageModel | None]:
    """Make of a model after SFT the policy and the reference of GRPO.

    With LoRA the update is merged, as the FT-GRPO scripts do, and fresh LoRA put on it; the reference is that model
    with LoRA off (None). Without, it is a frozen copy.

    Args:
        policy: after SFT.
        rank: of LoRA; 0 trains what is trained.
        alpha: of LoRA.
        seed: of its fresh weights.
    """
    lm = policy.lm
    if rank:
        fresh = add_lora(merge(lm.model), rank=rank, alpha=alpha, seed=seed)
        return type(policy)(AudioLanguageModel(fresh, lm.tokenizer, lm.banned)), None
    frozen = copy.deepcopy(lm.model).eval().requires_grad_(False)
    return policy, AudioLanguageModel(frozen, lm.tokenizer, lm.banned)


@dataclass(frozen=True)
class GrpoStep:
    """Sample G answers to each prompt, reward them, and give the loss of the policy that sampled.

    Attributes:
        policy: the policy.
        reference: see `for_grpo`.
        items: the conversations that batches name; their truths are what the rewards know.
        rewards: name -> reward and its weight.
        settings: of the loss; its `temperature` is that of sampling too.
        samples: G.
        max_new: greatest number of tokens of an answer.
        top_p: of sampling, see `auricle.alm.sampling.rollout`.
        top_k: of sampling.
        seed: of the draws.
    """

    policy: Policy
    reference: AudioLanguageModel | None
    items: Items
    rewards: Mapping[str, tuple[Reward, float]]
    settings: GrpoSettings
    samples: int = 8
    max_new: int = 64
    top_p: float = 0.9
    top_k: int = 50
    seed: int = 0

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Give ``loss`` and what there is to log: reward parts, zero-variance share, length, entropy, KL."""
        loss, logs, weight = model(lambda lm: self._loss(lm, batch))
        numbers = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in logs.items()}
        return {"loss": loss, "weight": weight, **numbers}

    def _loss(self, lm: AudioLanguageModel, batch: Batch) -> tuple[Tensor, Mapping[str, Any], Tensor]:
        asked = prompts(self.policy, self.items, batch.rows)
        ready = projected(self.policy.lm, batch)
        with torch.no_grad(), evaluating(lm.model):
            audio = heard(self.policy.lm, batch) if ready is None else ready
        drawn = rollout(
            lm,
            asked,
            audio,
            samples=self.samples,
            max_new=self.max_new,
            temperature=self.settings.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            seed=derive(self.seed, batch.number),
        )
        texts = [lm.text(ids[mask]) for ids, mask in zip(drawn.ids, drawn.mask, strict=True)]
        truths = [self.items.truths[row] for row in batch.rows]
        rewards, each = score(texts, truths, self.rewards, self.samples)
        clips = len(batch.lengths) > 0
        answers = GrpoBatch(
            asked,
            drawn.ids,
            drawn.mask,
            advantages(rewards).flatten(),
            audio=ready,
            features=batch.features if clips else None,
            lengths=batch.lengths if clips else None,
            ref=self._reference(asked, drawn.ids, drawn.mask, batch),
        )
        loss = grpo_loss(lm, answers, self.settings)
        return loss.loss, {**round_logs(rewards, each, drawn, texts), **loss.logs}, loss.weight

    @torch.no_grad()
    def _reference(self, asked: list[list[int]], ids: Tensor, mask: Tensor, batch: Batch) -> Tensor | None:
        """Give the reference's log-probabilities; None where there is no KL, or where it is the policy without LoRA."""
        if self.reference is None or not self.settings.beta:
            return None
        audio = heard(self.reference, batch)
        return self.reference.logprobs(asked, ids, mask, audio, self.settings.temperature)[0]


def merge_logs(path: Path, folders: Sequence[Path]) -> None:
    """Put the logs of stages together into one, each row with its stage's name, steps counted on.

    Args:
        path: of the log to be written.
        folders: of the stages, in order; one without a log is left out.
    """
    rows: list[dict[str, Any]] = []
    for folder in folders:
        file = folder / "metrics.jsonl"
        if file.exists():
            done = len(rows)
            rows += [{"stage": folder.name, **row, "step": done + row["step"]} for row in read_jsonl(file)]
    write_jsonl(path, rows)
