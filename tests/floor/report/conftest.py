"""A made-up report of a detector, with hostile names in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from auricle.core.report import MetricRow, Report
from auricle.report.players import Player, hardest_errors
from auricle.report.plots import Curve, Histogram

HOSTILE = '<script>alert("x")</script>.wav'
FAMILIES = {"world": 1.8, "griffin_lim": 2.4, "_psola": 1.0, "phase_vocoder": 0.1, "tts $x_1$ <b>": 0.6}


def made_up_report(leak: bool = False, toy: bool = True) -> Report:
    rows = []
    for group, value in {
        "seen families": 12.4,
        **{f"unseen: {name}": 40 - 15 * gap for name, gap in FAMILIES.items()},
    }.items():
        for baseline, worse in ((None, 0.0), ("lfcc_gmm", 5.1), ("metadata", 25.0), ("constant", 50 - value)):
            at = value + worse
            interval = None if baseline == "constant" else (max(0.0, at - 3.2), at + 4.1)
            rows.append(MetricRow(name="eer", value=at, unit="%", n=840, ci95=interval, group=group, baseline=baseline))
    rows += [
        MetricRow(name="leak_eer", value=49.1, unit="%", n=400, ci95=(44.0, 54.2), group="same chain"),
        MetricRow(name="leak_eer", value=38.0, unit="%", n=400, ci95=(33.1, 43.9), group="other low-rate codecs"),
        MetricRow(name="auc", value=0.9431, n=840, ci95=(0.92, 0.96), group="seen families"),
        MetricRow(name="min_dcf", value=0.41, n=840, group="seen families"),
        MetricRow(name="cllr", value=None, n=0, group="seen families"),
    ]
    return Report(
        system="mambo",
        preset="laptop",
        data="embedded",
        toy=toy,
        seeds=[0],
        environment={"python": "3.11.9", "torch": "2.12.1", "cpu": "2 cores", "file": HOSTILE},
        metrics=rows,
        warnings=["cllr: the scores are not calibrated", f"{HOSTILE} was clipped"],
        leak=leak,
        extra={"threshold": 0.31},
    )


def page_parts(clip_s: float = 2.0) -> dict[str, Any]:
    """Everything `render` takes beside the report, from made-up scores."""
    generator = np.random.default_rng(0)
    bonafide = generator.normal(1, 1, 400)
    curves, histograms = [], []
    for name, gap in FAMILIES.items():
        spoof = generator.normal(1 - gap, 1, 300)
        curves.append(Curve(name, bonafide, spoof))
        histograms.append(Histogram(name, bonafide, spoof, threshold=0.2))
    training = []
    for step in range(1, 601):
        row = {
            "step": step,
            "epoch": step // 100,
            "loss": float(np.exp(-step / 200) + 0.05 * generator.random()),
            "lr": 1e-3,
        }
        if step % 50 == 0:
            row |= {"dev_loss": float(np.exp(-step / 250)), "dev_eer": float(0.5 * np.exp(-step / 300))}
        training.append(row)
    scores = np.concatenate([bonafide, spoof])
    accepts, rejects = hardest_errors(scores, np.repeat([1, 0], [400, 300]), 0.2)
    players = []
    for group, chosen in (("False accepts", accepts), ("False rejects", rejects)):
        for index in chosen:
            t = np.arange(int(clip_s * 16000)) / 16000
            wave = 0.3 * np.sin(2 * np.pi * (200 + index) * t) + 0.05 * generator.normal(size=t.size)
            title = HOSTILE if not players else f"clip-{index}.flac"
            players.append(Player(title, wave, 16000, f"score {scores[index]:.2f}, generator world", group))
    return {
        "curves": curves,
        "histograms": histograms,
        "training": training,
        "players": players,
        "notes": ["Copy synthesis teaches copy synthesis: unseen families are harder."],
        "config": {"model": {"topology": "mambo3", "mixer": "hydra"}, "name": HOSTILE},
    }


@pytest.fixture(scope="session")
def make_report() -> Callable[..., Report]:
    return made_up_report


@pytest.fixture
def report() -> Report:
    return made_up_report()


@pytest.fixture(scope="session")
def parts() -> dict[str, Any]:
    return page_parts()
