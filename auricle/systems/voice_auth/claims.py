"""The paper's claims as small experiments on two cores. Each rule was written before any run and is not tuned.

What differs from the paper in all of them: GE2E instead of ECAPA-TDNN, AASIST on LFCC instead of XLS-R + AASIST,
classical attacks between the voices of the embedded corpus instead of neural clones of AISHELL-3 speakers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Claim, Measured, Outcome, Part, Verdict
from auricle.metrics.audit import audit
from auricle.metrics.verification import threshold_at_far
from auricle.systems.voice_auth import claims_training, claims_use
from auricle.systems.voice_auth.arms import interval, material, settings_of, share_draws, shuffled_roles
from auricle.systems.voice_auth.plan import attack_of
from auricle.systems.voice_auth.sweeps import source_kinds
from auricle.systems.voice_auth.trials import make_trials, models

SMALL = (
    "22 voices in 15 speaker groups of the embedded corpus, band-limited to 3.8 kHz; GE2E; classical attacks",
    "seeds draw the enrolment again; the voices and attacks stay the same",
)
FARS = (1e-2, 1e-3)
TIMES = 10.0  # V1: bypass above so many times the false-accept target
V9_FAR = 0.05  # what the smaller kind of source has impostor trials for
V9_FACTOR = 2.0
ATTACKS = ("conversion", "copy", "blind", "tts")


def claims(shared: Path) -> list[Claim]:
    """Give the claims that run on a laptop.

    Args:
        shared: folder for what they share: data, embeddings and detectors that two claims train alike.
    """
    return [_v1(shared), *claims_training.claims(shared), *claims_use.claims(shared), _v9(shared)]


# --- V1: clones pass verification -------------------------------------------------------------------------------------


def _v1_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Measure bypass of one kind of attack at each target, with one draw of the enrolment."""
    own = material(shared, budget)
    clips = shuffled_roles(own.clips, seed, own.cfg.data.enrol)
    trials = make_trials(clips, own.embeddings, models(clips, own.embeddings))
    impostors = trials.score[trials.kind == "zero_effort"]
    genuine = trials.score[trials.kind == "target"]
    kinds = np.array([attack_of(name) if name else "" for name in trials.generator])
    among = kinds == arm
    numbers: dict[str, Any] = {"impostor_trials": len(impostors), "attacks": int(among.sum())}
    if not among.any():
        return numbers
    for far in FARS:
        point = threshold_at_far(impostors, far)
        name = f"{100 * far:g}"
        draws = share_draws(trials.score >= point.threshold, among, np.asarray(trials.target), seed)
        low, high = interval(draws)
        numbers |= {
            f"bypass_{name}": 100 * float(np.mean(trials.score[among] >= point.threshold)),
            f"low_{name}": 100 * low,
            f"high_{name}": 100 * high,
            f"frr_{name}": 100 * float(np.mean(genuine < point.threshold)),
            f"far_{name}": 100 * point.far,
            f"claimable_{name}": int(point.claimable),
        }
    return numbers


def _v1_decide(measured: Measured) -> Verdict:
    parts: list[Part] = []
    notes: list[str] = []
    for far in FARS:
        name, bound = f"{100 * far:g}", 100 * TIMES * far
        for attack in ATTACKS:
            if any(not count for count in measured.values(attack, "attacks")):
                continue
            # the widest of the intervals over speakers, one a draw of the enrolment
            low = float(measured.values(attack, f"low_{name}").min())
            high = float(measured.values(attack, f"high_{name}").max())
            carried = bool(measured.values(attack, f"claimable_{name}").all())
            side = stats.side((low, high), bound, "above") if carried else None
            frr = measured.values(attack, f"frr_{name}").mean()
            value = float(measured.values(attack, f"bypass_{name}").mean())
            label = f"bypass of {attack} attacks at FAR {name} %, in % (true speakers refused: {frr:.1f} %)"
            parts.append(Part(label, value, (low, high), side))
        if not measured.values("conversion", f"claimable_{name}").all():
            trials = int(measured.values("conversion", "impostor_trials").min())
            notes.append(f"{trials} impostor trials do not carry FAR {name} %: {round(30 / far)} are needed")
    first = parts[0]
    return Verdict(first.verdict or "not resolved", first.effect, first.ci95, tuple(notes), None, tuple(parts))


