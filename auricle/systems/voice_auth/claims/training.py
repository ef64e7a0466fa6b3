"""The claims about what a detector was trained on: in domain, left-out generators, languages."""

from __future__ import annotations

from typing import Any

import numpy as np

from auricle.claims.claim import Cell, Claim, Measured, Verdict
from auricle.claims.statistics import over_seeds, side
from auricle.claims.verdict import compare, difference, verdict
from auricle.core.errors import DataError
from auricle.systems.voice_auth.claims import arms
from auricle.systems.voice_auth.clips import ROLE, SPOOF, TARGET, TEST, of_split

SMALL = (
    "AASIST with about 0.05 M parameters on LFCC, 150 steps of 16 windows of 2 s; the embedded corpus, split 1, whose "
    "test voices nobody looked at before",
    "seeds draw weights and batches again; the six groups of test speakers stay the same",
)
NEAR_PERFECT, RATIO = 5.0, 5.0  # V3: EER in %; V4: EER out of domain over in domain


# --- V3: near perfect in domain ---------------------------------------------------------------------------------------


def _v3_run(cell: Cell) -> dict[str, Any]:
    """Train on voices that the test does not have, or on other clips of all voices; the same test clips for both."""
    _, clips, splits = arms.splits(cell)
    cfg = arms.config(cell.budget, cell.seed)
    seen = clips.labels | np.isin(clips.families, cfg.data.seen)
    # the recordings of the test voices are halved: one half may be trained on by the clip split, the other is tested
    pairs = np.array(sorted(set(clips.pairs[splits["test"]])))
    tested = splits["test"] & seen & np.isin(clips.pairs, pairs[::2])
    trained = splits["train"] & seen
    if cell.arm == "clip_split":
        rest = seen & ~np.isin(clips.pairs, pairs[::2]) & ~splits["dev"]
        order = np.random.default_rng(0).permutation(np.flatnonzero(rest))
        trained = np.isin(np.arange(len(clips)), order[: trained.sum()])
    test = clips.where(tested)
    dev = clips.where(splits["dev"] & seen)
    (scores,), sizes = arms.trained_scores(cell, f"V3-{cell.arm}", cfg, clips.where(trained), dev, [test])
    draws = arms.short(arms.eer_draws(scores, test))
    return {"eer": arms.eer_percent(scores, test.labels), "eer_draws": draws, **sizes}


def _v3_decide(measured: Measured) -> Verdict:
    by_speaker, by_clip = (
        arms.over_seeds_and_speakers(measured, arm, "eer") for arm in ("speaker_split", "clip_split")
    )
    parts = [
        compare("EER on unseen speakers, in %", by_speaker, below=NEAR_PERFECT),
        compare("EER on unseen clips of all speakers, in %", by_clip),
        compare("speaker split less clip split, points", difference(measured, "eer", "speaker_split", "clip_split")),
    ]
    return verdict(by_speaker, parts)


V3 = Claim(
    id="V3",
    statement="A spoof detector is near perfect on attacks it was trained on.",
    rule=f"EER on seen attacks and unseen speakers: confirmed if the whole 95 % interval (hull of t over seeds and "
    f"speaker bootstrap) lies below {NEAR_PERFECT:g} %, refuted if it lies above, otherwise not resolved. The EER "
    "with a split by clip and the gap between the two, which is speaker leakage, are reported.",
    metric="EER on seen attacks, unseen speakers, in percent; below 5 favours the claim",
    arms={"speaker_split": "trained on other speakers", "clip_split": "trained on other clips, speakers shared"},
    run=_v3_run,
    decide=_v3_decide,
    settings=arms.settings,
    equal=(("speaker_split", "clip_split"),),
    cuts=(*SMALL, "four attacks instead of three"),
)


# --- V4: unseen synthesis ---------------------------------------------------------------------------------------------


def _v4_run(cell: Cell) -> dict[str, Any]:
    """Train without each generator in turn, or on three only; average EER seen and left out, with the same speakers."""
    _, clips, splits = arms.splits(cell)
    cfg = arms.config(cell.budget, cell.seed)
    families = cfg.data.families
    left_out = [(name,) for name in families] if cell.arm == "left_out" else [families[3:]]
    train, dev, test = (clips.where(splits[name]) for name in ("train", "dev", "test"))
    eers: dict[str, list[float]] = {"in": [], "out": []}
    draws: dict[str, list[np.ndarray]] = {"in": [], "out": []}
    sizes: dict[str, int] = {}
    floor = 50.0 / test.labels.sum()  # half a clip: no error at all is not a rate of zero
    for held in left_out:
        kept = [name for name in families if name not in held]
        (scores,), sizes = arms.trained_scores(cell, "V4", cfg, train.of_families(kept), dev.of_families(kept), [test])
        for domain, names in (("in", kept), ("out", held)):
            chosen = test.labels | np.isin(test.families, names)
            if (~test.labels[chosen]).any():
                part = test.where(chosen)
                eers[domain].append(max(floor, arms.eer_percent(scores[chosen], part.labels)))
                draws[domain].append(np.maximum(floor, arms.eer_draws(scores[chosen], part)))
    inside, outside = float(np.mean(eers["in"])), float(np.mean(eers["out"]))
    return {
        "in_domain": inside,
        "out_of_domain": outside,
        "ratio": outside / inside,
        "ratio_draws": arms.short(np.mean(draws["out"], axis=0) / np.mean(draws["in"], axis=0)),
        **sizes,
    }


