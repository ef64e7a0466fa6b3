"""Rows of the report: from an audit's numbers to metric rows, and to plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from auricle.core.report import MetricRow
from auricle.core.seed import derive
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.data.spoof import FAMILIES
from auricle.metrics.audit import Audit, AuditRow
from auricle.metrics.bootstrap import bootstrap
from auricle.metrics.detection import eer
from auricle.metrics.verification import CLAIMABLE_ACCEPTS, USABLE_ACCEPTS, OperatingPoint
from auricle.systems.voice_auth.plan import TEST, attack_of

RATES = ("bypass_rate", "false_rejection", "zero_effort_far")
IN_PERCENT = (*RATES, *(f"tandem_{name}" for name in RATES), "eer", "detector_eer")
FEWEST_GROUPS = 4  # for an interval over speakers
DOMAINS = {"in": "seen attacks", "out": "unseen attacks"}


def percent(far: float) -> str:
    """Write a share as people read it: ``1 %``, ``0.01 %``."""
    return f"{100 * far:g} %"


def group_of(row: AuditRow, prefix: str = "") -> str:
    """Name the part of the trials that a row is of."""
    parts = [row.generator, row.language, row.condition, DOMAINS.get(row.domain or "")]
    part = ", ".join(part for part in parts if part)
    at = f"FAR {percent(row.far)}" if row.far is not None else ""
    return prefix + (": ".join(text for text in (at, part) if text) or "all")


def metric_row(row: AuditRow, data: str, prefix: str = "") -> MetricRow | None:
    """Turn an audit's number into a row; None for one that is not to be printed."""
    if not row.usable or row.value is None:
        return None
    scale = 100.0 if row.name in IN_PERCENT else 1.0
    ci95 = None if row.ci95 is None else (scale * row.ci95[0], scale * row.ci95[1])
    return MetricRow(
        name=row.name, value=scale * row.value, unit="%" if scale > 1 else "", n=row.n, ci95=ci95,
        group=group_of(row, prefix), data=data,
    )  # fmt: skip


def metric_rows(rows: Iterable[AuditRow], data: str, prefix: str = "") -> list[MetricRow]:
    """Turn an audit's numbers into rows, without those that are not to be printed."""
    made = [metric_row(row, data, prefix) for row in rows]
    return [row for row in made if row is not None]


def unprinted(audit: Audit, what: str) -> list[str]:
    """Say which false-accept targets have too few impostor trials, to be claimed or even to be printed."""
    notes = []
    pairs = "" if audit.n_speaker_pairs is None else f" of {audit.n_speaker_pairs} pairs of speakers"
    for point in audit.points:
        few = f"{what}, false-accept target {percent(point.far_target)}: {point.n} impostor trials{pairs}"
        if not point.usable:
            notes.append(f"{few}; nothing is printed below {round(USABLE_ACCEPTS / point.far_target)}")
        elif not point.claimable:
            notes.append(f"{few}; shown, but a claim needs {round(CLAIMABLE_ACCEPTS / point.far_target)}")
    return notes


def unmeasured(rows: Iterable[AuditRow]) -> list[str]:
    """Say why a number is missing."""
    return [f"{row.name} ({group_of(row)}) was not measured: {row.note}" for row in rows if row.value is None]


def verdicts(audit: Audit) -> list[str]:
    """Say in plain sentences how often each attack passes, the most successful first."""
    usable = [point for point in audit.points if point.usable]
    if not usable:
        return ["There are too few impostor trials for any false-accept target, so nothing is said about attacks."]
    point = usable[0]
    frr = audit.find("false_rejection", far=point.far_target)
    chosen = [r for r in audit.rows if r.name == "bypass_rate" and r.far == point.far_target and r.generator]
    plain = [
        r for r in chosen if r.condition is None and r.language is None and r.domain is None and r.value is not None
    ]
    said = [
        f"At a false-accept rate of {percent(point.far_target)}, {_attack(str(row.generator))} passes "
        f"{_value(row)} of the time ({row.n} attacks on {audit.n_speakers} speakers)."
        for row in sorted(plain, key=lambda row: -(row.value or 0.0))
    ]
    return [*said, f"At the same threshold true speakers are refused {_value(frr)} of the time ({frr.n} trials)."]


