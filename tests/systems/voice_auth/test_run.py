"""What a finished run reports and answers, a detector from outside, score files; and the claims' machinery."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile

from auricle.claims.claim import Measured
from auricle.claims.runner import run_claims
from auricle.core.report import Report
from auricle.core.run import RunFolder, open_run
from auricle.data import manifest
from auricle.data.protocols import read_trials
from auricle.systems import pipeline
from auricle.systems.voice_auth import claims, claims_training, evaluate, infer
from auricle.systems.voice_auth.config import smoke


@pytest.fixture(scope="module")
def run(finished):
    """The finished smoke run; never write into it."""
    return finished("voice_auth")


@pytest.fixture(scope="module")
def report(run):
    return Report.load(run / "report.json")


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
    found = [one.as_dict() for one in infer.infer(login, [cut.recording.sources[0].source for cut in own])]
    right = [row["best_match"] == cut.custom["target"] for row, cut in zip(found, own, strict=True)]
    assert sum(right) >= 4  # of 22 voices; by lot it would be none
    for row in found:
        same, real = row["cosine"] >= row["verifier_threshold"], row["score"] > row["threshold"]
        wanted = {
            (True, True): "accept", (True, False): "rejected by detector", (False, True): "rejected by verifier",
            (False, False): "rejected by both",
        }  # fmt: skip
        assert row["decision"] == wanted[same, real]
        assert any(text.startswith("laptop-model") for text in row["warnings"])
        json.dumps(row, allow_nan=False)


def test_a_short_clip_is_answered_and_said_to_be_short(run, tmp_path):
    draws = np.random.default_rng(0)
    soundfile.write(tmp_path / "noise.wav", 0.1 * draws.standard_normal(12000), 16000)
    (answer,) = infer.infer(infer.load(run), [tmp_path / "noise.wav"])
    assert answer.error is None
    assert any(text.startswith("too-short") for text in answer.warnings)


def test_a_run_from_outside_is_the_detector(run, tmp_path, spectrum_verifier, monkeypatch):
    class Loud:
        def scores(self, waves, rates_hz):
            return [float(np.mean(np.abs(wave))) for wave in waves]

    monkeypatch.setattr("auricle.systems.voice_auth.embeddings.load_verifier", lambda spec: spectrum_verifier)
    for place in ("train", "infer"):
        monkeypatch.setattr(f"auricle.systems.voice_auth.{place}.handed_in", lambda folder: Loud())
    base = smoke()
    quick = base.eval.model_copy(update={"controls": False, "sweep_clips": 0})
    cfg = base.model_copy(
        update={"detector": base.detector.model_copy(update={"run": "runs/mambo"}), "eval": quick,
                "data": base.data.model_copy(update={"workers": 1})}
    )  # fmt: skip
    mine = open_run(tmp_path / "run", "voice_auth", "smoke", cfg)
    shutil.copytree(RunFolder(run).manifests, mine.manifests)
    mine.mark("prepare")
    pipeline.train(pipeline.system("voice_auth"), cfg, mine)
    assert not list(mine.checkpoints.glob("state-*"))  # nothing was trained
    found = evaluate.evaluate(cfg, mine)
    scored = {
        row["id"]: row["detector"] for row in map(json.loads, (mine.scores / "test.jsonl").read_text().splitlines())
    }
    cut = next(cut for cut in manifest.read(mine.manifests / "clips.jsonl") if cut.id in scored)
    wave, _ = soundfile.read(cut.recording.sources[0].source, dtype="float32")
    level = 10 ** (-26 / 20) / np.sqrt(np.mean(wave**2))
    assert scored[cut.id] == pytest.approx(float(np.mean(np.abs(level * wave))), rel=0.02)
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
    found = evaluate.evaluate_scores(tmp_path / "scores.txt", tmp_path / "key.csv")
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


@pytest.mark.claims  # two minutes
def test_quick_claims_run_from_end_to_end(tmp_path, spectrum_verifier, monkeypatch):
    monkeypatch.setattr("auricle.systems.voice_auth.embeddings.load_verifier", lambda spec: spectrum_verifier)
    written = claims.claims(tmp_path / "shared")
    assert [claim.id for claim in written] == ["V1", "V3", "V4", "V5", "V6", "V7", "V10", "V9"]
    assert [claim.id for claim in written if claim.headline] == ["V1"]
    assert all(claim.cuts and claim.seeds_full >= claim.fewest_seeds for claim in written)
    entries, _ = run_claims(written, "quick", tmp_path / "claims", tmp_path / "results.json")
    assert {entry.verdict for entry in entries} == {"no verdict"}
    assert all(entry.parts and entry.effect is not None for entry in entries)


def cell(seeds, **numbers):
    return {seed: dict(numbers) for seed in range(seeds)}


@pytest.mark.parametrize(
    ("inside", "outside", "verdict"), [(3.0, 30.0, "confirmed"), (5.0, 6.0, "refuted"), (20.0, 40.0, "not resolved")]
)
def test_v4_follows_its_rule(inside, outside, verdict, tmp_path):
    ratio = outside / inside
    one = cell(3, ratio=ratio, ratio_draws=[ratio * 0.99, ratio * 1.01] * 10, in_domain=inside, out_of_domain=outside)
    found = claims_training._v4_decide(Measured({"left_out": one, "three_seen": one}, (0, 1, 2)))
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("bypass", "claimable", "verdict"), [(60.0, 1, "confirmed"), (2.0, 1, "refuted"), (60.0, 0, "not resolved")]
)
def test_v1_follows_its_rule(bypass, claimable, verdict):
    numbers = {"attacks": 40, "impostor_trials": 4000}
    for name in ("1", "0.1"):
        numbers |= {f"bypass_{name}": bypass, f"low_{name}": bypass - 1, f"high_{name}": bypass + 1}
        numbers |= {f"frr_{name}": 5.0, f"far_{name}": 1.0, f"claimable_{name}": claimable}
    one = cell(5, **numbers)
    found = claims._v1_decide(Measured(dict.fromkeys(claims.ATTACKS, one), tuple(range(5))))
    assert found.verdict == verdict
    assert bool(found.notes) == (not claimable)


def test_v9_follows_its_rule():
    far_off = cell(3, factor=4.0, low=3.0, high=5.0, frr=5.0, impostor_trials=900, claimable=1)
    close = cell(3, factor=1.1, low=0.8, high=1.4, frr=5.0, impostor_trials=900, claimable=1)
    few = cell(3, factor=4.0, low=3.0, high=5.0, frr=5.0, impostor_trials=90, claimable=0)
    for one, other, verdict in (
        (far_off, close, "confirmed"), (close, close, "refuted"), (few, close, "not resolved"),
    ):  # fmt: skip
        measured = Measured({"mp3_to_other": one, "other_to_mp3": other}, (0, 1, 2))
        assert claims._v9_decide(measured).verdict == verdict
