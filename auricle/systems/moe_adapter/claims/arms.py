"""Arms of claims: world, frozen encoder and language model are those of all; then adapters differ in one thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from auricle.alm.choices import Readings, read_choices
from auricle.alm.items import Items, with_encoder_frames
from auricle.alm.questions import OPEN, Question, as_items, as_text
from auricle.alm.routed import Usage, bridge_of, domain_cosines, usage
from auricle.alm.sft import Policy
from auricle.alm.stages import Stage, dev_loss, train_only
from auricle.claims.claim import Budget, Cell
from auricle.claims.shared import once, prepared
from auricle.core.config import override
from auricle.core.files import digest, read_json, write_json
from auricle.core.run import RunFolder
from auricle.core.seed import derive
from auricle.nn.moe import ablated
from auricle.systems.moe_adapter import data
from auricle.systems.moe_adapter.claims.surgery import projecting_step
from auricle.systems.moe_adapter.config import DOMAINS, MoeAdapterConfig, laptop, smoke
from auricle.systems.moe_adapter.hearing import Hearing
from auricle.systems.moe_adapter.items import asked, conversations, domain_of, heard_items
from auricle.systems.moe_adapter.model import Arm, build
from auricle.systems.moe_adapter.stages import fit_text, sft_step
from auricle.systems.moe_adapter.train import Ready, take
from auricle.systems.moe_adapter.train import prepared as shared_parts

FULL = ("train.adapt.max_steps=300", "train.adapt.eval_every=100", "eval.gradient_batches=24")
QUICK = ("train.adapt.max_steps=8", "train.adapt.eval_every=4")
JOINT_STEPS = {"quick": 2, "full": 100}
PARTS = ("all", "router", "experts", "rest", "padded")


def config(budget: Budget, seed: int = 0, *settings: str) -> MoeAdapterConfig:
    """Give the config of one training at a budget.

    Args:
        budget: quick or full.
        seed: of the adapter's weights and of the batches; world, encoder and language model stay the same.
        *settings: what differs.
    """
    base = override(laptop(), FULL) if budget == "full" else override(smoke(), QUICK)
    return override(base, [f"seed={seed}", *settings])


def settings(cell: Cell) -> Mapping[str, Any]:
    """Give what decides the numbers of every arm of a seed."""
    return {"config": config(cell.budget, cell.seed)}


@cache
def world(shared: Path, budget: Budget) -> RunFolder:
    """Prepare the shared data once."""
    preset = "laptop" if budget == "full" else "smoke"
    return prepared(shared / "world", "moe_adapter", preset, config(budget), data.prepare)


@cache
def parts(shared: Path, budget: Budget) -> tuple[Policy, Ready, Ready, Ready]:
    """Give what all arms share, trained once: encoder and language model; training, dev and test items, heard."""
    cfg, run = config(budget), world(shared, budget)
    network, train, dev = shared_parts(cfg, run)
    split = data.load(run, "test")
    clips = heard_items(split, Hearing(cfg.model, cfg.data.band_hz))
    return network, train, dev, Ready(with_encoder_frames(network, clips), asked(split.items, split.ids))


def trained(cell: Cell, arm: Arm, how: str = "plain", *settings: str) -> dict[str, Any]:
    """Train an adapter and measure it; what two claims train alike is trained once.

    Args:
        cell: seed, budget and folders.
        arm: of the adapter.
        how: ``plain``; ``surgery`` for gradients projected by domain; ``joint`` goes on with the language model too;
            a domain's name trains on that domain alone.
        *settings: what differs, such as the weight of a loss.
    """
    cfg = config(cell.budget, cell.seed, *settings)
    folder = cell.shared / "trained" / digest(cfg.model_dump(mode="json")) / f"{arm}-{how}"
    return once(folder / "numbers.json", lambda: _trained(cell, cfg, arm, how, folder))


def _trained(cell: Cell, cfg: MoeAdapterConfig, arm: Arm, how: str, folder: Path) -> dict[str, Any]:
    shared, train, dev, test = parts(cell.shared, cell.budget)
    network = build(cfg, arm)
    take(network, shared)
    train_only(network, ["projector"])
    parameters = sum(weight.numel() for weight in bridge_of(network).parameters())
    chosen = [one for one in train.questions if how not in DOMAINS or domain_of(one) == how]
    items = conversations(chosen, train.clips, cfg.train.letters, cfg.seed)
    stage = Stage(
        items, conversations(dev.questions, dev.clips, 0.0, cfg.seed), folder / "adapt", cfg.seed, shown=False
    )
    batch = cfg.train.adapt.batch // (len(DOMAINS) if how in DOMAINS else 1)
    watched = how == "plain" and not _differs(cfg, cell)
    _fit(cfg, network, stage, batch, surgery=how == "surgery", dev=dev if watched else None)
    if how == "joint":
        train_only(network, ["projector", "decoder"])
        more = cfg.train.adapt.model_copy(update={"max_steps": JOINT_STEPS[cell.budget], "lr": 3e-4})
        fit_text(network, replace(stage, folder=folder / "joint"), more)
    numbers = measured(network, test, how == "joint")
    if watched:
        numbers |= _gradients(folder, cfg)
    if arm == "moe":
        numbers |= _specialised(network, test, cfg.seed, ablate=watched)
    return {**numbers, "parameters": parameters, "steps": cfg.train.adapt.max_steps}


def _differs(cfg: MoeAdapterConfig, cell: Cell) -> bool:
    return cfg != config(cell.budget, cell.seed)


def _fit(cfg: MoeAdapterConfig, network: Policy, stage: Stage, batch: int, *, surgery: bool, dev: Ready | None) -> None:
    """Train an adapter; with `dev` the gradients of the domains are compared on the way, at every evaluation."""

    def measure(model: nn.Module, step: int) -> dict[str, float]:
        if dev is not None:
            how = (cfg.eval.gradient_batches, cfg.eval.gradient_size, derive(cfg.seed, "gradients"))
            held = as_items(dev.questions, dev.clips, OPEN)
            found = domain_cosines(network, held, list(map(domain_of, dev.questions)), *how)
            rows = {
                name: {
                    f"{one}-{other}": [own.value, own.at_half, own.halves, own.p] for (one, other), own in pairs.items()
                }
                for name, pairs in found.items()
                if name in PARTS
            }
            write_json(stage.folder / f"cosines-{step}.json", rows)
        return {"dev_loss": dev_loss(network, stage.dev)}

    step: Callable[..., Any] = sft_step(network, stage.items)
    if surgery:
        step = projecting_step(network, stage.items, [domain_of(one) for one in stage.items.truths])
    how = cfg.train.adapt
    stage.fit(network, step, measure, batch=batch, take_best=True, **how.loop())


def _gradients(folder: Path, cfg: MoeAdapterConfig) -> dict[str, float]:
    """Average the cosines over the evaluations, by part of the weights and pair of domains."""
    found: dict[str, list[float]] = {}
    for path in sorted((folder / "adapt").glob("cosines-*.json")):
        for part, pairs in read_json(path).items():
            for pair, (value, half, halves, p) in pairs.items():
                for name, number in (("value", value), ("half", half), ("halves", halves), ("p", p)):
                    found.setdefault(f"cosine {part} {pair} {name}", []).append(number)
    return {name: float(np.mean(values)) for name, values in found.items() if np.isfinite(values).all()}


def measured(network: Policy, test: Ready, text: bool = True) -> dict[str, Any]:
    """Measure an arm on the test items: accuracy by likelihood, by domain, in percent."""
    audio = read(network, test.questions, test.clips)
    numbers = by_domain(audio, test.questions)
    facts = [one.more["task"] == "fact" for one in test.questions]
    if any(facts):
        numbers["knowledge"] = 100 * float(audio.hits("likelihood")[facts].mean())
    numbers["perception"] = (numbers["music"] + numbers["sound"]) / 2
    if text:
        numbers["text"] = by_domain(read(network, as_text(test.questions), None), test.questions)["mean"]
        numbers["gap"] = numbers["mean"] - numbers["text"]
    return numbers


def read(network: Policy, questions: Sequence[Question], clips: Items | None) -> Readings:
    """Ask by the options' likelihood alone."""
    return read_choices(network, questions, clips, letter=None, option=OPEN, pmi=False, at_once=32)


