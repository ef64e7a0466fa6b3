"""The claims about a detector in use: in noise, behind a verifier, on channels."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Claim, Measured, Part, Verdict
from auricle.core.errors import DataError
from auricle.data import fields
from auricle.metrics.audit import audit
from auricle.metrics.calibration import calibrate
from auricle.systems.voice_auth import arms
from auricle.systems.voice_auth.batches import keep
from auricle.systems.voice_auth.claims_training import SMALL
from auricle.systems.voice_auth.controls import against
from auricle.systems.voice_auth.network import Network
from auricle.systems.voice_auth.train import dev_points, new_network, of_split
from auricle.systems.voice_auth.trials import make_trials, models

HALF, LEAK = 0.5, 30.0  # V6: ratio of EERs; V10: EER in %


def claims(shared: Path) -> list[Claim]:
    """Give V6, V7 and V10; see `auricle.systems.voice_auth.claims`."""
    return [_v6(shared), _v7(shared), _v10(shared)]


# --- V6: noise and RawBoost -------------------------------------------------------------------------------------------

TRAININGS = {"clean": ("none", 3), "rawboost3": ("rawboost", 3), "rawboost5": ("rawboost", 5), "white": ("white", 3)}


def _v6_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Train clean or with distorted copies; test clean, in noise and over codecs."""
    _, items, splits = arms.sets(shared, budget)
    augment, algorithm = TRAININGS[arm]
    cfg = arms.config(budget, seed, augment=augment, rawboost=algorithm)
    source = items if augment == "none" else arms.boosted(shared, budget, augment, algorithm)
    known = arms.of_families(items, cfg.data.seen)
    bad = arms.noisy(shared, budget)
    tests = {"clean": items.where(splits["test"]), **bad}
    chosen = arms.of_families(tests["clean"], cfg.data.seen)
    scores, sizes = arms.scored(
        cfg,
        shared,
        source.where(splits["train"] & known),
        source.where(splits["dev"] & known),
        list(tests.values()),
        "V6",
    )
    numbers: dict[str, Any] = dict(sizes)
    eers, draws = {}, {}
    for (name, test), values in zip(tests.items(), scores, strict=True):
        part = test.where(chosen)
        eers[name] = arms.eer_percent(values[chosen], part.labels)
        draws[name] = arms.eer_draws(values[chosen], part)
    noise = [name for name in tests if name.endswith("dB")]
    numbers |= {name.replace(" ", "_").lower(): value for name, value in eers.items()}
    numbers["noisy"] = max(0.1, float(np.mean([eers[name] for name in noise])))
    numbers["noisy_draws"] = arms.short(np.mean([draws[name] for name in noise], axis=0))
    return numbers


def _v6_ratio(measured: Measured, arm: str, base: str) -> stats.Estimate:
    over_seeds = stats.paired_ratio(measured.values(arm, "noisy"), measured.values(base, "noisy"))
    top, bottom = (np.mean(np.array(measured.each(name, "noisy_draws")), axis=0) for name in (arm, base))
    speakers = arms.around(over_seeds.value, top / np.maximum(bottom, 0.1), over_seeds.n)
    return stats.hull([over_seeds, speakers])


def _v6_decide(measured: Measured) -> Verdict:
    parts = []
    for arm, base in (("rawboost3", "clean"), ("rawboost5", "clean"), ("white", "clean"), ("rawboost3", "white")):
        one = _v6_ratio(measured, arm, base)
        parts.append(Part(f"noisy EER, {arm} over {base}", one.value, one.ci95))
    for arm in TRAININGS:
        for name in ("clean", "noisy"):
            one = arms.over_seeds(measured.values(arm, name))
            parts.append(Part(f"EER on {name} speech, {arm}, in %", one.value, one.ci95))
    main = _v6_ratio(measured, "rawboost3", "clean")
    outcome = stats.side(main.ci95, HALF, "below")
    return Verdict(outcome, main.value, main.ci95, (), main.minimum_detectable, tuple(parts))


