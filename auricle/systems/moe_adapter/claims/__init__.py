"""The paper's claims as small experiments on two cores. Each rule was written before any run and is not tuned.

What differs from the paper in all of them: adapters of 0.17 M weights instead of 94 M, a stand-in encoder and a tiny
language model that are frozen and the same for all seeds, 4,800 questions of a made world instead of 40 B tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from auricle.claims.claim import Cell, Claim, Measured, Part, Verdict
from auricle.claims.statistics import Estimate, paired_ratio, paired_t, side
from auricle.claims.verdict import compare, decided, difference, verdict, within
from auricle.systems.moe_adapter.claims.arms import settings, trained
from auricle.systems.moe_adapter.claims.clock import BATCHES, clock
from auricle.systems.moe_adapter.claims.clock import SETTINGS as CLOCK
from auricle.systems.moe_adapter.config import DOMAINS
from auricle.systems.moe_adapter.evaluate import pairs

SMALL = (
    "adapters of 0.17 M weights between a frozen stand-in encoder and a frozen language model of 0.9 M; 300 steps of "
    "64 items",
    "seeds draw the adapter's weights and the batches again; world, encoder and language model stay the same, and so "
    "do the 1,440 test questions: with a spread over seeds of 1 point, five seeds resolve about 1.7 points",
)
WORTH = 1.0  # points below which a difference is of no use
PAIRS = tuple(name.replace(" and ", "-") for name in pairs())


def _over_pairs(measured: Measured, arm: str, part: str, name: str) -> np.ndarray:
    """Average a number of the cosines over the pairs of domains, by seed."""
    return np.asarray(np.mean([measured.values(arm, f"cosine {part} {pair} {name}") for pair in PAIRS], axis=0))


# --- A1: equal budget, better accuracy ------------------------------------------------------------------------------


def _a1_run(cell: Cell) -> dict[str, Any]:
    """Train an adapter on the same batches as the others."""
    return trained(cell, {"moe": "moe", "dense": "dense", "active": "dense_active"}[cell.arm])  # type: ignore[arg-type]


def _a1_decide(measured: Measured) -> Verdict:
    gain = difference(measured, "mean", "moe", "dense")
    names = [f"{name} accuracy, routed less dense of equal total, points" for name in DOMAINS]
    parts = [
        compare("mean accuracy of three domains, routed less dense of equal total, points", gain, above=0.0),
        *(compare(said, difference(measured, name, "moe", "dense")) for said, name in zip(names, DOMAINS, strict=True)),
        compare(
            "mean accuracy, routed less dense of equal active, points", difference(measured, "mean", "moe", "active")
        ),
        *(Part(f"mean accuracy, {arm}, %", float(measured.values(arm, "mean").mean())) for arm in A1.arms),
    ]
    return verdict(gain, parts, side(gain.ci95, 0.0, "above"))


A1 = Claim(
    id="A1",
    statement="At an equal budget of weights, a routed adapter answers better than a dense one.",
    rule="The same batches for all arms. Confirmed if the whole 95 % t interval over seeds of the mean accuracy of the "
    "three domains, routed less dense of as many weights in all, lies above 0; refuted if it lies below 0; otherwise "
    "not resolved. Each domain, and a dense adapter of as many active weights, are reported.",
    metric="mean accuracy of three domains, routed less dense, in points; above 0 favours the claim",
    headline=True,
    arms={
        "moe": "8 experts, 4 of them a token, and an always-on block",
        "dense": "one block of as many weights in all",
        "active": "one block of as many weights as a token meets",
    },
    run=_a1_run,
    decide=_a1_decide,
    settings=settings,
    equal=(("moe", "dense"),),
    cuts=SMALL,
)

# --- A2: dense adapters suffer gradient conflict --------------------------------------------------------------------


def _a2_run(cell: Cell) -> dict[str, Any]:
    """Train the dense adapter; gradients are compared at every evaluation."""
    return trained(cell, "dense")


def _zero(values: np.ndarray) -> Estimate:
    """Hold numbers over seeds against 0."""
    return paired_t(values, np.zeros_like(values))


def _a2_decide(measured: Measured) -> Verdict:
    found = {pair: _zero(measured.values("dense", f"cosine all {pair} value")) for pair in PAIRS}
    lowest = min(found, key=lambda pair: found[pair].value)
    conflict = [pair for pair, one in found.items() if one.ci95[1] < 0]
    peace = all(one.ci95[0] > 0 for one in found.values())
    outcome = "confirmed" if conflict else "refuted" if peace else "not resolved"
    parts = [
        *(compare(f"cosine of {pair}", one, below=0.0) for pair, one in found.items()),
        *(
            compare(f"cosine of halves: {pair} less halves of one domain", _below_own(measured, pair), below=0.0)
            for pair in PAIRS
        ),
    ]
    return verdict(found[lowest], parts, outcome)  # type: ignore[arg-type]


def _below_own(measured: Measured, pair: str) -> Estimate:
    return within(measured, "dense", f"cosine all {pair} half", f"cosine all {pair} halves")


A2 = Claim(
    id="A2",
    statement="In a dense adapter the gradients of speech, music and sound conflict.",
    rule="Cosines of the domains' mean gradients on dev items, 24 disjoint batches of 8 a domain, averaged over the "
    "evaluations of a training. Confirmed if the 95 % t interval over seeds of at least one pair lies below 0; refuted "
    "if those of all three lie above 0; otherwise not resolved. Halves of one domain, as noisy, stand beside it: to be "
    "less alike than a domain is to itself is difference, not conflict.",
    metric="cosine of the pair of domains with the lowest one; below 0 favours the claim",
    arms={"dense": "the dense adapter of A1"},
    run=_a2_run,
    decide=_a2_decide,
    settings=settings,
    cuts=(*SMALL, "three evaluations of a training instead of every 50 steps"),
)

# --- A3: routing turns conflict into synergy ------------------------------------------------------------------------


def _a3_run(cell: Cell) -> dict[str, Any]:
    """Train an adapter; gradients are compared at every evaluation."""
    return trained(cell, "moe" if cell.arm == "moe" else "dense")


def _a3_decide(measured: Measured) -> Verdict:
    dense = _over_pairs(measured, "dense", "all", "value")
    more = paired_t(_over_pairs(measured, "moe", "all", "value"), dense)
    parts = [
        compare("mean cosine on all weights, routed less dense", more, above=0.0),
        compare("mean cosine of the routed adapter", _zero(_over_pairs(measured, "moe", "all", "value")), above=0.0),
        compare(
            "mean cosine on the weights that every token meets, routed less dense",
            paired_t(_over_pairs(measured, "moe", "rest", "value"), dense),
            above=0.0,
        ),
        *(
            Part(f"mean cosine, {part}", float(_over_pairs(measured, "moe", part, "value").mean()))
            for part in ("router", "experts", "padded")
        ),
    ]
    return verdict(more, parts)


A3 = Claim(
    id="A3",
    statement="Routed experts turn the conflict of the domains' gradients into synergy.",
    rule="Mean over the three pairs of the cosines of A2. Confirmed if, by 95 % t intervals over seeds, it is greater "
    "in the routed adapter than in the dense one, greater there on the weights that every token meets too (experts of "
    "their own put domains at right angles by construction), and above 0. Refuted if one of these lies wholly on the "
    "other side; otherwise not resolved. Router, experts, and gradients with unselected experts as zero are reported.",
    metric="mean cosine of pairs of domains, routed less dense; above 0 favours the claim",
    arms={"moe": "the routed adapter of A1", "dense": "the dense adapter of A1"},
    run=_a3_run,
    decide=_a3_decide,
    settings=settings,
    equal=(("moe", "dense"),),
    cuts=A2.cuts,
)

# --- A4: conflict causes the loss -----------------------------------------------------------------------------------


def _a4_run(cell: Cell) -> dict[str, Any]:
    """Train a dense adapter as it is, with gradient surgery, or one for each domain."""
    if cell.arm != "oracle":
        return trained(cell, "dense", "plain" if cell.arm == "dense" else "surgery")
    own = {name: trained(cell, "dense", name) for name in DOMAINS}
    return {
        "mean": float(np.mean([own[name][name] for name in DOMAINS])),
        **{name: own[name][name] for name in DOMAINS},
        "steps": own[DOMAINS[0]]["steps"],
    }


def _a4_decide(measured: Measured) -> Verdict:
    oracle = difference(measured, "mean", "oracle", "dense")
    surgery = difference(measured, "mean", "surgery", "dense")
    parts = [
        _worth("one dense adapter a domain less one for all, mean accuracy, points", oracle),
        _worth("dense with gradient surgery less dense, mean accuracy, points", surgery),
    ]
    return verdict(surgery, parts)


def _worth(name: str, found: Estimate) -> Part:
    """Hold a gain against 0; one that cannot be as large as is worth having is refuted."""
    low, high = found.ci95
    return decided(name, found, "confirmed" if low > 0 else "refuted" if high < WORTH else "not resolved")


A4 = Claim(
    id="A4",
    statement="The conflict of gradients is what costs a dense adapter accuracy.",
    rule="Confirmed if, by 95 % t intervals over seeds of the mean accuracy of three domains, both a dense adapter "
    f"for each domain (each on its own third of every batch) and one dense adapter with gradient surgery (PCGrad) are "
    f"above the plain dense adapter. Refuted if either interval lies below {WORTH:g} point: then there is nothing to "
    "explain, or it is not explained by conflict. Otherwise not resolved.",
    metric="mean accuracy of three domains, dense with surgery less dense, in points; above 0 favours the claim",
    arms={
        "dense": "the dense adapter of A1",
        "surgery": "the same, each domain's gradient without what is against the others",
        "oracle": "three dense adapters, one a domain: three times the weights, the same items",
    },
    run=_a4_run,
    decide=_a4_decide,
    settings=settings,
    equal=(("dense", "surgery"),),
    cuts=(*SMALL, "domains are balanced in the data, so balanced sampling is no arm"),
)

# --- A5: the balance loss trades perception for knowledge -----------------------------------------------------------

LAMBDAS = {"none": "0", "low": "0.001", "middle": "0.01", "high": "0.1"}


def _a5_run(cell: Cell) -> dict[str, Any]:
    """Train the routed adapter with a weight of the balance loss."""
    default = cell.arm == "middle"
    return trained(cell, "moe", "plain", *(() if default else (f"model.adapter.balance={LAMBDAS[cell.arm]}",)))


def _a5_decide(measured: Measured) -> Verdict:
    perception = difference(measured, "perception", "middle", "none")
    knowledge = difference(measured, "knowledge", "middle", "none")
    parts = [
        compare("accuracy on music and sound, weight 0.01 less 0, points", perception, below=0.0),
        compare("accuracy on facts, weight 0.01 less 0, points", knowledge, above=0.0),
    ]
    for arm in ("low", "high"):
        for name in ("perception", "knowledge"):
            found = difference(measured, name, arm, "none")
            parts += [compare(f"{name}, weight {LAMBDAS[arm]} less 0, points", found)]
    for arm in LAMBDAS:
        parts += [Part(f"dead experts, weight {LAMBDAS[arm]}", float(measured.values(arm, "dead_experts").mean()))]
        parts += [Part(f"usage entropy, weight {LAMBDAS[arm]}", float(measured.values(arm, "usage_entropy").mean()))]
    return verdict(knowledge, parts)


A5 = Claim(
    id="A5",
    statement="The balance loss costs perception and helps knowledge.",
    rule="The routed adapter with weights 0, 0.001, 0.01 and 0.1 of the balance loss. Confirmed if, by 95 % t "
    "intervals over seeds, 0.01 less 0 lies below 0 on questions about music and sound and above 0 on questions about "
    "facts that the language model learnt as text. Refuted if either lies wholly on the other side; otherwise not "
    "resolved. With "
    "96 questions about facts, under ten points are hardly resolved: underpowered.",
    metric="accuracy on facts, weight 0.01 less none, in points; above 0 is a part of the claim",
    arms={arm: f"balance loss times {value}" for arm, value in LAMBDAS.items()},
    run=_a5_run,
    decide=_a5_decide,
    settings=settings,
    equal=(tuple(LAMBDAS),),
    cuts=SMALL,
)

# --- A7: experts specialise by domain -------------------------------------------------------------------------------


def _a7_run(cell: Cell) -> dict[str, Any]:
    """Train the routed adapter; silence each domain's own expert."""
    return trained(cell, "moe")


