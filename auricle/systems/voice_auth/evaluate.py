"""`evaluate`: the audit of verifier and detector, the baselines of both, and the leak check."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auricle.backbones.classical import numbers
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.data.protocols import audit_subset, read_audit_trials, read_trials, write_trials
from auricle.metrics.audit import AttackTrials, Audit, AuditRow, audit
from auricle.metrics.scores import ALL
from auricle.report.evaluation import Evaluation
from auricle.report.spared import Spared
from auricle.systems.contents import need_unchanged
from auricle.systems.detections import LoneDetector
from auricle.systems.measured import measured
from auricle.systems.voice_auth import controls, data, sweeps
from auricle.systems.voice_auth.clips import ATTACK, ENROL, ROLE, TARGET, TARGET_GROUP, genuine_and_attacks, of_split
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.detectors import scores_of
from auricle.systems.voice_auth.embeddings import Embedder
from auricle.systems.voice_auth.infer import AGAIN, VoiceLogin, load
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
from auricle.systems.voice_auth.trials import Cohort, make_trials
from auricle.systems.voice_auth.user_trials import score_trials

CONTROLS_ALONE = ("detector.encoder", "detector.start")  # hear these
TOY = "a few voices and classical attacks: it shows how the audit works, not how safe a product is"


def evaluate(cfg: VoiceAuthConfig, run: RunFolder) -> Evaluation:
    """Audit a run.

    Args:
        cfg: the run's config.
        run: a trained run.

    Returns:
        The verifier on all voices, both halves on the test voices, baselines, left-out generators, sweeps, leak check.
    """
    login = load(run.path)
    if isinstance(login, LoneDetector):
        raise CheckpointError(f"{run.path} is a detector alone; audit it in a run of its own: detector.run={run.path}")
    need_unchanged(cfg, login.contents, login.contents.keys() - (() if cfg.eval.controls else CONTROLS_ALONE), AGAIN)
    spared = Spared()
    clips = data.load(cfg, run)
    embedder = Embedder(cfg, run)
    embeddings = embedder.of(clips)
    scores = detector_scores(cfg, clips, login)
    verifier_trials = make_trials(clips, embeddings, cohort=cohort(cfg, clips, embeddings))
    verifier = audit_of(cfg, verifier_trials)
    tandem, tandem_trials = tandem_audit(cfg, clips, embeddings, scores, login)
    rows = main_rows(verifier, tandem)
    rows += spared.rows("the baseline metadata of the verifier", lambda: metadata_verifier(cfg, clips))
    notes = [*unprinted(verifier, "verifier, all voices"), *unprinted(tandem, "test voices")]
    notes += [*unmeasured([*reported(verifier), *tandem.rows]), *verifier.notes, *tandem.notes]
    matrix: dict[str, Any] = {}
    leak = False
    if cfg.eval.controls:
        baselines, matrix = controls.baseline_rows(cfg, run, clips, spared)
        rows += baselines
        if "recoded" in cfg.data.controls:
            found = spared.rows("the leak check", lambda: [controls.leak_row(cfg, run, clips)])
            leak, rows = any(map(controls.leaks, found)), [*rows, *found]
    rows += sweeps.robustness(cfg, clips, embeddings, embedder, login, spared)
    # a detector from outside may have been trained on these voices: nobody knows here
    heard = "the detector never heard" if not (cfg.detector.run or cfg.detector.scores) else ""
    sentences = [*verifier_sentences(verifier), tandem_sentence(tandem, heard)]
    drawn = page(verifier, verifier_trials, tandem, tandem_trials, matrix, spared)
    return Evaluation(
        unique(rows),
        cfg.data.source,
        warnings=[sentences[0], *([TOY] if login.toy else []), *spared.notes(), *dict.fromkeys(notes)],
        lead=sentences,
        details=details(rows, clips),
        leak=leak,
        extra={
            "verifier": cfg.verifier.spec,
            "points": [point._asdict() for point in verifier.points],
            "decisions": [asdict(decisions) for decisions in tandem.decisions],
            "left_out": matrix,
        },
        scores={
            "verifier.npz": partial(write_trials, trials=verifier_trials),
            "tandem.npz": partial(write_trials, trials=tandem_trials),
            "test.jsonl": clip_rows(clips, scores),
        },
        page=drawn,
    )


def detector_scores(cfg: VoiceAuthConfig, clips: Clips, login: VoiceLogin) -> np.ndarray:
    """Score the genuine clips and attacks of the test voices, (N,); NaN for all other clips."""
    scores = np.full(len(clips), np.nan)
    chosen = of_split(clips, "test") & genuine_and_attacks(clips)
    scores[chosen] = scores_of(cfg, login.detector, clips.where(chosen))
    return scores


def cohort(cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray) -> Cohort | None:
    """Give the enrolment utterances as the cohort of AS-norm; None where scores are plain cosines."""
    if not cfg.verifier.as_norm:
        return None
    chosen = clips.values(ROLE) == ENROL
    return Cohort(embeddings[chosen], clips.values(fields.SPEAKER_GROUP)[chosen], cfg.verifier.as_norm)


def tandem_audit(
    cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray, scores: np.ndarray, login: VoiceLogin
) -> tuple[Audit, AttackTrials]:
    """Audit both halves on the test voices, with every threshold set on other voices; the audit and its trials."""
    test, dev = of_split(clips, "test"), of_split(clips, "train", "dev")
    trials = make_trials(clips.where(test), embeddings[test], seen=cfg.data.seen, detector=scores[test])
    dev_trials = make_trials(clips.where(dev), embeddings[dev])
    threshold = login.calibration.threshold
    return audit_of(cfg, trials, points=login.points, detector_threshold=threshold, dev=dev_trials), trials


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
        *chance_rows(verifier),
        *metric_rows(both),
        *metric_rows(by_domain, "test voices, "),
    ]


def metadata_verifier(cfg: VoiceAuthConfig, clips: Clips) -> list[MetricRow]:
    """Verify by ten plain numbers of the file: what a verifier could know without listening."""
    table = numbers(clips)
    table = (table - table.mean(axis=0)) / np.maximum(table.std(axis=0), 1e-9)
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-9)
    result = audit_of(cfg, make_trials(clips, unit))
    names = ("eer", "bypass_rate", "false_rejection")
    rows = [row for row in result.rows if row.name in names and not (row.generator or row.language)]
    return metric_rows(rows, baseline="metadata")


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
    names = (fields.LABEL, fields.FAMILY, fields.GENERATOR, ATTACK, TARGET, TARGET_GROUP, fields.LANGUAGE, fields.PAIR)
    rows = []
    for index in np.flatnonzero(of_split(clips, "test") & genuine_and_attacks(clips)):
        fact, score = clips.facts[index], scores[index]
        known = {name: fact.get(name) for name in names}
        rows.append({"id": fact["id"], "detector": None if np.isnan(score) else float(score), **known})
    return rows


def evaluate_manifest(cfg: VoiceAuthConfig, run: RunFolder, path: str | Path) -> Evaluation:
    """Audit a trained run on trials of the user's own clips; the thresholds are set on those trials' impostors.

    Of a detector alone the error rate is measured, on a labelled manifest.

    Args:
        cfg: the run's config.
        run: a trained run.
        path: a CSV of attack trials (see `auricle.data.protocols.attack_trials`), beside the clips that it names.

    Raises:
        DataError: a list that cannot carry an audit, or files that are no usable audio; each is named.
    """
    login = load(run.path)
    if isinstance(login, LoneDetector):
        return measured(login, path)
    trials = score_trials(login, path)
    threshold = login.calibration.threshold if trials.detector is not None else None
    result = audit_of(cfg, trials, detector_threshold=threshold)
    name = _name(path)
    return _external(result, name, login.toy, {f"{name}.npz": partial(write_trials, trials=trials)})


def evaluate_scores(score_file: str | Path, key_file: str | Path, subset: str | None = None) -> Evaluation:
    """Audit any verifier by its score file; no model is needed.

    Args:
        score_file: lines of trial, score and optionally a detector's score; or a whole table of trials (.npz,
            .parquet), of which the key is another name.
        key_file: what the trials are: our CSV of attack trials, or ASVspoof's keys; see
            `auricle.data.protocols.read_audit_trials`.
        subset: of a key of ASVspoof 2021; None for ``eval``, as its scorer has it, ``all`` for all.

    Raises:
        DataError: files that are missing, damaged or do not fit each other.
        ConfigError: the key has no such subset.
    """
    name = _name(score_file)
    if Path(score_file).suffix.lower() in (".npz", ".parquet"):
        if subset not in (None, ALL):
            raise ConfigError(f"subset {subset!r}: {name} is a whole table of trials and has no subsets; leave it out")
        return _external(audit(read_trials(score_file)), name, False, {})
    taken, note = audit_subset(key_file, subset)
    trials = read_audit_trials(score_file, key_file, subset)
    return _external(audit(trials), f"{name}, {taken}" if taken else name, False, {}, [note] if note else [])


def _name(path: str | Path) -> str:
    """Name data after its file; bytes that are no UTF-8, which no report could hold, are written as escapes."""
    return os.fsencode(Path(path).stem).decode("utf-8", "backslashreplace")


def _external(result: Audit, name: str, toy: bool, scores: dict[str, Any], notes: Sequence[str] = ()) -> Evaluation:
    """Give the audit of trials from outside."""
    return Evaluation(
        unique([*metric_rows(result.rows), *chance_rows(result)]),
        name,
        warnings=[
            *notes,
            *verifier_sentences(result),
            tandem_sentence(result),
            *([TOY] if toy else []),
            *unprinted(result, "all trials"),
            *unmeasured(result.rows),
            *result.notes,
        ],
        toy=toy,
        scores=scores,
    )
