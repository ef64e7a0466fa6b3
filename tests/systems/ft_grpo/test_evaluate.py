"""The report's rows, by hand where they can be, and a whole report of an untrained model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auricle.core.report import pool
from auricle.core.run import open_run
from auricle.metrics.calibration import Calibration
from auricle.metrics.shares import FEWEST_ITEMS
from auricle.report.evaluation import Evaluation, publish
from auricle.systems.ft_grpo import SPEC
from auricle.systems.ft_grpo.evaluate import Predictions, as_baseline, constants, kind_table, score_lines, set_rows
from auricle.systems.ft_grpo.generate import Generations
from auricle.systems.ft_grpo.infer import Detector
from auricle.systems.ft_grpo.model import build
from auricle.systems.ft_grpo.page import page
from auricle.systems.ft_grpo.rationale import Evidence, write


@pytest.fixture
def predictions(clips) -> Predictions:
    """Every text says the truth, but for one that is no text and one that calls a fake real."""
    texts = [write(item.truth) for item in clips]
    texts[0], texts[1] = "hm", write(Evidence("real", "none", None, "none", None))
    scores = np.array([1.0 if item.label == "real" else -1.0 for item in clips])
    return Predictions(clips, Generations(texts, scores))


def by_name(rows, group="all", baseline=None):
    return {row.name: row for row in rows if row.group == group and row.baseline == baseline}


def test_unreadable_is_wrong_and_counted(cfg, predictions, clips) -> None:
    rows, notes = set_rows(cfg, predictions, "", constants(clips))
    own = by_name(rows)
    few = "fewer than 5 clips of a class are too few for an interval"
    assert sorted(notes) == [f"eer of music: {few}", f"eer of speech: {few}"]
    assert own["accuracy"].value == pytest.approx(100 * 14 / 16)
    assert own["recall_real"].value == pytest.approx(100 * 7 / 8)
    assert own["recall_fake"].value == pytest.approx(100 * 7 / 8)
    assert own["balanced_accuracy"].value == pytest.approx(100 * 7 / 8)
    assert own["parse_failure_rate"].value == pytest.approx(100 / 16)
    assert own["eer"].value == 0
    assert all((row.ci95 is None) == (row.n < FEWEST_ITEMS) for row in own.values())
    always = by_name(rows, baseline="constant")
    assert always["balanced_accuracy"].value == 50
    assert {row.group for row in rows} == {"all", "speech", "music"}


def test_hits_are_of_the_clips_that_have_an_artefact(cfg, predictions, clips) -> None:
    rows, _ = set_rows(cfg, predictions, "", constants(clips))
    truth = clips[1].truth
    for name, place in (("band_hit", "band"), ("bin_hit", "bin")):
        with_one = [item for item in clips if getattr(item.truth, place) is not None]
        missed = getattr(truth, place) is not None
        row = by_name(rows)[name]
        assert row.n == len(with_one)
        assert row.value == pytest.approx(100 * (len(with_one) - missed) / len(with_one))
        assert by_name(rows, baseline="majority")[name].value < 100


def test_the_majority_rationale_is_that_of_training(clips) -> None:
    bands = [item.truth.band for item in clips if item.truth.band is not None]
    assert constants(clips)["frequency"][0] == max(range(6), key=lambda band: (bands.count(band), -band))
    assert constants([item for item in clips if item.label == "real"]) is None


def test_kinds_are_counted(predictions, clips) -> None:
    table = kind_table(predictions)
    assert sum(row["clips"] for row in table.values()) == sum(len(item.artefacts) for item in clips)
    assert all(row["place"] <= row["clips"] for row in table.values())
    assert score_lines(predictions)[0]["text"] == "hm"


def test_a_set_of_one_group_says_that_its_interval_is_over_clips(cfg, predictions) -> None:
    alone = Predictions(
        [replace(item, group="one", type="speech") for item in predictions.items], predictions.generations
    )
    rows, notes = set_rows(cfg, alone, "weak artefacts", None)
    assert by_name(rows, "weak artefacts")["eer"].ci95 is not None
    assert notes == ["eer of weak artefacts: 1 speakers are too few, its interval is over clips"]


def test_the_page_draws_and_reports_pool(cfg, clips, tmp_path, predictions) -> None:
    detector = Detector(build(cfg).eval(), cfg, "smoke", Calibration(1.0, 0.0, 0.0, -0.2, 0.2))
    untrained = Predictions(clips, detector.generate([item.wave for item in clips]))
    other, _ = set_rows(cfg, untrained, "", None)
    assert by_name(other)["parse_failure_rate"].value == 100
    rows = [*set_rows(cfg, predictions, "", constants(clips))[0], *as_baseline(other, "sft")]
    assert not [row for row in rows if row.baseline == "sft" and row.name == "band_hit"]
    found = Evaluation(rows, "embedded", page=page(clips, predictions.generations, 0.0, cfg.eval.pictures))
    reports = []
    for seed in (0, 1):
        run = open_run(tmp_path / f"seed-{seed}", "ft_grpo", "smoke", cfg)
        reports.append(publish(found, run, cfg, SPEC, "smoke", seed=seed))
    text = (tmp_path / "seed-0" / "report.html").read_text()
    assert text.count("Spectrogram of 1.50 s") == cfg.eval.pictures
    assert "claimed: " in text
    assert "true: " in text
    assert "<audio" in text
    assert by_name(pool(reports).metrics)["accuracy"].n_seeds == 2