def _a7_decide(measured: Measured) -> Verdict:
    own, cross = measured.values("moe", "own_drop"), measured.values("moe", "cross_drop")
    drop = paired_t(own, 2 * cross)
    told = within(measured, "moe", "information", "information_null")
    parts = [
        compare("drop in a domain less twice that in the others, points", drop, above=0.0),
        compare("information of domain and expert less its null's 95 % quantile, nats", told, above=0.0),
        Part("drop in a domain whose own expert is silenced, points", float(own.mean())),
        Part("drop in the others, points", float(cross.mean())),
    ]
    return verdict(drop, parts)


A7 = Claim(
    id="A7",
    statement="Experts specialise by domain.",
    rule="A domain's own expert is the one that it uses most beyond what the others use it. Confirmed if, by 95 % t "
    "intervals over seeds, the mutual information of domain and expert lies above the 95 % quantile of its permutation "
    "null over clips, and silencing a domain's own expert costs that domain more than twice what it costs the others. "
    "Refuted if either lies wholly on the other side; otherwise not resolved.",
    metric="drop in a domain less twice the drop in the others, in points; above 0 favours the claim",
    arms={"moe": "the routed adapter of A1"},
    run=_a7_run,
    decide=_a7_decide,
    settings=settings,
    cuts=SMALL,
)

