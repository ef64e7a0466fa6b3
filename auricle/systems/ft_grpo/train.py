"""`train`: the encoder's heads, SFT, more SFT as a control, GRPO. It reads top to bottom."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from auricle.alm.grpo import GrpoBatch, GrpoSettings, advantages, grpo_loss, round_logs, score
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora, merge
from auricle.alm.sampling import evaluating, rollout
from auricle.alm.sft import sft_loss
from auricle.core.errors import ConfigError
from auricle.core.files import read_jsonl, write_jsonl
from auricle.core.run import RunFolder, is_main_process
from auricle.core.seed import derive
from auricle.metrics.calibration import calibrate
from auricle.systems.ft_grpo import items as of
from auricle.systems.ft_grpo.answer import answer, greedy
from auricle.systems.ft_grpo.config import FtGrpoConfig, GrpoConfig, StageConfig
from auricle.systems.ft_grpo.items import Batch, Batches, Items
from auricle.systems.ft_grpo.model import CLIP_HEADS, Network, build
from auricle.systems.ft_grpo.rationale import read
from auricle.systems.ft_grpo.rewards import weighted
from auricle.train.checkpoint import load_model, save_model
from auricle.train.loop import FitResult, fit

FINAL, SFT, MORE_SFT = "final", "sft", "more_sft"  # checkpoints: what answers, and what it is measured against
STAGES = ("heads", "sft", "more_sft", "grpo")


def train(cfg: FtGrpoConfig, run: RunFolder) -> Path:
    """Train the model of a run: auxiliary heads, SFT cold start, GRPO; and SFT alone for as long.

    A killed run goes on in the stage in which it was.

    Args:
        cfg: the run's config.
        run: a run folder with prepared clips.

    Returns:
        The folder of the final checkpoint: the model, and its calibration on dev.

    Raises:
        DataError: nothing was prepared.
    """
    train_items, dev = of.load(cfg, run, "train"), of.load(cfg, run, "dev")
    network = build(cfg)
    if cfg.train.heads is not None:
        fit_heads(cfg, network, train_items, dev, stage_folder(run, "heads"))
    if cfg.train.freeze:
        network.lm.base.encoder.requires_grad_(False)
        train_items, dev = of.heard(network, train_items), of.heard(network, dev)
    fit_sft(cfg, cfg.train.sft, network, train_items, dev, stage_folder(run, "sft"))
    keep(run, SFT, cfg, network, dev)
    if cfg.train.more_sft is not None:
        longer = build(cfg)
        longer.load_state_dict(network.state_dict())
        longer.lm.base.encoder.requires_grad_(not cfg.train.freeze)
        fit_sft(cfg, cfg.train.more_sft, longer, train_items, dev, stage_folder(run, "more_sft"))
        keep(run, MORE_SFT, cfg, longer, dev)
    if cfg.train.grpo is not None:
        network, reference = for_grpo(cfg, network)
        fit_grpo(cfg, cfg.train.grpo, network, reference, train_items, dev, stage_folder(run, "grpo"))
    log(run)
    return keep(run, FINAL, cfg, network, dev)


def stage_folder(run: RunFolder, name: str) -> Path:
    """Name the folder of a stage's log and states; the checkpoints that answer lie beside them."""
    return run.checkpoints / "stages" / name


