"""The real command, end to end, on the embedded corpus."""

import json
import shutil

import numpy as np
import pytest
import soundfile

import auricle as package
from auricle.core.report import Report
from auricle.core.request import Request
from auricle.data import manifest
from auricle.systems.mambo.infer import infer


def rows(report, name, baseline=None):
    return {row.group: row for row in report.metrics if row.name == name and row.baseline == baseline}


def answers(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def report(smoke_run):
    return Report.load(smoke_run / "report.json")


@pytest.fixture(scope="module")
def real(smoke_run):
    cuts = list(manifest.read(smoke_run / "manifests" / "test.jsonl"))
    return [cut.recording.sources[0].source for cut in cuts if cut.custom["label"] == "bonafide"]


def test_there_is_a_manifest_of_every_split(smoke_run):
    assert {path.stem for path in (smoke_run / "manifests").glob("*.jsonl")} == {"train", "dev", "test", "controls"}


def test_the_result_beats_chance_on_seen_families(report):
    scores = rows(report, "eer")
    assert scores["seen"].value < 45.0
    assert scores["seen"].ci95 is not None


def test_baselines_and_leak_checks_stand_beside_it(report):
    for name in ("lfcc_gmm", "metadata", "constant"):
        assert "pooled" in rows(report, "eer", name)
    leaks = rows(report, "leak_eer")
    assert set(leaks) == {"same chain", "other codecs"}
    low, high = leaks["same chain"].ci95
    assert report.leak == (not low <= 50 <= high)
    assert report.toy


def test_the_table_and_the_page_show_families_and_leak_checks(smoke_run):
    shown = (smoke_run.parent / "stdout.txt").read_text()
    for word in ("lfcc_gmm", "metadata", "constant", "same chain", "unseen: lpc_noise"):
        assert word in shown
    assert (smoke_run / "report.html").read_text().count("<img") >= 3


def test_there_is_one_score_a_test_clip(smoke_run):
    scored = [json.loads(line) for line in (smoke_run / "scores" / "test.jsonl").read_text().splitlines()]
    cuts = list(manifest.read(smoke_run / "manifests" / "test.jsonl"))
    assert [row["id"] for row in scored] == [cut.id for cut in cuts]
    assert all(np.isfinite(row["score"]) for row in scored)


def test_infer_answers_in_order_with_bad_files_among_them(auricle, smoke_run, real, tmp_path):
    wave, rate = soundfile.read(real[0], dtype="float32")
    soundfile.write(tmp_path / "a.wav", wave, rate)
    soundfile.write(tmp_path / "b.flac", np.stack([0 * wave, wave], 1), rate)
    soundfile.write(tmp_path / "c.ogg", wave, rate)
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "bad.wav").write_text("this is not audio")
    soundfile.write(tmp_path / "dir" / "good.wav", wave, rate)
    names = ["a.wav", "b.flac", "c.ogg", "dir", "none.wav"]
    done = auricle("infer", "mambo", "--run", smoke_run, *names, check=False, cwd=tmp_path)
    assert done.returncode == 1
    found = answers(done)
    assert [row["input"] for row in found] == ["a.wav", "b.flac", "c.ogg", "dir/bad.wav", "dir/good.wav", "none.wav"]
    assert [("error" in row) for row in found] == [False, False, False, True, False, True]
    for row in found:
        if "error" in row:
            assert set(row) == {"input", "error"}
            continue
        first = ["input", "reason", "score", "p_bonafide", "label", "threshold", "duration_s"]
        assert list(row) == [*first, "segments", "warnings"]
        assert (row["p_bonafide"] is None) == (row["reason"] is not None)
        assert row["reason"] or 0 <= row["p_bonafide"] <= 1
        assert row["label"] in ("bonafide", "spoof", "undecided")
        assert row["segments"][0]["start_s"] == 0
        assert row["segments"][-1]["end_s"] == pytest.approx(row["duration_s"], abs=0.51)
        assert any(text.startswith("laptop-model") for text in row["warnings"])
    assert found[0]["score"] == pytest.approx(found[1]["score"], abs=1e-5)
    assert any(text.startswith("several-channels") for text in found[1]["warnings"])


