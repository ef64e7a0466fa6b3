"""The paper's claims as small experiments on two cores. Each rule was written before any run and is not tuned.

What differs from the paper in all of them: a million parameters made from nothing instead of Qwen2.5-Omni-3B, the
artefact world on the embedded recordings instead of four corpora, rationales written from the truth, a frozen encoder.
"""

from __future__ import annotations

from typing import Any

from auricle.claims.claim import Cell, Claim, Measured, Part, Verdict
from auricle.claims.statistics import Estimate, paired_t, side
from auricle.claims.verdict import compare, decided, difference, verdict, within
from auricle.systems.ft_grpo.claims.arms import clips, settings, trained

SMALL = (
    "1.4 M parameters, the encoder trained once a seed and frozen; 500 SFT steps of 64, 50 GRPO steps of 32 x 8",
    "seeds draw weights, batches and rollouts again; clips stay the same (800 test, 600 weak, 160 counterfactuals)",
)
WORTH = 2.0  # points below which a difference is of no use
INFLATED = 10.0  # C10: points


# --- C1: GRPO after SFT beats SFT -----------------------------------------------------------------------------------


def _c1_run(cell: Cell) -> dict[str, Any]:
    """Go on from one SFT model by GRPO or by SFT."""
    return trained(cell, "grpo" if cell.arm == "grpo" else "more-sft")


def _c1_decide(measured: Measured) -> Verdict:
    weak = difference(measured, "weak_balanced_accuracy", "grpo", "sft")
    test = difference(measured, "test_balanced_accuracy", "grpo", "sft")
    grpo_s, sft_s = (float(measured.values(arm, "train_seconds").mean()) for arm in ("grpo", "sft"))
    parts = [
        compare("balanced accuracy on strengths that training does not have, GRPO less SFT, points", weak),
        compare("balanced accuracy on strengths of training, points", test),
        Part("seconds of GRPO", grpo_s),
        Part("seconds of SFT instead", sft_s),
    ]
    return verdict(weak, parts, side(weak.ci95, 0.0, "above"))


C1 = Claim(
    id="C1",
    statement="GRPO after SFT detects better than SFT that goes on for as long.",
    rule="Both arms go on from the same SFT model. Confirmed if the whole 95 % t interval over seeds of balanced "
    "accuracy on artefacts weaker than any in training, GRPO less SFT, lies above 0; refuted if it lies below 0; "
    "otherwise not resolved. The test set with strengths of training and the seconds of both are reported.",
    metric="balanced accuracy on weak artefacts, GRPO less SFT, in points; above 0 favours the claim",
    arms={"grpo": "50 steps of GRPO with the released rewards", "sft": "250 more steps of SFT instead"},
    run=_c1_run,
    decide=_c1_decide,
    settings=settings,
    equal=(("grpo", "sft"),),
    cuts=(*SMALL, "compute is made equal by the time that a GRPO step and an SFT step take, not step by step"),
)

# --- C3: RL without a cold start hacks its reward -------------------------------------------------------------------

VANILLA = ("train.grpo.structure=0",)  # r_acc and r_fmt alone


def _c3_run(cell: Cell) -> dict[str, Any]:
    """Do GRPO with accuracy and format alone, from labels or from rationales."""
    return trained(cell, "grpo", "labels" if cell.arm == "vanilla" else "sft", *VANILLA)


def _at_chance(name: str, over: Estimate) -> Part:
    """Compare hits with those of saying one place of every clip: at chance is not above them."""
    low, high = over.ci95
    if high <= WORTH:
        return decided(name, over, "confirmed")
    if low > WORTH:
        return decided(name, over, "refuted")
    return decided(name, over, "not resolved")


def _c3_decide(measured: Measured) -> Verdict:
    reward = within(measured, "vanilla", "reward_last", "reward_first")
    entropy = within(measured, "vanilla", "entropy_last", "entropy_first")
    parts = [
        compare("reward, last fifth of training less first", reward, above=0.0),
        compare("entropy of a token in nats, last less first", entropy, below=0.0),
    ]
    for domain, place in (("frequency", "band"), ("time", "bin")):
        over = within(measured, "vanilla", f"hit_{domain}", f"majority_{domain}")
        parts.append(_at_chance(f"{place} hits less those of the majority rationale, points", over))
    for name in ("hit_frequency", "hit_time", "distinct_texts"):
        cold = difference(measured, name, "vanilla", "cold_start")
        parts.append(compare(f"{name.replace('_', ' ')}, vanilla less cold start", cold))
    return verdict(reward, parts)


