"""What a report says in words, what a failing baseline costs, and scores from outside."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from auricle.backbones import classical
from auricle.core.errors import ConfigError, DataError
from auricle.core.report import Report
from auricle.data.clips import Clips
from auricle.data.protocols import write_trials
from auricle.metrics.audit import AttackTrials, audit
from auricle.metrics.shares import exact_limits
from auricle.report.evaluation import report_of
from auricle.systems import pipeline
from auricle.systems import system as find
from auricle.systems.voice_auth import SPEC, controls, evaluate, page
from auricle.systems.voice_auth.config import smoke
from auricle.systems.voice_auth.rows import chance_rows, clip_eer, tandem_sentence


def made(impostors, detector):
    """Six speakers; a detector that tells most fakes, or none."""
    draws = np.random.default_rng(0)
    kind = ["target"] * 60 + ["zero_effort"] * impostors + ["spoof"] * 60
    score = np.r_[draws.normal(3, 1, 60), draws.normal(0, 1, impostors), draws.normal(2, 1, 60)]
    heard = np.where(np.array(kind) == "spoof", -1.0, 1.0) + draws.normal(0, 1, len(kind))
    target = [f"s{place % 6}" for place in range(len(kind))]
    return AttackTrials(score, kind, target, detector=heard if detector else None)


@pytest.mark.parametrize(
    ("impostors", "detector", "says"),
    [
        (400, True, "With the detector behind the verifier "),
        (400, False, "There are no detector scores: everything here is about the verifier alone."),
        (20, True, "The detector is measured alone: there are too few impostor trials for any false-accept target"),
        (20, False, "There are no detector scores: everything here is about the verifier alone."),
    ],
)
def test_the_tandem_is_told_as_it_was_measured(impostors, detector, says):
    result = audit(made(impostors, detector), fars=[0.01], replicates=100)
    sentence = tandem_sentence(result)
    assert sentence.startswith(says)
    assert ("detector_eer" in {row.name for row in result.rows}) == detector
    assert "never heard" not in sentence  # whose voices these are nobody knows here
    assert "speakers the detector never heard)" in tandem_sentence(
        audit(made(400, True), fars=[0.01], replicates=100), "the detector never heard"
    )


def test_a_short_list_with_a_detector_does_not_say_that_there_is_none(tmp_path):
    write_trials(tmp_path / "few.npz", made(20, True))
    said = evaluate.evaluate_scores(tmp_path / "few.npz", tmp_path / "few.npz").warnings
    assert not [text for text in said if "no detector scores" in text]
    assert any("The detector is measured alone" in text for text in said)


def test_chance_has_the_trials_that_it_is_chance_on():
    result = audit(made(400, True), fars=[0.01], replicates=100)
    rows = {(row.name, row.group): (row.value, row.n) for row in chance_rows(result)}
    assert rows == {
        ("eer", "all"): (50.0, 460),
        ("bypass_rate", "FAR 1 %"): (1.0, 60),
        ("false_rejection", "FAR 1 %"): (99.0, 60),
    }
    assert SPEC.items == "trials"


def test_a_detector_without_an_error_has_the_limits_of_its_speakers():
    facts = [
        {"label": "bonafide" if n % 2 else "spoof", "target_group": f"g{n // 2 % 7}", "family": "" if n % 2 else "x"}
        for n in range(60)
    ]
    clips = Clips([np.zeros(4, np.int16)] * 60, facts, 16000)
    row = clip_eer(smoke(), np.arange(60) % 2 + 0.001 * np.arange(60), clips, "detector_eer", "all")
    assert (row.value, row.n) == (0.0, 60)
    assert row.ci95 == pytest.approx((0.0, 100 * exact_limits(0, 7)[1]))


FAILING = {
    "the baseline metadata of the verifier": ("auricle.systems.voice_auth.evaluate.numbers", FloatingPointError("log")),
    "the baseline lfcc_gmm": (f"{classical.__name__}.lfcc_gmm", np.linalg.LinAlgError("ill-defined covariance\nmore")),
    "the baseline metadata": (f"{classical.__name__}.metadata", ValueError("one class")),
    "the baseline cnn": (f"{controls.__name__}.trained_scores", DataError("no clips")),
    "the detector without griffin_lim": (f"{controls.__name__}.trained_scores", DataError("no clips")),
    "the leak check": (f"{controls.__name__}.trained_scores", DataError("no clips")),
    "the thresholds on other sources": ("auricle.systems.voice_auth.sweeps.transfer", ZeroDivisionError("0 / 0")),
    "the sweep of conditions": ("auricle.systems.voice_auth.sweeps.conditions", ValueError("too short")),
    "the sweep of enrolments": ("auricle.systems.voice_auth.sweeps.enrolment", ValueError("too few")),
    "the figure 'Scores of the detector'": (f"{page.__name__}.detector_scores", DataError("not finite")),
    "the figure 'Detection error trade-off'": (f"{page.__name__}.det_curve", DataError("not finite")),
    "the figure 'Who passes where'": (f"{page.__name__}.bypass_map", ValueError("empty")),
}


def test_what_fails_beside_the_audit_costs_its_own_rows(finished, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(finished("voice_auth"), run)
    before = Report.load(run / "report.json")
    for place, error in FAILING.values():
        monkeypatch.setattr(place, lambda *args, fault=error, **kwargs: (_ for _ in ()).throw(fault))
    cfg, opened = pipeline.open_existing("voice_auth", run)
    report = pipeline.evaluate(find("voice_auth"), cfg, opened)
    for what, (_, error) in FAILING.items():
        said = [text for text in report.warnings if text.startswith(f"{what} failed and has no rows in this report: ")]
        assert len(said) == 1
        assert said[0].endswith(str(error).splitlines()[0])
    kept = {row.key: row for row in report.metrics}
    own = [row for row in before.metrics if row.baseline in (None, "chance", "constant")]
    lost = {row.name for row in own if row.key not in kept}
    assert lost == {"logo_eer", "leak_eer"} | {row.name for row in own if row.group.startswith("sweep")}
    assert all(kept[row.key] == row for row in own if row.key in kept)
    assert not [row for row in report.metrics if row.baseline in ("lfcc_gmm", "metadata", "cnn")]
    text = (run / "report.html").read_text()
    assert "Scores of the verifier" in text
    assert "Scores of the detector" not in text.replace("the figure &#x27;Scores of the detector&#x27;", "")


def key_of_2021(tmp_path):
    """A key with trials of two subsets: in the hidden ones every score is the wrong way round."""
    draws = np.random.default_rng(0)
    lines, scores = [], []
    for place in range(600):
        kind = ("target", "nontarget", "spoof")[place % 3]
        subset = "hidden" if place >= 450 else "eval"
        attack = "A07" if kind == "spoof" else "bonafide"
        lines.append(f"LA_{place % 5:04d} LA_E_{place:07d} alaw ita_tx {attack} {kind} notrim {subset}")
        mean = {"target": 3.0, "nontarget": 0.0, "spoof": 1.0}[kind] * (-1 if subset == "hidden" else 1)
        scores.append(f"LA_{place % 5:04d} LA_E_{place:07d} {draws.normal(mean):.6f}")
    (tmp_path / "trial_metadata.txt").write_text("\n".join(lines))
    (tmp_path / "scores.txt").write_text("\n".join(scores))
    return tmp_path / "scores.txt", tmp_path / "trial_metadata.txt"


@pytest.mark.parametrize(
    ("subset", "n", "name"),
    [
        (None, 300, "scores, eval"),
        ("eval", 300, "scores, eval"),
        ("hidden", 100, "scores, hidden"),
        ("all", 400, "scores"),
    ],
)
def test_a_key_of_2021_is_audited_on_its_eval_subset_unless_another_is_asked_for(tmp_path, subset, n, name):
    scores, key = key_of_2021(tmp_path)
    report = report_of(evaluate.evaluate_scores(scores, key, subset), "voice_auth", "scores")
    (eer,) = [row for row in report.metrics if row.name == "eer" and row.baseline is None]
    assert (eer.n, report.data) == (n, name)
    assert (eer.value < 15) == (n == 300)
    said = [text for text in report.warnings if "left out:" in text]
    assert bool(said) == (subset != "all")
    if subset is None:
        assert said == ["subset eval of the key: 450 trials; left out: hidden 150"]


def test_a_subset_that_there_is_not_is_refused(tmp_path):
    scores, key = key_of_2021(tmp_path)
    with pytest.raises(ConfigError, match="has no subset 'progress'; it has eval, hidden"):
        evaluate.evaluate_scores(scores, key, "progress")
    write_trials(tmp_path / "t.npz", made(400, False))
    with pytest.raises(ConfigError, match="has no subsets; leave it out"):
        evaluate.evaluate_scores(tmp_path / "t.npz", key, "eval")
    own = tmp_path / "own.csv"
    own.write_text("target_spk,enrol_ids,test_path,kind,generator,train_minutes,condition\n")
    with pytest.raises(ConfigError, match="has no subset 'eval'; it has none"):
        evaluate.evaluate_scores(scores, own, "eval")


def test_a_name_that_is_no_utf8_reaches_no_report(tmp_path):
    name = os.fsdecode(b"caf\xe9.npz")
    write_trials(tmp_path / "plain.npz", made(400, True))
    shutil.copy(tmp_path / "plain.npz", tmp_path / name)
    report = report_of(evaluate.evaluate_scores(tmp_path / name, "-"), "voice_auth", "scores")
    assert report.data == r"caf\xe9"
    report.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json").data == r"caf\xe9"
