"""`evaluate`: the audit of verifier and detector, what stands beside it, and whether to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.files import write_jsonl
from auricle.core.report import MetricRow, Report, pool
from auricle.core.run import RunFolder, environment
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.data.protocols import read_audit_trials, read_trials, write_trials
from auricle.metrics.audit import AttackTrials, Audit, AuditRow, audit
from auricle.systems.voice_auth import controls, data, page, sweeps
from auricle.systems.voice_auth.brought import score_trials
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.detectors import clip_scores, file_scores
from auricle.systems.voice_auth.embeddings import Embedder
from auricle.systems.voice_auth.infer import Login, load
from auricle.systems.voice_auth.plan import ENROL
from auricle.systems.voice_auth.rows import (
    chance_rows,
    genuine_and_attacks,
    metric_rows,
    tandem_verdict,
    unmeasured,
    unprinted,
    verdicts,
)
from auricle.systems.voice_auth.train import of_split
from auricle.systems.voice_auth.trials import make_trials, models
from auricle.train.baselines import numbers

TOY = "a few voices and classical attacks: it shows how the audit works, not how safe a product is"


def evaluate(cfg: VoiceAuthConfig, run: RunFolder) -> Report:
    """Audit a run; write ``scores/``, ``report.json`` and ``report.html``.

    Args:
        cfg: the run's config.
        run: a trained run.

    Returns:
        The report: the verifier on all voices, both halves on the test voices, baselines, leave-one-generator-out
        matrix, sweeps, threshold transfer, leak check.
    """
    login = load(run.path)
    clips = data.load(cfg, run)
    embedder = Embedder(cfg, run)
    embeddings = embedder.of(clips)
    whole = verifier_audit(cfg, clips, embeddings)
    both = tandem_audit(cfg, clips, embeddings, login)
    rows = [*main_rows(whole, both, cfg.data.source), *metadata_verifier(cfg, clips)]
    notes = [*unprinted(whole.audit, "verifier, all voices"), *unprinted(both.audit, "test voices")]
    notes += unmeasured([*reported(whole), *both.audit.rows])
    matrix: dict[str, Any] = {}
    leaks = False
    if cfg.eval.controls:
        found, matrix = controls.beside(cfg, run, clips)
        rows += found
        if "recoded" in cfg.data.controls:
            row, leaks = controls.leak(cfg, run, clips)
            rows.append(row)
    rows += robustness(cfg, clips, embeddings, embedder, login)
    said = [*verdicts(whole.audit), tandem_verdict(both.audit)]
    report = Report(
        system="voice_auth",
        preset=login.preset,
        data=cfg.data.source,
        toy=login.toy,
        seeds=[cfg.seed],
        environment=environment(),
        metrics=unique(rows),
        warnings=[said[0], *([TOY] if login.toy else []), *dict.fromkeys([*notes, *whole.audit.notes])],
        leak=leaks,
        extra={
            "verdict": [text for text in said if text],
            "verifier": cfg.verifier.spec,
            "points": [point._asdict() for point in whole.audit.points],
            "decisions": [asdict(one) for one in both.audit.decisions],
            "left_out": matrix,
            "details": details(rows, clips),
        },
    )
    write_trials(run.scores / "verifier.npz", whole.trials)
    write_trials(run.scores / "tandem.npz", both.trials)
    write_jsonl(run.scores / "test.jsonl", clip_rows(both.clips, both.scores))
    report.save(run.path / "report.json")
    page.write(run, cfg, report, whole.audit, whole.trials, both.audit, both.trials)
    return report


class Audited:
    """An audit with the trials and clips behind it."""

    def __init__(self, found: Audit, trials: AttackTrials, clips: Clips, scores: np.ndarray | None) -> None:
        self.audit, self.trials, self.clips, self.scores = found, trials, clips, scores


def verifier_audit(cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray) -> Audited:
    """Audit the verifier on all voices, with thresholds set on their own zero-effort trials."""
    trials = make_trials(
        clips, embeddings, models(clips, embeddings), cohort=cohort(clips, embeddings), top=cfg.verifier.as_norm
    )
    found = audit(trials, fars=cfg.eval.fars, replicates=cfg.eval.bootstrap, seed=cfg.seed)
    return Audited(found, trials, clips, None)


def cohort(clips: Clips, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the enrolment utterances and their speaker groups, for AS-norm."""
    chosen = clips.values("role") == ENROL
    return embeddings[chosen], clips.values(fields.SPEAKER_GROUP)[chosen]