C3 = Claim(
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
    run=_c3_run,
    decide=_c3_decide,
    settings=settings,
    equal=(("vanilla", "cold_start"),),
    cuts=SMALL,
)

# --- C4: the frequency-time reward ----------------------------------------------------------------------------------


def _c4_run(cell: Cell) -> dict[str, Any]:
    """Do GRPO with or without the reward for tags."""
    return trained(cell, "grpo", "sft", *(() if cell.arm == "tags" else VANILLA))


def _grounding(measured: Measured, one: str, other: str) -> Estimate:
    """Give the mean of band and bin hits of one arm less that of another, paired over seeds."""
    first, second = (
        (measured.values(arm, "hit_frequency") + measured.values(arm, "hit_time")) / 2 for arm in (one, other)
    )
    return paired_t(first, second)


def _c4_decide(measured: Measured) -> Verdict:
    hits = _grounding(measured, "tags", "none")
    tags = difference(measured, "tags", "tags", "none")
    accuracy = difference(measured, "test_balanced_accuracy", "tags", "none")
    silent = float(measured.values("tags", "zero_variance_first").mean())
    low, high = hits.ci95
    name = "band and bin hits, with r_FT less without, points"
    if low > 0:
        grounds = decided(name, hits, "confirmed")
    elif high < WORTH:
        grounds = decided(name, hits, "refuted")
    else:
        grounds = decided(name, hits, "not resolved")
    parts = [
        grounds,
        compare("share of tags that are there, points", tags),
        compare("balanced accuracy, points", accuracy),
        Part("groups without variance at the beginning, share", silent),
    ]
    return verdict(hits, parts)


C4 = Claim(
    id="C4",
    statement="The frequency-time reward r_FT makes rationales tell more of the audio.",
    rule="GRPO with and without r_FT, all else equal. Confirmed if the whole 95 % t interval over seeds of the "
    "mean of band hits and of bin hits (within one), with less without, lies above 0. Refuted if it lies below "
    f"{WORTH:g} points: then r_FT brings nothing worth having. Otherwise not resolved. The tag rate is reported.",
    metric="mean of band and bin hits, with r_FT less without, in points; above 0 favours the claim",
    headline=True,
    arms={"tags": "rewards 1.0 r_acc, 0.1 r_fmt, 0.1 r_FT", "none": "rewards 1.0 r_acc, 0.1 r_fmt"},
    run=_c4_run,
    decide=_c4_decide,
    settings=settings,
    equal=(("tags", "none"),),
    cuts=SMALL,
)

# --- C8: a grounded reward ------------------------------------------------------------------------------------------


def _c8_run(cell: Cell) -> dict[str, Any]:
    """Do GRPO with the reward for tags, or with that for right places in its stead."""
    weights = ("train.grpo.structure=0", "train.grpo.ground=0.1") if cell.arm == "ground" else ()
    return trained(cell, "grpo", "sft", *weights)


def _c8_decide(measured: Measured) -> Verdict:
    follows = difference(measured, "follows", "ground", "tags")
    accuracy = difference(measured, "test_balanced_accuracy", "ground", "tags")
    flips = difference(measured, "flips", "ground", "tags")
    parts = [
        compare("texts that follow a moved artefact, points", follows, above=0.0),
        compare(f"balanced accuracy, points (equal: not {WORTH:g} below)", accuracy, above=-WORTH),
        compare("verdicts that flip when the artefact is removed, points", flips),
        compare("band and bin hits, points", _grounding(measured, "ground", "tags")),
    ]
    return verdict(follows, parts)


