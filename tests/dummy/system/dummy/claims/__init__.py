"""The dummy's one claim, as a small experiment whose rule was written first."""

from __future__ import annotations

from typing import Any

import numpy as np
from auricle.systems.dummy import data
from auricle.systems.dummy.config import DummyConfig, laptop, smoke
from auricle.systems.dummy.model import probabilities
from auricle.systems.dummy.train import new_network, train

from auricle.claims.claim import Cell, Claim, Measured, Verdict
from auricle.claims.shared import prepared
from auricle.claims.verdict import compare, difference, verdict
from auricle.core.config import override
from auricle.core.run import RunFolder
from auricle.data import manifest
from auricle.train.checkpoint import load_model

ARMS = {"trained": "trained on 64 tones", "untrained": "the same network with the weights it began with"}


def config(cell: Cell) -> DummyConfig:
    """Give what decides a cell."""
    return override(laptop() if cell.budget == "full" else smoke(), [f"seed={cell.seed}"])


def measure(cell: Cell) -> dict[str, Any]:
    """Measure one arm with one seed."""
    cfg = config(cell)
    base = override(cfg, ["seed=0"])
    run = prepared(cell.shared / "tones", "dummy", "smoke", base, data.prepare)
    network = new_network(cfg)
    if cell.arm == "trained":
        own = RunFolder(cell.work)
        own.manifests.mkdir(exist_ok=True)
        for file in run.manifests.glob("*.jsonl"):
            manifest.write(manifest.read(file), own.manifests / file.name)
        load_model(train(cfg, own), network)
    waves, labels, _ = data.load(cfg, run, "test")
    return {"accuracy": 100 * float(np.mean((probabilities(network.eval(), waves) > 0.5) == labels))}


def decide(measured: Measured) -> Verdict:
    """Apply the rule of D1."""
    gain = difference(measured, "accuracy", "trained", "untrained")
    return verdict(gain, [compare("accuracy, trained less untrained, points", gain, above=0.0)])


D1 = Claim(
    id="D1",
    statement="Training helps.",
    rule="Confirmed if the whole 95 % t interval over seeds of accuracy, trained less untrained, lies above 0; refuted "
    "if it lies below; otherwise not resolved.",
    metric="accuracy, trained less untrained, in points; above 0 favours the claim",
    arms=ARMS,
    run=measure,
    decide=decide,
    headline=True,
    settings=lambda cell: {"config": config(cell), "arm": cell.arm},
    cuts=("there is no paper",),
)
CLAIMS = (D1,)
