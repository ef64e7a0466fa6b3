"""The real command, end to end, on the embedded corpus."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("peft")

import soundfile

from auricle.core.report import Report
from auricle.core.request import Request
from auricle.core.run import RunFolder
from auricle.systems.batching import Decoded
from auricle.systems.ft_grpo import data
from auricle.systems.ft_grpo.infer import load
from auricle.systems.ft_grpo.rationale import read


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


def test_what_nobody_hears_moves_no_label(run):
    """Silence at the ends and noise at 72 dB: the share of changed labels, of the test clips of the smoke run."""
    detector = load(run)
    waves = [item.samples for item in data.load(RunFolder(run), "test")]
    draws, zeros = np.random.default_rng(0), np.zeros(4800, np.float32)

    def noisy(wave):
        made = draws.standard_normal(len(wave)) * wave.std() * 10 ** (-72 / 20)
        return (wave + made).astype(np.float32)

    def labels(changed):
        return [detector.calibration.label(score) for score in detector.scores(changed, [16_000] * len(changed))]

    plain = labels(waves)
    for change in (lambda wave: np.concatenate([zeros, wave, zeros]), noisy):
        share = np.mean([one != other for one, other in zip(labels(list(map(change, waves))), plain, strict=True)])
        assert share < 0.02, f"{100 * share:.1f} % of the labels changed"


def test_a_row_has_one_verdict(run):
    answers = {"bonafide": "real", "spoof": "fake", "undecided": "undecided"}
    waves = [item.samples for item in data.load(RunFolder(run), "test")]
    long = [np.concatenate(waves[place : place + 3]) for place in range(0, len(waves) - 2, 3)]
    clips = [Decoded(Request(f"{n}.wav"), wave, 16_000, len(wave) / 16_000) for n, wave in enumerate(long)]
    rows = [made.as_dict() for made in load(run).detections(clips)]
    assert all(row["answer"] == answers[row["label"]] for row in rows)
    for row in rows:
        if row["answer"] == "real" or any(text.startswith("text-differs") for text in row["warnings"]):
            assert row["evidence"] == {"frequency": None, "time": None}
        else:
            assert row["answer"] == "undecided" or read(row["rationale"]).label == row["answer"]


def test_a_users_manifest_is_measured(run, auricle, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("cache", "scores"))
    rows = ["path,label"]
    for number, item in enumerate(data.load(RunFolder(run), "test")[:12]):
        soundfile.write(tmp_path / f"{number}.wav", item.samples, 16_000)
        rows.append(f"{number}.wav,{item.label}")
    (tmp_path / "mine.csv").write_text("\n".join(rows))
    auricle("manifest", tmp_path / "mine.csv")
    done = auricle("evaluate", "ft_grpo", "--run", folder, "--manifest", tmp_path / "mine.jsonl")
    assert "undecided_rate" in done.stdout
    assert len((folder / "scores" / "mine.jsonl").read_text().splitlines()) == 12
    found = [json.loads(line) for line in (folder / "scores" / "mine.jsonl").read_text().splitlines()]
    own = auricle("infer", "ft_grpo", "--run", folder, *(tmp_path / f"{n}.wav" for n in range(12)))
    scores = [json.loads(line)["score"] for line in own.stdout.splitlines()]
    assert [row["score"] for row in found] == pytest.approx(scores, abs=1e-4)
