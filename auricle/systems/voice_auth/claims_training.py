"""The claims about what a detector was trained on: in domain, left-out generators, languages."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Claim, Measured, Outcome, Part, Verdict
from auricle.core.errors import DataError
from auricle.systems.voice_auth import arms
from auricle.systems.voice_auth.train import of_split

SMALL = (
    "AASIST with about 0.05 M parameters on LFCC, 150 steps of 16 windows of 2 s; the embedded corpus, split 1, whose "
    "test voices nobody looked at before",
    "seeds draw weights and batches again; the six groups of test speakers stay the same",
)
NEAR_PERFECT, RATIO = 5.0, 5.0  # V3: EER in %; V4: EER out of domain over in domain


def claims(shared: Path) -> list[Claim]:
    """Give V3, V4 and V5; see `auricle.systems.voice_auth.claims`."""
    return [_v3(shared), _v4(shared), _v5(shared)]


# --- V3: near perfect in domain ---------------------------------------------------------------------------------------


def _v3_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Train on voices that the test does not have, or on other clips of all voices; the same test clips for both."""
    _, items, splits = arms.sets(shared, budget)
    cfg = arms.config(budget, seed)
    seen = arms.of_families(items, cfg.data.seen)
    # the recordings of the test voices are halved: one half may be trained on by the clip split, the other is tested
    pairs = np.array(sorted(set(items.pairs[splits["test"]])))
    tested = splits["test"] & seen & np.isin(items.pairs, pairs[::2])
    trained = splits["train"] & seen
    if arm == "clip_split":
        rest = seen & ~np.isin(items.pairs, pairs[::2]) & ~splits["dev"]
        order = np.random.default_rng(0).permutation(np.flatnonzero(rest))
        trained = np.isin(np.arange(len(items)), order[: trained.sum()])
    test = items.where(tested)
    dev = items.where(splits["dev"] & seen)
    (scores,), sizes = arms.scored(cfg, shared, items.where(trained), dev, [test], f"V3 {arm}")
    draws = arms.short(arms.eer_draws(scores, test))
    return {"eer": arms.eer_percent(scores, test.labels), "eer_draws": draws, **sizes}


def _v3_decide(measured: Measured) -> Verdict:
    strict, loose = (arms.mean_of(measured, arm, "eer") for arm in ("speaker_split", "clip_split"))
    gap = stats.paired_t(measured.values("speaker_split", "eer"), measured.values("clip_split", "eer"))
    outcome = stats.side(strict.ci95, NEAR_PERFECT, "below")
    parts = (
        Part("EER on unseen speakers, in %", strict.value, strict.ci95, outcome),
        Part("EER on unseen clips of all speakers, in %", loose.value, loose.ci95),
        Part("speaker split less clip split, points", gap.value, gap.ci95),
    )
    return Verdict(outcome, strict.value, strict.ci95, (), strict.minimum_detectable, parts)


def _v3(shared: Path) -> Claim:
    return Claim(
        id="V3",
        statement="A spoof detector is near perfect on attacks it was trained on.",
        rule=f"EER on seen attacks and unseen speakers: confirmed if the whole 95 % interval (hull of t over seeds and "
        f"speaker bootstrap) lies below {NEAR_PERFECT:g} %, refuted if it lies above, otherwise not resolved. The EER "
        "with a split by clip and the gap between the two, which is speaker leakage, are reported.",
        metric="EER on seen attacks, unseen speakers, in percent; below 5 favours the claim",
        arms={"speaker_split": "trained on other speakers", "clip_split": "trained on other clips, speakers shared"},
        seeds_quick=2,
        seeds_full=3,
        run=partial(_v3_run, shared),
        decide=_v3_decide,
        settings=arms.settings_of,
        equal=(("speaker_split", "clip_split"),),
        cuts=(*SMALL, "four attacks instead of three"),
    )


# --- V4: unseen synthesis ---------------------------------------------------------------------------------------------