def fit_heads(
    cfg: FtGrpoConfig, network: Network, items: Items, dev: Items, folder: Path, *, shown: bool = True
) -> FitResult:
    """Train the encoder by its auxiliary heads alone: where and what an artefact is has to be heard before it is told.

    Args:
        cfg: the run's config, with `train.heads`.
        network: changed in place.
        items: training clips.
        dev: clips for the log.
        folder: of this stage.
        shown: show a bar.

    Raises:
        ConfigError: the config has no such stage.
    """

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        totals = dict.fromkeys(("dev_loss", *(f"dev_{name}" for name in CLIP_HEADS)), 0.0)
        for own in of.parts(dev):
            heads = network.lm.base.encoder(own.features, own.lengths).heads
            totals["dev_loss"] += float(of.head_loss(heads, own.targets)[0]) * len(own.rows)
            for name in CLIP_HEADS:
                totals[f"dev_{name}"] += float((heads[name].argmax(-1) == own.targets[name]).sum())
        return {name: value / len(dev) for name, value in totals.items()}

    def step(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        own = of.turned(batch, torch.rand(len(batch.rows)) < 0.5)
        heads = model(lambda lm: lm.base.encoder(own.features, own.lengths).heads)
        loss, parts = of.head_loss(heads, own.targets)
        return {"loss": loss, **parts}

    if cfg.train.heads is None:
        raise ConfigError("train.heads is null; give it a number of steps")
    return stage(cfg, cfg.train.heads, network, step, items, measure, folder, shown=shown)


def fit_sft(
    cfg: FtGrpoConfig, how: StageConfig, network: Network, items: Items, dev: Items, folder: Path, *, shown: bool = True
) -> FitResult:
    """Train on the rationales: cross-entropy of the assistant's tokens, the auxiliary losses beside it.

    Args:
        cfg: the run's config.
        how: the stage.
        network: changed in place.
        items: training clips.
        dev: clips for the log.
        folder: of this stage.
        shown: show a bar.
    """

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        plain = SftStep(network, dev, 0.0)
        made = [plain(model, own) for own in of.parts(dev)]
        loss = sum(float(one["loss"] * one["weight"]) for one in made) / sum(float(one["weight"]) for one in made)
        return {"dev_loss": loss, **dev_hits(network, dev, cfg.eval.max_new)}

    return stage(cfg, how, network, SftStep(network, items, cfg.train.head_weight), items, measure, folder, shown=shown)


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
        own = of.sft_batch(self.network, self.items, batch)
        frames = batch.frames
        made = model(lambda lm: sft_loss(lm, own, None if frames is None else self.network.project(frames)))
        if not self.head_weight or not made.heads:
            return {"loss": made.loss, "weight": made.weight}
        extra, parts = of.head_loss(made.heads, batch.targets)
        return {"loss": made.loss + self.head_weight * extra, "text": made.loss.detach(), **parts}


def for_grpo(cfg: FtGrpoConfig, network: Network) -> tuple[Network, AudioLanguageModel | None]:
    """Make of the SFT model the policy and the reference of stage 2.

    With LoRA the update is merged, as the released scripts do, and fresh LoRA put on it; the reference is that model
    with LoRA off (None). Without, it is a frozen copy.
    """
    if cfg.model.lora_rank:
        merged = merge(network.lm.model)
        rank, alpha = cfg.model.lora_rank, cfg.model.lora_alpha
        policy = add_lora(merged, rank=rank, alpha=alpha, seed=derive(cfg.seed, "grpo"))
        return Network(AudioLanguageModel(policy, network.lm.tokenizer, network.lm.banned), network.system), None
    frozen = copy.deepcopy(network.lm.model).eval().requires_grad_(False)
    return network, AudioLanguageModel(frozen, network.lm.tokenizer, network.lm.banned)


def fit_grpo(
    cfg: FtGrpoConfig,
    how: GrpoConfig,
    network: Network,
    reference: AudioLanguageModel | None,
    items: Items,
    dev: Items,
    folder: Path,
    *,
    shown: bool = True,
) -> FitResult:
    """Train by rewards.

    Args:
        cfg: the run's config.
        how: the stage.
        network: changed in place.
        reference: where the policy must stay close to; None takes LoRA off.
        items: training clips.
        dev: clips for the log.
        folder: of this stage.
        shown: show a bar.
    """

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        return dev_hits(network, dev, cfg.eval.max_new)

    step = GrpoStep(network, reference, items, how, derive(cfg.seed, "rollouts"))
    plan = StageConfig(
        steps=how.steps, batch=how.prompts, lr=how.lr, weight_decay=how.weight_decay, warmup=how.warmup,
        save_every=how.save_every, eval_every=how.eval_every,
    )  # fmt: skip
    return stage(cfg, plan, network, step, items, measure, folder, monitor="dev_label", mode="max", shown=shown)


@dataclass(frozen=True)
class GrpoStep:
    """Sample G answers to each prompt, reward them, and give the loss of the policy that sampled.

    Attributes:
        network: the policy.
        reference: see `for_grpo`.
        items: the clips that batches name, with what the rewards know.
        how: settings.
        seed: of the draws.
    """

    network: Network
    reference: AudioLanguageModel | None
    items: Items
    how: GrpoConfig
    seed: int

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Give ``loss`` and what there is to log: reward parts, zero-variance share, length, entropy, KL."""
        loss, logs, weight = model(lambda lm: self._job(lm, batch))
        numbers = {name: torch.as_tensor(value, dtype=torch.float32) for name, value in logs.items()}
        return {"loss": loss, "weight": weight, **numbers}

    def _job(self, lm: AudioLanguageModel, batch: Batch) -> tuple[Tensor, Mapping[str, Any], Tensor]:
        how = self.how
        prompts = [self.network.prompt(int(size)) for size in batch.lengths]
        ready = None if batch.frames is None else self.network.project(batch.frames)
        with torch.no_grad(), evaluating(lm.model):
            audio = self.network.hear(batch.features, batch.lengths) if ready is None else ready
        made = rollout(
            lm, prompts, audio, samples=how.samples, max_new=how.max_new, temperature=how.temperature,
            top_p=how.top_p, top_k=how.top_k, seed=derive(self.seed, batch.number),
        )  # fmt: skip
        texts = [lm.text(ids[own]) for ids, own in zip(made.ids, made.mask, strict=True)]
        truths = [self.items.truths[row] for row in batch.rows]
        rewards, parts = score(texts, truths, weighted(how.weights), how.samples)
        answers = GrpoBatch(
            prompts, made.ids, made.mask, advantages(rewards).flatten(), audio=ready, features=batch.features,
            lengths=batch.lengths, ref=self._reference(prompts, made.ids, made.mask, batch),
        )  # fmt: skip
        settings = GrpoSettings(how.kind, how.clip, None, how.beta, how.max_new, temperature=how.temperature)
        loss = grpo_loss(lm, answers, settings)
        return loss.loss, {**round_logs(rewards, parts, made, texts), **loss.logs}, loss.weight

    @torch.no_grad()
    def _reference(self, prompts: list[list[int]], ids: Tensor, mask: Tensor, batch: Batch) -> Tensor | None:
        """Give the reference's log-probabilities; None where there is no KL, or where it is the policy without LoRA."""
        if self.reference is None or not self.how.beta:
            return None
        frozen = Network(self.reference)
        ready = batch.frames
        audio = frozen.hear(batch.features, batch.lengths) if ready is None else frozen.project(ready)
        return self.reference.logprobs(prompts, ids, mask, audio, self.how.temperature)[0]


def stage(
    cfg: FtGrpoConfig,
    how: StageConfig,
    network: Network,
    step: Callable[[nn.Module, Any], Mapping[str, Tensor]],
    items: Items,
    measure: Callable[[nn.Module, int], Mapping[str, float]],
    folder: Path,
    *,
    monitor: str = "dev_loss",
    mode: Any = "min",
    shown: bool = True,
) -> FitResult:
    """Run one stage to its end, or go on with it; the last update's weights are kept, none are chosen by dev."""
    return fit(
        network,
        step,
        Batches(items, how.batch, derive(cfg.seed, "batches", folder.name)),
        folder=folder,
        max_steps=how.steps,
        lr=how.lr,
        seed=derive(cfg.seed, folder.name),
        weight_decay=how.weight_decay,
        warmup_fraction=how.warmup,
        evaluate=measure,
        eval_every=min(how.eval_every, how.steps),
        monitor=monitor,
        mode=mode,
        save_every=how.save_every,
        meta={"system": "ft_grpo", "stage": folder.name},
        progress=shown,
    )


def dev_hits(network: Network, dev: Items, max_new: int) -> dict[str, float]:
    """Give shares of dev clips whose greedy text has the right label, and of artefacts whose place is right."""
    said = [read(text) for text in greedy(network, dev, max_new)]
    truths = [truth.evidence for truth in dev.truths]
    pairs = [(one, truth) for one, truth in zip(said, truths, strict=True) if truth is not None]
    bands = [one.band == truth.band for one, truth in pairs if truth.band is not None]
    bins = [one.bin == truth.bin for one, truth in pairs if truth.bin is not None]
    label = sum(one.label == truth.label for one, truth in pairs) / max(1, len(pairs))
    return {
        "dev_label": label, "dev_band": sum(bands) / max(1, len(bands)), "dev_bin": sum(bins) / max(1, len(bins))
    }  # fmt: skip


def keep(run: RunFolder, name: str, cfg: FtGrpoConfig, network: Network, dev: Items) -> Path:
    """Write a checkpoint that answers: the weights, and probability, threshold and undecided band set on dev."""
    folder = run.checkpoints / name
    if not is_main_process():
        return folder
    found = answer(
        network, dev.features, dev.lengths, max_new=cfg.eval.max_new, rationales=cfg.eval.rationales,
        batch=cfg.eval.batch, seed=derive(cfg.seed, "answers"),
    )  # fmt: skip
    real = [truth.solution == of.REAL for truth in dev.truths]
    return save_model(folder, network, {"calibration": calibrate(found.scores, real).to_dict()})


def log(run: RunFolder) -> None:
    """Put the stages' logs together into the run's ``metrics.jsonl``, each row with its stage, steps counted on."""
    rows: list[dict[str, Any]] = []
    done = 0
    for name in STAGES:
        file = stage_folder(run, name) / "metrics.jsonl"
        if file.exists():
            own = list(read_jsonl(file))
            rows += [{"stage": name, **row, "step": done + row["step"]} for row in own]
            done += len(own)
    write_jsonl(run.path / "metrics.jsonl", rows)


def load(run: RunFolder, name: str, cfg: FtGrpoConfig) -> tuple[Network, dict[str, Any]]:
    """Read a checkpoint that `keep` wrote, and its meta data.

    Raises:
        CheckpointError: it is not there, or damaged.
    """
    network = build(cfg)
    meta = load_model(run.checkpoints / name, network)
    network.eval()
    return network, meta