# --- A8: the modality gap shrinks -----------------------------------------------------------------------------------


def _a8_run(cell: Cell) -> dict[str, Any]:
    """Train an adapter, then adapter and language model together, so that the text may suffer."""
    return trained(cell, "moe" if cell.arm == "moe" else "dense", "joint")


def _a8_decide(measured: Measured) -> Verdict:
    gap = difference(measured, "gap", "moe", "dense")
    text = difference(measured, "text", "moe", "dense")
    low, high = text.ci95
    same = (
        "confirmed" if low > -WORTH and high < WORTH else "refuted" if low > WORTH or high < -WORTH else "not resolved"
    )
    parts = [
        compare("modality gap (audio less text), routed less dense, points", gap, above=0.0),
        decided(f"text accuracy, routed less dense, points (unchanged: within {WORTH:g})", text, same),  # type: ignore[arg-type]
        compare("audio accuracy, routed less dense, points", difference(measured, "mean", "moe", "dense")),
        *(Part(f"modality gap, {arm}, points", float(measured.values(arm, "gap").mean())) for arm in A8.arms),
    ]
    return verdict(gap, parts)


A8 = Claim(
    id="A8",
    statement="A routed adapter shrinks the gap between what is heard and what is read.",
    rule="After the adapter alone, adapter and language model are trained together for 100 steps. Confirmed if, by 95 "
    f"% t intervals over seeds, audio less text accuracy is greater with the routed adapter, and text accuracy differs "
    f"by less than {WORTH:g} point: the gap must shrink by hearing more, not by reading less. Refuted if the gap's "
    "difference lies below 0 or the text's beyond that bound; otherwise not resolved.",
    metric="audio less text accuracy, routed less dense, in points; above 0 favours the claim",
    arms={"moe": "the routed adapter of A1, then 100 joint steps", "dense": "the dense one, likewise"},
    run=_a8_run,
    decide=_a8_decide,
    settings=settings,
    equal=(("moe", "dense"),),
    cuts=SMALL,
)

