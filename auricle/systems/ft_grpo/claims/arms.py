"""Arms of claims: data, and for each seed an encoder and an SFT model, which all claims share; then what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from auricle.alm.items import Items, with_encoder_frames
from auricle.alm.sft import Policy
from auricle.alm.stages import Stage, for_grpo, train_only
from auricle.alm.writing import greedy
from auricle.claims.claim import Budget, Cell
from auricle.claims.shared import once, prepared
from auricle.core.config import override
from auricle.core.files import digest, read_jsonl
from auricle.core.run import RunFolder
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import BANDS, BINS
from auricle.metrics import evidence as score
from auricle.systems.ft_grpo import counterfactual, data
from auricle.systems.ft_grpo.config import FtGrpoConfig, laptop, smoke
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.features import features_of
from auricle.systems.ft_grpo.items import ready
from auricle.systems.ft_grpo.model import build, chat
from auricle.systems.ft_grpo.rationale import FREQUENCY_TAG, TIME_TAG, read
from auricle.systems.ft_grpo.stages import fit_grpo, fit_heads, fit_sft
from auricle.systems.ft_grpo.train import RESTING, load_items
from auricle.train.checkpoint import load_model, save_model

DATA = ("data.train=3000", "data.dev=200", "data.test=800", "data.weak=600", "data.hard=0")
FULL = (
    "train.heads.max_steps=500",
    "train.sft.max_steps=500",
    "train.grpo.max_steps=50",
    "train.more_sft.max_steps=250",
    "eval.counterfactuals=160",
)


def config(budget: Budget, seed: int = 0, *settings: str) -> FtGrpoConfig:
    """Give the config of one training at a budget.

    Args:
        budget: quick or full.
        seed: of weights, batches and draws; the data stay the same.
        *settings: what differs.
    """
    base = override(laptop(), [*DATA, *FULL]) if budget == "full" else override(smoke(), ["data.hard=0"])
    return override(base, [f"seed={seed}", *settings])


def settings(cell: Cell) -> Mapping[str, Any]:
    """Give what decides the numbers of every arm of a seed."""
    return {"config": config(cell.budget, cell.seed)}


@cache
def world(shared: Path, budget: Budget) -> RunFolder:
    """Prepare the shared data once."""
    preset = "laptop" if budget == "full" else "smoke"
    return prepared(shared / "world", "ft_grpo", preset, config(budget), data.prepare)


@cache
def clips(shared: Path, budget: Budget, name: str) -> tuple[Item, ...]:
    """Read a set of the shared data."""
    return tuple(data.load(world(shared, budget), name))


@cache
def cases(shared: Path, budget: Budget) -> tuple[counterfactual.Case, ...]:
    """Make the counterfactuals that all models are asked about."""
    cfg = config(budget)
    return tuple(counterfactual.build(cfg.data, clips(shared, budget, "test"), cfg.eval.counterfactuals))


def stage_of(cfg: FtGrpoConfig, items: Items, dev: Items, folder: Path) -> Stage:
    """Give a stage of a training, without a bar."""
    return Stage(items, dev, folder, cfg.seed, shown=False, meta={"system": "ft_grpo"})


@cache
def encoder(shared: Path, budget: Budget, seed: int) -> tuple[Policy, Items, Items]:
    """Train the encoder of a seed once; give a network with it, and training and dev clips with its frames."""
    cfg, run = config(budget, seed), world(shared, budget)
    network = build(cfg)
    folder = _folder(shared, cfg, f"encoder-{seed}")
    items, dev = load_items(cfg, run, "train"), load_items(cfg, run, "dev")
    if cfg.train.heads is not None and not (folder / "final").is_dir():
        fit_heads(network, stage_of(cfg, items, dev, folder), cfg.train.heads)
        save_model(folder / "final", network, {})
    load_model(folder / "final", network)
    train_only(network, RESTING)
    return network, with_encoder_frames(network, items), with_encoder_frames(network, dev)


def after_sft(cell: Cell, start: str) -> tuple[Policy, Items, Items]:
    """Give the SFT model of a seed, trained once: ``sft`` writes rationales, ``labels`` the label alone."""
    cfg = config(cell.budget, cell.seed)
    with_encoder, items, dev = encoder(cell.shared, cell.budget, cell.seed)
    network = build(cfg)
    network.load_state_dict(with_encoder.state_dict())
    train_only(network, RESTING)
    folder = _folder(cell.shared, cfg, f"{start}-{cell.seed}")
    if not (folder / "final").is_dir():
        learned, checked = (items, dev) if start == "sft" else (labels_alone(items), labels_alone(dev))
        stage = stage_of(cfg, learned, checked, folder)
        fit_sft(network, stage, cfg.train.sft, cfg.train.head_weight, cfg.eval.max_new)
        save_model(folder / "final", network, {})
    load_model(folder / "final", network)
    return network, items, dev


def labels_alone(items: Items) -> Items:
    """Give clips whose text to learn is the label alone."""
    return replace(items, chats=[chat(truth.solution) for truth in items.truths])


def trained(cell: Cell, how: str, start: str = "sft", *settings: str) -> dict[str, Any]:
    """Go on from an SFT model, and measure; what two claims train alike is trained once.

    Args:
        cell: seed, budget and folders.
        how: ``grpo``, or ``more-sft`` for about as long.
        start: see `after_sft`.
        *settings: what differs, such as weights of the rewards.
    """
    cfg = config(cell.budget, cell.seed, *settings)
    folder = _folder(cell.shared, cfg, "-".join([how, start, str(cell.seed), *settings]))
    return once(folder / "numbers.json", lambda: _trained(cell, how, start, cfg, folder))


def _folder(shared: Path, cfg: FtGrpoConfig, name: str) -> Path:
    """Name the folder of a training; another config never goes on in it.

    Its last part is part of the training's seeds and says only what differs between arms, so that a setting that is
    added later leaves batches and draws as they are.
    """
    return shared / "trained" / digest(cfg.model_dump(mode="json")) / name


def _trained(cell: Cell, how: str, start: str, cfg: FtGrpoConfig, folder: Path) -> dict[str, Any]:
    network, items, dev = after_sft(cell, start)
    stage = stage_of(cfg, items, dev, folder)
    numbers: dict[str, Any] = {}
    if how == "more-sft" and cfg.train.more_sft is not None:
        result = fit_sft(network, stage, cfg.train.more_sft, cfg.train.head_weight, cfg.eval.max_new)
        numbers["train_seconds"] = float(result.metrics.get("seconds", 0.0))
    elif how == "grpo" and cfg.train.grpo is not None:
        network, reference = for_grpo(
            network, rank=cfg.model.lora_rank, alpha=cfg.model.lora_alpha, seed=derive(cfg.seed, "grpo")
        )
        result = fit_grpo(network, reference, stage, cfg.train.grpo, cfg.eval.max_new)
        numbers["train_seconds"] = float(result.metrics.get("seconds", 0.0))
        rows = list(read_jsonl(folder / "metrics.jsonl"))
        few = max(1, len(rows) // 5)
        for name in ("reward", "distinct", "entropy", "zero_variance"):
            values = [row[name] for row in rows]
            numbers[f"{name}_first"] = float(np.mean(values[:few]))
            numbers[f"{name}_last"] = float(np.mean(values[-few:]))
    numbers |= measure(cell, cfg, network)
    numbers["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    return numbers


def measure(cell: Cell, cfg: FtGrpoConfig, network: Policy) -> dict[str, float]:
    """Measure a model: verdicts on three sets, places on the test set, tags, diversity, counterfactuals; percent."""
    numbers: dict[str, float] = {}
    for name in ("test", "weak", "skewed"):
        items = clips(cell.shared, cell.budget, name)
        texts = greedy(network, ready(items, cfg.model), cfg.eval.max_new)
        parsed = [read(text) for text in texts]
        labels = [claim.label for claim in parsed]
        verdicts = score.verdicts(labels, [item.label for item in items], n=100, seed=derive(cfg.seed, "claims"))
        for metric in ("accuracy", "balanced_accuracy"):
            numbers[f"{name}_{metric}"] = 100 * verdicts[metric].value
        if name != "test":
            continue
        for domain in ("frequency", "time"):
            places = [item.truth.finding(domain).place for item in items]
            hits = [
                counterfactual.names(claim, domain, place)
                for claim, place in zip(parsed, places, strict=True)
                if place is not None
            ]
            numbers[f"hit_{domain}"] = 100 * float(np.mean(hits))
        numbers["tags"] = 100 * float(np.mean([(FREQUENCY_TAG in text) + (TIME_TAG in text) for text in texts])) / 2
        numbers["distinct_texts"], numbers["text_bits"] = score.diversity(texts)
    return numbers | _follows(cell, cfg, network) | _majority(cell)


def _follows(cell: Cell, cfg: FtGrpoConfig, network: Policy) -> dict[str, float]:
    """Give the share of moved artefacts that the text names at their new place, and of verdicts that flip."""

    def answer(waves: np.ndarray) -> list[str]:
        asked = Items([chat()] * len(waves), features_of(list(waves), cfg.model.backbone))
        return greedy(network, asked, cfg.eval.max_new)

    all_cases = cases(cell.shared, cell.budget)
    shares = counterfactual.score(all_cases, answer, 100, seed=derive(cfg.seed, "claims"))
    moved = [shares[name].value for name in ("follows_frequency", "follows_time") if name in shares]
    return {"follows": 100 * float(np.mean(moved)), "flips": 100 * shares["flips"].value}


def _majority(cell: Cell) -> dict[str, float]:
    """Give what the best constant place hits on the test set, found on the training set."""
    shares = {}
    for domain, size in (("frequency", BANDS), ("time", BINS)):
        reach = counterfactual.REACH[domain]
        train, test = (data.places(clips(cell.shared, cell.budget, name), domain) for name in ("train", "test"))
        best = score.best_constant(train, size, reach)
        shares[f"majority_{domain}"] = 100 * float(np.mean([abs(place - best) <= reach for place in test]))
    return shares
