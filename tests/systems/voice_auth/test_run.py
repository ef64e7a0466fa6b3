"""What a finished run reports and answers, a detector from outside, and score files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile

from auricle.core.config import override
from auricle.core.errors import CheckpointError
from auricle.core.files import read_json, write_json
from auricle.core.report import Report
from auricle.core.request import Request
from auricle.core.run import RunFolder, open_run
from auricle.data import manifest
from auricle.data.protocols import read_trials
from auricle.report.evaluation import report_of
from auricle.systems import pipeline
from auricle.systems.voice_auth import evaluate, infer
from auricle.systems.voice_auth.config import smoke

# settings of the recipe before it inherited those of all systems
OLDER_RECIPE = {
    *("batch", "max_steps", "eval_every", "save_every", "lr", "weight_decay", "weight_spoof", "weight_bonafide"),
    *("augment", "rawboost", "copies"),
}


@pytest.fixture(scope="module")
def run(finished):
    """The finished smoke run; never write into it."""
    return finished("voice_auth")


@pytest.fixture(scope="module")
def report(run):
    return Report.load(run / "report.json")


def unsummed(run):
    """The config of a run without the sum that would tell its changes."""
    return {key: value for key, value in read_json(run / "config.json").items() if key != "checksum"}


def rows(report, name, baseline=None):
    return {row.group: row for row in report.metrics if row.name == name and row.baseline == baseline}


def test_the_audit_is_printed_with_intervals_and_n(report):
    bypass = rows(report, "bypass_rate")
    assert {"FAR 5 %: griffin_lim", "FAR 5 %: formant", "FAR 5 %"} <= set(bypass)
    for group in ("FAR 5 %", "FAR 5 %: griffin_lim"):
        assert bypass[group].n > 0
        low, high = bypass[group].ci95
        assert low <= bypass[group].value <= high
    # the same threshold: nobody may read a bypass rate without what it costs
    assert set(rows(report, "false_rejection")) >= {"FAR 5 %"}
    assert rows(report, "zero_effort_far")["FAR 5 %"].value <= 5.0
    assert rows(report, "bypass_rate", "chance")["FAR 5 %"].value == 5.0
    for baseline in ("lfcc_gmm", "metadata", "cnn", "constant"):
        assert "all" in rows(report, "detector_eer", baseline)
    assert {"tandem_bypass_rate", "min_tdcf", "logo_eer", "leak_eer", "generalisation_ratio"} <= {
        row.name for row in report.metrics
    }
    sweeps = {group for group in rows(report, "false_rejection") if group.startswith("sweep")}
    assert len(sweeps) == 6


def test_a_resynthesised_recording_passes_more_often_than_a_stranger(report):
    assert (
        rows(report, "bypass_rate")["FAR 5 %: griffin_lim"].value > 2 * rows(report, "zero_effort_far")["FAR 5 %"].value
    )


def test_too_few_impostors_are_said_and_nothing_is_printed_for_them(run):
    trials = read_trials(run / "scores" / "verifier.npz")
    from auricle.metrics.audit import audit
    from auricle.systems.voice_auth.rows import metric_rows, unprinted

    found = audit(trials, fars=(0.05, 1e-4), replicates=100)
    assert not [row for row in metric_rows(found.rows, "x") if "0.01 %" in row.group]
    assert any("nothing is printed below 30000" in text for text in unprinted(found, "all"))


def test_the_verdict_is_a_plain_sentence(report, run):
    said = report.extra["verdict"]
    assert said[0].startswith("At a false-accept rate of 5 %, ")
    assert "passes" in said[0]
    page = (run / "report.html").read_text()
    assert "In plain words" in page
    assert said[0].split("(")[0] in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert page.count("<img") >= 5


def test_voices_are_pseudonyms(report, run):
    text = (run / "report.json").read_text() + (run / "scores" / "test.jsonl").read_text()
    authors = {cut.custom["author"] for cut in manifest.read(run / "manifests" / "clips.jsonl")}
    assert authors
    assert not [author for author in authors if author in text]


def test_infer_answers_with_detector_and_best_match(run):
    login = infer.load(run)
    cuts = list(manifest.read(run / "manifests" / "clips.jsonl"))
    own = [cut for cut in cuts if cut.custom["role"] == "enrol"][:6]
    requests = [Request(audio=cut.recording.sources[0].source) for cut in own]
    found = [answer.as_dict() for answer in infer.infer(login, requests)]
    right = [row["best_match"] == cut.custom["target"] for row, cut in zip(found, own, strict=True)]
    assert sum(right) >= 4  # of 22 voices; by lot it would be none
    for row in found:
        same, real = row["cosine"] >= row["verifier_threshold"], row["score"] > row["threshold"]
        assert row["decision"] == infer.DECISIONS[same, real]
        assert any(text.startswith("laptop-model") for text in row["warnings"])
        json.dumps(row, allow_nan=False)


def test_a_short_clip_is_answered_and_said_to_be_short(run, tmp_path):
    draws = np.random.default_rng(0)
    soundfile.write(tmp_path / "noise.wav", 0.1 * draws.standard_normal(12000), 16000)
    (answer,) = infer.infer(infer.load(run), [Request(audio=tmp_path / "noise.wav")])
    assert isinstance(answer, infer.LoginAnswer)
    assert any(text.startswith("too-short") for text in answer.warnings)


def test_a_run_of_another_system_or_of_nothing_trained_is_no_login(run, tmp_path):
    shutil.copytree(run / "checkpoints" / "final", tmp_path / "other" / "checkpoints" / "final")
    write_json(tmp_path / "other" / "config.json", {**unsummed(run), "system": "mambo"})
    with pytest.raises(CheckpointError, match="is a run of 'mambo', not of 'voice_auth'"):
        infer.load(tmp_path / "other")
    (tmp_path / "bare").mkdir()
    shutil.copy(run / "config.json", tmp_path / "bare")
    with pytest.raises(CheckpointError, match="not trained yet"):
        infer.load(tmp_path / "bare")


def test_a_run_of_an_older_version_answers_as_it_did(run, tmp_path):
    """Settings that the older version did not have take their defaults."""
    shutil.copytree(run, tmp_path / "old", ignore=shutil.ignore_patterns("cache", "manifests", "scores"))
    saved = unsummed(run)
    recipe = saved["config"]["train"]
    saved["config"]["train"] = {name: recipe[name] for name in recipe if name in OLDER_RECIPE}
    assert len(saved["config"]["train"]) == len(OLDER_RECIPE) < len(recipe)
    write_json(tmp_path / "old" / "config.json", saved)
    wave = 0.1 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    assert infer.load(tmp_path / "old").cfg == infer.load(run).cfg
    assert infer.load(tmp_path / "old").score(wave, 16000) == infer.load(run).score(wave, 16000)


def test_a_run_from_outside_is_the_detector(run, tmp_path, spectrum_verifier, monkeypatch):
    class Loud:
        def scores(self, waves, rates_hz):
            return [float(np.mean(np.abs(wave))) for wave in waves]

    for place in ("embeddings", "checks"):
        monkeypatch.setattr(f"auricle.systems.voice_auth.{place}.load_verifier", lambda spec: spectrum_verifier)
    monkeypatch.setattr("auricle.systems.voice_auth.detectors.external_detector", lambda folder: Loud())
    cfg = override(smoke(), ["detector.run=runs/mambo", "eval.controls=false", "eval.sweep_clips=0", "data.workers=1"])
    mine = open_run(tmp_path / "run", "voice_auth", "smoke", cfg)
    for file in RunFolder(run).manifests.glob("*.jsonl"):
        manifest.write(manifest.read(file), mine.manifests / file.name)
    mine.mark("prepare")
    pipeline.train(pipeline.system("voice_auth"), cfg, mine)
    assert not list(mine.checkpoints.glob("state-*"))  # nothing was trained
    found = pipeline.evaluate(pipeline.system("voice_auth"), cfg, mine)
    scored = {
        row["id"]: row["detector"] for row in map(json.loads, (mine.scores / "test.jsonl").read_text().splitlines())
    }
    cut = next(cut for cut in manifest.read(mine.manifests / "clips.jsonl") if cut.id in scored)
    wave, _ = soundfile.read(cut.recording.sources[0].source, dtype="float32")
    assert scored[cut.id] == float(np.mean(np.abs(wave)))  # the very samples of the file, as infer hands them over
    assert "detector_eer" in {row.name for row in found.metrics}


def test_scores_of_any_system_are_audited(tmp_path):
    lines = ["target_spk,enrol_ids,test_path,kind,generator,train_minutes,condition"]
    scores = []
    draws = np.random.default_rng(0)
    for speaker in range(6):
        for clip in range(12):
            lines.append(f"s{speaker},s{speaker}-e,s{speaker}/t{clip},target,,,")
            scores.append(f"s{speaker}:s{speaker}/t{clip} {draws.normal(3):.6f}")
            for other in (0, 1, 2, 3, 4, 5):
                if other != speaker:
                    lines.append(f"s{speaker},s{speaker}-e,s{other}/t{clip},zero_effort,,,")
                    scores.append(f"s{speaker}:s{other}/t{clip} {draws.normal():.6f}")
            lines.append(f"s{speaker},s{speaker}-e,fake/s{speaker}-{clip},spoof,clone,2,")
            scores.append(f"s{speaker}:fake/s{speaker}-{clip} {draws.normal(2):.6f}")
    (tmp_path / "key.csv").write_text("\n".join(lines))
    (tmp_path / "scores.txt").write_text("\n".join(scores))
    found = report_of(evaluate.evaluate_scores(tmp_path / "scores.txt", tmp_path / "key.csv"), "voice_auth", "scores")
    assert not found.toy
    assert found.data == "scores"
    bypass = rows(found, "bypass_rate")["FAR 1 %: clone"]
    impostor = np.array(
        [float(s.split()[1]) for s, line in zip(scores, lines[1:], strict=True) if ",zero_effort," in line]
    )
    fake = np.array([float(s.split()[1]) for s, line in zip(scores, lines[1:], strict=True) if ",spoof," in line])
    at = np.sort(impostor)[-3]  # three of 360 are 0.83 %, four would be more than 1 %
    assert len(impostor) == 360
    assert bypass.value == pytest.approx(100 * np.mean(fake >= at))
    assert bypass.n == 72
    assert any("clone passes" in text for text in found.warnings)
