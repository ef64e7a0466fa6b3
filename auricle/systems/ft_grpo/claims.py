"""The paper's claims as small experiments on two cores. Each rule was written before any run and is not tuned.

What differs from the paper in all of them: a million parameters made from nothing instead of Qwen2.5-Omni-3B, the
artefact world on the embedded recordings instead of four corpora, rationales written from the truth, a frozen encoder.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Claim, Measured, Outcome, Part, Verdict
from auricle.systems.ft_grpo import arms
from auricle.systems.ft_grpo.arms import against, difference, reinforced, settings_of

SMALL = (
    "1.4 M parameters, the encoder trained once a seed and frozen; 500 SFT steps of 64, 50 GRPO steps of 32 x 8",
    "seeds draw weights, batches and rollouts again; clips stay the same (800 test, 600 weak, 160 counterfactuals)",
)
WORTH = 2.0  # points below which a difference is of no use
INFLATED = 10.0  # C10: points


def claims(shared: Path) -> list[Claim]:
    """Give the claims that run on a laptop.

    Args:
        shared: folder for what they share: data, encoders, SFT models, and arms that two claims train alike.
    """
    return [_c1(shared), _c3(shared), _c4(shared), _c8(shared), _c10(shared)]


# --- C1: GRPO after SFT beats SFT -----------------------------------------------------------------------------------


def _c1_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Go on from one SFT model by GRPO or by SFT."""
    return arms.longer(shared, budget, seed) if arm == "sft" else reinforced(shared, budget, seed, "rationales")


def _c1_decide(measured: Measured) -> Verdict:
    weak = difference(measured, "weak_balanced_accuracy", "grpo", "sft")
    test = difference(measured, "test_balanced_accuracy", "grpo", "sft")
    seconds = [float(measured.values(arm, "train_seconds").mean()) for arm in ("grpo", "sft")]
    parts = (
        Part(
            "balanced accuracy on strengths that training does not have, GRPO less SFT, points", weak.value, weak.ci95
        ),
        Part("balanced accuracy on strengths of training, points", test.value, test.ci95),
        Part("seconds of GRPO", seconds[0]),
        Part("seconds of SFT instead", seconds[1]),
    )
    outcome = stats.side(weak.ci95, 0.0, "above")
    return Verdict(outcome, weak.value, weak.ci95, (), weak.minimum_detectable, parts)


def _c1(shared: Path) -> Claim:
    return Claim(
        id="C1",
        statement="GRPO after SFT detects better than SFT that goes on for as long.",
        rule="Both arms go on from the same SFT model. Confirmed if the whole 95 % t interval over seeds of balanced "
        "accuracy on artefacts weaker than any in training, GRPO less SFT, lies above 0; refuted if it lies below 0; "
        "otherwise not resolved. The test set with strengths of training and the seconds of both are reported.",
        metric="balanced accuracy on weak artefacts, GRPO less SFT, in points; above 0 favours the claim",
        arms={"grpo": "50 steps of GRPO with the released rewards", "sft": "250 more steps of SFT instead"},
        seeds_quick=2,
        seeds_full=3,
        run=partial(_c1_run, shared),
        decide=_c1_decide,
        settings=settings_of,
        equal=(("grpo", "sft"),),
        cuts=(*SMALL, "compute is made equal by the time that a GRPO step and an SFT step take, not step by step"),
    )


# --- C3: RL without a cold start hacks its reward -------------------------------------------------------------------

_VANILLA = ("train.grpo.structure=0",)  # r_acc and r_fmt alone


