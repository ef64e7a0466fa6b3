"""`evaluate`: the audit of verifier and detector, what stands beside it, and whether to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auricle.backbones.classical import numbers
from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.data.protocols import read_audit_trials, read_trials, write_trials
from auricle.metrics.audit import AttackTrials, Audit, AuditRow, audit
from auricle.report.evaluation import Evaluation
from auricle.systems.voice_auth import controls, data, sweeps
from auricle.systems.voice_auth.clips import ATTACK, ENROL, ROLE, TARGET, TARGET_GROUP, genuine_and_attacks, of_split
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.detectors import clip_scores, file_scores
from auricle.systems.voice_auth.embeddings import Embedder
from auricle.systems.voice_auth.infer import VoiceLogin, load
from auricle.systems.voice_auth.page import page
from auricle.systems.voice_auth.rows import (
    audit_of,
    chance_rows,
    metric_rows,
    tandem_sentence,
    unmeasured,
    unprinted,
    verifier_sentences,
)
from auricle.systems.voice_auth.trials import Cohort, make_trials, models
from auricle.systems.voice_auth.user_trials import score_trials

TOY = "a few voices and classical attacks: it shows how the audit works, not how safe a product is"


@dataclass(frozen=True)
class Audited:
    """An audit with the trials behind it."""

    audit: Audit
    trials: AttackTrials


def evaluate(cfg: VoiceAuthConfig, run: RunFolder) -> Evaluation:
    """Audit a run.

    Args:
        cfg: the run's config.
        run: a trained run.

    Returns:
        The verifier on all voices, both halves on the test voices, baselines, leave-one-generator-out matrix, sweeps,
        threshold transfer, leak check.
    """
    login = load(run.path)
    clips = data.load(cfg, run)
    embedder = Embedder(cfg, run)
    embeddings = embedder.of(clips)
    scores = detector_scores(cfg, clips, login)
    verifier = verifier_audit(cfg, clips, embeddings)
    tandem = tandem_audit(cfg, clips, embeddings, scores, login)
    rows = [*main_rows(verifier.audit, tandem.audit), *metadata_verifier(cfg, clips)]
    notes = [*unprinted(verifier.audit, "verifier, all voices"), *unprinted(tandem.audit, "test voices")]
    notes += unmeasured([*reported(verifier.audit), *tandem.audit.rows])
    matrix: dict[str, Any] = {}
    leak = False
    if cfg.eval.controls:
        baselines, matrix = controls.baseline_rows(cfg, run, clips)
        rows += baselines
        if "recoded" in cfg.data.controls:
            row, leak = controls.leak_row(cfg, run, clips)
            rows.append(row)
    rows += robustness(cfg, clips, embeddings, embedder, login)
    sentences = [*verifier_sentences(verifier.audit), tandem_sentence(tandem.audit)]
    return Evaluation(
        unique(rows),
        cfg.data.source,
        warnings=[sentences[0], *([TOY] if login.toy else []), *dict.fromkeys([*notes, *verifier.audit.notes])],
        lead=[sentence for sentence in sentences if sentence],
        details=details(rows, clips),
        leak=leak,
        extra={
            "verifier": cfg.verifier.spec,
            "points": [point._asdict() for point in verifier.audit.points],
            "decisions": [asdict(decisions) for decisions in tandem.audit.decisions],
            "left_out": matrix,
        },
        scores={
            "verifier.npz": partial(write_trials, trials=verifier.trials),
            "tandem.npz": partial(write_trials, trials=tandem.trials),
            "test.jsonl": clip_rows(clips, scores),
        },
        page=page(verifier.audit, verifier.trials, tandem.audit, tandem.trials, matrix),
    )


def detector_scores(cfg: VoiceAuthConfig, clips: Clips, login: VoiceLogin) -> np.ndarray:
    """Score the genuine clips and attacks of the test voices, (N,); NaN for all others, or where nothing can."""
    scores = np.full(len(clips), np.nan)
    chosen = of_split(clips, "test") & genuine_and_attacks(clips)
    if cfg.detector.scores is not None:
        scores[chosen] = file_scores(cfg.detector.scores, clips.where(chosen))
    elif login.detector is not None:
        scores[chosen] = clip_scores(login.detector, clips.where(chosen))
    return scores


def verifier_audit(cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray) -> Audited:
    """Audit the verifier on all voices, with thresholds set on their own zero-effort trials."""
    cohort = None
    if cfg.verifier.as_norm:
        enrolled = clips.values(ROLE) == ENROL
        groups = clips.values(fields.SPEAKER_GROUP)[enrolled]
        cohort = Cohort(embeddings[enrolled], groups, cfg.verifier.as_norm)
    trials = make_trials(clips, embeddings, cohort=cohort)
    return Audited(audit_of(cfg, trials), trials)


def tandem_audit(
    cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray, scores: np.ndarray, login: VoiceLogin
) -> Audited:
    """Audit both halves on the test voices, with every threshold set on other voices."""
    test, dev = of_split(clips, "test"), of_split(clips, "train", "dev")
    trials = make_trials(clips.where(test), embeddings[test], seen=cfg.data.seen, detector=scores[test])
    found = audit_of(
        cfg,
        trials,
        points=login.points,
        detector_threshold=login.calibration.threshold,
        dev=make_trials(clips.where(dev), embeddings[dev]),
    )
    return Audited(found, trials)


def reported(verifier: Audit) -> list[AuditRow]:
    """Give the verifier's rows on all voices; what needs a calibration on other voices is of the test voices."""
    return [row for row in verifier.rows if row.name not in ("act_dcf", "cllr") and row.domain is None]


