"""`evaluate`: accuracy on unseen tones, a constant answer beside it."""

from __future__ import annotations

import numpy as np
from auricle.systems.dummy import data
from auricle.systems.dummy.config import DummyConfig
from auricle.systems.dummy.infer import load
from auricle.systems.dummy.model import probabilities

from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.core.seed import derive
from auricle.metrics.bootstrap import mean_bootstrap
from auricle.metrics.rows import percent
from auricle.report.evaluation import Evaluation, Page
from auricle.report.players import Player

TOY = "a world of sweeps: it shows how a system is made, and nothing else"


def evaluate(cfg: DummyConfig, run: RunFolder) -> Evaluation:
    """Measure a trained run on the test tones."""
    model = load(run.path)
    waves, labels, names = data.load(cfg, run, "test")
    rising = probabilities(model.network, waves)
    right = (rising > 0.5) == labels
    rows = [
        row(cfg, "accuracy", right),
        row(cfg, "accuracy", labels == (np.mean(labels) >= 0.5), baseline="constant"),
    ]
    scores = [{"id": name, "p": float(p), "up": bool(up)} for name, p, up in zip(names, rising, labels, strict=True)]
    players = [Player(names[i], waves[i], cfg.data.rate_hz, f"p {rising[i]:.2f}", "tones") for i in range(2)]
    return Evaluation(
        rows, cfg.data.source, [TOY], scores={"test.jsonl": scores}, page=Page([TOY], players=players), toy=True
    )


def row(cfg: DummyConfig, name: str, right: np.ndarray, baseline: str | None = None) -> MetricRow:
    """Give a share of right answers with its interval over tones."""
    interval = mean_bootstrap(right.astype(float), cfg.eval.bootstrap, seed=derive(cfg.seed, name))
    return percent(name, float(np.mean(right)), len(right), interval, baseline=baseline)
