"""In-the-Wild, DFADD and the verifier's scores, on files in their real formats and on broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.data.protocols import (
    by_kind,
    read_asv_scores,
    read_asv_scores_2019,
    read_asv_scores_2021,
    read_dfadd,
    read_in_the_wild,
)
from auricle.metrics.tandem import asv_errors

META = (
    "\ufefffile,speaker,label\r\n"
    "0.wav,Alec Guinness,spoof\r\n"
    '1.wav,"King, Jr.",bona-fide\r\n'
    "\r\n"
    "2.wav, Alec Guinness ,bona-fide \n"
)
GRAD = "p227 p227_001_GradTTS - - spoof\np227 p227_001 - - bonafide\r\n\np228\tp228_002\t-\t-\tbonafide \n"
MATCHA = "p227 p227_001_MatchaTTS - - spoof\np227 p227_001 - - bonafide\np228 p228_002 - - bonafide\n"
SCORES_2019 = "bonafide target 5.5\nbonafide nontarget -2.0 \r\n\nA07 spoof 3.25\nA08\tspoof\t-1e-1\n"
ASV_2021 = (
    "LA_0007-alaw-ita_tx LA_E_5013670-alaw-ita_tx alaw ita_tx bonafide nontarget notrim eval\n"
    "LA_0008-alaw-ita_tx LA_E_5013670-alaw-ita_tx alaw ita_tx bonafide target notrim eval\r\n"
    "LA_0008-opus-sin_tx LA_E_5013671-opus-sin_tx opus sin_tx A07 spoof notrim eval \n"
)
SCORES_2021 = (
    "LA_0008-opus-sin_tx LA_E_5013671-opus-sin_tx 1.5\n"
    "LA_0008-alaw-ita_tx  LA_E_5013670-alaw-ita_tx  4.25\n"
    "LA_0007-alaw-ita_tx LA_E_5013670-alaw-ita_tx -4.8546\n"
)


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


def test_in_the_wild_with_its_quirks_and_without_its_names(tmp_path):
    rows = read_in_the_wild(written(tmp_path, "release_in_the_wild/meta.csv", META))
    assert [(r.utterance, r.path, r.label, r.speaker, r.subset, r.line) for r in rows] == [
        ("0.wav", "0.wav", "spoof", "itw-01", "test", 2),
        ("1.wav", "1.wav", "bonafide", "itw-02", "test", 3),
        ("2.wav", "2.wav", "bonafide", "itw-01", "test", 5),
    ]
    assert not any("Guinness" in str(row) or "King" in str(row) for row in rows)
    assert read_in_the_wild(tmp_path) == rows


def test_in_the_wild_columns_go_by_name(tmp_path):
    (row,) = read_in_the_wild(written(tmp_path, "meta.csv", "label,file,speaker\nspoof,7.wav,A\n"))
    assert (row.utterance, row.label) == ("7.wav", "spoof")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no row"),
        ("file,speaker,label\n", "has no row"),
        ("0.wav,A,spoof\n", "line 1: expected the header file,speaker,label"),
        ("file,speaker,label,extra\n", "line 1: expected the header"),
        ("file,speaker,label\n0.wav,A\n", "line 2: 2 columns; expected file, speaker, label"),
        ("file,speaker,label\n0.wav,A,spoof,x\n", "line 2: 4 columns"),
        ("file,speaker,label\n0.wav,A,real\n", "line 2: label 'real'; expected bonafide, bona-fide or spoof"),
        ("file,speaker,label\n0.wav,A,\n", "line 2: label '-'"),
        ("file,speaker,label\n0.wav,,spoof\n", "line 2: no speaker"),
        ("file,speaker,label\n,A,spoof\n", "line 2: utterance '-'"),
        ('file,speaker,label\n0.wav,"A,spoof\n', "line 2: not CSV"),
        ("file,speaker,label\n0.wav,A,spoof\n0.wav,B,spoof\n", "line 3: 0.wav was already in line 2"),
    ],
)
def test_in_the_wild_broken_files(tmp_path, text, complaint):
    with pytest.raises(DataError) as caught:
        read_in_the_wild(written(tmp_path, "meta.csv", text))
    assert complaint in str(caught.value)
    assert "meta.csv" in str(caught.value)


def test_dfadd_shares_its_bona_fide_trials(tmp_path):
    written(tmp_path, "DATASET_GradTTS/test.txt", GRAD)
    written(tmp_path, "DATASET_MatchaTTS/test.txt", MATCHA)
    written(tmp_path, "DATASET_MatchaTTS/train.txt", "p229 p229_003_MatchaTTS x y spoof\n")
    rows = read_dfadd(tmp_path)
    assert [(r.utterance, r.attack, r.subset, r.path) for r in rows] == [
        ("p227_001_GradTTS", "GradTTS", "test", "DATASET_GradTTS/test/p227_001_GradTTS.flac"),
        ("p227_001", None, "test", "DATASET_VCTK_BONAFIDE/test/p227_001.wav"),
        ("p228_002", None, "test", "DATASET_VCTK_BONAFIDE/test/p228_002.wav"),
        ("p229_003_MatchaTTS", "MatchaTTS", "train", "DATASET_MatchaTTS/train/p229_003_MatchaTTS.flac"),
        ("p227_001_MatchaTTS", "MatchaTTS", "test", "DATASET_MatchaTTS/test/p227_001_MatchaTTS.flac"),
    ]
    # one list alone is a subset of the paper, with its own bona fide trials
    alone = read_dfadd(tmp_path / "DATASET_MatchaTTS" / "test.txt")
    assert [r.label for r in alone] == ["spoof", "bonafide", "bonafide"]
    assert [r.utterance for r in read_dfadd(tmp_path, systems=["GradTTS"], splits=["test"])] == [
        "p227_001_GradTTS",
        "p227_001",
        "p228_002",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("p227 p227_001 - bonafide\n", "line 1: 4 columns; expected 5"),
        ("p227 p227_001 - - real\n", "line 1: label 'real'"),
        ("p227 p227_001 - - bonafide\np227 p227_001 - - bonafide\n", "line 2: p227_001 was already in line 1"),
        ("", "is empty"),
    ],
)
def test_dfadd_broken_lists(tmp_path, text, complaint):
    file = written(tmp_path, "DATASET_GradTTS/test.txt", text)
    for given in (file, tmp_path):
        with pytest.raises(DataError) as caught:
            read_dfadd(given)
        assert complaint in str(caught.value)


def test_dfadd_lists_that_contradict_each_other(tmp_path):
    written(tmp_path, "DATASET_GradTTS/test.txt", "p1 a - - spoof\n")
    written(tmp_path, "DATASET_MatchaTTS/test.txt", "p1 a - - spoof\n")
    with pytest.raises(DataError, match=r"MatchaTTS/test.txt, line 1: a was already in .*GradTTS/test.txt, line 1"):
        read_dfadd(tmp_path)
    written(tmp_path, "DATASET_GradTTS/test.txt", "p1 b - - bonafide\n")
    written(tmp_path, "DATASET_MatchaTTS/test.txt", "p1 a - - spoof\n")
    written(tmp_path, "DATASET_MatchaTTS/train.txt", "p1 b - - bonafide\n")
    with pytest.raises(DataError, match="bona fide b is in the split test too"):
        read_dfadd(tmp_path)


def test_dfadd_names(tmp_path):
    with pytest.raises(ConfigError, match="no system 'Bark'"):
        read_dfadd(tmp_path, systems=["Bark"])
    with pytest.raises(ConfigError, match="no split 'dev'"):
        read_dfadd(tmp_path, splits=["dev"])
    with pytest.raises(DataError, match=r"DATASET_<system>/<split>\.txt"):
        read_dfadd(written(tmp_path, "list.txt", GRAD))


def test_verifier_scores_2019(tmp_path):
    trials = read_asv_scores_2019(written(tmp_path, "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt", SCORES_2019))
    assert [(t.kind, t.score, t.attack) for t in trials] == [
        ("target", 5.5, None),
        ("nontarget", -2.0, None),
        ("spoof", 3.25, "A07"),
        ("spoof", -0.1, "A08"),
    ]
    assert read_asv_scores_2019(tmp_path) == trials
    assert by_kind(trials).spoof.tolist() == [3.25, -0.1]
    only = by_kind(trials, attack="A08")
    assert (only.target.tolist(), only.spoof.tolist()) == ([5.5], [-0.1])
    assert asv_errors(*by_kind(trials), threshold=0.0) == (0.0, 0.0, 0.5)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("bonafide target\n", "line 1: 2 columns; expected 3"),
        ("bonafide impostor 1\n", "line 1: kind 'impostor'; expected one of target, nontarget, spoof"),
        ("bonafide target high\n", "line 1: score 'high'"),
        ("bonafide target nan\n", "line 1: score 'nan'"),
        ("bonafide target -\n", "line 1: score '-'"),
        ("bonafide spoof 1\n", "line 1: a spoof trial with the attack '-'"),
        ("A07 target 1\n", "line 1: a target trial with the attack 'A07'"),
    ],
)
def test_verifier_scores_2019_broken(tmp_path, text, complaint):
    with pytest.raises(DataError) as caught:
        read_asv_scores_2019(written(tmp_path, "scores.txt", text))
    assert complaint in str(caught.value)


@pytest.mark.parametrize("folder", ["ASVTorch_Kaldi", "ASVtorch_kaldi"])
def test_verifier_scores_2021_join_on_speaker_and_trial(tmp_path, folder):
    written(tmp_path, "keys/LA/ASV/trial_metadata.txt", ASV_2021)
    written(tmp_path, f"keys/LA/ASV/{folder}/score.txt", SCORES_2021)
    trials = read_asv_scores_2021(tmp_path)
    assert [(t.kind, t.score, t.attack, t.codec, t.subset) for t in trials] == [
        ("nontarget", -4.8546, None, "alaw", "eval"),
        ("target", 4.25, None, "alaw", "eval"),
        ("spoof", 1.5, "A07", "opus", "eval"),
    ]
    own = written(tmp_path, "mine.txt", SCORES_2021.replace("1.5", "9.5"))
    assert read_asv_scores_2021(tmp_path, own)[2].score == 9.5
    assert by_kind(trials, codec="alaw").spoof.size == 0
    assert by_kind(trials, transmission="sin_tx", subset="eval").spoof.tolist() == [1.5]


@pytest.mark.parametrize(
    ("metadata", "scores", "complaint"),
    [
        (ASV_2021, SCORES_2021.splitlines()[0] + "\n", "line 1: LA_E_5013670-alaw-ita_tx against LA_0007"),
        (ASV_2021, SCORES_2021.splitlines()[0] + "\n", "alaw-ita_tx has no score in"),
        (ASV_2021.splitlines()[0] + "\n", SCORES_2021, "line 1: LA_E_5013671-opus-sin_tx against LA_0008"),
        (ASV_2021.splitlines()[0] + "\n", SCORES_2021, "opus-sin_tx is not in"),
        (ASV_2021 + ASV_2021, SCORES_2021, "trial_metadata.txt, line 4: LA_E_5013670-alaw-ita_tx against LA_0007"),
        (ASV_2021 + ASV_2021, SCORES_2021, "was already in line 1"),
        (ASV_2021, SCORES_2021 + SCORES_2021, "score.txt, line 4: LA_E_5013671-opus-sin_tx against LA_0008"),
        (ASV_2021.replace("nontarget", "other"), SCORES_2021, "line 1: kind 'other'"),
        (ASV_2021, SCORES_2021.replace("4.25", "inf"), "line 2: score 'inf'"),
        (ASV_2021, "LA_E_1 2.0\n", "line 1: 2 columns; expected 3"),
    ],
)
def test_verifier_scores_2021_broken(tmp_path, metadata, scores, complaint):
    with pytest.raises(DataError) as caught:
        read_asv_scores_2021(written(tmp_path, "trial_metadata.txt", metadata), written(tmp_path, "score.txt", scores))
    assert complaint in str(caught.value)


def test_whichever_file_of_a_verifier_is_given(tmp_path):
    for name in ("old", "new/ASVTorch_Kaldi"):
        (tmp_path / name).mkdir(parents=True)
    old = written(tmp_path / "old", "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt", SCORES_2019)
    metadata = written(tmp_path / "new", "trial_metadata.txt", ASV_2021)
    scores = written(tmp_path / "new" / "ASVTorch_Kaldi", "score.txt", SCORES_2021)
    for given in (old, old.parent):
        assert read_asv_scores(given) == read_asv_scores_2019(old)
    for given in (metadata, metadata.parent, scores):
        assert read_asv_scores(given) == read_asv_scores_2021(metadata)
    alone = written(tmp_path, "score.txt", SCORES_2021)
    with pytest.raises(DataError, match=r"score\.txt: 3 columns in its first line; expected a verifier's scores"):
        read_asv_scores(alone)
    with pytest.raises(DataError, match="1 columns in its first line"):
        read_asv_scores(written(tmp_path, "odd.txt", "hello\n"))
