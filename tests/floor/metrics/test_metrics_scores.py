"""Score and key files in the field's own forms, ragged, and wrong."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.core.lines import Limits
from auricle.metrics.detection import eer
from auricle.metrics.scores import POOLED, evaluate_scores, read_key, read_scores
from auricle.metrics.tandem import asv_errors, min_tdcf

KINDS = ("target", "nontarget", "spoof")
TIES = ("together", "official")
LABELS = {"r": "bonafide", "f": "spoof"}


@pytest.fixture
def write(tmp_path: Path):
    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


def test_plain_forms(write):
    scores = write("s.txt", "a 1.5\n\n  b\t-2e-1  \r\nc 3\n")
    held = read_scores(scores)
    assert dict(held) == {"a": (1.5, 1), "b": (-0.2, 3), "c": (3.0, 4)}
    assert ("a" in held, "d" in held, len(held)) == (True, False, 3)
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
    trials = evaluate_scores(scores, key, subset="all")
    assert trials.labels.tolist() == [False, False, True, True]
    assert trials.groups == ["A14", "Task1-team20", "-", "-"]
    assert (trials.subset, trials.notes) == (None, ())
    held = evaluate_scores(scores, key, group_column="codec", subset="eval")
    assert held.trials == ["DF_E_2", "DF_E_3", "DF_E_4"]
    assert held.groups == ["low_mp3", "mp3m4a", "low_ogg"]
    # any column by its number; lines that end earlier have a dash
    assert evaluate_scores(scores, key, group_column="10", subset="all").groups == ["-", "Task1", "-", "-"]
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


def test_the_2021_key_is_scored_on_eval_unless_told_otherwise(write):
    key = write("trial_metadata.txt", DF)
    every = write("s.txt", "DF_E_1 1\nDF_E_2 2\nDF_E_3 3\nDF_E_4 4\n")
    held = evaluate_scores(every, key)
    assert (held.subset, held.trials) == ("eval", ["DF_E_2", "DF_E_3", "DF_E_4"])
    assert held.notes == (
        "subset eval of the key: 3 trials; left out: progress 1",
        "1 scores of other subsets are not used",
    )
    alone = evaluate_scores(write("e.txt", "DF_E_2 2\nDF_E_3 3\nDF_E_4 4\n"), key)
    assert alone.scores.tolist() == held.scores.tolist()
    with pytest.raises(DataError, match=r"line 2: trial 'DF_E_2' has no score in .*; 1 of 3 trials have none"):
        evaluate_scores(write("m.txt", "DF_E_3 3\nDF_E_4 4\n"), key)
    with pytest.raises(DataError, match="'DF_E_1' has no score"):
        evaluate_scores(tmp(every, "e.txt"), key, subset="all")


def tmp(beside: Path, name: str) -> Path:
    return beside.parent / name


def test_a_key_of_own_subsets_is_taken_whole(write):
    key = write("k.csv", "trial,label,subset\na,spoof,train\nb,bonafide,eval\n")
    trials = evaluate_scores(write("s.txt", "a 1\nb 2\n"), key)
    assert (trials.subset, len(trials.trials)) == (None, 2)


def test_asvspoof_5_protocol(write):
    key = write(
        "ASVspoof5.eval.track_1.tsv",
        "E_0001 E_01 F - 0 - - bonafide bonafide -\nE_0002 E_02 M C05 3 E_01 AC1 A19 spoof -\n",
    )
    trials = evaluate_scores(write("s.tsv", "filename\tcm-score\nE_02\t-1\nE_01\t1\n"), key, group_column="codec")
    assert (trials.groups, trials.speakers) == (["-", "C05"], ["E_0001", "E_0002"])
    assert evaluate_scores(tmp(key, "s.tsv"), key).groups == ["bonafide", "A19"]


def la(codecs=("alaw", "g722", "none"), size=40):
    """A key of 2021 LA with three codecs, scores whose EER differs by codec, and ASV trials."""
    draws = np.random.default_rng(0)
    key, scores = [], {}
    for at, codec in enumerate(codecs):
        for n in range(size):
            for real in (True, False):
                name = f"LA_E_{at}{n:03d}{int(real)}"
                attack = "bonafide" if real else f"A{7 + n % 2:02d}"
                key.append(
                    f"LA_{n % 8:04d} {name} {codec} ita_tx {attack} {'bonafide' if real else 'spoof'} notrim eval"
                )
                scores[name] = draws.normal(0.8 * at * real)
    return "\n".join(key) + "\n", scores


def test_a_condition_splits_both_classes_and_an_attack_keeps_all_real_speech(write):
    key, scores = la()
    path = write("s.txt", "".join(f"{name} {score}\n" for name, score in scores.items()))
    trials = evaluate_scores(path, write("k.txt", key), group_column="codec")
    assert [part.name for part in trials.parts] == ["alaw", "g722", "none", POOLED]
    rates = [eer(*trials.split(part)).eer for part in trials.parts]
    for at in range(3):
        real = [score for name, score in scores.items() if name[5] == str(at) and name.endswith("1")]
        fake = [score for name, score in scores.items() if name[5] == str(at) and name.endswith("0")]
        assert rates[at] == eer(real, fake).eer
    assert rates[0] > rates[1] > rates[2]
    attacks = evaluate_scores(path, tmp(path, "k.txt"))
    assert [(part.name, int(part.chosen.sum())) for part in attacks.parts] == [
        ("A07", 180),
        ("A08", 180),
        (POOLED, 240),
    ]
    assert not attacks.notes


def test_a_part_without_a_class_says_so(write):
    key = write("k.csv", "trial,label,codec\na,spoof,x\nb,bonafide,x\nc,spoof,y\n")
    trials = evaluate_scores(write("s.txt", "a 1\nb 2\nc 3\n"), key, group_column="codec")
    assert [part.note for part in trials.parts] == ["", "y: there are no bona fide trials", ""]


@dataclass(frozen=True)
class Asv:
    kind: str
    score: float
    attack: str | None = None
    codec: str | None = None
    subset: str | None = None


def test_the_tandem_cost_is_that_of_each_parts_verifier(write):
    key, scores = la()
    path = write("s.txt", "".join(f"{name} {score}\n" for name, score in scores.items()))
    draws = np.random.default_rng(1)
    asv = [
        Asv(kind, draws.normal(mean), f"A{7 + n % 2:02d}" if kind == "spoof" else None, codec, subset)
        for n in range(60)
        for codec in ("alaw", "g722", "none")
        for subset in ("eval", "progress")
        for kind, mean in (("target", 3.0), ("nontarget", -1.0), ("spoof", 2.0))
    ]
    by_codec = evaluate_scores(path, write("k.txt", key), group_column="codec", asv=asv)
    by_attack = evaluate_scores(path, tmp(path, "k.txt"), asv=asv)
    assert by_codec.version == 2021
    for trials, field in ((by_codec, "codec"), (by_attack, "attack")):
        for part in trials.parts:
            own = [one for one in asv if one.subset == "eval"]
            if field == "codec" and part.name != POOLED:
                own = [one for one in own if one.codec == part.name]
            if field == "attack" and part.name != POOLED:
                own = [one for one in own if one.kind != "spoof" or one.attack == part.name]
            errors = asv_errors(*([one.score for one in own if one.kind == kind] for kind in KINDS))
            assert part.asv == errors
            assert trials.min_tdcf(part) == min_tdcf(*trials.split(part), errors, 2021)
    old = evaluate_scores(path, tmp(path, "k.txt"), group_column="codec", asv=[replace(one, codec=None) for one in asv])
    assert old.version == 2019
    assert [part.note for part in old.parts][:1] == ["alaw: the verifier's scores do not tell codec"]
    assert old.min_tdcf(old.parts[0]) is None
    assert old.min_tdcf(old.parts[-1]) is not None
    few = evaluate_scores(path, tmp(path, "k.txt"), asv=[one for one in asv if one.attack != "A08"])
    assert [part.note for part in few.parts] == ["", "A08: the verifier has no spoof scores there", ""]


def test_labels_that_contradict_the_key_are_refused(write):
    key = write("k.txt", "LA_0039 a - A11 spoof\nLA_0014 b - - bonafide\nLA_0014 c - - bonafide\n")
    with pytest.raises(DataError, match=r"s\.txt, line 2: trial 'b' is spoof, but bonafide in .*line 2; 1 of 3 labels"):
        evaluate_scores(write("s.txt", "a A11 spoof 1\nb A12 spoof 2\nc - bonafide 2\n"), key)
    with pytest.raises(DataError, match=r"line 2: trial 'a' is bonafide, but spoof .*; 2 of 2 labels"):
        evaluate_scores(write("s.csv", "trial,label,score\na,real,1\nb,fake,2\n"), key)


def test_what_is_odd_is_said(write):
    names = [f"{'r' if n % 2 else 'f'}{n}" for n in range(40)]
    key = write(
        "k.txt", "".join(f"s {name} - {'A01' if name[0] == 'f' else '-'} {LABELS[name[0]]}\n" for name in names)
    )
    good = evaluate_scores(write("s.txt", "".join(f"{name} {len(name)}.{at}\n" for at, name in enumerate(names))), key)
    turned = write("t.txt", "".join(f"{name} {1 if name[0] == 'f' else -1}{at}\n" for at, name in enumerate(names)))
    (note,) = evaluate_scores(turned, key).notes
    assert note.startswith("the EER is 100.0 %: the scores seem to be the wrong way round")
    assert good.notes == ()
    tied = write("u.txt", "".join(f"{name} {at % 3}\n" for at, name in enumerate(names)))
    (note,) = evaluate_scores(tied, key).notes
    ours, official = (
        eer(*evaluate_scores(tied, key).split(evaluate_scores(tied, key).parts[-1]), ties).eer for ties in TIES
    )
    assert f"the EER is {100 * ours:.2f} % with equal scores moving together, and {100 * official:.2f} %" in note
    odd = write("o.txt", "".join(f"s {name} - A01 {LABELS[name[0]]}\n" for name in names))
    assert "20 bona fide trials name an attack" in evaluate_scores(tmp(key, "s.txt"), odd).notes[0]


@pytest.mark.parametrize("score", ["1_0", "\u0661\u0662", "\uff11\uff12", "0x10"])
def test_what_only_python_takes_for_a_number_is_no_score(write, score):
    with pytest.raises(DataError, match="line 1"):
        evaluate_scores(write("s.txt", f"a {score}\nb 1\n"), write("k.txt", "a spoof\nb bonafide\n"))


def test_devices_pipes_and_endless_files_are_refused(write, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe"):
        for read in (read_scores, read_key):
            with pytest.raises(DataError, match="give a regular file"):
                read(path)
    few = Limits(line_bytes=100, lines=3, total_bytes=1000)
    with pytest.raises(DataError, match="more than 3 lines"):
        read_scores(write("s.txt", "a 1\nb 2\nc 3\nd 4\n"), few)
    with pytest.raises(DataError, match="longer than 100 bytes"):
        read_key(write("k.txt", "x" * 200), few)


def test_gzip_byte_order_marks_and_separators_are_no_matter(write, tmp_path):
    (tmp_path / "s.txt.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfa\t1\r\nb   2\r\nc\xe2\x80\xa8d 3\r\n"))
    trials = evaluate_scores(tmp_path / "s.txt.gz", write("k.txt", "a spoof\nb  bonafide\nc\u2028d\tspoof\n"))
    assert trials.scores.tolist() == [1.0, 2.0, 3.0]


def test_a_long_key_and_its_scores_take_little_memory(tmp_path):
    count = 5_000
    with open(tmp_path / "k.txt", "w") as key, open(tmp_path / "s.txt", "w") as scores:
        for n in range(count):
            label = "spoof" if n % 3 else "bonafide"
            key.write(f"LA_{n % 50:04d} LA_E_{n:08d} alaw ita_tx A{n % 13:02d} {label} notrim eval x y z\n")
            scores.write(f"LA_E_{n:08d} {n % 97}.5\n")
    tracemalloc.start()
    read_key(tmp_path / "k.txt")
    read_scores(tmp_path / "s.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / count < 450  # bytes a trial; five million take some 2 GB
