"""Claims M1, M2, M4 and M5: detectors trained at equal budget that differ in one thing."""

from __future__ import annotations

from typing import Any

import numpy as np

from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Cell, Claim, Measured, Outcome, Part, Settings, Verdict
from auricle.claims.statistics import Estimate
from auricle.claims.verdict import compare, decided, difference, verdict
from auricle.core.errors import DataError
from auricle.metrics.bootstrap import PairedScores
from auricle.systems.mambo.claims.arms import config, count, detector, eer_percent, matched, small
from auricle.systems.mambo.claims.timing import training_steps
from auricle.systems.mambo.config import MamboConfig, ModelConfig

SMALL = (
    "small spectral front end instead of XLS-R, 0.05-0.15 M parameters, 200 (M4, M5) or 500 steps of 16 clips of 1.5 s",
    "one draw of the voices (split 0, five of them in test); spoofs of the embedded corpus, not ASVspoof, ITW or DFADD",
)
LONG, SHORT = 500, 200  # training steps; M4 and M5 train 48 and 36 detectors
MARGIN = 2.0  # EER points within which M2 calls two detectors equally good
LESS_SPREAD = 0.7  # ratio of standard deviations below which M4 calls a spread smaller


def _eer_difference(measured: Measured, one: str, other: str) -> Estimate:
    """Give the EER of an arm less that of another, in points, over seeds and voices."""
    columns = [measured.each(one, "scores"), measured.each(other, "scores")]
    columns += [measured.each(one, "labels"), measured.each(one, "groups")]
    runs = [PairedScores(*row) for row in zip(*columns, strict=True)]
    return stats.paired_eer((measured.values(one, "eer"), measured.values(other, "eer")), runs)


# --- M1: Hydra against a causal mixer ---------------------------------------------------------------------------------


def m1_models(budget: Budget) -> dict[str, ModelConfig]:
    """Give the arms of M1."""
    hydra = small(budget, "hydra")
    return {"mamba2": matched(small(budget, "mamba2"), count(hydra)), "hydra": hydra}


def _m1_settings(cell: Cell) -> MamboConfig:
    return config(cell, m1_models(cell.budget)[cell.arm], LONG)


def _m1_run(cell: Cell) -> dict[str, Any]:
    return detector(_m1_settings(cell), cell.shared)


def m1_decide(measured: Measured) -> Verdict:
    """Apply the rule of M1."""
    clip = _eer_difference(measured, "hydra", "mamba2")
    frame = difference(measured, "frame_eer", "hydra", "mamba2")
    parts = [
        compare("clip EER, Hydra less Mamba2, points", clip, below=0.0),
        compare("frame EER on spliced clips, Hydra less Mamba2, points", frame, below=0.0),
    ]
    return verdict(clip, parts)


M1 = Claim(
    id="M1",
    statement="A bidirectional mixer (Hydra) detects better than a causal one (Mamba2) of the same size.",
    rule="Confirmed if Hydra less Mamba2 lies below 0 with its whole 95 % interval in both parts: (a) clip EER "
    "(hull of the paired t interval over seeds and the paired bootstrap over voices), (b) EER of frames in clips "
    "with a spliced fake segment (paired t over seeds). Refuted if a whole interval lies above 0 in either part. "
    "Otherwise not resolved.",
    metric="test EER over all families, Hydra less Mamba2, in points; below 0 favours the claim",
    arms={"mamba2": "MamBo-1, Mamba2, FFN widened to Hydra's parameters", "hydra": "MamBo-1, Hydra"},
    seeds_full=5,
    run=_m1_run,
    decide=m1_decide,
    settings=_m1_settings,
    equal=(("mamba2", "hydra"),),
    cuts=SMALL,
)


# --- M2: Hydra against two branches -----------------------------------------------------------------------------------

TWO_BRANCH = {"add": "bimamba2_add", "concat": "bimamba2_concat"}


def m2_models(budget: Budget) -> dict[str, ModelConfig]:
    """Give the arms of M2 that are models."""
    hydra = small(budget, "hydra")
    return {"hydra": hydra} | {arm: matched(small(budget, mixer), count(hydra)) for arm, mixer in TWO_BRANCH.items()}


def _m2_settings(cell: Cell) -> Settings:
    models = m2_models(cell.budget)
    return models if cell.arm == "clock" else config(cell, models[cell.arm], LONG)


def _m2_run(cell: Cell) -> dict[str, Any]:
    models = m2_models(cell.budget)
    if cell.arm == "clock":
        return training_steps(models, cell.budget, cell.seed)
    return detector(config(cell, models[cell.arm], LONG), cell.shared)


def _m2_outcome(faster: Outcome, better: Outcome, worst_error: float) -> Outcome:
    """Say whether Hydra is faster and hardly worse, or worse in one and not better in the other."""
    if faster == "confirmed" and worst_error < MARGIN:
        return "confirmed"
    if faster == "refuted" and better != "confirmed":
        return "refuted"
    if better == "refuted" and faster != "confirmed":
        return "refuted"
    return "not resolved"


