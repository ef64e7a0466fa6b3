"""The pictures of a run's report: DET curves, score histograms, training curves, and the hardest errors to hear."""

from __future__ import annotations

import numpy as np

from auricle.core.files import read_jsonl
from auricle.core.report import Report
from auricle.core.run import RunFolder
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.report.html import render
from auricle.report.players import Player, hardest_errors
from auricle.report.plots import Curve, Histogram
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.infer import Detector


def write(
    run: RunFolder, cfg: MamboConfig, report: Report, test: Clips, scores: np.ndarray, detector: Detector
) -> None:
    """Write ``report.html``.

    Args:
        run: where to.
        cfg: the run's config, folded into the page.
        report: the numbers.
        test: the test clips.
        scores: their scores (N,).
        detector: whose threshold is drawn in.
    """
    labels, families = test.labels, test.values(fields.FAMILY)
    present = [name for name in dict.fromkeys(families) if name]
    seen = [name for name in present if name in cfg.data.seen]
    unseen = [name for name in present if name not in cfg.data.seen]
    real = scores[labels]
    curves = [
        Curve(title, real, scores[~labels & np.isin(families, names)])
        for title, names in (("seen", seen), *((f"unseen: {name}", [name]) for name in unseen))
        if names
    ]
    histograms = [
        Histogram(name, real, scores[~labels & (families == name)], detector.calibration.threshold) for name in present
    ]
    if not present:  # a manifest that does not name its generators
        curves = [Curve("pooled", real, scores[~labels])]
        histograms = [Histogram("spoof", real, scores[~labels], detector.calibration.threshold)]
    render(
        report,
        run.path / "report.html",
        curves=curves,
        histograms=histograms,
        training=list(read_jsonl(run.path / "metrics.jsonl")),
        players=hardest(test, scores, detector.calibration.threshold),
        notes=[
            "Seen families were in training, with other voices and other words; unseen families were not. Every row "
            "has all the real test clips beside its fakes, and its interval comes from resampling voices.",
            "Only the leak check through the same chain decides about a leak. The one with other codecs shows how far "
            "such a detector could hear a codec that the chain does not have.",
            "The metadata row is a detector that gets ten plain numbers of each file and no sound: what it finds, any "
            "detector could use without hearing a trace of synthesis.",
        ],
        config=cfg.model_dump(mode="json"),
    )


def hardest(test: Clips, scores: np.ndarray, threshold: float) -> list[Player]:
    """Pick the fakes that pass most easily and the real clips that fail most clearly, beyond the threshold."""
    accepted, rejected = hardest_errors(scores, test.labels, threshold)
    players = []
    for heading, chosen in (("False accepts", accepted), ("False rejects", rejected)):
        for index in chosen:
            fact = test.facts[index]
            what = f"synthetic, {fact.get(fields.GENERATOR)}" if heading == "False accepts" else "real"
            caption = f"{what}; score {scores[index]:.2f}, threshold {threshold:.2f}"
            players.append(Player(str(fact["id"]), test.wave(index), test.rate_hz, caption, heading))
    return players