def main_rows(verifier: Audit, tandem: Audit) -> list[MetricRow]:
    """Put the two audits into rows: the verifier on all voices; the detector, the tandem and costs on test voices."""
    kept = ("act_dcf", "cllr", "detector_eer", "generalisation_ratio", "min_tdcf")
    both = [
        row
        for row in tandem.rows
        if row.name in kept or (row.name.startswith("tandem_") and row.language is None and row.condition is None)
    ]
    by_domain = [row for row in tandem.rows if row.name == "bypass_rate" and row.domain and not row.generator]
    return [
        *metric_rows(reported(verifier)),
        *chance_rows(verifier.points),
        *metric_rows(both),
        *metric_rows(by_domain, "test voices, "),
    ]


def metadata_verifier(cfg: VoiceAuthConfig, clips: Clips) -> list[MetricRow]:
    """Verify by ten plain numbers of the file: what a verifier could know without listening."""
    table = numbers(clips)
    table = (table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-9)
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    found = audit_of(cfg, make_trials(clips, unit))
    names = ("eer", "bypass_rate", "false_rejection")
    rows = [row for row in found.rows if row.name in names and not (row.generator or row.language)]
    return metric_rows(rows, baseline="metadata")


def robustness(
    cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray, embedder: Embedder, login: VoiceLogin
) -> list[MetricRow]:
    """Sweep noise, codecs, durations and enrolment length on the test voices, and carry thresholds to other sources."""
    points = [point for point in login.points if point.usable]
    rows = sweeps.transfer(cfg, clips, embeddings)
    if not points or not cfg.eval.sweep_clips:
        return rows
    tested = of_split(clips, "test")
    test, others = clips.where(tested), clips.where(~tested)
    enrolled = models(test, embeddings[tested])
    heard = test.where(genuine_and_attacks(test))
    threshold = login.calibration.threshold
    rows += sweeps.sweep(cfg, heard, others, enrolled, points, embedder, login.detector, threshold)
    return [*rows, *sweeps.enrolment(cfg, test, embeddings[tested], points)]


def details(rows: Sequence[MetricRow], clips: Clips) -> list[str]:
    """Name the groups that the terminal leaves to the page: sweeps, transfers, the matrix, and one language each."""
    languages = tuple(f" {name}" for name in set(clips.values(fields.LANGUAGE)) if name)
    long = ("sweep", "threshold of", "without ")
    return [row.group for row in rows if row.group.startswith(long) or row.group.endswith(languages)]


def unique(rows: Sequence[MetricRow]) -> list[MetricRow]:
    """Leave out a row that is there already, such as one made by two audits of the same trials."""
    return list({row.key: row for row in reversed(rows)}.values())[::-1]


def clip_rows(clips: Clips, scores: np.ndarray) -> list[dict[str, Any]]:
    """Give one row for each genuine clip and attack of the test voices, with the detector's score of it (N,)."""
    names = (
        fields.LABEL,
        fields.FAMILY,
        fields.GENERATOR,
        ATTACK,
        TARGET,
        TARGET_GROUP,
        fields.LANGUAGE,
        fields.PAIR,
    )
    rows = []
    for index in np.flatnonzero(of_split(clips, "test") & genuine_and_attacks(clips)):
        fact, score = clips.facts[index], scores[index]
        known = {name: fact.get(name) for name in names}
        rows.append({"id": fact["id"], "detector": None if np.isnan(score) else float(score), **known})
    return rows


def evaluate_manifest(cfg: VoiceAuthConfig, run: RunFolder, path: str | Path) -> Evaluation:
    """Audit a trained run on trials of the user's own clips; the thresholds are set on those trials' impostors.

    Args:
        cfg: the run's config.
        run: a trained run.
        path: a CSV of attack trials (see `auricle.data.protocols.attack_trials`), beside the clips that it names.

    Raises:
        DataError: a list that cannot carry an audit, or files that are no usable audio; each is named.
    """
    login = load(run.path)
    trials = score_trials(login, path)
    threshold = login.calibration.threshold if trials.detector is not None else None
    found = audit_of(cfg, trials, detector_threshold=threshold)
    name = Path(path).stem
    return _external(found, name, login.toy, {f"{name}.npz": partial(write_trials, trials=trials)})


def evaluate_scores(score_file: str | Path, key_file: str | Path) -> Evaluation:
    """Audit any verifier by its score file; no model is needed.

    Args:
        score_file: lines of trial, score and optionally a detector's score; or a whole table of trials (.npz,
            .parquet), of which the key is another name.
        key_file: what the trials are: our CSV of attack trials, or ASVspoof's keys; see
            `auricle.data.protocols.read_audit_trials`.

    Raises:
        DataError: files that are missing, damaged or do not fit each other.
    """
    table = Path(score_file).suffix.lower() in (".npz", ".parquet")
    trials = read_trials(score_file) if table else read_audit_trials(score_file, key_file)
    return _external(audit(trials), Path(score_file).stem, False, {})


def _external(found: Audit, name: str, toy: bool, scores: dict[str, Any]) -> Evaluation:
    """Give the audit of trials from outside."""
    return Evaluation(
        unique([*metric_rows(found.rows), *chance_rows(found.points)]),
        name,
        warnings=[
            *verifier_sentences(found),
            tandem_sentence(found) or "no detector scores: the verifier alone",
            *([TOY] if toy else []),
            *unprinted(found, "all trials"),
            *unmeasured(found.rows),
            *found.notes,
        ],
        toy=toy,
        scores=scores,
    )