def _v4_decide(measured: Measured) -> Verdict:
    parts = []
    for arm in ("left_out", "three_seen"):
        parts.append(
            compare(f"EER out of domain over in domain, {arm}", arms.over_seeds_and_speakers(measured, arm, "ratio"))
        )
        for name in ("in_domain", "out_of_domain"):
            label = f"EER {name.replace('_', ' ')}, {arm}, in %"
            parts.append(compare(label, over_seeds(measured.values(arm, name))))
    ratio = arms.over_seeds_and_speakers(measured, "left_out", "ratio")
    inside = float(measured.values("left_out", "in_domain").mean())
    if inside > 50.0 / RATIO:
        note = (
            f"EER in domain is {inside:.1f} %: chance leaves room for a ratio of {50 / inside:.1f}, so the rule "
            "could not have confirmed the claim, and does not refute it"
        )
        return verdict(ratio, parts, "not resolved", [note])
    return verdict(ratio, parts, side(ratio.ci95, RATIO, "above"))


V4 = Claim(
    id="V4",
    statement="A spoof detector fails on synthesis it was not trained on.",
    rule=f"Each generator is left out of training once; EER is averaged over generators, seen and left out. "
    "Confirmed if the whole 95 % interval of the ratio (hull of t over seeds and speaker "
    f"bootstrap) lies above {RATIO:g}, "
    f"refuted if it lies below, otherwise not resolved; and not resolved where the EER in domain is above "
    f"{50 / RATIO:g} %, as chance then leaves no room for such a ratio. The paper's ratio is about 30.",
    metric="EER of the generator left out over EER of the others; above 5 favours the claim",
    arms={"left_out": "each generator left out once", "three_seen": "trained on three, tested on the rest"},
    run=_v4_run,
    decide=_v4_decide,
    settings=arms.settings,
    cuts=SMALL,
)


# --- V5: language against generator -----------------------------------------------------------------------------------


V5_CELLS = {
    "a_g1": "EER, English, seen attacks, %",
    "a_g2": "EER, English, unseen attacks, %",
    "b_g1": "EER, other languages, seen attacks, %",
    "b_g2": "EER, other languages, unseen attacks, %",
}


def _v5_run(cell: Cell) -> dict[str, Any]:
    """Train on English and seen attacks; test both languages with both sets of attacks, on unheard speakers."""
    subset, clips, splits = arms.splits(cell)
    cfg = arms.config(cell.budget, cell.seed)
    # the language of the claimed voice: an attack on a French voice may be said by an Italian one
    english = np.char.startswith(subset.clips.values(TARGET).astype(str), "en-")
    known = clips.labels | np.isin(clips.families, cfg.data.seen)
    trained = ~splits["test"] & ~of_split(subset.clips, "test") & english & known
    unheard = ~np.isin(clips.groups, sorted(set(clips.groups[trained])))
    fresh = unheard & np.isin(subset.clips.values(ROLE), (TEST, SPOOF))
    test, dev = clips.where(fresh), clips.where(splits["dev"] & known)
    (scores,), sizes = arms.trained_scores(cell, "V5", cfg, clips.where(trained), dev, [test])
    numbers: dict[str, Any] = dict(sizes)
    # the speakers of the two languages are drawn apart
    for language, spoken, seed in (("a", english[fresh], 1), ("b", ~english[fresh], 2)):
        for attack, names in (("g1", cfg.data.seen), ("g2", cfg.data.unseen)):
            chosen = spoken & (test.labels | np.isin(test.families, names))
            part = test.where(chosen)
            if not part.labels.any() or part.labels.all():
                raise DataError(f"V5 has no trial of both classes in the cell {language} {attack}")
            numbers[f"{language}_{attack}"] = arms.eer_percent(scores[chosen], part.labels)
            numbers[f"{language}_{attack}_draws"] = arms.short(arms.eer_draws(scores[chosen], part, seed))
    return numbers


def _v5_decide(measured: Measured) -> Verdict:
    # generator effect less language effect: (a_g2 - a_g1) - (b_g1 - a_g1)
    effect = arms.difference_within(measured, "english", "a_g2", "b_g1")
    main = compare("generator effect less language effect, points", effect, above=0.0)
    others = [compare(label, over_seeds(measured.values("english", name))) for name, label in V5_CELLS.items()]
    return verdict(effect, [main, *others])


V5 = Claim(
    id="V5",
    statement="A new language is easier for a spoof detector than a new generator.",
    rule="Trained on English voices and seen attacks. The generator effect is EER(English, unseen attacks) less "
    "EER(English, seen attacks), the language effect EER(other languages, seen attacks) less the same. "
    "Confirmed if the whole 95 % interval of the first less the second (hull of paired t over "
    "seeds and speaker bootstrap) lies "
    "above 0, refuted if below, otherwise not resolved.",
    metric="generator effect less language effect, in EER points; above 0 favours the claim",
    arms={"english": "trained on English voices and seen attacks"},
    run=_v5_run,
    decide=_v5_decide,
    settings=arms.settings,
    cuts=(*SMALL, "language and recording source change together; no training on another language"),
)