def m2_decide(measured: Measured) -> Verdict:
    """Apply the rule of M2."""
    parts: list[Part] = []
    outcomes: list[Outcome] = []
    times: list[Estimate] = []
    detectable = 0.0
    for base in TWO_BRANCH:
        error = _eer_difference(measured, "hydra", base)
        time, memory = (
            stats.paired_ratio(measured.values("clock", f"hydra_{name}"), measured.values("clock", f"{base}_{name}"))
            for name in ("step_s", "peak_mb")
        )
        faster, better = stats.side(time.ci95, 1.0, "below"), stats.side(error.ci95, 0.0, "below")
        outcomes.append(_m2_outcome(faster, better, error.ci95[1]))
        times.append(time)
        detectable = max(detectable, error.minimum_detectable or 0.0)
        parts += [
            decided(f"step time, Hydra over {base}", time, faster),
            decided(f"EER, Hydra less {base}, points", error, better),
            compare(f"peak memory, Hydra over {base}", memory),
        ]
    slowest = max(times, key=lambda time: time.value)
    note = f"an EER difference of {detectable:.1f} points would have been found with power 0.8"
    return verdict(slowest, parts, stats.all_of(outcomes), [note])


M2 = Claim(
    id="M2",
    statement="Hydra is more efficient than bidirectional Mamba2 with two branches.",
    rule="At equal parameters, against each of two branches that are added and that are concatenated: confirmed "
    "if the whole 95 % interval of the ratio of training step times (Hydra over the other, paired t on logarithms "
    f"over blocks) lies below 1 and that of the EER difference ends below +{MARGIN:g} points (hull over seeds and "
    "voices). Refuted if against either one Hydra's time interval lies above 1 and its EER interval not below 0, "
    "or its EER interval above 0 and its time interval not below 1. Otherwise not resolved. Memory is reported.",
    metric="training step time of Hydra over that of the faster two-branch model; below 1 favours the claim",
    arms={
        "hydra": "MamBo-1, Hydra",
        "add": "MamBo-1, two Mamba2 branches added, narrowed to Hydra's parameters",
        "concat": "MamBo-1, two Mamba2 branches concatenated, narrowed to Hydra's parameters",
        "clock": "training step time and peak memory of the three, measured in turns",
    },
    run=_m2_run,
    decide=m2_decide,
    headline=True,
    settings=_m2_settings,
    equal=(("hydra", "add", "concat"),),
    cuts=(*SMALL, "equal parameters and steps only: no arm at equal wall time; one length (100 frames)"),
)


# --- M4: depth and the spread over seeds ------------------------------------------------------------------------------


def m4_models(budget: Budget) -> dict[str, ModelConfig]:
    """Give the arms of M4."""
    width, layers = (32, 4) if budget == "full" else (16, 2)
    shallow, deep = (small(budget, "hydra", topology="mambo3", d_model=width, layers=depth) for depth in (1, layers))
    return {"shallow": shallow, "deep": deep, "widened": matched(shallow, count(deep))}


def _m4_settings(cell: Cell) -> MamboConfig:
    return config(cell, m4_models(cell.budget)[cell.arm], SHORT)


def _m4_run(cell: Cell) -> dict[str, Any]:
    return detector(_m4_settings(cell), cell.shared)


def _m4_outcome(ratio: Estimate, p: float) -> Outcome:
    if ratio.value < LESS_SPREAD and ratio.ci95[1] < 1 and p < 0.05:
        return "confirmed"
    if ratio.ci95[0] > LESS_SPREAD:
        return "refuted"
    return "not resolved"


def m4_decide(measured: Measured) -> Verdict:
    """Apply the rule of M4."""
    errors = {arm: measured.values(arm, "eer") for arm in ("shallow", "deep", "widened")}
    notes = [
        f"{arm}: sd over seeds {values.std(ddof=1):.2f} points, mean sd over the best checkpoints of a run "
        f"{measured.values(arm, 'checkpoint_sd').mean():.2f}"
        for arm, values in errors.items()
    ]
    try:
        ratios = {base: stats.sd_ratio(errors["deep"], errors[base], seed=0) for base in ("shallow", "widened")}
        tests = {base: stats.brown_forsythe(errors["deep"], errors[base])[1] for base in ratios}
    except DataError as error:  # arms that hardly vary have no ratio to decide on
        return Verdict("not resolved", None, None, (str(error), *notes))
    parts = [
        decided(
            f"standard deviation of EER, deep over {base} (Brown-Forsythe p = {tests[base]:.3f})",
            ratio,
            _m4_outcome(ratio, tests[base]),
        )
        for base, ratio in ratios.items()
    ]
    return verdict(ratios["shallow"], parts, notes=notes)


