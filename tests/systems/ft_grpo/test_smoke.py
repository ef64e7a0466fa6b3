"""The real command, end to end, on the embedded corpus."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("peft")

import soundfile

from auricle.core.report import Report
from auricle.core.run import RunFolder
from auricle.systems.ft_grpo import data


@pytest.fixture(scope="module")
def run(finished):
    """The finished smoke run; never write into it."""
    return finished("ft_grpo")


def rows(report, name, baseline=None):
    return {row.group: row for row in report.metrics if row.name == name and row.baseline == baseline}


def test_every_stage_leaves_its_model_and_its_losses(run):
    for name in ("final", "sft", "more_sft"):
        assert (run / "checkpoints" / name / "model.safetensors").is_file()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(row["stage"] for row in lines)) == ["heads", "sft", "more_sft", "grpo"]
    assert {"reward/accuracy", "reward/format", "reward/structure", "zero_variance", "length", "entropy"} <= set(
        lines[-1]
    )


def test_the_form_is_learnt_and_everything_is_reported(run):
    report = Report.load(run / "report.json")
    assert report.toy
    assert rows(report, "parse_failure_rate")["all"].value < 20  # an untrained model has 100
    assert rows(report, "balanced_accuracy", "constant")["all"].value == 50
    for baseline in ("sft", "sft_same_compute"):
        assert "all" in rows(report, "balanced_accuracy", baseline)
    assert {"all", "weak artefacts", "vocoded speech", "85 % fake"} <= set(rows(report, "accuracy"))
    assert rows(report, "band_hit", "majority")["all"].ci95 is not None
    assert "counterfactual" in rows(report, "flips")
    shown = (run.parent / "stdout.txt").read_text()
    for word in ("TOY RESULT", "balanced_accuracy", "bin_hit", "constant", "majority"):
        assert word in shown


def test_infer_gives_one_line_an_input_with_its_evidence_and_a_picture(run, auricle, tmp_path):
    clips = data.load(RunFolder(run), "test")[:3]
    for number, item in enumerate(clips):
        soundfile.write(tmp_path / f"{number}.wav", item.samples, 16_000)
    (tmp_path / "bad.wav").write_text("this is not audio")
    paths = [tmp_path / "0.wav", tmp_path / "1.wav", tmp_path / "2.wav", tmp_path / "bad.wav"]
    done = auricle("infer", "ft_grpo", "--run", run, *paths, "--out-dir", tmp_path / "plots", check=False)
    assert done.returncode == 1
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["input"] for row in found] == list(map(str, paths))
    assert set(found[-1]) == {"input", "error"}
    for row in found[:3]:
        assert set(row["evidence"]) == {"frequency", "time"}
        assert row["rationale"]
        assert (tmp_path / "plots").samefile(row["plot"].rpartition("/")[0])
    scored = [json.loads(line)["score"] for line in (run / "scores" / "test.jsonl").read_text().splitlines()]
    # the file is resampled, band-limited and levelled once more than the set, so the scores are close and not equal
    assert [row["score"] for row in found[:3]] == pytest.approx(scored[:3], abs=1.0)