def tandem_verdict(audit: Audit) -> str:
    """Say what the detector behind the verifier changes."""
    point = next((point for point in audit.points if point.usable), None)
    if point is None or audit.detector_threshold is None:
        return ""
    alone = audit.find("bypass_rate", far=point.far_target)
    both = audit.find("tandem_bypass_rate", far=point.far_target)
    frr = audit.find("tandem_false_rejection", far=point.far_target)
    return (
        f"With the detector behind the verifier {_value(both)} of all attacks pass instead of {_value(alone)}, and "
        f"true speakers are refused {_value(frr)} of the time ({audit.n_speakers} speakers the detector never heard)."
    )


def _value(row: AuditRow) -> str:
    text = "an unknown share" if row.value is None else f"{100 * row.value:.1f} %"
    return text if row.ci95 is None else f"{text} [{100 * row.ci95[0]:.1f} to {100 * row.ci95[1]:.1f}]"


def _attack(family: str) -> str:
    """Name an attack and what the attacker has."""
    if family not in FAMILIES:
        return family
    has = {
        "copy": "a recording of the target, resynthesised", "conversion": "conversion with material of the target",
        "blind": "the attacker's own voice, changed blindly", "tts": "a synthetic voice that is not the target's",
    }  # fmt: skip
    return f"{family} ({has[attack_of(family)]})"


def detector_rows(
    scores: np.ndarray, clips: Clips, seen: Iterable[str], *, name: str = "detector_eer", baseline: str | None = None,
    data: str, seed: int, replicates: int, prefix: str = "",
) -> list[MetricRow]:  # fmt: skip
    """Give a detector's EER over all attacks, seen and unseen ones, each with all genuine test clips.

    Args:
        scores: (N,).
        clips: the clips; those that are neither test nor spoof must be left out before.
        seen: families that it trained on.
        name: of the rows.
        baseline: name of the baseline, None for the system.
        data: name of the data.
        seed: of the bootstrap.
        replicates: of the bootstrap.
        prefix: of the groups.
    """
    known = np.isin(clips.values(fields.FAMILY), list(seen))
    labels = clips.labels
    parts = {"all": np.ones(len(labels), bool), "seen attacks": labels | known, "unseen attacks": labels | ~known}
    rows = []
    for group, chosen in parts.items():
        if (~labels[chosen]).any() and labels[chosen].any():
            row = eer_row(scores[chosen], clips.where(chosen), prefix + group, name, data, seed, replicates)
            rows.append(row.model_copy(update={"baseline": baseline}))
    return rows


def eer_row(
    scores: np.ndarray, clips: Clips, group: str, name: str, data: str, seed: int, replicates: int
) -> MetricRow:
    """Give an EER in percent with its interval over speaker groups (over clips where there are too few)."""
    labels = clips.labels
    by: np.ndarray | None = clips.values("target_group")
    if by is not None and len(set(by)) < FEWEST_GROUPS:
        by = None
    low, high = bootstrap("eer", scores, labels, by, replicates, seed=derive(seed, name, group))
    value = eer(scores[labels], scores[~labels]).eer
    return MetricRow(
        name=name, value=100 * value, unit="%", n=len(clips), ci95=(100 * low, 100 * high), group=group, data=data
    )


def chance_rows(points: Iterable[OperatingPoint], data: str) -> list[MetricRow]:
    """Give what a verifier that does not listen would get: it lets a share through by lot."""
    rows = [MetricRow(name="eer", value=50.0, unit="%", n=0, group="all", baseline="chance", data=data)]
    for point in points:
        if point.usable:
            at = f"FAR {percent(point.far_target)}"
            for name, value in (("bypass_rate", point.far_target), ("false_rejection", 1 - point.far_target)):
                rows.append(
                    MetricRow(name=name, value=100 * value, unit="%", n=0, group=at, baseline="chance", data=data)
                )
    return rows


def table_of(audit: Audit, far: float) -> tuple[list[str], list[str], np.ndarray]:
    """Give bypass rates by generator and language, in percent: names and (G, L), NaN where none was tried."""
    cells: Mapping[tuple[str, str], float] = {
        (str(row.generator), str(row.language)): 100 * row.value
        for row in audit.rows
        if row.name == "bypass_rate" and row.far == far and row.generator and row.language and row.value is not None
    }
    generators, languages = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    values = np.array([[cells.get((g, lang), np.nan) for lang in languages] for g in generators])
    return generators, languages, values


def genuine_and_attacks(clips: Clips) -> np.ndarray:
    """Say which clips a detector is measured on: genuine test clips and attacks, booleans (N,)."""
    return np.asarray((clips.values("role") == TEST) | ~clips.labels)