def tandem_audit(cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray, login: Login) -> Audited:
    """Audit both halves on the test voices, with every threshold set on other voices."""
    tested, other = of_split(clips, "test"), of_split(clips, "train", "dev")
    test, dev = clips.where(tested), clips.where(other)
    heard = test.where(genuine_and_attacks(test))
    scores = np.full(len(test), np.nan)
    if cfg.detector.scores is not None:
        scores[genuine_and_attacks(test)] = file_scores(cfg.detector.scores, heard)
    elif login.detector is not None:
        scores[genuine_and_attacks(test)] = clip_scores(login.detector, heard)
    trials = make_trials(
        test, embeddings[tested], models(test, embeddings[tested]), seen=cfg.data.seen, detector=scores
    )
    dev_trials = make_trials(dev, embeddings[other], models(dev, embeddings[other]))
    found = audit(
        trials,
        points=login.points,
        replicates=cfg.eval.bootstrap,
        seed=cfg.seed,
        detector_threshold=login.calibration.threshold,
        dev=dev_trials,
    )
    return Audited(found, trials, heard, scores[genuine_and_attacks(test)])


def reported(whole: Audited) -> list[AuditRow]:
    """Give the verifier's rows on all voices; what needs a calibration on other voices is of the test voices."""
    return [row for row in whole.audit.rows if row.name not in ("act_dcf", "cllr") and row.domain is None]


def main_rows(whole: Audited, both: Audited, name: str) -> list[MetricRow]:
    """Put the two audits into rows: the verifier on all voices; the detector, the tandem and costs on test voices."""
    alone = reported(whole)
    kept = ("act_dcf", "cllr", "detector_eer", "generalisation_ratio", "min_tdcf")
    tandem = [
        row
        for row in both.audit.rows
        if row.name in kept or (row.name.startswith("tandem_") and row.language is None and row.condition is None)
    ]
    ours = [row for row in both.audit.rows if row.name == "bypass_rate" and row.domain and not row.generator]
    return [
        *metric_rows(alone, name),
        *chance_rows(whole.audit.points, name),
        *metric_rows(tandem, name),
        *metric_rows(ours, name, "test voices, "),
    ]


def metadata_verifier(cfg: VoiceAuthConfig, clips: Clips) -> list[MetricRow]:
    """Verify by ten plain numbers of the file: what a verifier could know without listening."""
    table = numbers(clips)
    table = (table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-9)
    length = np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    plain = table / length
    trials = make_trials(clips, plain, models(clips, plain))
    found = audit(trials, fars=cfg.eval.fars, replicates=cfg.eval.bootstrap, seed=cfg.seed)
    names = ("eer", "bypass_rate", "false_rejection")
    own = [row for row in found.rows if row.name in names and not (row.generator or row.language)]
    rows = metric_rows(own, cfg.data.source)
    return [row.model_copy(update={"baseline": "metadata"}) for row in rows]


def robustness(
    cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray, embedder: Embedder, login: Login
) -> list[MetricRow]:
    """Sweep noise, codecs, durations and enrolment length on the test voices, and carry thresholds to other sources."""
    tested = of_split(clips, "test")
    test = clips.where(tested)
    points = [point for point in login.points if point.usable]
    rows = sweeps.transfer(cfg, clips, embeddings)
    if not points or not cfg.eval.sweep_clips:
        return rows
    heard = test.where(genuine_and_attacks(test))
    enrolled = models(test, embeddings[tested])
    rows += sweeps.sweep(
        cfg, heard, clips.where(~tested), enrolled, points, embedder, login.detector, login.calibration.threshold
    )
    return [*rows, *sweeps.enrolment(cfg, test, embeddings[tested], points)]