def _v6(shared: Path) -> Claim:
    return Claim(
        id="V6",
        statement="Noise hurts a spoof detector and RawBoost training repairs it.",
        rule="EER on seen attacks, averaged over white, pink and babble noise at 20, 10 and 0 dB. Confirmed if the "
        "whole 95 % interval (hull of paired t on logarithms over seeds and speaker bootstrap) of the ratio RawBoost "
        f"(algorithm 3, for additive noise) over clean training lies below {HALF:g}, refuted if above, otherwise not "
        "resolved. Algorithm 5, plain white noise as the control, and the cost in clean EER are reported.",
        metric="noisy EER with RawBoost 3 over that of clean training; below 0.5 favours the claim",
        arms={
            "clean": "trained on the clips as they are", "rawboost3": "RawBoost algorithm 3",
            "rawboost5": "RawBoost algorithm 5", "white": "white noise at the same range of SNR",
        },
        seeds_quick=2,
        seeds_full=3,
        run=partial(_v6_run, shared),
        decide=_v6_decide,
        settings=arms.settings_of,
        equal=(tuple(TRAININGS),),
        cuts=(*SMALL, "three distorted copies of each clip, made once"),
    )  # fmt: skip


# --- V7: behind a verifier --------------------------------------------------------------------------------------------


def _v7_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Put the detector behind the verifier, with both thresholds from other voices and seen attacks."""
    own, items, splits = arms.sets(shared, budget)
    cfg = arms.config(budget, seed)
    known = arms.of_families(items, cfg.data.seen)
    dev, test = items.where(splits["dev"] & known), items.where(splits["test"])
    (dev_scores, scores), sizes = arms.scored(
        cfg, shared, items.where(splits["train"] & known), dev, [dev, test], "V7"
    )  # fmt: skip
    voices = of_split(own.clips, "test")
    clips = own.clips.where(voices)
    detector = np.full(len(clips), np.nan)
    detector[splits["test"][voices]] = scores
    threshold = calibrate(dev_scores, dev.labels).threshold
    points = [point for point in dev_points(cfg, own.clips, own.embeddings) if point.usable][:1]
    if not points:
        raise DataError("V7 has too few impostor trials for any threshold")
    trials = make_trials(
        clips, own.embeddings[voices], models(clips, own.embeddings[voices]), seen=cfg.data.seen, detector=detector
    )
    found = audit(trials, points=points, detector_threshold=threshold, seed=seed)
    far = points[0].far_target
    passes = trials.score >= points[0].threshold
    through = passes & (np.asarray(trials.detector) >= threshold)
    groups = np.asarray(trials.target)
    numbers: dict[str, Any] = {
        **sizes,
        "far": 100 * far,
        "frr": 100 * (found.find("tandem_false_rejection", far=far).value or 0.0),
        "frr_alone": 100 * (found.find("false_rejection", far=far).value or 0.0),
        "a_dcf": found.find("tandem_a_dcf", far=far).value or 0.0,
        "a_dcf_alone": found.find("a_dcf", far=far).value or 0.0,
    }
    for name, domain in (("seen", "in"), ("unseen", "out")):
        among = (trials.kind == "spoof") & (np.asarray(trials.domain) == domain)
        numbers[f"alone_{name}"] = 100 * float(np.mean(passes[among]))
        numbers[f"tandem_{name}"] = 100 * float(np.mean(through[among]))
        numbers[f"alone_{name}_draws"] = arms.short(100 * arms.share_draws(passes, among, groups))
        numbers[f"tandem_{name}_draws"] = [
            round(100 * float(v), 4) for v in arms.share_draws(through, among, groups, 0)
        ]
    return numbers


def _v7_difference(measured: Measured, a: str, b: str) -> stats.Estimate:
    over_seeds = stats.paired_t(measured.values("tandem", a), measured.values("tandem", b))
    draws = [np.mean(np.array(measured.each("tandem", f"{name}_draws"), float), axis=0) for name in (a, b)]
    return stats.hull([over_seeds, arms.around(over_seeds.value, draws[0] - draws[1], over_seeds.n)])


def _v7_decide(measured: Measured) -> Verdict:
    helps = _v7_difference(measured, "tandem_unseen", "alone_unseen")
    gap = _v7_difference(measured, "tandem_unseen", "tandem_seen")
    parts = [
        Part("bypass by unseen attacks, tandem less verifier alone, points", helps.value, helps.ci95,
             stats.side(helps.ci95, 0.0, "below")),
        Part("bypass of the tandem, unseen less seen attacks, points", gap.value, gap.ci95,
             stats.side(gap.ci95, 0.0, "above")),
    ]  # fmt: skip
    outcome = stats.all_of([part.verdict for part in parts if part.verdict])
    names = ("alone_seen", "alone_unseen", "tandem_seen", "tandem_unseen", "frr_alone", "frr", "a_dcf_alone", "a_dcf")
    for name in names:
        one = arms.over_seeds(measured.values("tandem", name))
        unit = "" if name.startswith("a_dcf") else ", in %"
        parts.append(Part(f"{name.replace('_', ' ')}{unit}", one.value, one.ci95))
    return Verdict(outcome, gap.value, gap.ci95, (), gap.minimum_detectable, tuple(parts))


def _v7(shared: Path) -> Claim:
    return Claim(
        id="V7",
        statement="A detector behind the verifier helps, and inherits the gap to unseen synthesis.",
        rule="Thresholds are set on other voices: the verifier's at the first false-accept target that its impostor "
        "trials carry, the detector's at its EER on seen attacks. Confirmed if the whole 95 % "
        "interval (hull of paired t over "
        "seeds and speaker bootstrap) of the bypass rate of unseen attacks, tandem less verifier alone, lies below 0, "
        "and that of the tandem's bypass rate, unseen less seen attacks, above 0. Refuted if either lies wholly on the "
        "other side. Otherwise not resolved. False rejection and a-DCF are reported.",
        metric="bypass rate of the tandem, unseen less seen attacks, in points; above 0 favours the claim",
        arms={"tandem": "GE2E and the detector, both have to accept"},
        seeds_quick=2,
        seeds_full=3,
        run=partial(_v7_run, shared),
        decide=_v7_decide,
        settings=arms.settings_of,
        cuts=(*SMALL, "seen and unseen attacks differ in what the attacker has, which the verifier's own rate shows"),
    )


# --- V10: channel cues ------------------------------------------------------------------------------------------------


def _v10_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Train on real against recoded real speech, with or without the chain that equalises channels."""
    own = arms.material(shared, budget)
    cfg = arms.config(budget, seed)
    fake, real = ("recoded", "test") if arm == "chain" else ("plain_recoded", "plain")
    network: Network = new_network(own.cfg)
    train, dev, test = (
        keep(against(own.clips, own.controls, split, fake, real), network) for split in fields.SPLITS
    )  # fmt: skip
    (scores,), sizes = arms.scored(cfg, shared, train, dev, [test], f"V10 {arm}")
    return {
        "eer": arms.eer_percent(scores, test.labels), "eer_draws": arms.short(arms.eer_draws(scores, test)), **sizes,
    }  # fmt: skip