M4 = Claim(
    id="M4",
    statement="Deeper backbones vary less over seeds.",
    rule="Ratio of the standard deviations of test EER over seeds, deep over shallow and deep over widened. "
    "Confirmed if both ratios are below 0.7, both bootstrap 95 % intervals end below 1 and both Brown-Forsythe "
    "tests have p < 0.05. Refuted if either interval lies wholly above 0.7. Otherwise not resolved.",
    metric="sd over seeds of test EER, deep over shallow; below 1 favours the claim",
    arms={
        "shallow": "MamBo-3-Hydra-N1, L = 1, D = 32",
        "deep": "MamBo-3-Hydra-N1, L = 4, D = 32",
        "widened": "MamBo-3-Hydra-N1, L = 1, widened to the parameters of deep",
    },
    seeds_quick=3,
    seeds_full=16,
    run=_m4_run,
    decide=m4_decide,
    settings=_m4_settings,
    equal=(("deep", "widened"),),
    cuts=(
        *SMALL,
        "three cells instead of nine (N 1-3 by L 1, 2, 4), 16 seeds instead of 10 in each",
        f"power 0.8 with 16 seeds only from a true ratio of {stats.detectable_sd_ratio(16, 16):.2f} or less",
    ),
)


# --- M5: generators that training did not see -------------------------------------------------------------------------

M5_MIXERS = ("hydra", "mamba2", "gdn")


def m5_models(budget: Budget) -> dict[str, ModelConfig]:
    """Give the arms of M5."""
    hydra = small(budget, "hydra")
    return {"hydra": hydra} | {mixer: matched(small(budget, mixer), count(hydra)) for mixer in M5_MIXERS[1:]}


def _m5_settings(cell: Cell) -> MamboConfig:
    return config(cell, m5_models(cell.budget)[cell.arm], SHORT)


def _m5_run(cell: Cell) -> dict[str, Any]:
    """Train once without each generator; test on those seen and on the one left out."""
    cfg = _m5_settings(cell)
    numbers: dict[str, Any] = {}
    rows: dict[str, list[float]] = {"in_domain": [], "out_of_domain": []}
    for held in cfg.data.seen:
        measured = detector(cfg, cell.shared, without=held)
        scores, labels, families = (np.array(measured[name]) for name in ("scores", "labels", "families"))
        floor = 50.0 / labels.sum()  # half a clip: no error at all is not a rate of zero
        for name, wanted in (("in_domain", set(cfg.data.seen) - {held}), ("out_of_domain", {held})):
            inside = labels | np.isin(families, sorted(wanted))
            rows[name].append(max(floor, eer_percent(scores[inside], labels[inside])))
        numbers[f"out_{held}"] = rows["out_of_domain"][-1]
        numbers |= {name: measured[name] for name in ("parameters", "steps")}
    return numbers | {name: float(np.mean(values)) for name, values in rows.items()}


def m5_decide(measured: Measured) -> Verdict:
    """Apply the rule of M5."""
    ratios = {
        arm: stats.paired_ratio(measured.values(arm, "out_of_domain"), measured.values(arm, "in_domain"))
        for arm in M5_MIXERS
    }
    parts = [compare(f"EER out of domain over in domain, {arm}", ratio) for arm, ratio in ratios.items()]
    for arm in M5_MIXERS[1:]:
        gap = difference(measured, "out_of_domain", "hydra", arm)
        parts.append(compare(f"EER out of domain, Hydra less {arm}, points", gap))
    outcome = stats.side(ratios["hydra"].ci95, 2.0, "below")
    in_domain = float(measured.values("hydra", "in_domain").mean())
    notes: list[str] = []
    if in_domain > 50.0 / 2.0:
        # chance is at 50 %: a detector this weak cannot be refuted by its ratio, so it is not confirmed by it either
        notes = [
            f"the rule alone says {outcome}; but an EER of {in_domain:.1f} % in domain leaves room for a ratio of at "
            f"most {50.0 / in_domain:.2f} before chance, so the rule could not have failed: not resolved"
        ]
        outcome = "not resolved"
    return verdict(ratios["hydra"], parts, outcome, notes)


M5 = Claim(
    id="M5",
    statement="A Hydra detector generalises to generators it was not trained on.",
    rule="Each generator is left out of training once; EER is averaged over generators, seen and left out. "
    "Confirmed if the whole 95 % interval of Hydra's ratio of EER out of domain to EER in domain (paired t on "
    "logarithms over seeds) lies below 2, refuted if it lies above 2, otherwise not resolved. The other mixers "
    "are reported.",
    metric="EER out of domain over EER in domain for Hydra; below 2 favours the claim",
    arms={arm: f"MamBo-1, {arm}, at equal parameters" for arm in M5_MIXERS},
    run=_m5_run,
    decide=m5_decide,
    settings=_m5_settings,
    equal=(M5_MIXERS,),
    cuts=(*SMALL, "four generators without codec2 and espeak-ng; MamBo-1 instead of MamBo-3; interval over seeds"),
)