def details(rows: Sequence[MetricRow], clips: Clips) -> list[str]:
    """Name the groups that the terminal leaves to the page: sweeps, transfers, the matrix, and one language each."""
    languages = tuple(f" {name}" for name in set(clips.values(fields.LANGUAGE)) if name)
    long = ("sweep", "threshold of", "without ")
    return [row.group for row in rows if row.group.startswith(long) or row.group.endswith(languages)]


def unique(rows: Sequence[MetricRow]) -> list[MetricRow]:
    """Leave out a row that is there already, such as one made by two audits of the same trials."""
    return list({row.key: row for row in reversed(rows)}.values())[::-1]


def clip_rows(clips: Clips, scores: np.ndarray | None) -> list[dict[str, Any]]:
    """Give one row a test clip, for ``scores/``."""
    kept = (
        fields.LABEL, fields.FAMILY, fields.GENERATOR, "attack", "target", "target_group", fields.LANGUAGE, fields.PAIR,
    )  # fmt: skip
    return [
        {
            "id": fact["id"],
            "detector": None if scores is None or np.isnan(scores[place]) else float(scores[place]),
            **{name: fact.get(name) for name in kept},
        }
        for place, fact in enumerate(clips.facts)
    ]


def pool_runs(folders: Sequence[Path]) -> Report:
    """Pool finished runs over seeds and splits.

    Raises:
        DataError: a folder without a report.
    """
    return pool([Report.load(folder / "report.json") for folder in folders])


def evaluate_manifest(cfg: VoiceAuthConfig, run: RunFolder, path: str | Path) -> Report:
    """Audit a trained run on trials of the user's own clips; the thresholds are set on those trials' impostors.

    Args:
        cfg: the run's config.
        run: a trained run.
        path: a CSV of attack trials (see `auricle.data.protocols.attack_trials`), beside the clips that it names.

    Returns:
        The audit as a report; the trials go to ``scores/<list>.npz`` and the report to ``report-<list>.json``.

    Raises:
        DataError: a list that cannot carry an audit, or files that are no usable audio; each is named.
    """
    login = load(run.path)
    trials = score_trials(login, path)
    threshold = login.calibration.threshold if trials.detector is not None else None
    found = audit(
        trials, fars=cfg.eval.fars, replicates=cfg.eval.bootstrap, seed=cfg.seed, detector_threshold=threshold
    )
    name = Path(path).stem
    report = _scored(found, name, login.preset, login.toy, [cfg.seed])
    write_trials(run.scores / f"{name}.npz", trials)
    report.save(run.path / f"report-{name}.json")
    return report


def evaluate_scores(score_file: str | Path, key_file: str | Path) -> Report:
    """Audit any verifier by its score file; no model is needed.

    Args:
        score_file: lines of trial, score and optionally a detector's score; or a whole table of trials (.npz,
            .parquet), of which the key is another name.
        key_file: what the trials are: our CSV of attack trials, or ASVspoof's keys; see
            `auricle.data.protocols.read_audit_trials`.

    Returns:
        The audit as a report.

    Raises:
        DataError: files that are missing, damaged or do not fit each other.
    """
    whole = Path(score_file).suffix.lower() in (".npz", ".parquet")
    trials = read_trials(score_file) if whole else read_audit_trials(score_file, key_file)
    return _scored(audit(trials), Path(score_file).stem, "scores", toy=False, seeds=[])


def _scored(found: Audit, name: str, preset: str, toy: bool, seeds: list[int]) -> Report:
    """Put an audit of trials from outside into a report."""
    return Report(
        system="voice_auth", preset=preset, data=name, toy=toy, seeds=seeds, environment=environment(),
        metrics=unique([*metric_rows(found.rows, name), *chance_rows(found.points, name)]),
        warnings=[*verdicts(found), tandem_verdict(found) or "no detector scores: the verifier alone",
                  *([TOY] if toy else []), *unprinted(found, "all trials"), *unmeasured(found.rows), *found.notes],
    )  # fmt: skip