def _v1(shared: Path) -> Claim:
    return Claim(
        id="V1",
        statement="Cloned speech passes speaker verification far more often than the false-accept rate says.",
        rule=f"Bypass rate of conversion attacks (world_conversion, neighbour) at a false-accept target of 1 %: "
        "confirmed if the whole 95 % interval (speaker bootstrap, widest over draws of the enrolment) lies above "
        f"{TIMES:g} times the target, refuted if it lies below, otherwise not resolved; and not "
        "resolved with fewer than 30/f impostor "
        "trials. 0.1 % and the other kinds of attack are parts; 0.01 % is not claimed.",
        metric="bypass rate of conversion attacks at FAR 1 %, in percent; above 10 favours the claim",
        arms={
            "conversion": "seconds of the target and another voice: world_conversion, neighbour",
            "copy": "a recording of the target, resynthesised",
            "blind": "another voice, changed without knowing the target",
            "tts": "a shipped synthetic voice",
        },
        seeds_quick=2,
        seeds_full=5,
        run=partial(_v1_run, shared),
        decide=_v1_decide,
        headline=True,
        settings=settings_of,
        cuts=(*SMALL, "one verifier; the paper's target of 0.01 % would need 300,000 impostor trials"),
    )


# --- V9: thresholds do not transfer -----------------------------------------------------------------------------------

WAYS = {"mp3_to_other": ("mp3 sources", "other sources"), "other_to_mp3": ("other sources", "mp3 sources")}


def _v9_run(shared: Path, arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    """Set the threshold on the voices of one kind of source and measure the FAR on the other's."""
    own = material(shared, budget)
    clips = shuffled_roles(own.clips, seed, own.cfg.data.enrol)
    kinds = source_kinds(clips)
    sides = []
    for kind in WAYS[arm]:
        chosen = kinds == kind
        part = clips.where(chosen)
        sides.append(make_trials(part, own.embeddings[chosen], models(part, own.embeddings[chosen])))
    point = threshold_at_far(sides[0].score[sides[0].kind == "zero_effort"], V9_FAR)
    found = audit(sides[1], points=[point], seed=seed)
    far, frr = (found.find(name, far=V9_FAR) for name in ("zero_effort_far", "false_rejection"))
    low, high = far.ci95_fixed or (0.0, 1.0)
    return {
        "factor": (far.value or 0.0) / V9_FAR, "low": low / V9_FAR, "high": high / V9_FAR,
        "frr": 100 * (frr.value or 0.0), "impostor_trials": point.n, "claimable": int(point.claimable),
    }  # fmt: skip


def _v9_decide(measured: Measured) -> Verdict:
    parts: list[Part] = []
    outcomes: list[Outcome] = []
    for arm, (here, there) in WAYS.items():
        low, high = float(measured.values(arm, "low").min()), float(measured.values(arm, "high").max())
        outside = low > V9_FACTOR or high < 1 / V9_FACTOR
        inside = low > 1 / V9_FACTOR and high < V9_FACTOR
        carried = bool(measured.values(arm, "claimable").all())
        outcome: Outcome = "confirmed" if outside else "refuted" if inside else "not resolved"
        outcomes.append(outcome if carried else "not resolved")
        label = f"realised FAR over nominal, threshold of {here} on {there}"
        parts.append(Part(label, float(measured.values(arm, "factor").mean()), (low, high), outcomes[-1]))
    both_inside = all(outcome == "refuted" for outcome in outcomes)
    verdict: Outcome = "confirmed" if "confirmed" in outcomes else "refuted" if both_inside else "not resolved"
    first = max(parts, key=lambda part: abs(np.log(max(part.effect or 0.0, 1e-3))))
    return Verdict(verdict, first.effect, first.ci95, (), None, tuple(parts))


def _v9(shared: Path) -> Claim:
    run: Callable[..., dict[str, Any]] = partial(_v9_run, shared)
    return Claim(
        id="V9",
        statement="A verifier's threshold does not carry over to voices and languages of another source.",
        rule=f"The threshold for a false-accept target of {100 * V9_FAR:g} % is set on one kind of source (acted "
        "English, MP3) and applied to the other (telephone prompts in five languages), and the "
        "other way round. Confirmed if in "
        f"either direction the whole 95 % interval of realised over nominal FAR (speaker bootstrap, widest over draws "
        f"of the enrolment) lies above {V9_FACTOR:g} or below {1 / V9_FACTOR:g}; refuted if in both directions it lies "
        "between the two; otherwise, or with fewer than 30/f impostor trials on the first side, not resolved.",
        metric="realised over nominal FAR in the direction that is further off; away from 1 favours the claim",
        arms={
            "mp3_to_other": "set on acted English voices, applied to prompts",
            "other_to_mp3": "set on prompts, applied to acted English voices",
        },
        seeds_quick=2,
        seeds_full=3,
        run=run,
        decide=_v9_decide,
        settings=settings_of,
        cuts=(*SMALL, "source, language and coding change together; 5 % instead of 0.01 %"),
    )
