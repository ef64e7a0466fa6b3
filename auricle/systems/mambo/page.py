"""What the page of a run shows: DET curves, score histograms, and the hardest errors to hear."""

from __future__ import annotations

import numpy as np

from auricle.data import fields
from auricle.data.clips import Clips
from auricle.report.evaluation import Page
from auricle.report.players import Player, hardest_errors
from auricle.report.plots import Curve, Histogram
from auricle.systems.mambo.config import MamboConfig

NOTES = (
    "Seen families were in training, with other voices and other words; unseen families were not. Every row "
    "has all the real test clips beside its fakes, and its interval comes from resampling voices.",
    "Only the leak check through the same chain decides about a leak. The one with other codecs shows how far "
    "such a detector could hear a codec that the chain does not have.",
    "The metadata row is a detector that gets ten plain numbers of each file and no sound: what it finds, any "
    "detector could use without hearing a trace of synthesis.",
)


def page(cfg: MamboConfig, test: Clips, scores: np.ndarray, threshold: float | None) -> Page:
    """Draw a run's test scores.

    Args:
        cfg: the run's config.
        test: the test clips.
        scores: their scores (N,).
        threshold: at the dev EER; None costs the hardest errors.
    """
    labels, families = test.labels, test.values(fields.FAMILY)
    present = [name for name in dict.fromkeys(families) if name]
    seen = [name for name in present if name in cfg.data.seen]
    unseen = [name for name in present if name not in cfg.data.seen]
    real = scores[labels]
    groups = [("seen", seen)] if seen else []
    groups += [(f"unseen: {name}", [name]) for name in unseen]
    curves = [Curve(title, real, scores[~labels & np.isin(families, names)]) for title, names in groups]
    histograms = [Histogram(name, real, scores[~labels & (families == name)], threshold) for name in present]
    if not present:  # a manifest that does not name its generators
        curves = [Curve("pooled", real, scores[~labels])]
        histograms = [Histogram("spoof", real, scores[~labels], threshold)]
    players = [] if threshold is None else hardest(test, scores, threshold)
    return Page(notes=NOTES, curves=curves, histograms=histograms, players=players)


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
