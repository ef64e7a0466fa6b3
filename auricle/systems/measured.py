"""A detector that stands alone, measured on labelled clips."""

from __future__ import annotations

from pathlib import Path

from auricle.core.report import MetricRow
from auricle.data import fields
from auricle.metrics.calibration import decide
from auricle.metrics.detection import auc
from auricle.metrics.rows import eer_row
from auricle.report.evaluation import Evaluation
from auricle.systems.detections import LoneDetector, cut_scores
from auricle.systems.releases import labelled_cuts

REPLICATES = 1000  # of an interval


def measured(model: LoneDetector, path: str | Path) -> Evaluation:
    """Measure a detector that stands alone on a labelled manifest.

    Args:
        model: scores the clips.
        path: a labelled manifest.

    Returns:
        EER with its interval, over speakers where the manifest names enough of them, and AUC; the score of every clip.

    Raises:
        DataError: no manifest, clips without a label or whose audio cannot be read, or one class only.
    """
    cuts, real = labelled_cuts(Path(path))
    scores, name = cut_scores(model.detector, cuts), Path(path).stem
    voices = [str(cut.custom.get(fields.SPEAKER_GROUP) or cut.custom.get(fields.SPEAKER) or "") for cut in cuts]
    row, note = eer_row(
        scores,
        real,
        voices if all(voices) else None,
        name="detector_eer",
        group="all",
        replicates=REPLICATES,
        seed=0,
    )
    decided = [decide(model.calibration, float(score)).label for score in scores]
    rows = [
        {"id": cut.id, "score": float(score), "decision": label, fields.LABEL: cut.custom[fields.LABEL]}
        for cut, score, label in zip(cuts, scores, decided, strict=True)
    ]
    return Evaluation(
        [row, MetricRow(name="auc", value=auc(scores[real], scores[~real]), n=len(cuts), group="all")],
        name,
        warnings=[note] if note else [],
        toy=False,
        scores={f"{name}.jsonl": rows},
    )
