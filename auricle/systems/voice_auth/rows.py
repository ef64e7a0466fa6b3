"""Rows of the report: from an audit's numbers to metric rows, and to plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from auricle.core.report import MetricRow
from auricle.core.seed import derive
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.data.spoof import FAMILIES
from auricle.metrics.audit import AttackTrials, Audit, AuditRow, audit
from auricle.metrics.rows import eer_row, percent
from auricle.metrics.shares import at_edge
from auricle.metrics.verification import CLAIMABLE_ACCEPTS, USABLE_ACCEPTS
from auricle.systems.voice_auth.clips import TARGET_GROUP
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.plan import attack_of

RATES = ("bypass_rate", "false_rejection", "zero_effort_far")
IN_PERCENT = (*RATES, *(f"tandem_{name}" for name in RATES), "eer", "detector_eer")
DOMAINS = {"in": "seen attacks", "out": "unseen attacks"}
ATTACKERS = {
    "copy": "a recording of the target, resynthesised",
    "conversion": "conversion with material of the target",
    "blind": "the attacker's own voice, changed blindly",
    "tts": "a synthetic voice that is not the target's",
}


def audit_of(cfg: VoiceAuthConfig, trials: AttackTrials, **settings: Any) -> Audit:
    """Audit trials with the config's targets, replicates and seed; `settings` are further ones of `audit`."""
    return audit(trials, fars=cfg.eval.fars, replicates=cfg.eval.bootstrap, seed=cfg.seed, **settings)


def share_text(share: float) -> str:
    """Write a share as people read it: ``1 %``, ``0.01 %``."""
    return f"{100 * share:g} %"


def group_of(row: AuditRow, prefix: str = "") -> str:
    """Name the part of the trials that a row is of."""
    parts = [row.generator, row.language, row.condition, DOMAINS.get(row.domain or "")]
    part = ", ".join(part for part in parts if part)
    at = f"FAR {share_text(row.far)}" if row.far is not None else ""
    return prefix + (": ".join(text for text in (at, part) if text) or "all")


def metric_rows(rows: Iterable[AuditRow], prefix: str = "", baseline: str | None = None) -> list[MetricRow]:
    """Turn an audit's numbers into rows, without those that are not to be printed.

    Args:
        rows: of the audit.
        prefix: of the groups.
        baseline: name of the baseline; None for the system itself.
    """
    printed = []
    for row in rows:
        if not row.usable or row.value is None:
            continue
        group = group_of(row, prefix)
        if row.name in IN_PERCENT:
            printed.append(percent(row.name, row.value, row.n, row.ci95, group=group, baseline=baseline))
        else:
            printed.append(
                MetricRow(name=row.name, value=row.value, n=row.n, ci95=row.ci95, group=group, baseline=baseline)
            )
    return printed


def clip_eer(
    cfg: VoiceAuthConfig, scores: np.ndarray, clips: Clips, name: str, group: str, baseline: str | None = None
) -> MetricRow:
    """Give an EER with its interval over speaker groups (over clips where there are too few).

    Args:
        cfg: the run's config.
        scores: of the clips, (N,).
        clips: genuine ones and attacks.
        name: the metric.
        group: part of the data.
        baseline: name of the baseline; None for the system itself.
    """
    groups = clips.values(TARGET_GROUP)
    row, _ = eer_row(
        scores,
        clips.labels,
        groups,
        name=name,
        group=group,
        baseline=baseline,
        replicates=cfg.eval.bootstrap,
        seed=derive(cfg.seed, name, group),
    )
    if row.ci95 is None or row.value not in (0.0, 100.0):
        return row
    # as in the audit: the exact limits of clips or speakers, whichever are fewer
    units = min(int(clips.labels.sum()), int((~clips.labels).sum()), len(set(groups)))
    low, high = at_edge(row.value / 100, (row.ci95[0] / 100, row.ci95[1] / 100), units)
    return row.model_copy(update={"ci95": (100 * low, 100 * high)})


def detector_rows(cfg: VoiceAuthConfig, scores: np.ndarray, clips: Clips, baseline: str) -> list[MetricRow]:
    """Give a detector's EER over all attacks, seen and unseen ones, each with all genuine test clips.

    Args:
        cfg: the run's config; says which families are seen.
        scores: of the clips, (N,).
        clips: genuine test clips and attacks.
        baseline: name of the baseline.
    """
    known = np.isin(clips.values(fields.FAMILY), cfg.data.seen)
    labels = clips.labels
    parts = {"all": np.ones(len(labels), bool), "seen attacks": labels | known, "unseen attacks": labels | ~known}
    return [
        clip_eer(cfg, scores[chosen], clips.where(chosen), "detector_eer", group, baseline)
        for group, chosen in parts.items()
        if (~labels[chosen]).any() and labels[chosen].any()
    ]


