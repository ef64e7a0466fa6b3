"""Score and key files in the field's own forms, ragged, and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.scores import evaluate_scores, read_key, read_scores


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def test_plain_forms(write):
    scores = write("s.txt", "a 1.5\n\n  b\t-2e-1  \r\nc 3\n")
    assert {trial: score for trial, (score, _) in read_scores(scores).items()} == {"a": 1.5, "b": -0.2, "c": 3.0}
    trials = evaluate_scores(scores, write("k.txt", "c spoof\na bonafide\nb Bona-Fide\n"))
    assert trials.trials == ["c", "a", "b"]
    assert trials.scores.tolist() == [3.0, 1.5, -0.2]
    assert trials.bonafide.tolist() == [1.5, -0.2]
    assert trials.spoof.tolist() == [3.0]
    assert trials.groups is None
    assert trials.speakers is None
    assert trials.spoof_groups() == {}


def test_asvspoof_2019_protocol_and_scores(write):
    key = write(
        "LA.cm.eval.trl.txt",
        "LA_0039 LA_E_1 - A11 spoof\nLA_0014 LA_E_2 - A14 spoof\nLA_0040 LA_E_3 - - bonafide\n",
    )
    four = write("s.txt", "LA_E_1 A11 spoof -1\nLA_E_2 A14 spoof -2\nLA_E_3 - bonafide 3\n")
    trials = evaluate_scores(four, key)
    assert trials.groups == ["A11", "A14", "-"]
    assert trials.speakers == ["LA_0039", "LA_0014", "LA_0040"]
    assert {name: scores.tolist() for name, scores in trials.spoof_groups().items()} == {"A11": [-1.0], "A14": [-2.0]}


DF = """LA_0023 DF_E_1 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -
TEF2 DF_E_2 low_mp3 vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive Task1 team20 FF E
LA_0043 DF_E_3 mp3m4a asvspoof - bonafide notrim eval bonafide
TGF1 DF_E_4 low_ogg vcc2020 - bonafide notrim eval - -
"""


def test_asvspoof_2021_metadata_with_ragged_ends_and_subset(write):
    key, scores = write("trial_metadata.txt", DF), write("s.txt", "DF_E_1 1\nDF_E_2 2\nDF_E_3 3\nDF_E_4 4\n")
    trials = evaluate_scores(scores, key)
    assert trials.labels.tolist() == [False, False, True, True]
    assert trials.groups == ["A14", "Task1-team20", "-", "-"]
    held = evaluate_scores(scores, key, group_column="codec", subset="eval")
    assert held.trials == ["DF_E_2", "DF_E_3", "DF_E_4"]
    assert held.groups == ["low_mp3", "mp3m4a", "low_ogg"]
    # any column by its number; lines that end earlier have a dash
    assert evaluate_scores(scores, key, group_column="10").groups == ["-", "Task1", "-", "-"]
    with pytest.raises(ConfigError, match="no subset 'hidden'; it has eval, progress"):
        evaluate_scores(scores, key, subset="hidden")


def test_tables_with_headers(write):
    key = write("meta.csv", 'file,speaker,label\n1.wav,"Lugosi, Bela",bona-fide\n2.wav,Orson,spoof\n')
    scores = write("s.csv", "Path,score\n2.wav,-1\n1.wav,2\n")
    trials = evaluate_scores(scores, key)
    assert (trials.scores.tolist(), trials.labels.tolist()) == ([2.0, -1.0], [True, False])
    assert trials.speakers == ["Lugosi, Bela", "Orson"]
    tabs = write("k.tsv", "﻿key\tgenerator\ttrial\nfake\tworld\t1.wav\nreal\t\t2.wav\n")
    trials = evaluate_scores(scores, tabs, group_column="generator")
    assert trials.groups == ["world", "-"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1\nb x\n", r"s\.txt, line 2: the score 'x' is not a number"),
        ("a 1\nb nan\n", r"s\.txt, line 2: the score of 'b' is nan"),
        ("a 1\nb 2\na 3\n", r"s\.txt, line 3: trial 'a' was already on line 1"),
        ("a 1\nb\n", r"s\.txt, line 2: expected '<trial> <score>', got 1 columns"),
        ("a 1 2\n", r"s\.txt, line 1: expected '<trial> <score>', got 3 columns"),
        ("\n\n", "is empty"),
        ("name,score\na,1\n", "line 1: the header has no column trial"),
        ("trial,score\n", "a header and no trial"),
        ("trial,score\na\n", "line 2: no trial or no score"),
        ("a 1\n", r"k\.txt, line 2: trial 'b' has no score"),
        ("a 1\nb 2\nzz 3\n", r"s\.txt, line 3: trial 'zz' is not in the key"),
    ],
)
def test_wrong_score_files_name_file_and_line(write, text, message):
    with pytest.raises(DataError, match=message):
        evaluate_scores(write("s.txt", text), write("k.txt", "a spoof\nb bonafide\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a spoof\nb perhaps\n", r"k\.txt, line 2: no label"),
        ("a spoof\na bonafide\n", r"k\.txt, line 2: trial 'a' was already on line 1"),
        ("a\nb\n", r"k\.txt, line 1: neither a trial with 'bonafide' or 'spoof' nor a header"),
        ("a 1\nb 0\n", r"k\.txt, line 1: neither"),
        ("file,label\na,spoof\n,spoof\n", r"k\.txt, line 3: no trial name"),
        ("file,label\na,1\n", r"k\.txt, line 2: no label"),
        ("s a - A01 spoof\ns b - A01\n", r"k\.txt, line 2: no label"),
    ],
)
def test_wrong_key_files_name_file_and_line(write, text, message):
    with pytest.raises(DataError, match=message):
        read_key(write("k.txt", text))


def test_unreadable_files(write, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_scores(tmp_path / "none.txt")
    with pytest.raises(DataError, match="is a folder"):
        read_key(tmp_path)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(DataError, match="not text in UTF-8"):
        read_scores(tmp_path / "b.txt")
    with pytest.raises(ConfigError, match="no column 'codec'; it has trial, label"):
        evaluate_scores(write("s.txt", "a 1\n"), write("k.txt", "a spoof\n"), group_column="codec")