def _v4_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Train without each generator in turn, or on three only; average EER seen and left out, with the same speakers."""
    _, items, splits = arms.sets(shared, budget)
    cfg = arms.config(budget, seed)
    families = cfg.data.families
    wanted = [(f,) for f in families] if arm == "left_out" else [tuple(f for f in families if f not in families[:3])]
    rows: dict[str, list[Any]] = {"in": [], "out": [], "in_draws": [], "out_draws": []}
    sizes: dict[str, int] = {}
    for held in wanted:
        kept = [name for name in families if name not in held]
        known = arms.of_families(items, kept)
        test = items.where(splits["test"])
        (scores,), sizes = arms.scored(
            cfg, shared, items.where(splits["train"] & known), items.where(splits["dev"] & known), [test], "V4"
        )
        for name, some in (("in", kept), ("out", held)):
            chosen = arms.of_families(test, some)
            if not (~test.labels[chosen]).any():
                continue
            floor = 50.0 / test.labels.sum()  # half a clip: no error at all is not a rate of zero
            part = test.where(chosen)
            rows[name].append(max(floor, arms.eer_percent(scores[chosen], part.labels)))
            rows[f"{name}_draws"].append(np.maximum(floor, arms.eer_draws(scores[chosen], part)))
    inside, outside = float(np.mean(rows["in"])), float(np.mean(rows["out"]))
    draws = np.mean(rows["out_draws"], axis=0) / np.mean(rows["in_draws"], axis=0)
    return {
        "in_domain": inside,
        "out_of_domain": outside,
        "ratio": outside / inside,
        "ratio_draws": arms.short(draws),
        **sizes,
    }


def _v4_decide(measured: Measured) -> Verdict:
    parts = []
    for arm in ("left_out", "three_seen"):
        ratio = arms.mean_of(measured, arm, "ratio")
        parts.append(Part(f"EER out of domain over in domain, {arm}", ratio.value, ratio.ci95))
        for name in ("in_domain", "out_of_domain"):
            one = arms.over_seeds(measured.values(arm, name))
            parts.append(Part(f"EER {name.replace('_', ' ')}, {arm}, in %", one.value, one.ci95))
    ratio = arms.mean_of(measured, "left_out", "ratio")
    outcome: Outcome = stats.side(ratio.ci95, RATIO, "above")
    inside = float(measured.values("left_out", "in_domain").mean())
    notes: tuple[str, ...] = ()
    if inside > 50.0 / RATIO:
        notes = (
            f"EER in domain is {inside:.1f} %: chance leaves room for a ratio of {50 / inside:.1f}, so the rule "
            "could not have confirmed the claim, and does not refute it",
        )
        outcome = "not resolved"
    return Verdict(outcome, ratio.value, ratio.ci95, notes, ratio.minimum_detectable, tuple(parts))


def _v4(shared: Path) -> Claim:
    return Claim(
        id="V4",
        statement="A spoof detector fails on synthesis it was not trained on.",
        rule=f"Each generator is left out of training once; EER is averaged over generators, seen and left out. "
        "Confirmed if the whole 95 % interval of the ratio (hull of t over seeds and speaker "
        f"bootstrap) lies above {RATIO:g}, "
        f"refuted if it lies below, otherwise not resolved; and not resolved where the EER in domain is above "
        f"{50 / RATIO:g} %, as chance then leaves no room for such a ratio. The paper's ratio is about 30.",
        metric="EER of the generator left out over EER of the others; above 5 favours the claim",
        arms={"left_out": "each generator left out once", "three_seen": "trained on three, tested on the rest"},
        seeds_quick=2,
        seeds_full=3,
        run=partial(_v4_run, shared),
        decide=_v4_decide,
        settings=arms.settings_of,
        cuts=SMALL,
    )


# --- V5: language against generator -----------------------------------------------------------------------------------


def _v5_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Train on English and seen attacks; test both languages with both sets of attacks, on unheard speakers."""
    own, items, splits = arms.sets(shared, budget)
    cfg = arms.config(budget, seed)
    # the language of the claimed voice: an attack on a French voice may be said by an Italian one
    voices = own.clips.values("target")
    english = np.char.startswith(voices.astype(str), "en-")
    known = arms.of_families(items, cfg.data.seen)
    trained = ~splits["test"] & ~of_split(own.clips, "test") & english & known
    dev = splits["dev"] & known
    heard = set(items.groups[trained])
    fresh = ~np.isin(items.groups, sorted(heard)) & (np.isin(own.clips.values("role"), ("test", "spoof")))
    test = items.where(fresh)
    (scores,), sizes = arms.scored(cfg, shared, items.where(trained), items.where(dev), [test], "V5")
    native = english[fresh]
    numbers: dict[str, Any] = dict(sizes)
    for language, spoken in (("a", native), ("b", ~native)):
        for attack, names in (("g1", cfg.data.seen), ("g2", cfg.data.unseen)):
            chosen = spoken & arms.of_families(test, names)
            part = test.where(chosen)
            if not part.labels.any() or part.labels.all():
                raise DataError(f"V5 has no trial of both classes in the cell {language} {attack}")
            numbers[f"{language}_{attack}"] = arms.eer_percent(scores[chosen], part.labels)
            seed_of = 1 if language == "a" else 2  # the speakers of the two languages are drawn apart
            numbers[f"{language}_{attack}_draws"] = arms.short(arms.eer_draws(scores[chosen], part, seed_of))
    return numbers


def _v5_decide(measured: Measured) -> Verdict:
    cell = {name: measured.values("english", name) for name in ("a_g1", "a_g2", "b_g1", "b_g2")}
    draws = {name: np.mean(np.array(measured.each("english", f"{name}_draws")), axis=0) for name in cell}
    # generator effect less language effect: (a_g2 - a_g1) - (b_g1 - a_g1)
    over_seeds = stats.paired_t(cell["a_g2"], cell["b_g1"])
    effect = stats.hull([over_seeds, arms.around(over_seeds.value, draws["a_g2"] - draws["b_g1"], over_seeds.n)])
    outcome = stats.side(effect.ci95, 0.0, "above")
    titles = {
        "a_g1": "EER, English, seen attacks, %", "a_g2": "EER, English, unseen attacks, %",
        "b_g1": "EER, other languages, seen attacks, %", "b_g2": "EER, other languages, unseen attacks, %",
    }  # fmt: skip
    parts = [Part("generator effect less language effect, points", effect.value, effect.ci95, outcome)]
    parts += [
        Part(titles[name], one.value, one.ci95) for name, one in ((n, arms.over_seeds(v)) for n, v in cell.items())
    ]
    return Verdict(outcome, effect.value, effect.ci95, (), effect.minimum_detectable, tuple(parts))


def _v5(shared: Path) -> Claim:
    return Claim(
        id="V5",
        statement="A new language is easier for a spoof detector than a new generator.",
        rule="Trained on English voices and seen attacks. The generator effect is EER(English, unseen attacks) less "
        "EER(English, seen attacks), the language effect EER(other languages, seen attacks) less the same. "
        "Confirmed if the whole 95 % interval of the first less the second (hull of paired t over "
        "seeds and speaker bootstrap) lies "
        "above 0, refuted if below, otherwise not resolved.",
        metric="generator effect less language effect, in EER points; above 0 favours the claim",
        arms={"english": "trained on English voices and seen attacks"},
        seeds_quick=2,
        seeds_full=3,
        run=partial(_v5_run, shared),
        decide=_v5_decide,
        settings=arms.settings_of,
        cuts=(*SMALL, "language and recording source change together; no training on another language"),
    )
