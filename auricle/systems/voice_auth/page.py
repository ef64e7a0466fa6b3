"""The pictures of a run's report: score distributions with the thresholds, heat maps, DET curves of the detector."""

from __future__ import annotations

import numpy as np

from auricle.core.files import read_jsonl
from auricle.core.report import Report
from auricle.core.run import RunFolder
from auricle.metrics.audit import AttackTrials, Audit
from auricle.report.heatmap import Matrix, heat_map
from auricle.report.html import render
from auricle.report.plots import Curve, Plot, ScoreClasses, class_histogram
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.rows import percent, table_of

NOTES = (
    "Bypass rate: the share of attacks on their own target that the verifier accepts. The threshold is the smallest "
    "score at which at most the named share of zero-effort impostors passes; false rejection and the realised FAR "
    "hold at the same threshold. Intervals resample claimed speakers and set the threshold again each time.",
    "Verifier rows are of all voices. Detector and tandem rows are of test voices that the detector never heard, with "
    "both thresholds set on other voices.",
    "Attacks differ in what the attacker has: a recording of the target (copy), some seconds of the target and an own "
    "voice (conversion), or nothing of the target (blind, text-to-speech).",
    "Names of voices and speaker groups are pseudonyms.",
)


def write(
    run: RunFolder,
    cfg: VoiceAuthConfig,
    report: Report,
    alone: Audit,
    trials: AttackTrials,
    both: Audit,
    tandem: AttackTrials,
) -> None:
    """Write ``report.html``.

    Args:
        run: where to.
        cfg: the run's config, folded into the page.
        report: the numbers.
        alone: audit of the verifier.
        trials: its trials.
        both: audit of verifier and detector.
        tandem: its trials.
    """
    log = run.path / "metrics.jsonl"
    render(
        report,
        run.path / "report.html",
        headline="bypass_rate",
        curves=curves(tandem),
        training=list(read_jsonl(log)) if log.exists() else [],
        notes=NOTES,
        config=cfg.model_dump(mode="json"),
        lead=list(report.extra["verdict"]),
        figures=[
            ("Scores of the verifier", [verifier_scores(alone, trials)]),
            ("Scores of the detector", detector_scores(both, tandem)),
            ("Who passes where", maps(report, alone)),
        ],
    )


def verifier_scores(found: Audit, trials: AttackTrials) -> Plot:
    """Draw own users, strangers and attacks by what the attacker has, with the thresholds that carry their target."""
    classes = {
        "own users": trials.score[trials.kind == "target"],
        "strangers": trials.score[trials.kind == "zero_effort"],
    }
    for generator in trials.generator.present():
        if generator:
            classes[generator] = trials.score[trials.generator == generator]
    lines = {f"FAR {percent(point.far_target)}": point.threshold for point in found.points if point.usable}
    return class_histogram(ScoreClasses("verifier", classes, lines, "cosine with the claimed voice"))


def detector_scores(found: Audit, trials: AttackTrials) -> list[Plot]:
    """Draw the detector's scores of genuine speech and of each attack, one score a clip."""
    if trials.detector is None or found.detector_threshold is None:
        return []
    _, first = np.unique(np.asarray(trials.test), return_index=True)
    scores, generators = trials.detector[first], np.asarray(trials.generator)[first]
    classes = {name or "genuine": scores[generators == name] for name in dict.fromkeys(sorted(set(generators)))}
    lines = {"threshold": found.detector_threshold}
    return [class_histogram(ScoreClasses("detector", classes, lines, "score (higher: more bona fide)"))]


def curves(trials: AttackTrials) -> list[Curve]:
    """Give the detector's DET curves on seen and unseen attacks."""
    if trials.detector is None or trials.domain is None:
        return []
    _, first = np.unique(np.asarray(trials.test), return_index=True)
    scores, domain = trials.detector[first], np.asarray(trials.domain)[first]
    real = scores[domain == ""]
    names = {"in": "seen attacks", "out": "unseen attacks"}
    return [Curve(label, real, scores[domain == name]) for name, label in names.items() if (domain == name).any()]


def maps(report: Report, found: Audit) -> list[Plot]:
    """Draw the leave-one-generator-out matrix and the table of generator and language."""
    plots = []
    matrix = report.extra.get("left_out") or {}
    if matrix:
        values = np.array(matrix["eer"], dtype=np.float64)
        if np.isfinite(values).any():
            plots.append(
                heat_map(
                    Matrix(
                        "Detector EER, each generator left out of training", matrix["families"], matrix["families"],
                        values, "left out", "tested on", (0.0, 50.0), "%",
                    )
                )
            )  # fmt: skip
    point = next((point for point in found.points if point.usable), None)
    if point is not None:
        generators, languages, values = table_of(found, point.far_target)
        if generators and len(languages) > 1:
            title = f"Bypass rate at FAR {percent(point.far_target)}"
            plots.append(
                heat_map(Matrix(title, generators, languages, values, "attack", "language", (0.0, 100.0), "%"))
            )
    return plots