def _c3_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Do GRPO with accuracy and format alone, from labels or from rationales."""
    return reinforced(shared, budget, seed, "labels" if arm == "vanilla" else "rationales", *_VANILLA)


def _c3_decide(measured: Measured) -> Verdict:
    rise = against(measured, "vanilla", "reward_last", "reward_first")
    texts = against(measured, "vanilla", "entropy_last", "entropy_first")
    parts = [
        Part("reward, last fifth of training less first", rise.value, rise.ci95, stats.side(rise.ci95, 0.0, "above")),
        Part(
            "entropy of a token in nats, last less first", texts.value, texts.ci95, stats.side(texts.ci95, 0, "below")
        ),
    ]
    for domain, place in (("frequency", "band"), ("time", "bin")):
        over = against(measured, "vanilla", f"hit_{domain}", f"majority_{domain}")
        # at chance: not above what saying one place of every clip hits
        verdict: Outcome = (
            "confirmed" if over.ci95[1] <= WORTH else "refuted" if over.ci95[0] > WORTH else "not resolved"
        )
        parts.append(Part(f"{place} hits less those of the majority rationale, points", over.value, over.ci95, verdict))
    for name in ("hit_frequency", "hit_time", "distinct_texts"):
        cold = difference(measured, name, "vanilla", "cold_start")
        parts.append(Part(f"{name.replace('_', ' ')}, vanilla less cold start", cold.value, cold.ci95))
    outcome = stats.all_of([part.verdict for part in parts if part.verdict])
    return Verdict(outcome, rise.value, rise.ci95, (), rise.minimum_detectable, tuple(parts))


def _c3(shared: Path) -> Claim:
    return Claim(
        id="C3",
        statement="GRPO with accuracy and format alone and without a cold start on rationales hacks its reward.",
        rule=f"From a model that learnt labels alone. Confirmed if, by 95 % t intervals over seeds, the reward rises "
        f"(above 0), the entropy of its tokens falls (below 0), and band and bin hits are at most {WORTH:g} points "
        "above those of the majority rationale. Refuted if one of them lies wholly on the other side; otherwise not "
        "resolved. The same GRPO from a cold start stands beside it.",
        metric="reward, last fifth of training less first; above 0 is a part of the claim",
        arms={
            "vanilla": "GRPO with r_acc and r_fmt from label-only SFT",
            "cold_start": "the same GRPO from SFT on rationales",
        },
        seeds_quick=2,
        seeds_full=3,
        run=partial(_c3_run, shared),
        decide=_c3_decide,
        settings=settings_of,
        equal=(("vanilla", "cold_start"),),
        cuts=SMALL,
    )


# --- C4: the frequency-time reward ----------------------------------------------------------------------------------


def _c4_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Do GRPO with or without the reward for tags."""
    return reinforced(shared, budget, seed, "rationales", *(() if arm == "tags" else _VANILLA))


def _grounding(measured: Measured, one: str, other: str) -> stats.Estimate:
    """Give the mean of band and bin hits of one arm less that of another, paired over seeds."""
    each = [(measured.values(arm, "hit_frequency") + measured.values(arm, "hit_time")) / 2 for arm in (one, other)]
    return stats.paired_t(each[0], each[1])


def _c4_decide(measured: Measured) -> Verdict:
    places = _grounding(measured, "tags", "none")
    tags = difference(measured, "tags", "tags", "none")
    accuracy = difference(measured, "test_balanced_accuracy", "tags", "none")
    silent = measured.values("tags", "zero_variance_first").mean()
    outcome: Outcome = "confirmed" if places.ci95[0] > 0 else "refuted" if places.ci95[1] < WORTH else "not resolved"
    parts = (
        Part("band and bin hits, with r_FT less without, points", places.value, places.ci95, outcome),
        Part("share of tags that are there, points", tags.value, tags.ci95),
        Part("balanced accuracy, points", accuracy.value, accuracy.ci95),
        Part("groups without variance at the beginning, share", float(silent)),
    )
    return Verdict(outcome, places.value, places.ci95, (), places.minimum_detectable, parts)


def _c4(shared: Path) -> Claim:
    return Claim(
        id="C4",
        statement="The frequency-time reward r_FT makes rationales tell more of the audio.",
        rule="GRPO with and without r_FT, all else equal. Confirmed if the whole 95 % t interval over seeds of the "
        "mean of band hits and of bin hits (within one), with less without, lies above 0. Refuted if it lies below "
        f"{WORTH:g} points: then r_FT brings nothing worth having. Otherwise not resolved. The tag rate is reported.",
        metric="mean of band and bin hits, with r_FT less without, in points; above 0 favours the claim",
        headline=True,
        arms={"tags": "rewards 1.0 r_acc, 0.1 r_fmt, 0.1 r_FT", "none": "rewards 1.0 r_acc, 0.1 r_fmt"},
        seeds_quick=2,
        seeds_full=5,
        run=partial(_c4_run, shared),
        decide=_c4_decide,
        settings=settings_of,
        equal=(("tags", "none"),),
        cuts=SMALL,
    )


# --- C8: a grounded reward ------------------------------------------------------------------------------------------


