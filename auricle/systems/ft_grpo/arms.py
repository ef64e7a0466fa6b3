"""Arms of claims: data, and for each seed an encoder and an SFT model, which all claims share; then what differs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Measured
from auricle.core.config import override
from auricle.core.files import digest, read_json, read_jsonl, write_json
from auricle.core.run import RunFolder, open_run
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import BANDS, BINS
from auricle.metrics import evidence as score
from auricle.systems.ft_grpo import counterfactual, data
from auricle.systems.ft_grpo import items as of
from auricle.systems.ft_grpo.answer import greedy
from auricle.systems.ft_grpo.config import FtGrpoConfig, laptop, smoke
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.evaluate import finding
from auricle.systems.ft_grpo.items import Items
from auricle.systems.ft_grpo.model import Network, build
from auricle.systems.ft_grpo.rationale import FREQUENCY_TAG, TIME_TAG, read, write_label
from auricle.systems.ft_grpo.rewards import Truth
from auricle.systems.ft_grpo.train import fit_grpo, fit_heads, fit_sft, for_grpo
from auricle.train.checkpoint import load_model, save_model

DATA = ("data.train=3000", "data.dev=200", "data.test=800", "data.weak=600", "data.hard=0")
FULL = (
    "train.heads.steps=500", "train.sft.steps=500", "train.grpo.steps=50", "train.more_sft.steps=250",
    "eval.counterfactuals=160",
)  # fmt: skip
START = {"rationales": "sft", "labels": "labels"}  # what GRPO begins from


def config(budget: Budget, seed: int = 0, *settings: str) -> FtGrpoConfig:
    """Give the config of one training at a budget.

    Args:
        budget: quick or full.
        seed: of weights, batches and draws; the data stay the same.
        *settings: what differs.
    """
    base = override(laptop(), [*DATA, *FULL]) if budget == "full" else override(smoke(), ["data.hard=0"])
    return override(base, [f"seed={seed}", *settings])


def settings_of(arm: str, seed: int, budget: Budget) -> dict[str, Any]:
    """Give what decides the numbers of every arm of a seed."""
    return {"config": config(budget, seed).model_dump(mode="json")}


@cache
def world(shared: Path, budget: Budget) -> RunFolder:
    """Prepare the shared data once."""
    run = open_run(shared / "world", "ft_grpo", "laptop" if budget == "full" else "smoke", config(budget))
    if not run.done("prepare"):
        run.mark("prepare", **data.prepare(config(budget), run))
    return run


@cache
def clips(shared: Path, budget: Budget, name: str) -> tuple[Item, ...]:
    """Read a set of the shared data."""
    return tuple(data.load(world(shared, budget), name))


@cache
def cases(shared: Path, budget: Budget) -> tuple[counterfactual.Case, ...]:
    """Make the counterfactuals that all models are asked about."""
    cfg = config(budget)
    return tuple(counterfactual.build(cfg.data, clips(shared, budget, "test"), cfg.eval.counterfactuals))


@cache
def encoder(shared: Path, budget: Budget, seed: int) -> tuple[Network, Items, Items]:
    """Train the encoder of a seed once; give a network with it, and training and dev clips as it hears them."""
    cfg, run = config(budget, seed), world(shared, budget)
    network = build(cfg)
    folder = shared / f"encoder-{seed}"
    train, dev = of.load(cfg, run, "train"), of.load(cfg, run, "dev")
    if not (folder / "final").is_dir():
        fit_heads(cfg, network, train, dev, folder, shown=False)
        save_model(folder / "final", network, {})
    load_model(folder / "final", network)
    network.lm.base.encoder.requires_grad_(False)
    return network, of.heard(network, train), of.heard(network, dev)


def begun(shared: Path, budget: Budget, seed: int, how: str = "sft") -> tuple[Network, Items, Items]:
    """Give the SFT model of a seed, trained once: ``sft`` writes rationales, ``labels`` the label alone."""
    cfg = config(budget, seed)
    hearing, train, dev = encoder(shared, budget, seed)
    network = build(cfg)
    network.load_state_dict(hearing.state_dict())
    network.lm.base.encoder.requires_grad_(False)
    folder = shared / f"{how}-{seed}"
    if not (folder / "final").is_dir():
        own, checked = (train, dev) if how == "sft" else (labelled(train), labelled(dev))
        fit_sft(cfg, cfg.train.sft, network, own, checked, folder, shown=False)
        save_model(folder / "final", network, {})
    load_model(folder / "final", network)
    return network, train, dev


def labelled(items: Items) -> Items:
    """Give clips whose text to learn is the label alone."""
    texts = [write_label("real" if truth.solution == of.REAL else "fake") for truth in items.truths]
    return Items(items.features, texts, items.truths, items.targets, items.ids, items.frames)


def longer(shared: Path, budget: Budget, seed: int) -> dict[str, Any]:
    """Go on with SFT for as long as GRPO would take, and measure."""
    return _once(shared, budget, seed, "more-sft", config(budget, seed), "sft")


def reinforced(shared: Path, budget: Budget, seed: int, start: str, *weights: str) -> dict[str, Any]:
    """Do GRPO from an SFT model with some weights of the rewards, and measure; two claims' like arms are done once."""
    return _once(shared, budget, seed, "grpo", config(budget, seed, *weights), START[start])


