"""AISHELL-3 in its own layout, and broken."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from auricle.core.errors import DataError
from auricle.data.protocols import check, read, read_aishell3, read_aishell3_texts, to_manifest

TRAIN = (
    "SSB00050001.wav\t广 guang3 州 zhou1 女 nv3\r\nSSB00050002.wav\t你 ni3\n\n"
    "SSB00090001.wav 好 hao3\nSSB00090002.wav 好 hao3\n"
)
TEST = "SSB00070001.wav\t天 tian1\nSSB00070002.wav\t天 tian1 气 qi4\n"
INFO = "# speaker age gender accent\nSSB0005\tB\tfemale\tnorth\nSSB0009 B male south\nSSB0007 C female north\n"
LABELS = "# utterance|pinyin|text\nSSB00050001|guang3 zhou1 % nv3 $|广州%女$\n"


def corpus(folder, train=TRAIN, test=TEST, info=INFO, labels=LABELS):
    for name, text in (
        ("train/content.txt", train),
        ("test/content.txt", test),
        ("spk-info.txt", info),
        ("train/label_train-set.txt", labels),
    ):
        if text is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text.encode())
    return folder


def test_rows(tmp_path):
    rows = read_aishell3(corpus(tmp_path))
    assert [(r.utterance, r.path, r.speaker, r.gender, r.subset, r.line) for r in rows] == [
        ("SSB00050001", "train/wav/SSB0005/SSB00050001.wav", "SSB0005", "F", "train", 1),
        ("SSB00050002", "train/wav/SSB0005/SSB00050002.wav", "SSB0005", "F", "train", 2),
        ("SSB00090001", "train/wav/SSB0009/SSB00090001.wav", "SSB0009", "M", "train", 4),
        ("SSB00090002", "train/wav/SSB0009/SSB00090002.wav", "SSB0009", "M", "train", 5),
        ("SSB00070001", "test/wav/SSB0007/SSB00070001.wav", "SSB0007", "F", "test", 1),
        ("SSB00070002", "test/wav/SSB0007/SSB00070002.wav", "SSB0007", "F", "test", 2),
    ]
    assert {(r.label, r.language) for r in rows} == {("bonafide", "zh")}
    assert read("aishell3", tmp_path / "test") == rows[4:]
    assert [row.gender for row in read_aishell3(corpus(tmp_path / "bare", info=None))] == [None] * 6
    assert not check("aishell3", tmp_path).ok  # six utterances are not the corpus


def test_texts(tmp_path):
    texts = read_aishell3_texts(corpus(tmp_path))
    assert texts["SSB00050001"].text == "广州女"
    assert texts["SSB00050001"].pinyin == ("guang3", "zhou1", "nv3")
    assert texts["SSB00050001"].marked == "广州%女$"
    assert texts["SSB00070002"].marked is None


def test_manifest(tmp_path):
    rows = read_aishell3(corpus(tmp_path))
    for row in rows:
        (tmp_path / row.path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / row.path, np.sin(np.arange(8000) / 9).astype(np.float32), 44_100)
    cuts = to_manifest(rows, tmp_path, tmp_path / "cuts.jsonl").cuts
    assert [(cut.id, cut.custom["speaker"], cut.custom["label"]) for cut in cuts][:1] == [
        ("SSB00050001", "SSB0005", "bonafide")
    ]
    (tmp_path / rows[1].path).unlink()
    with pytest.raises(DataError, match=r"1 of 6 audio files.*\n.*line 2, SSB00050002"):
        to_manifest(rows, tmp_path, tmp_path / "cuts.jsonl")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"train": "SSB00050001.wav 广 guang3 州\n"}, "train/content.txt, line 1: expected a file, then pairs"),
        ({"train": "SSB00050001.wav guang3 广\n"}, "line 1: '广' where pinyin was expected"),
        ({"train": "P0001.wav 广 guang3\n"}, "line 1: 'P0001.wav'; expected a speaker and four digits"),
        ({"train": TRAIN + "SSB00050001.wav 广 guang3\n"}, "line 6: SSB00050001.wav was already in line 1"),
        ({"train": ""}, "content.txt is empty"),
        ({"test": "SSB00070001.wav 天 tian1\n"}, "cannot both enrol and be tested: SSB0007 (line 1 of test)"),
        ({"info": "SSB0005 B female north\n"}, "line 4: speaker SSB0009 is not in spk-info.txt"),
        ({"info": INFO.replace("male south", "m south")}, "spk-info.txt, line 3: gender 'm'"),
        ({"info": "SSB0005 B female\n"}, "spk-info.txt, line 1: expected speaker, age group"),
    ],
)
def test_broken(tmp_path, change, complaint):
    with pytest.raises(DataError) as caught:
        read_aishell3(corpus(tmp_path, **change))
    assert complaint in str(caught.value)


def test_missing(tmp_path):
    with pytest.raises(DataError, match=r"no protocol file; looked for content\.txt"):
        read_aishell3(tmp_path)
    with pytest.raises(DataError, match=r"label_train-set\.txt, line 1: expected utterance"):
        read_aishell3_texts(corpus(tmp_path, labels="SSB00050001 guang3\n"))