def chance_rows(result: Audit) -> list[MetricRow]:
    """Give what a verifier that does not listen would get on the same trials: it lets a share through by lot."""
    rows = [percent("eer", 0.5, result.n_target + result.n_zero_effort, baseline="chance")]
    for point in result.points:
        if point.usable:
            group, far = f"FAR {share_text(point.far_target)}", point.far_target
            rows.append(percent("bypass_rate", far, result.n_spoof, group=group, baseline="chance"))
            rows.append(percent("false_rejection", 1 - far, result.n_target, group=group, baseline="chance"))
    return rows


def unprinted(result: Audit, part: str) -> list[str]:
    """Say which false-accept targets have too few impostor trials, to be claimed or even to be printed."""
    notes = []
    pairs = "" if result.n_speaker_pairs is None else f" of {result.n_speaker_pairs} pairs of speakers"
    for point in result.points:
        few = f"{part}, false-accept target {share_text(point.far_target)}: {point.n} impostor trials{pairs}"
        if not point.usable:
            notes.append(f"{few}; nothing is printed below {round(USABLE_ACCEPTS / point.far_target)}")
        elif not point.claimable:
            notes.append(f"{few}; shown, but a claim needs {round(CLAIMABLE_ACCEPTS / point.far_target)}")
    return notes


def unmeasured(rows: Iterable[AuditRow]) -> list[str]:
    """Say why a number is missing."""
    return [f"{row.name} ({group_of(row)}) was not measured: {row.note}" for row in rows if row.value is None]


def verifier_sentences(result: Audit) -> list[str]:
    """Say in plain sentences how often each attack passes, the most successful first."""
    point = next((point for point in result.points if point.usable), None)
    if point is None:
        return ["There are too few impostor trials for any false-accept target, so nothing is said about attacks."]
    attacks = [
        row
        for row in result.rows
        if row.name == "bypass_rate" and row.far == point.far_target and row.generator and row.value is not None
        if row.condition is None and row.language is None and row.domain is None
    ]
    sentences = [
        f"At a false-accept rate of {share_text(point.far_target)}, {_attack(str(row.generator))} passes "
        f"{_value(row)} of the time ({row.n} attacks on {result.n_speakers} speakers)."
        for row in sorted(attacks, key=lambda row: -(row.value or 0.0))
    ]
    frr = result.find("false_rejection", far=point.far_target)
    return [*sentences, f"At the same threshold true speakers are refused {_value(frr)} of the time ({frr.n} trials)."]


def tandem_sentence(result: Audit, heard: str = "") -> str:
    """Say what the detector behind the verifier changes, or why nothing is said about it.

    Args:
        result: of verifier and, if there is one, detector.
        heard: what the detector knows of these speakers, such as ``the detector never heard``.
    """
    if result.detector_threshold is None:
        return "There are no detector scores: everything here is about the verifier alone."
    point = next((point for point in result.points if point.usable), None)
    if point is None:
        return (
            "The detector is measured alone: there are too few impostor trials for any false-accept target, so nothing "
            "is said about verifier and detector together."
        )
    names = ("bypass_rate", "tandem_bypass_rate", "tandem_false_rejection")
    alone, both, frr = (_value(result.find(name, far=point.far_target)) for name in names)
    return (
        f"With the detector behind the verifier {both} of all attacks pass instead of {alone}, and true speakers are "
        f"refused {frr} of the time ({result.n_speakers} speakers{heard and ' '}{heard})."
    )


def _value(row: AuditRow) -> str:
    text = "an unknown share" if row.value is None else f"{100 * row.value:.1f} %"
    return text if row.ci95 is None else f"{text} [{100 * row.ci95[0]:.1f} to {100 * row.ci95[1]:.1f}]"


def _attack(family: str) -> str:
    """Name an attack and what the attacker has."""
    return f"{family} ({ATTACKERS[attack_of(family)]})" if family in FAMILIES else family


def bypass_table(result: Audit, far: float) -> tuple[list[str], list[str], np.ndarray]:
    """Give bypass rates by generator and language, in percent: names and (G, L), NaN where none was tried."""
    cells: Mapping[tuple[str, str], float] = {
        (str(row.generator), str(row.language)): 100 * row.value
        for row in result.rows
        if row.name == "bypass_rate" and row.far == far and row.generator and row.language and row.value is not None
    }
    generators, languages = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True)) if cells else ([], [])
    values = np.array([[cells.get((name, language), np.nan) for language in languages] for name in generators])
    return generators, languages, values