# --- A10: cheaper at inference --------------------------------------------------------------------------------------


def _a10_run(cell: Cell) -> dict[str, Any]:
    """Time the adapters of the paper's widths in turns."""
    return clock(cell.seed, cell.budget)


def _a10_decide(measured: Measured) -> Verdict:
    def over(name: str, clips: int) -> Estimate:
        one, other = (measured.values("clock", f"{form} batch {clips}") for form in (name, "grouped"))
        return paired_ratio(one, other)

    parts = [
        *(compare(f"seconds of dense over routed, batch {n}", over("dense", n), above=1.0) for n in BATCHES),
        *(compare(f"seconds of all experts on all tokens over grouped, batch {n}", over("all", n)) for n in BATCHES),
        Part("active weights over all", float(measured.values("clock", "active_share").mean())),
    ]
    return verdict(over("dense", BATCHES[0]), parts)


A10 = Claim(
    id="A10",
    statement="A routed adapter is cheaper at inference than a dense one of as many weights.",
    rule="Adapters of the paper's widths, 25 frames a clip, forward passes in turns on one machine. Confirmed if, by "
    "95 % intervals over repeats, dense takes longer than routed at batch 1 and at batch 32; refuted if either lies "
    "wholly below 1; otherwise not resolved. On a CPU a dense product may well be faster; then that is the verdict.",
    metric="seconds of dense over seconds of routed at batch 1; above 1 favours the claim",
    arms={"clock": "dense, experts in groups, all experts on all tokens; each in its turn"},
    run=_a10_run,
    decide=_a10_decide,
    settings=lambda cell: CLOCK,
    cuts=("two CPU cores, float32; no accelerator", "repeats are not independent machines"),
)
CLAIMS = (A1, A2, A3, A4, A5, A7, A8, A10)
