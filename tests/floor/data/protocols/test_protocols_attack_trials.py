"""Attack-trial lists, their problems, and score files beside them."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.data.protocols import audit_subset, read_attack_trials, read_audit_trials
from auricle.metrics.audit import audit
from auricle.metrics.tandem import asv_errors

HEADER = "target_spk,enrol_ids,test_path,kind,generator,train_minutes,condition,language,domain,speaker\n"
ROWS = (
    "a,a1;a2,real/a3.wav,target,,,clean,en,in,\n"
    "a,a1;a2,real/b3.wav,zero_effort,,,clean,en,in,b\n"
    "a,a1;a2,fake/a4.wav,spoof,world,2.5,clean,en,out,b\n"
    "b,b1,real/b3.wav,target,,,clean,en,in,b\n"
)


def listed(folder, rows=ROWS, header=HEADER):
    file = folder / "trials.csv"
    file.write_text(header + rows)
    return file


def test_trials(tmp_path):
    first, second, spoof, _ = read_attack_trials(listed(tmp_path))
    assert (first.target, first.enrol, first.test, first.speaker, first.train_minutes) == (
        "a",
        ("a1", "a2"),
        "real/a3.wav",
        "a",
        None,
    )
    assert (second.kind, second.speaker, second.line) == ("zero_effort", "b", 3)
    assert (spoof.generator, spoof.train_minutes, spoof.domain, spoof.condition) == ("world", 2.5, "out", "clean")


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("", "has no trial"),
        (ROWS + "a,a1,x.wav,clone,,,,,,\n", "line 6: kind 'clone'; expected one of target, zero_effort, spoof"),
        (ROWS + ROWS.splitlines()[1] + "\n", "line 6: real/b3.wav against a was already in line 3"),
        (ROWS + "a,a1,real/a3.wav,spoof,tts,,,,,\n", "line 6: real/a3.wav (real in line 2)"),
        (ROWS + "a,a1,a2.wav,spoof,tts,,,,,\n", "line 6: a2.wav (real in line 2)"),
        (ROWS + "c,c1,real/a3.wav,zero_effort,,,,,,a\n", "cannot both enrol and be tested:\nline 6: c"),
        (ROWS + "a,a1;a2,real/a1.wav,target,,,,,,\n", "line 6: real/a1.wav is tested against its own enrolment"),
        (ROWS + "a,,x.wav,target,,,,,,\n", "line 6: enrol_ids ''"),
        (ROWS + "a,a1;a1,x.wav,target,,,,,,\n", "line 6: enrol_ids 'a1;a1'"),
        (ROWS + "a,a1,x.wav,spoof,,,,,,\n", "line 6: a spoof trial with the generator '-'"),
        (ROWS + "a,a1,x.wav,target,tts,,,,,\n", "line 6: a target trial with the generator 'tts'"),
        (ROWS + "a,a1,x.wav,zero_effort,,,,,,a\n", "line 6: a zero_effort trial against a in which a speaks"),
        (ROWS + "a,a1,x.wav,target,,,,,near,\n", "line 6: domain 'near'"),
        (ROWS + "a,a1,x.wav,spoof,tts,few,,,,\n", "line 6: train_minutes 'few'"),
        (ROWS + ",a1,x.wav,target,,,,,,\n", "line 6: no target_spk"),
        (ROWS + "a,a1,x.wav\n", "line 6: 3 columns; expected target_spk"),
    ],
)
def test_broken(tmp_path, rows, complaint):
    with pytest.raises(DataError) as caught:
        read_attack_trials(listed(tmp_path, rows))
    assert complaint in str(caught.value)
    assert "trials.csv" in str(caught.value)


def test_headers(tmp_path):
    with pytest.raises(DataError, match="line 1: no column kind, generator"):
        read_attack_trials(listed(tmp_path, header="target_spk,enrol_ids,test_path,train_minutes,condition\n"))
    with pytest.raises(DataError, match="line 1: unknown or repeated colour"):
        read_attack_trials(listed(tmp_path, header=HEADER.replace("domain", "colour")))


def test_files_that_are_missing_or_copies(tmp_path):
    file = listed(tmp_path)
    draws = np.random.default_rng(0)
    names = ("a1.wav", "a2.flac", "b1.wav", "real/a3.wav", "real/b3.wav", "fake/a4.wav")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(draws.bytes(50))
    assert len(read_attack_trials(file, tmp_path)) == 4
    (tmp_path / "fake/a4.wav").write_bytes((tmp_path / "real/a3.wav").read_bytes())
    with pytest.raises(DataError, match=r"1 spoofs are copies of real files.*\nline 4: a4.wav \(a3.wav of line 2\)"):
        read_attack_trials(file, tmp_path)
    (tmp_path / "a2.flac").unlink()
    (tmp_path / "real/b3.wav").unlink()
    with pytest.raises(DataError, match=r"2 files are not below .*:\nline 2: a2\nline 3: real/b3.wav"):
        read_attack_trials(file, tmp_path)


SCORES = "a:real/a3.wav 0.9 2\nb:real/b3.wav 0.8 1.5\na:real/b3.wav 0.1 1.5\na:fake/a4.wav 0.7 -1\n"


def test_scores_beside_the_list(tmp_path):
    (tmp_path / "scores.txt").write_text(SCORES)
    trials = read_audit_trials(tmp_path / "scores.txt", listed(tmp_path))
    assert trials.score.tolist() == [0.9, 0.1, 0.7, 0.8]
    assert trials.detector.tolist() == [2, 1.5, -1, 1.5]
    assert list(trials.kind) == ["target", "zero_effort", "spoof", "target"]
    assert list(trials.domain) == ["in", "in", "out", "in"]
    assert list(trials.speaker) == ["a", "b", "b", "b"]


@pytest.mark.parametrize(
    ("scores", "complaint"),
    [
        (SCORES.replace("a:fake/a4.wav 0.7 -1\n", ""), "trials.csv, line 4: trial 'a:fake/a4.wav' has no score"),
        (SCORES + "x 1 1\n", "scores.txt, line 5: trial 'x' is not in"),
        (SCORES + "b:real/b3.wav 1 1\n", "scores.txt, line 5: trial 'b:real/b3.wav' was already in line 2"),
        (SCORES.replace(" 2\n", "\n", 1), "scores.txt, line 2: 3 columns"),
        (SCORES.replace("0.9", "high"), "scores.txt, line 1: score 'high'"),
        ("", "is empty"),
    ],
)
def test_scores_that_do_not_fit(tmp_path, scores, complaint):
    (tmp_path / "scores.txt").write_text(scores)
    with pytest.raises(DataError) as caught:
        read_audit_trials(tmp_path / "scores.txt", listed(tmp_path))
    assert complaint in str(caught.value)


def test_asvspoof_2019(tmp_path):
    key, mine = tmp_path / "asv.txt", tmp_path / "mine.txt"
    key.write_text("bonafide target 5.5\nbonafide nontarget -2\nA07 spoof 3.25\nA08 spoof -1\n")
    trials = read_audit_trials(key, key)
    assert list(trials.generator) == ["", "", "A07", "A08"]
    found = audit(trials, fars=[0.5], replicates=100)
    assert found.find("bypass_rate", far=0.5).value == asv_errors([5.5], [-2], [3.25, -1], 3).spoof_false_alarm * 2
    assert found.find("bypass_rate", far=0.5).ci95 is None
    assert "one claimed speaker" in found.find("bypass_rate", far=0.5).note
    mine.write_text(key.read_text().replace("A07", "A09"))
    with pytest.raises(DataError, match=r"trial 3: A09 spoof; .*asv\.txt has A07 spoof there"):
        read_audit_trials(mine, key)


def test_asvspoof_2021(tmp_path):
    key, scores = tmp_path / "trial_metadata.txt", tmp_path / "score.txt"
    key.write_text(
        "LA_7-alaw-ita_tx E_1-alaw-ita_tx alaw ita_tx bonafide nontarget notrim eval\n"
        "LA_8-alaw-ita_tx E_1-alaw-ita_tx alaw ita_tx bonafide target notrim eval\n"
        "LA_8-opus-sin_tx E_2-opus-sin_tx opus sin_tx A07 spoof notrim eval\n"
    )
    scores.write_text(
        "LA_8-opus-sin_tx E_2-opus-sin_tx 1.5\nLA_8-alaw-ita_tx E_1-alaw-ita_tx 4\n"
        "LA_7-alaw-ita_tx E_1-alaw-ita_tx -4\n"
    )
    trials = read_audit_trials(scores, key)
    assert (list(trials.target), trials.score.tolist()) == (["LA_7", "LA_8", "LA_8"], [-4, 4, 1.5])
    assert list(trials.condition) == ["alaw-ita_tx", "alaw-ita_tx", "opus-sin_tx"]
    # trials of other subsets need no score, and are told
    key.write_text(key.read_text() + "LA_8-opus-sin_tx E_3-opus-sin_tx opus sin_tx A07 spoof notrim hidden\n")
    assert read_audit_trials(scores, key).score.tolist() == [-4, 4, 1.5]
    assert audit_subset(key) == ("eval", "subset eval of the key: 3 trials; left out: hidden 1")
    assert audit_subset(key, "all") == (None, "")
    with pytest.raises(DataError, match="E_3-opus-sin_tx against LA_8-opus-sin_tx has no score"):
        read_audit_trials(scores, key, "all")
    with pytest.raises(ConfigError, match="no subset 'progress'; it has eval, hidden"):
        read_audit_trials(scores, key, "progress")


def test_other_keys(tmp_path):
    (tmp_path / "key.txt").write_text("a b\n")
    with pytest.raises(DataError, match="2 columns in its first line; expected the header of an attack-trial CSV"):
        read_audit_trials(tmp_path / "key.txt", tmp_path / "key.txt")
