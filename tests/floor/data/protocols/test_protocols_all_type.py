"""Singing, music, sound and the released FT-GRPO labels, on files in their real formats and on broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.core.errors import DataError
from auricle.data.protocols import check, to_manifest
from auricle.data.protocols.all_type import read_codecfake_a3, read_fakemusiccaps
from auricle.data.protocols.ctrsvdd import SIZES as SINGING
from auricle.data.protocols.ctrsvdd import read_ctrsvdd
from auricle.data.protocols.envsdd import read_envsdd
from auricle.data.protocols.ft_labels import read_ft_labels

CTRSVDD = (
    "m4singer CtrSVDD_0110 CtrSVDD_0110_D_0015416 - - bonafide\r\n"
    "\n"
    "jvsmusic CtrSVDD_0097\tCtrSVDD_0097_D_0010993 - A06 deepfake \n"
)
MUSIC = "OH2SQhJqZDg.wav real 0\n-5FoeegAgvU.wav real 0\nTTM04_r4JRDHYuk.wav fake 4\n"
DEV_TABLE = 'wavename,dataset,caption,usage\na.wav,UrbanSound8K,"dogs, two",train\nb.wav,TUT SED 2016,wind,validation\n'


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


def test_ctrsvdd_as_its_authors_show_it(tmp_path):
    rows = read_ctrsvdd(written(tmp_path, "dev.txt", CTRSVDD))
    real, fake = rows
    assert (real.utterance, real.path) == ("CtrSVDD_0110_D_0015416", "dev/CtrSVDD_0110_D_0015416.flac")
    assert (real.label, real.speaker, real.attack, real.source) == ("bonafide", "CtrSVDD_0110", None, "m4singer")
    assert (fake.label, fake.speaker, fake.attack, fake.source) == ("spoof", "CtrSVDD_0097", "A06", "jvsmusic")
    assert (fake.subset, fake.line) == ("dev", 3)
    assert read_ctrsvdd(tmp_path) == rows
    # the totals of the paper's table
    assert [sum(part.values()) for part in SINGING.values()] == [84_404, 43_625, 92_769]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a s CtrSVDD_1_D_1 - - spoof\n", "line 1: label 'spoof'; expected one of bonafide, deepfake"),
        ("a s CtrSVDD_1_D_1 - - deepfake\n", "line 1: a spoof without an attack"),
        ("a s CtrSVDD_1_D_1 - A01 bonafide\n", "bona fide speech with the attack 'A01'"),
        ("a s CtrSVDD_1_X_1 - - bonafide\n", "line 1: the split in the name 'X'"),
        ("a s CtrSVDD_1 - - bonafide\n", "line 1: the split in the name"),
        ("a s LA_D_1 - - bonafide\n", "utterance 'LA_D_1'"),
        ("a s CtrSVDD_1_D_1 - bonafide\n", "line 1: 5 columns; expected 6"),
        (CTRSVDD + CTRSVDD, "was already in line 1"),
    ],
)
def test_ctrsvdd_broken_files(tmp_path, text, complaint):
    with pytest.raises(DataError) as caught:
        read_ctrsvdd(written(tmp_path, "train.txt", text))
    assert complaint in str(caught.value)


def test_fakemusiccaps_and_codecfake(tmp_path):
    rows = read_fakemusiccaps(written(tmp_path, "Fakemusiccaps/dev.txt", MUSIC))
    assert [(r.path, r.label, r.attack, r.subset) for r in rows] == [
        ("dev/OH2SQhJqZDg.wav", "bonafide", None, "dev"),
        ("dev/-5FoeegAgvU.wav", "bonafide", None, "dev"),
        ("dev/TTM04_r4JRDHYuk.wav", "spoof", "TTM04", "dev"),
    ]
    assert read_fakemusiccaps(tmp_path) == rows
    assert check("fakemusiccaps", tmp_path).absent == ("train", "eval")
    (row, fake) = read_codecfake_a3(written(tmp_path, "Codecfake_A3/eval.txt", "1.wav real\n2.wav fake\n"))
    assert (row.path, row.label, fake.label, row.subset) == ("eval/1.wav", "bonafide", "spoof", "eval")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a.wav real 1\n", "line 1: real with generator 1"),
        ("a.wav fake 0\n", "line 1: fake with generator 0"),
        ("a.wav fake 7\n", "line 1: generator '7'"),
        ("a.wav spoof 1\n", "line 1: label 'spoof'; expected one of real, fake"),
        ("a.wav fake\n", "line 1: 2 columns; expected 3"),
        ("a.wav fake 1\na.wav fake 2\n", "line 2: a.wav was already in line 1"),
    ],
)
def test_fakemusiccaps_broken_files(tmp_path, text, complaint):
    with pytest.raises(DataError) as caught:
        read_fakemusiccaps(written(tmp_path, "train.txt", text))
    assert complaint in str(caught.value)


def test_envsdd_tables_and_lists(tmp_path):
    rows = read_envsdd(written(tmp_path, "dev_track1.csv", DEV_TABLE))
    # a line is a real clip and four fakes of it: 35,753 lines are the 178,765 files of the development set
    assert [(r.path, r.label, r.attack, r.subset) for r in rows][:5] == [
        ("real_audio/UrbanSound8K/a.wav", "bonafide", None, "train"),
        ("fake_audio/TTA/audiogen/UrbanSound8K/a.wav", "spoof", "audiogen", "train"),
        ("fake_audio/TTA/audioldm1/UrbanSound8K/a.wav", "spoof", "audioldm1", "train"),
        ("fake_audio/TTA/audioldm2/UrbanSound8K/a.wav", "spoof", "audioldm2", "train"),
        ("fake_audio/ATA/audioldm1/UrbanSound8K/a.wav", "spoof", "audioldm1", "train"),
    ]
    assert len(rows) == 10
    assert {row.subset for row in rows[5:]} == {"dev"}
    two = read_envsdd(written(tmp_path, "e/eval_track1.csv", "name,label\n1.wav,fake\n2.wav,real\n"))
    assert [(r.label, r.attack, r.subset) for r in two] == [("spoof", None, "eval"), ("bonafide", None, "eval")]
    test = (
        "wavename,source,dataset,faketype,generator\n1.wav,s.wav,Clotho,real,real\n2.wav,s.wav,Clotho,ata,audioldm2\n"
    )
    assert [(r.label, r.attack) for r in read_envsdd(written(tmp_path, "t/test_track1.csv", test))] == [
        ("bonafide", None),
        ("spoof", "audioldm2"),
    ]
    listed = [
        {"file_path": "/data/x/1.wav", "label": "fake", "attack_type": "tta", "generative_model": "audiogen"},
        {"file_path": "/data/x/2.wav", "label": "real", "attack_type": "real", "generative_model": "real"},
        {"file_path": "/data/x/3.wav", "label": "fake", "attack_type": "xxx", "generative_model": "xxx"},
    ]
    rows = read_envsdd(written(tmp_path, "j/dev_track1_train.json", json.dumps(listed, indent=4)))
    assert [(r.path, r.label, r.attack, r.subset) for r in rows] == [
        ("data/x/1.wav", "spoof", "audiogen", "train"),
        ("data/x/2.wav", "bonafide", None, "train"),
        ("data/x/3.wav", "spoof", None, "train"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("test_track1.csv", "a,b\n", "no row below its header"),
        ("test_track1.csv", "a,b\n1.wav,spoof\n", "line 2: label 'spoof'"),
        ("test_track1.csv", "a,b\n1.wav,b,c,d\n", "line 2: 4 columns"),
        ("eval_track1.json", "{", "not JSON"),
        ("eval_track1.json", "[]", "expected a list"),
        ("eval_track1.json", '[{"label": "real"}]', "line 1: expected a clip with file_path"),
    ],
)
def test_envsdd_broken_files(tmp_path, name, text, complaint):
    with pytest.raises(DataError) as caught:
        read_envsdd(written(tmp_path, name, text))
    assert complaint in str(caught.value)


def test_released_labels_in_both_forms(tmp_path):
    user = {"role": "user", "content": "<audio>real or fake?"}
    sft = {
        "messages": [user, {"role": "assistant", "content": "<think>\nx</think>\n<answer> fake </answer>"}],
        "audios": ["p/1.wav"],
    }
    grpo = {"messages": [user], "audios": ["p/2.wav"], "solution": "<answer>real</answer>"}
    bare = {"messages": [user, {"role": "assistant", "content": "Real"}], "audios": "p/3.wav"}
    lines = written(tmp_path, "a/1-SFT/train.jsonl", "\n".join(json.dumps(row) for row in (sft, grpo, bare)))
    rows = read_ft_labels(lines)
    assert [(r.utterance, r.label, r.line) for r in rows] == [
        ("p/1.wav", "spoof", 1),
        ("p/2.wav", "bonafide", 2),
        ("p/3.wav", "bonafide", 3),
    ]
    whole = written(tmp_path, "b/x.json", json.dumps([sft, grpo, bare]))
    assert [r.label for r in read_ft_labels(whole)] == [r.label for r in rows]
    assert len(read_ft_labels(tmp_path)) == 6


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"messages": [], "audios": []}, "one path in audios"),
        ({"messages": [], "audios": ["a.wav"]}, "answer ''"),
        ({"messages": [{"role": "assistant", "content": "perhaps"}], "audios": ["a.wav"]}, "answer 'perhaps'"),
        ([1], "one path in audios"),
    ],
)
def test_released_labels_broken_rows(tmp_path, row, complaint):
    with pytest.raises(DataError) as caught:
        read_ft_labels(written(tmp_path, "x.jsonl", json.dumps(row)))
    assert complaint in str(caught.value)


def test_a_manifest_says_the_audio_type(tmp_path):
    written(tmp_path, "dev.txt", MUSIC)
    for name in ("OH2SQhJqZDg", "TTM04_r4JRDHYuk"):
        (tmp_path / "dev").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "dev" / f"{name}.wav", np.zeros(1600), 16000)
    made = to_manifest(read_fakemusiccaps(tmp_path), tmp_path, tmp_path / "m.jsonl", missing_ok=True)
    assert [cut.custom["audio_type"] for cut in made.cuts] == ["music", "music"]
    assert len(made.summary.dropped) == 1