def test_python_gives_the_same_score_as_the_command(auricle, smoke_run, real):
    wave, rate = soundfile.read(real[1], dtype="float32")
    score = package.load(smoke_run).score(wave, rate)
    assert score == pytest.approx(answers(auricle("infer", "mambo", "--run", smoke_run, real[1]))[0]["score"], abs=1e-5)


def test_a_long_file_gives_the_same_score_as_its_samples(smoke_run, real, tmp_path):
    wave = np.concatenate([soundfile.read(path, dtype="float32")[0] for path in real[:9]])
    soundfile.write(tmp_path / "long.wav", wave, 16000, subtype="FLOAT")
    detector = package.load(smoke_run)
    (answer,) = infer(detector, [Request(audio=tmp_path / "long.wav")])
    assert answer.score == pytest.approx(detector.score(wave, 16000), abs=1e-5)


def test_sounds_that_are_not_speech_are_called_so(smoke_run, tmp_path):
    draws = np.random.default_rng(0)
    soundfile.write(tmp_path / "noise.wav", 0.1 * draws.standard_normal(48000), 16000)
    time = np.arange(48000) / 16000
    soundfile.write(tmp_path / "tone.wav", 0.3 * np.sin(2 * np.pi * 440 * time), 16000)
    requests = [Request(audio=tmp_path / name) for name in ("noise.wav", "tone.wav")]
    for answer in infer(package.load(smoke_run), requests):
        codes = [text.split(":")[0] for text in answer.warnings]
        assert {"non-speech", "out-of-domain"} & set(codes)


def test_evaluate_on_a_manifest_of_ones_own(auricle, smoke_run, tmp_path):
    cuts = list(manifest.read(smoke_run / "manifests" / "test.jsonl"))[:40]
    lines = ["path,label,speaker_group"]
    lines += [f"{c.recording.sources[0].source},{c.custom['label']},{c.custom['speaker_group']}" for c in cuts]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    auricle("manifest", "mine.csv", cwd=tmp_path)
    work = tmp_path / "run"
    shutil.copytree(smoke_run, work, ignore=shutil.ignore_patterns("cache"))
    shown = auricle("evaluate", "mambo", "--run", work, "--manifest", "mine.jsonl", cwd=tmp_path).stdout
    assert "pooled" in shown
    found = Report.load(work / "report-mine.json")
    assert rows(found, "eer")["pooled"].n == 40
    assert found.data == "mine"


def test_evaluate_a_score_file_without_a_model(auricle, tmp_path):
    (tmp_path / "scores.txt").write_text("a 1.0\nb 2.0\nc 0.0\nd 1.5\n")
    (tmp_path / "key.txt").write_text("s1 a - - bonafide\ns2 b - - bonafide\ns1 c - A1 spoof\ns2 d - A2 spoof\n")
    shown = auricle("evaluate", "mambo", "--scores", "scores.txt", "--key", "key.txt", cwd=tmp_path).stdout
    assert "A1" in shown
    assert "0.0 %" in shown
    assert "50.0 %" in shown


def test_training_on_a_manifest_of_ones_own(auricle, smoke_run, tmp_path):
    lines = ["path,label,split,pair"]
    for split in ("train", "dev", "test"):
        cuts = manifest.read(smoke_run / "manifests" / f"{split}.jsonl")
        lines += [f"{c.recording.sources[0].source},{c.custom['label']},{split},{c.custom['pair']}" for c in cuts]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    auricle("manifest", "mine.csv", cwd=tmp_path)
    short = ("train.max_steps=4", "train.eval_every=2")
    shown = auricle(
        "run", "mambo", "--preset", "smoke", "--data", "mine.jsonl", "--run", "r", *short, cwd=tmp_path
    ).stdout
    assert "pooled" in shown
    assert "leak checks need the chain that Auricle's own spoofs go through" in shown
