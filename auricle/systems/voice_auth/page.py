"""The pictures of a run's report: score distributions with the thresholds, heat maps, DET curves of the detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from auricle.metrics.audit import AttackTrials, Audit
from auricle.report.evaluation import Page
from auricle.report.heatmap import Matrix, heat_map
from auricle.report.plots import Curve, Plot, ScoreClasses, class_histogram, det_curve
from auricle.report.spared import Spared
from auricle.systems.voice_auth.rows import DOMAINS, bypass_table, share_text

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


def page(
    verifier: Audit,
    trials: AttackTrials,
    tandem: Audit,
    tandem_trials: AttackTrials,
    matrix: Mapping[str, Any],
    spared: Spared,
) -> Page:
    """Draw the page of a run.

    Args:
        verifier: audit of the verifier.
        trials: its trials.
        tandem: audit of verifier and detector.
        tandem_trials: its trials.
        matrix: detector EERs by generator left out; empty where the controls were left out.
        spared: a figure that fails is left out.
    """

    def curves() -> list[Plot]:
        found = detector_curves(tandem_trials)
        return [det_curve(found)] if found else []

    drawn: list[tuple[str, Sequence[Callable[[], list[Plot]]]]] = [
        ("Scores of the verifier", [lambda: [verifier_scores(verifier, trials)]]),
        ("Scores of the detector", [lambda: detector_scores(tandem, tandem_trials)]),
        ("Who passes where", [lambda: left_out_map(matrix), lambda: bypass_map(verifier)]),
        ("Detection error trade-off", [curves]),
    ]
    figures = []
    for title, makers in drawn:
        plots = [plot for make in makers for plot in spared.rows(f"the figure {title!r}", make)]
        figures += [(title, plots)] if plots else []
    return Page(notes=NOTES, figures=figures)


def verifier_scores(result: Audit, trials: AttackTrials) -> Plot:
    """Draw own users, strangers and attacks by what the attacker has, with the thresholds that carry their target."""
    classes = {
        "own users": trials.score[trials.kind == "target"],
        "strangers": trials.score[trials.kind == "zero_effort"],
    }
    for generator in trials.generator.present():
        if generator:
            classes[generator] = trials.score[trials.generator == generator]
    lines = {f"FAR {share_text(point.far_target)}": point.threshold for point in result.points if point.usable}
    return class_histogram(ScoreClasses("verifier", classes, lines, "cosine with the claimed voice"))


def detector_scores(result: Audit, trials: AttackTrials) -> list[Plot]:
    """Draw the detector's scores of genuine speech and of each attack, one score a clip."""
    if trials.detector is None or result.detector_threshold is None:
        return []
    first = _first_trials(trials)
    scores, generators = trials.detector[first], np.asarray(trials.generator)[first]
    classes = {name or "genuine": scores[generators == name] for name in sorted(set(generators))}
    lines = {"threshold": result.detector_threshold}
    return [class_histogram(ScoreClasses("detector", classes, lines, "score (higher: more bona fide)"))]


def detector_curves(trials: AttackTrials) -> list[Curve]:
    """Give the detector's DET curves on seen and unseen attacks."""
    if trials.detector is None or trials.domain is None:
        return []
    first = _first_trials(trials)
    scores, domain = trials.detector[first], np.asarray(trials.domain)[first]
    real = scores[domain == ""]
    return [Curve(label, real, scores[domain == name]) for name, label in DOMAINS.items() if (domain == name).any()]


def _first_trials(trials: AttackTrials) -> np.ndarray:
    """Give the first trial of each clip: a detector has one score a clip."""
    return np.unique(np.asarray(trials.test), return_index=True)[1]


def left_out_map(matrix: Mapping[str, Any]) -> list[Plot]:
    """Draw the detector's EER on each generator, with each generator left out of training."""
    if not any(value is not None for row in matrix.get("eer", ()) for value in row):
        return []
    families, values = matrix["families"], np.array(matrix["eer"], dtype=np.float64)
    title = "Detector EER, each generator left out of training"
    return [heat_map(Matrix(title, families, families, values, "left out", "tested on", (0.0, 50.0), "%"))]


def bypass_map(result: Audit) -> list[Plot]:
    """Draw the bypass rate of each generator in each language."""
    point = next((point for point in result.points if point.usable), None)
    if point is None:
        return []
    generators, languages, values = bypass_table(result, point.far_target)
    if not generators or len(languages) < 2:
        return []
    title = f"Bypass rate at FAR {share_text(point.far_target)}"
    return [heat_map(Matrix(title, generators, languages, values, "attack", "language", (0.0, 100.0), "%"))]
