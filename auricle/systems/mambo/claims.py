"""The paper's claims as small experiments on two cores. Each rule was written before any run and is not tuned.

What differs from the paper in all of them: log spectra and a small convolution instead of XLS-R, real recordings of
the embedded corpus and spoofs made of them instead of ASVspoof, 200 to 500 steps instead of 20 epochs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Claim, Measured, Outcome, Part, Verdict
from auricle.core.errors import DataError
from auricle.metrics.bootstrap import PairedScores, paired_bootstrap_runs
from auricle.systems.mambo.arms import config, count, detector, eer_percent, matched, small, trained
from auricle.systems.mambo.config import ModelConfig
from auricle.systems.mambo.timing import m6, training_steps

SMALL = (
    "small spectral front end instead of XLS-R, 0.05-0.15 M parameters, 200 (M4, M5) or 500 steps of 16 clips of 1.5 s",
    "one draw of the voices (split 0, five of them in test); spoofs of the embedded corpus, not ASVspoof, ITW or DFADD",
)
LONG, SHORT = 500, 200  # training steps; M4 and M5 train 48 and 36 detectors
MARGIN = 2.0  # EER points within which M2 calls two detectors equally good


def claims(shared: Path) -> list[Claim]:
    """Give the claims that run on a laptop.

    Args:
        shared: folder for what they share: the prepared data and detectors that two claims train alike.
    """
    return [_m1(shared), _m2(shared), _m4(shared), _m5(shared), m6()]


def _eer_difference(measured: Measured, a: str, b: str) -> stats.Estimate:
    """EER of a less that of b in points: the hull of the t interval over seeds and the bootstrap over voices."""
    over_seeds = stats.paired_t(measured.values(a, "eer"), measured.values(b, "eer"))
    columns = [measured.each(a, "scores"), measured.each(b, "scores"), measured.each(a, "labels")]
    columns.append(measured.each(a, "groups"))
    runs = [PairedScores(first, second, truth, who) for first, second, truth, who in zip(*columns, strict=True)]
    over_voices = paired_bootstrap_runs(runs, seed=0).ci95
    interval = (100 * over_voices[0], 100 * over_voices[1])
    # the bootstrap has no spread of its own to plan with: its half width, from 95 % to power 0.8
    detectable = (interval[1] - interval[0]) / 2 * (1.96 + 0.84) / 1.96
    return stats.hull([over_seeds, stats.Estimate(over_seeds.value, interval, over_seeds.n, detectable)])


# --- M1: Hydra against a causal mixer ---------------------------------------------------------------------------------


def _m1_models(budget: Budget) -> dict[str, ModelConfig]:
    hydra = small(budget, "hydra")
    return {"mamba2": matched(small(budget, "mamba2"), count(hydra)), "hydra": hydra}


def _m1_decide(measured: Measured) -> Verdict:
    clip = _eer_difference(measured, "hydra", "mamba2")
    frame = stats.paired_t(measured.values("hydra", "frame_eer"), measured.values("mamba2", "frame_eer"))
    parts = [
        Part(f"{name}, Hydra less Mamba2, points", e.value, e.ci95, stats.side(e.ci95, 0.0, "below"))
        for name, e in (("clip EER", clip), ("frame EER on spliced clips", frame))
    ]
    outcome = stats.all_of([part.verdict for part in parts if part.verdict])
    return Verdict(outcome, clip.value, clip.ci95, (), clip.minimum_detectable, tuple(parts))


def _m1(shared: Path) -> Claim:
    run, settings = trained(shared, _m1_models, LONG)
    return Claim(
        id="M1",
        statement="A bidirectional mixer (Hydra) detects better than a causal one (Mamba2) of the same size.",
        rule="Confirmed if Hydra less Mamba2 lies below 0 with its whole 95 % interval in both parts: (a) clip EER "
        "(hull of the paired t interval over seeds and the paired bootstrap over voices), (b) EER of frames in clips "
        "with a spliced fake segment (paired t over seeds). Refuted if a whole interval lies above 0 in either part. "
        "Otherwise not resolved.",
        metric="test EER over all families, Hydra less Mamba2, in points; below 0 favours the claim",
        arms={"mamba2": "MamBo-1, Mamba2, FFN widened to Hydra's parameters", "hydra": "MamBo-1, Hydra"},
        seeds_quick=2,
        seeds_full=5,
        run=run,
        decide=_m1_decide,
        settings=settings,
        equal=(("mamba2", "hydra"),),
        cuts=SMALL,
    )


# --- M2: Hydra against two branches -----------------------------------------------------------------------------------

TWO_BRANCH = {"add": "bimamba2_add", "concat": "bimamba2_concat"}


def _m2_models(budget: Budget) -> dict[str, ModelConfig]:
    hydra = small(budget, "hydra")
    return {"hydra": hydra} | {a: matched(small(budget, m), count(hydra)) for a, m in TWO_BRANCH.items()}


def _m2_decide(measured: Measured) -> Verdict:
    parts: list[Part] = []
    outcomes: list[Outcome] = []
    times: dict[str, stats.Estimate] = {}
    worst = 0.0
    for base in TWO_BRANCH:
        error = _eer_difference(measured, "hydra", base)
        time, memory = (
            stats.paired_ratio(measured.values("clock", f"hydra_{what}"), measured.values("clock", f"{base}_{what}"))
            for what in ("step_s", "peak_mb")
        )
        faster, better = stats.side(time.ci95, 1.0, "below"), stats.side(error.ci95, 0.0, "below")
        dominated = (faster == "refuted" and better != "confirmed") or (better == "refuted" and faster != "confirmed")
        good = faster == "confirmed" and error.ci95[1] < MARGIN
        outcomes.append("confirmed" if good else "refuted" if dominated else "not resolved")
        times[base] = time
        worst = max(worst, error.minimum_detectable or 0.0)
        parts += [
            Part(f"step time, Hydra over {base}", time.value, time.ci95, faster),
            Part(f"EER, Hydra less {base}, points", error.value, error.ci95, better),
            Part(f"peak memory, Hydra over {base}", memory.value, memory.ci95),
        ]
    slowest = max(times.values(), key=lambda time: time.value)
    note = f"an EER difference of {worst:.1f} points would have been found with power 0.8"
    return Verdict(
        stats.all_of(outcomes), slowest.value, slowest.ci95, (note,), slowest.minimum_detectable, tuple(parts)
    )


def _m2(shared: Path) -> Claim:
    train, configs = trained(shared, _m2_models, LONG)

    def run(arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
        return training_steps(_m2_models(budget), budget, seed) if arm == "clock" else train(arm, seed, budget, folder)

    def settings(arm: str, seed: int, budget: Budget) -> dict[str, Any]:
        if arm == "clock":
            return {name: model.model_dump(mode="json") for name, model in _m2_models(budget).items()}
        return configs(arm, seed, budget)

    return Claim(
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
        seeds_quick=2,
        seeds_full=5,
        run=run,
        decide=_m2_decide,
        headline=True,
        settings=settings,
        equal=(("hydra", "add", "concat"),),
        cuts=(*SMALL, "equal parameters and steps only: no arm at equal wall time; one length (100 frames)"),
    )


# --- M4: depth and the spread over seeds ------------------------------------------------------------------------------


def _m4_models(budget: Budget) -> dict[str, ModelConfig]:
    width, layers = (32, 4) if budget == "full" else (16, 2)
    shallow, deep = (small(budget, "hydra", topology="mambo3", d_model=width, layers=depth) for depth in (1, layers))
    return {"shallow": shallow, "deep": deep, "widened": matched(shallow, count(deep))}


def _m4_decide(measured: Measured) -> Verdict:
    spread = {arm: measured.values(arm, "eer") for arm in ("shallow", "deep", "widened")}
    notes = [
        f"{arm}: sd over seeds {values.std(ddof=1):.2f} points, mean sd over the best checkpoints of a run "
        f"{measured.values(arm, 'checkpoint_sd').mean():.2f}"
        for arm, values in spread.items()
    ]
    try:
        ratios = {base: stats.sd_ratio(spread["deep"], spread[base], seed=0) for base in ("shallow", "widened")}
        tests = {base: stats.brown_forsythe(spread["deep"], spread[base])[1] for base in ratios}
    except DataError as error:  # arms that hardly vary have no ratio to decide on
        return Verdict("not resolved", None, None, (str(error), *notes))
    parts: list[Part] = []
    outcomes: list[Outcome] = []
    for base, ratio in ratios.items():
        found = ratio.value < 0.7 and ratio.ci95[1] < 1 and tests[base] < 0.05
        outcomes.append("confirmed" if found else "refuted" if ratio.ci95[0] > 0.7 else "not resolved")
        name = f"standard deviation of EER, deep over {base} (Brown-Forsythe p = {tests[base]:.3f})"
        parts.append(Part(name, ratio.value, ratio.ci95, outcomes[-1]))
    first = ratios["shallow"]
    return Verdict(
        stats.all_of(outcomes), first.value, first.ci95, tuple(notes), first.minimum_detectable, tuple(parts)
    )


def _m4(shared: Path) -> Claim:
    run, settings = trained(shared, _m4_models, SHORT)
    return Claim(
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
        run=run,
        decide=_m4_decide,
        settings=settings,
        equal=(("deep", "widened"),),
        cuts=(
            *SMALL,
            "three cells instead of nine (N 1-3 by L 1, 2, 4), 16 seeds instead of 10 in each",
            f"power 0.8 with 16 seeds only from a true ratio of {stats.detectable_sd_ratio(16, 16):.2f} or less",
        ),
    )


# --- M5: generators that training did not see -------------------------------------------------------------------------

M5_MIXERS = ("hydra", "mamba2", "gdn")


def _m5_models(budget: Budget) -> dict[str, ModelConfig]:
    target = count(small(budget, "hydra"))
    return {"hydra": small(budget, "hydra")} | {
        mixer: matched(small(budget, mixer), target) for mixer in M5_MIXERS if mixer != "hydra"
    }


def _m5_run(shared: Path, arm: str, seed: int, budget: Budget) -> dict[str, Any]:
    """Train once without each generator; test on those seen and on the one left out."""
    cfg = config(budget, seed, _m5_models(budget)[arm], SHORT)
    numbers: dict[str, Any] = {}
    rows: dict[str, list[float]] = {"in_domain": [], "out_of_domain": []}
    for held in cfg.data.seen:
        one = detector(cfg, shared, without=held)
        scores, labels, families = (np.array(one[name]) for name in ("scores", "labels", "families"))
        floor = 50.0 / labels.sum()  # half a clip: no error at all is not a rate of zero
        for name, wanted in (("in_domain", set(cfg.data.seen) - {held}), ("out_of_domain", {held})):
            chosen = labels | np.isin(families, sorted(wanted))
            rows[name].append(max(floor, eer_percent(scores[chosen], labels[chosen])))
        numbers |= {f"out_{held}": rows["out_of_domain"][-1], "parameters": one["parameters"], "steps": one["steps"]}
    return numbers | {name: float(np.mean(values)) for name, values in rows.items()}


def _m5_decide(measured: Measured) -> Verdict:
    ratio = {
        arm: stats.paired_ratio(measured.values(arm, "out_of_domain"), measured.values(arm, "in_domain"))
        for arm in M5_MIXERS
    }
    parts = [Part(f"EER out of domain over in domain, {arm}", one.value, one.ci95) for arm, one in ratio.items()]
    for arm in M5_MIXERS[1:]:
        gap = stats.paired_t(measured.values("hydra", "out_of_domain"), measured.values(arm, "out_of_domain"))
        parts.append(Part(f"EER out of domain, Hydra less {arm}, points", gap.value, gap.ci95))
    hydra = ratio["hydra"]
    outcome = stats.side(hydra.ci95, 2.0, "below")
    in_domain = float(measured.values("hydra", "in_domain").mean())
    notes: tuple[str, ...] = ()
    if in_domain > 50.0 / 2.0:
        # chance is at 50 %: a detector this weak cannot be refuted by its ratio, so it is not confirmed by it either
        notes = (
            f"the rule alone says {outcome}; but an EER of {in_domain:.1f} % in domain leaves room for a ratio of at "
            f"most {50.0 / in_domain:.2f} before chance, so the rule could not have failed: not resolved",
        )
        outcome = "not resolved"
    return Verdict(outcome, hydra.value, hydra.ci95, notes, hydra.minimum_detectable, tuple(parts))


def _m5(shared: Path) -> Claim:
    def run(arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
        return _m5_run(shared, arm, seed, budget)

    _, settings = trained(shared, _m5_models, SHORT)
    return Claim(
        id="M5",
        statement="A Hydra detector generalises to generators it was not trained on.",
        rule="Each generator is left out of training once; EER is averaged over generators, seen and left out. "
        "Confirmed if the whole 95 % interval of Hydra's ratio of EER out of domain to EER in domain (paired t on "
        "logarithms over seeds) lies below 2, refuted if it lies above 2, otherwise not resolved. The other mixers "
        "are reported.",
        metric="EER out of domain over EER in domain for Hydra; below 2 favours the claim",
        arms={arm: f"MamBo-1, {arm}, at equal parameters" for arm in M5_MIXERS},
        seeds_quick=2,
        seeds_full=3,
        run=run,
        decide=_m5_decide,
        settings=settings,
        equal=(M5_MIXERS,),
        cuts=(*SMALL, "four generators without codec2 and espeak-ng; MamBo-1 instead of MamBo-3; interval over seeds"),
    )