def _c8_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Do GRPO with the reward for tags, or with that for right places in its stead."""
    weights = ("train.grpo.structure=0", "train.grpo.ground=0.1") if arm == "ground" else ()
    return reinforced(shared, budget, seed, "rationales", *weights)


def _c8_decide(measured: Measured) -> Verdict:
    follows = difference(measured, "follows", "ground", "tags")
    accuracy = difference(measured, "test_balanced_accuracy", "ground", "tags")
    flips = difference(measured, "flips", "ground", "tags")
    places = _grounding(measured, "ground", "tags")
    parts = (
        Part("texts that follow a moved artefact, points", follows.value, follows.ci95,
             stats.side(follows.ci95, 0.0, "above")),
        Part(f"balanced accuracy, points (equal: not {WORTH:g} below)", accuracy.value, accuracy.ci95,
             stats.side(accuracy.ci95, -WORTH, "above")),
        Part("verdicts that flip when the artefact is removed, points", flips.value, flips.ci95),
        Part("band and bin hits, points", places.value, places.ci95),
    )  # fmt: skip
    outcome = stats.all_of([part.verdict for part in parts if part.verdict])
    return Verdict(outcome, follows.value, follows.ci95, (), follows.minimum_detectable, parts)


def _c8(shared: Path) -> Claim:
    return Claim(
        id="C8",
        statement="A reward for right places is better than a reward for tags (an extension; not the paper's claim).",
        rule="r_ground in the place of r_FT at the same weight. Confirmed if, by 95 % t intervals over seeds, more "
        "texts follow an artefact that is moved (mean of both domains; band exact, bin within one; above 0), and "
        f"balanced accuracy is not {WORTH:g} points lower. Refuted if either lies wholly on the other side. Otherwise "
        "not resolved.",
        metric="texts that follow a moved artefact, r_ground less r_FT, in points; above 0 favours the claim",
        headline=True,
        arms={"ground": "rewards 1.0 r_acc, 0.1 r_fmt, 0.1 r_ground", "tags": "rewards 1.0 r_acc, 0.1 r_fmt, 0.1 r_FT"},
        seeds_quick=2,
        seeds_full=5,
        run=partial(_c8_run, shared),
        decide=_c8_decide,
        settings=settings_of,
        equal=(("ground", "tags"),),
        cuts=SMALL,
    )


# --- C10: accuracy on skewed sets -----------------------------------------------------------------------------------


def _c10_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Measure one model on both copies, and the constant answer "fake"."""
    found = reinforced(shared, budget, seed, "rationales")
    fakes = {
        name: 100 * sum(item.label == "fake" for item in own) / len(own)
        for name in ("test", "skewed")
        for own in [arms.clips(shared, budget, name)]
    }
    lead = {f"lead_{name}": found[f"{name}_accuracy"] - share for name, share in fakes.items()}
    balanced = {f"balanced_lead_{name}": found[f"{name}_balanced_accuracy"] - 50 for name in fakes}
    return {**found, **lead, **balanced}


def _c10_decide(measured: Measured) -> Verdict:
    lost = against(measured, "model", "lead_test", "lead_skewed")
    kept = against(measured, "model", "balanced_lead_test", "balanced_lead_skewed")
    same: Outcome = "confirmed" if abs(kept.value) < INFLATED / 2 else "refuted"
    names = ("test_accuracy", "skewed_accuracy", "test_balanced_accuracy", "skewed_balanced_accuracy")
    parts = [
        Part("lead over the constant answer by accuracy, 50/50 less 85/15, points", lost.value, lost.ci95,
             stats.side(lost.ci95, INFLATED, "above")),
        Part("the same by balanced accuracy, points", kept.value, kept.ci95, same),
        *(Part(f"{name.replace('_', ' ')}, in %", float(measured.values("model", name).mean())) for name in names),
    ]  # fmt: skip
    outcome = stats.all_of([part.verdict for part in parts if part.verdict])
    return Verdict(outcome, lost.value, lost.ci95, (), lost.minimum_detectable, tuple(parts))


def _c10(shared: Path) -> Claim:
    return Claim(
        id="C10",
        statement="Accuracy on a set with 85 % fakes hides what a detector is worth; balanced accuracy does not.",
        rule="One model on the same clips, 50/50 and 85/15. Confirmed if the whole 95 % t interval over seeds of the "
        f"model's lead over the answer 'fake' by accuracy, 50/50 less 85/15, lies above {INFLATED:g} points, while the "
        f"lead by balanced accuracy changes by less than {INFLATED / 2:g}. Refuted if the interval lies below "
        f"{INFLATED:g}, or balanced accuracy changes as much. Otherwise not resolved.",
        metric="lead over the constant answer by accuracy that the skew takes, in points; above 10 favours the claim",
        arms={"model": "SFT and GRPO with the released rewards"},
        seeds_quick=2,
        seeds_full=3,
        run=partial(_c10_run, shared),
        decide=_c10_decide,
        settings=settings_of,
        cuts=SMALL,
    )