C8 = Claim(
    id="C8",
    statement="A reward for right places is better than a reward for tags (an extension; not the paper's claim).",
    rule="r_ground in the place of r_FT at the same weight. Confirmed if, by 95 % t intervals over seeds, more "
    "texts follow an artefact that is moved (mean of both domains; band exact, bin within one; above 0), and "
    f"balanced accuracy is not {WORTH:g} points lower. Refuted if either lies wholly on the other side. Otherwise "
    "not resolved.",
    metric="texts that follow a moved artefact, r_ground less r_FT, in points; above 0 favours the claim",
    headline=True,
    arms={"ground": "rewards 1.0 r_acc, 0.1 r_fmt, 0.1 r_ground", "tags": "rewards 1.0 r_acc, 0.1 r_fmt, 0.1 r_FT"},
    run=_c8_run,
    decide=_c8_decide,
    settings=settings,
    equal=(("ground", "tags"),),
    cuts=SMALL,
)

# --- C10: accuracy on skewed sets -----------------------------------------------------------------------------------


def _c10_run(cell: Cell) -> dict[str, Any]:
    """Measure one model on both copies, and the constant answer "fake"."""
    numbers = trained(cell, "grpo")
    for name in ("test", "skewed"):
        items = clips(cell.shared, cell.budget, name)
        constant = 100 * sum(item.label == "fake" for item in items) / len(items)
        numbers[f"lead_{name}"] = numbers[f"{name}_accuracy"] - constant
        numbers[f"balanced_lead_{name}"] = numbers[f"{name}_balanced_accuracy"] - 50
    return numbers


def _c10_decide(measured: Measured) -> Verdict:
    lost = within(measured, "model", "lead_test", "lead_skewed")
    balanced = within(measured, "model", "balanced_lead_test", "balanced_lead_skewed")
    names = ("test_accuracy", "skewed_accuracy", "test_balanced_accuracy", "skewed_balanced_accuracy")
    parts = [
        compare("lead over the constant answer by accuracy, 50/50 less 85/15, points", lost, above=INFLATED),
        decided(
            "the same by balanced accuracy, points",
            balanced,
            "confirmed" if abs(balanced.value) < INFLATED / 2 else "refuted",
        ),
        *(Part(f"{name.replace('_', ' ')}, in %", float(measured.values("model", name).mean())) for name in names),
    ]
    outcome = verdict(lost, parts).verdict
    notes = _c10_could_not_fail(measured) if outcome == "confirmed" else []
    return verdict(lost, parts, "not resolved" if notes else outcome, notes)


def _c10_could_not_fail(measured: Measured) -> list[str]:
    """Say so where no detector of this balanced accuracy could lose as little as the rule asks; added after the run.

    The lead falls by the rise of the constant's accuracy less that of the model's own. With the same recalls on both
    sets the model's own rises by (rise of the share of fakes) x (recall of fakes less recall of real clips), and at a
    balanced accuracy of b these recalls differ by at most 2 (100 - b). This check can only take a confirmation away.
    """
    constant = {
        name: measured.values("model", f"{name}_accuracy") - measured.values("model", f"lead_{name}")
        for name in ("test", "skewed")
    }
    skew = float((constant["skewed"] - constant["test"]).mean())
    balanced = float(measured.values("model", "test_balanced_accuracy").mean())
    most = skew / 100 * 2 * (100 - max(balanced, 50.0))
    if most >= skew - INFLATED:
        return []
    return [
        f"the rule alone says confirmed; but the constant answer's accuracy rises by {skew:.1f} points, and at a "
        f"balanced accuracy of {balanced:.1f} % a detector's own can rise by at most {most:.1f}, where the rule needs "
        f"{skew - INFLATED:.1f} to fail: it could not have failed: not resolved (this check was added after the first "
        "run and can only take a confirmation away)"
    ]


C10 = Claim(
    id="C10",
    statement="Accuracy on a set with 85 % fakes hides what a detector is worth; balanced accuracy does not.",
    rule="One model on the same clips, 50/50 and 85/15. Confirmed if the whole 95 % t interval over seeds of the "
    f"model's lead over the answer 'fake' by accuracy, 50/50 less 85/15, lies above {INFLATED:g} points, while the "
    f"lead by balanced accuracy changes by less than {INFLATED / 2:g}. Refuted if the interval lies below "
    f"{INFLATED:g}, or balanced accuracy changes as much. Otherwise not resolved.",
    metric="lead over the constant answer by accuracy that the skew takes, in points; above 10 favours the claim",
    arms={"model": "SFT and GRPO with the released rewards"},
    run=_c10_run,
    decide=_c10_decide,
    settings=settings,
    cuts=SMALL,
)
CLAIMS = (C1, C3, C4, C8, C10)