def untouched(shared: Path, budget: Budget, seed: int, start: str = "sft") -> dict[str, Any]:
    """Measure an SFT model as it is."""
    return _once(shared, budget, seed, "none", config(budget, seed), start)


def _once(shared: Path, budget: Budget, seed: int, what: str, cfg: FtGrpoConfig, start: str) -> dict[str, Any]:
    """Train from a start and measure, or read what was measured."""
    folder = shared / "models" / f"{what}-{start}-{seed}-{digest(cfg.model_dump(mode='json'))[:12]}"
    known = folder / "numbers.json"
    if known.exists():
        return dict(read_json(known))
    network, train, dev = begun(shared, budget, seed, start)
    numbers: dict[str, Any] = {}
    if what == "more-sft" and cfg.train.more_sft is not None:
        result = fit_sft(cfg, cfg.train.more_sft, network, train, dev, folder, shown=False)
        numbers["train_seconds"] = float(result.metrics.get("seconds", 0.0))
    elif what == "grpo" and cfg.train.grpo is not None:
        network, reference = for_grpo(cfg, network)
        result = fit_grpo(cfg, cfg.train.grpo, network, reference, train, dev, folder, shown=False)
        numbers["train_seconds"] = float(result.metrics.get("seconds", 0.0))
        rows = list(read_jsonl(folder / "metrics.jsonl"))
        few = max(1, len(rows) // 5)
        for name in ("reward", "distinct", "entropy", "zero_variance"):
            values = [row[name] for row in rows]
            numbers |= {
                f"{name}_first": float(np.mean(values[:few])),
                f"{name}_last": float(np.mean(values[-few:])),
            }
    numbers |= measured(shared, budget, cfg, network)
    numbers["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    write_json(known, json.loads(json.dumps(numbers)))
    return numbers


def measured(shared: Path, budget: Budget, cfg: FtGrpoConfig, network: Network) -> dict[str, Any]:
    """Measure a model: verdicts on three sets, places on the test set, tags, diversity, counterfactuals; percent."""
    found: dict[str, Any] = {}
    for name in ("test", "weak", "skewed"):
        own = clips(shared, budget, name)
        texts = greedy(network, of.ready(own, cfg.model), cfg.eval.max_new)
        said = [read(text) for text in texts]
        verdicts = score.verdicts(
            [one.label for one in said], [item.label for item in own], n=100, seed=derive(cfg.seed, "claims")
        )
        for metric in ("accuracy", "balanced_accuracy"):
            found[f"{name}_{metric}"] = 100 * verdicts[metric].value
        if name != "test":
            continue
        for domain in ("frequency", "time"):
            pairs = [(finding(one, domain), finding(item.truth, domain)) for one, item in zip(said, own, strict=True)]
            hits = [
                one.place is not None and abs(one.place - true.place) <= counterfactual.REACH[domain]
                for one, true in pairs
                if true.place is not None
            ]
            found[f"hit_{domain}"] = 100 * float(np.mean(hits))
        found["tags"] = 100 * float(np.mean([(FREQUENCY_TAG in text) + (TIME_TAG in text) for text in texts])) / 2
        found["distinct_texts"], found["text_bits"] = score.diversity(texts)
    return found | _follows(shared, budget, cfg, network) | _majority(shared, budget)


def _follows(shared: Path, budget: Budget, cfg: FtGrpoConfig, network: Network) -> dict[str, float]:
    """Give the share of moved artefacts that the text names at their new place, and of verdicts that flip."""

    def answer(waves: np.ndarray) -> list[str]:
        features = of.features_of(list(waves), cfg.model)
        names = [str(place) for place in range(len(features))]
        plain = Items(features, names, [Truth("")] * len(features), {}, names)
        return greedy(network, plain, cfg.eval.max_new)

    made = counterfactual.score(cases(shared, budget), answer, 100, seed=derive(cfg.seed, "claims"))
    moved = [made[name].value for name in ("follows_frequency", "follows_time") if name in made]
    return {"follows": 100 * float(np.mean(moved)), "flips": 100 * made["flips"].value}


def _majority(shared: Path, budget: Budget) -> dict[str, float]:
    """Give what the best constant place hits on the test set, found on the training set."""
    found = {}
    for domain, size in (("frequency", BANDS), ("time", BINS)):
        reach = counterfactual.REACH[domain]
        places = {
            name: [
                one.place
                for item in clips(shared, budget, name)
                for one in item.artefacts or ()
                if one.domain == domain
            ]
            for name in ("train", "test")
        }
        best = score.best_constant(places["train"], size, reach)
        found[f"majority_{domain}"] = 100 * float(np.mean([abs(place - best) <= reach for place in places["test"]]))
    return found


def difference(measured: Measured, name: str, one: str, other: str) -> stats.Estimate:
    """Give a number of one arm less that of another, paired over seeds."""
    return stats.paired_t(measured.values(one, name), measured.values(other, name))


def against(measured: Measured, arm: str, name: str, other: str) -> stats.Estimate:
    """Give a number of an arm less another of its own, paired over seeds."""
    return stats.paired_t(measured.values(arm, name), measured.values(arm, other))
