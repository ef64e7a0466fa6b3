"""The report's rows, by hand where they can be, and a whole report of an untrained model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from auricle.core.errors import DataError
from auricle.core.report import pool
from auricle.core.request import Request
from auricle.core.run import open_run
from auricle.data import manifest
from auricle.metrics.calibration import Calibration
from auricle.metrics.shares import FEWEST_ITEMS
from auricle.report.evaluation import Evaluation, publish
from auricle.report.spared import Spared
from auricle.systems.ft_grpo import SPEC
from auricle.systems.ft_grpo import evaluate as of
from auricle.systems.ft_grpo.evaluate import Predictions, as_baseline, constants, kind_table, score_lines, set_rows
from auricle.systems.ft_grpo.generate import Generations
from auricle.systems.ft_grpo.infer import Detector, infer, load
from auricle.systems.ft_grpo.model import build
from auricle.systems.ft_grpo.page import page
from auricle.systems.ft_grpo.rationale import Evidence, write
from auricle.train.checkpoint import save_model


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
    found = Evaluation(rows, "embedded", page=page(clips, predictions.generations, 0.0, cfg.eval.pictures, Spared()))
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


@pytest.fixture
def trained(cfg, clips, tmp_path, monkeypatch):
    """Give a run whose checkpoints are untrained models and whose sets are a few clips."""
    run = open_run(tmp_path / "run", "ft_grpo", "smoke", cfg)
    meta = {"calibration": Calibration(1.0, 0.0, 0.0, -0.2, 0.2).to_dict()}
    for name in ("sft", "more_sft", "final"):
        save_model(run.checkpoints / name, build(cfg), meta)
    run.mark("train")
    monkeypatch.setattr(of.data, "load", lambda run, name: clips)
    monkeypatch.setattr(of.data, "sets", lambda run: ["train", "dev", "test", "weak", "skewed"])
    monkeypatch.setattr(of, "counterfactual_rows", lambda *_: [])
    return run


def broken(*_):
    raise FloatingPointError("underflow encountered")


@pytest.mark.parametrize(
    ("name", "said", "lost"),
    [
        ("open_checkpoint", ["the baseline sft ", "the baseline sft_same_compute "], {"sft", "sft_same_compute"}),
        ("counterfactual_rows", ["the counterfactuals "], set()),
        ("page.picture", ["the picture of clip-1 ", "the picture of clip-3 "], set()),
    ],
)
def test_what_fails_costs_its_own_rows_and_is_named(name, said, lost, cfg, trained, monkeypatch) -> None:
    whole = of.evaluate(cfg, trained)
    monkeypatch.setattr(f"auricle.systems.ft_grpo.evaluate.{name}", broken)
    found = of.evaluate(cfg, trained)
    assert [text for text in found.warnings if "underflow" in text] == [
        text for text in found.warnings if text.startswith(tuple(said))
    ]
    assert len([text for text in found.warnings if "underflow" in text]) == len(said)
    assert {row.baseline for row in whole.rows} - {row.baseline for row in found.rows} == lost
    kept = [row for row in whole.rows if row.baseline not in lost]
    assert [row.name for row in kept] == [row.name for row in found.rows]
    publish(found, trained, cfg, SPEC, "smoke", seed=0)
    assert (trained.path / "report.html").is_file()


def test_a_set_that_cannot_be_read_costs_its_own_rows(cfg, clips, trained, monkeypatch) -> None:
    def load(run, name):
        if name == "weak":
            raise DataError("its audio is gone")
        return clips

    monkeypatch.setattr(of.data, "load", load)
    found = of.evaluate(cfg, trained)
    assert "the set weak artefacts failed and has no rows in this report: its audio is gone" in found.warnings
    assert {row.group for row in found.rows} == {"all", "speech", "music", "85 % fake"}
    assert set(found.scores) == {"test.jsonl", "skewed.jsonl"}


def test_a_manifest_of_ones_own_is_scored_as_infer_scores_its_files(cfg, trained, tmp_path) -> None:
    draws = np.random.default_rng(0)
    cuts = []
    for number in range(12):
        waves = np.stack([0.1 * draws.standard_normal(40_000), np.zeros(40_000)])
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, waves.T, 16_000, subtype="FLOAT")
        label = ("bonafide", "spoof")[number % 2]
        cuts.append(manifest.cut(f"cut-{number}", path, {"label": label, "speaker": f"s{number // 4}"}))
    manifest.write(cuts, tmp_path / "mine.jsonl")
    found = of.evaluate_manifest(cfg, trained, tmp_path / "mine.jsonl")
    rows = {row.name: row for row in found.rows if row.baseline is None}
    assert set(rows) == {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "recall_real",
        "recall_fake",
        "undecided_rate",
        "eer",
    }
    assert rows["accuracy"].n == 12
    own = [answer.score for answer in infer(load(trained.path), [Request(tmp_path / f"{n}.wav") for n in range(12)])]
    assert [line["score"] for line in found.scores["mine.jsonl"]] == pytest.approx(own, abs=1e-5)
    manifest.write(cuts[::2], tmp_path / "one.jsonl")
    with pytest.raises(DataError, match="both needed"):
        of.evaluate_manifest(cfg, trained, tmp_path / "one.jsonl")