def by_domain(found: Readings, questions: Sequence[Question]) -> dict[str, float]:
    """Give the accuracy of each domain in percent, and the mean of the three."""
    hits, domains = found.hits("likelihood"), np.array([domain_of(one) for one in questions])
    shares = {name: 100 * float(hits[domains == name].mean()) for name in DOMAINS}
    return {**shares, "mean": float(np.mean(list(shares.values())))}


def _specialised(network: Policy, test: Ready, seed: int, ablate: bool) -> dict[str, float]:
    """Measure what experts know of domains; and what a domain loses when its most used expert is silenced."""
    items = as_items(test.questions, test.clips, OPEN)
    used: Usage = usage(network, items, list(map(domain_of, test.questions)), seed)
    told = used.information
    numbers = {
        "information": told.nats,
        "information_null": told.null_95,
        "dead_experts": float(used.dead),
        "usage_entropy": _entropy(np.mean(list(used.shares.values()), axis=0)),
    }
    if not ablate:
        return numbers
    whole = by_domain(read(network, test.questions, test.clips), test.questions)
    own, cross = [], []
    for name in DOMAINS:
        others = np.mean([used.shares[other] for other in DOMAINS if other != name], axis=0)
        top = int(np.argmax(used.shares[name] - others))
        with ablated(bridge_of(network), [top]):
            without = by_domain(read(network, test.questions, test.clips), test.questions)
        own.append(whole[name] - without[name])
        cross.append(float(np.mean([whole[other] - without[other] for other in DOMAINS if other != name])))
    return {**numbers, "own_drop": float(np.mean(own)), "cross_drop": float(np.mean(cross))}


def _entropy(shares: np.ndarray) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())