def _v10_decide(measured: Measured) -> Verdict:
    plain, chain = (arms.mean_of(measured, arm, "eer") for arm in ("plain", "chain"))
    parts = (
        Part("EER on recoded real speech without the chain, in %", plain.value, plain.ci95,
             stats.side(plain.ci95, LEAK, "below")),
        Part("EER on recoded real speech with the chain, in %", chain.value, chain.ci95,
             stats.side(chain.ci95, LEAK, "above")),
    )  # fmt: skip
    outcome = stats.all_of([part.verdict for part in parts if part.verdict])
    return Verdict(outcome, plain.value, plain.ci95, (), plain.minimum_detectable, parts)


def _v10(shared: Path) -> Claim:
    return Claim(
        id="V10",
        statement="A detector learns channel cues where formats are not matched, and not where they are.",
        rule=f"Trained on real speech against the same speech recoded. Confirmed if the whole 95 % interval of the EER "
        f"(hull of t over seeds and speaker bootstrap) lies below {LEAK:g} % without the chain (GSM, Opus or MP3 "
        f"against the recording as it is) and above {LEAK:g} % with it (the laptop data). Refuted "
        "if either lies wholly on the "
        "other side; otherwise not resolved. Below 30 % a setup leaks.",
        metric="EER on recoded real speech without the chain, in percent; below 30 favours the claim",
        arms={"plain": "recordings as they are against recoded ones", "chain": "the same through the equalising chain"},
        seeds_quick=2,
        seeds_full=3,
        run=partial(_v10_run, shared),
        decide=_v10_decide,
        settings=arms.settings_of,
        equal=(("plain", "chain"),),
        cuts=SMALL,
    )
