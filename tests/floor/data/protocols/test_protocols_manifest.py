"""Protocol rows become manifests, and counts are held against the published sizes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from auricle.audio.files import write
from auricle.core.errors import ConfigError, DataError
from auricle.core.seed import rng
from auricle.data import fields, manifest
from auricle.data.protocols import (
    PROTOCOLS,
    ProtocolRow,
    audio_path,
    check,
    read_asvspoof2021_df,
    read_asvspoof2021_trials,
    read_dfadd,
    to_manifest,
)
from auricle.data.protocols.asvspoof2019 import TRAIN_ATTACKS

DF = (
    "LA_0023 DF_E_1 nocodec asvspoof A14 spoof notrim eval traditional_vocoder - - - -\n"
    "VCC2TM2 DF_E_2 low_mp3 vcc2018 - bonafide trim hidden\n"
    "TEF2 DF_E_3 low_m4a vcc2020 Task1-team20 spoof notrim progress unknown Task1 team20 FF E\n"
)


def sound(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file, 0.1 * rng(0, file.name).standard_normal(4_000).astype(np.float32), 16_000)


@pytest.fixture
def rows(tmp_path: Path) -> list[ProtocolRow]:
    file = tmp_path / "trial_metadata.txt"
    file.write_text(DF)
    return read_asvspoof2021_df(file)


def test_what_the_protocol_says_stands_in_the_cut(tmp_path, rows):
    for name in ("DF_E_1", "DF_E_2", "DF_E_3"):
        sound(tmp_path / f"ASVspoof2021_DF_eval/flac/{name}.flac")
    made = to_manifest(rows, tmp_path, tmp_path / "df.jsonl", subset="all")
    assert made.summary.labels == {"bonafide": 1, "spoof": 2}
    assert made.summary.dropped == made.summary.notes == ()
    cuts = list(manifest.read(tmp_path / "df.jsonl"))
    assert [cut.id for cut in cuts] == [cut.id for cut in made.cuts] == ["DF_E_1", "DF_E_2", "DF_E_3"]
    assert manifest.validate(cuts) == []
    assert cuts[0].custom.pop(fields.FINGERPRINT).startswith("7013-")
    assert cuts[0].custom == {
        fields.LABEL: "spoof",
        fields.SYNTHETIC: True,
        fields.GENERATOR: "A14",
        fields.SPEAKER: "LA_0023",
        fields.CHANNEL: "nocodec",
        fields.SOURCE: "asvspoof",
        fields.SUBSET: "eval",
        fields.SPLIT: "test",
        fields.TRIM: "notrim",
        fields.VOCODER: "traditional_vocoder",
    }
    assert fields.GENERATOR not in cuts[1].custom
    assert cuts[1].custom[fields.SYNTHETIC] is False
    assert cuts[1].supervisions[0].speaker == "VCC2TM2"
    assert (cuts[2].custom[fields.TEAM], cuts[2].custom[fields.LANGUAGE]) == ("team20", "en")
    assert (cuts[0].sampling_rate, cuts[0].num_samples) == (16_000, 4_000)


def test_a_key_of_2021_is_its_eval_subset_unless_told_otherwise(tmp_path, rows):
    for name in ("DF_E_1", "DF_E_2", "DF_E_3"):
        sound(tmp_path / f"{name}.flac")
    subsets = {row.utterance: row.subset for row in rows}
    made = to_manifest(rows, tmp_path, tmp_path / "df.jsonl")
    assert [cut.id for cut in made.cuts] == [name for name, subset in subsets.items() if subset == "eval"]
    (note,) = made.summary.notes
    assert note.startswith("subset eval of the key: ")
    assert note in str(made.summary)
    only = to_manifest(rows, tmp_path, tmp_path / "df.jsonl", subset="progress")
    assert [cut.id for cut in only.cuts] == [name for name, subset in subsets.items() if subset == "progress"]
    with pytest.raises(ConfigError, match="asvspoof2021_df has no subset 'none'; it has "):
        to_manifest(rows, tmp_path, tmp_path / "df.jsonl", subset="none")


def test_a_trial_list_makes_cuts_without_labels(tmp_path):
    (tmp_path / "list.txt").write_text("LA_E_1\n")
    sound(tmp_path / "flac/LA_E_1.flac")
    made = to_manifest(read_asvspoof2021_trials(tmp_path / "list.txt"), tmp_path, tmp_path / "la.jsonl")
    (cut,) = made.cuts
    assert fields.LABEL not in cut.custom
    assert fields.SYNTHETIC not in cut.custom


def test_subsets_become_splits(tmp_path, rows):
    sound(tmp_path / "DF_E_1.flac")
    for subset, split in (("train", "train"), ("dev", "dev"), ("valid", "dev"), ("eval", "test"), ("hidden", "test")):
        row = dataclasses.replace(rows[0], subset=subset)
        (cut,) = to_manifest([row], tmp_path, tmp_path / "one.jsonl").cuts
        assert (cut.custom[fields.SUBSET], cut.custom[fields.SPLIT]) == (subset, split)


def test_audio_is_looked_for_from_the_top_down(tmp_path, rows):
    row = rows[0]
    assert audio_path(row, tmp_path) is None
    for place in ("DF_E_1.wav", "DF_E_1.flac", "flac/DF_E_1.flac", "ASVspoof2021_DF_eval/flac/DF_E_1.flac"):
        sound(tmp_path / place)
        assert audio_path(row, tmp_path) == tmp_path / place
    assert audio_path(dataclasses.replace(row, path=None), tmp_path) is None


def test_all_missing_and_unreadable_audio_is_named_in_one_error(tmp_path, rows):
    sound(tmp_path / "flac/DF_E_1.flac")
    (tmp_path / "flac/DF_E_3.flac").write_bytes(b"not audio at all")
    with pytest.raises(DataError) as caught:
        to_manifest(rows, tmp_path, tmp_path / "out.jsonl", subset="all")
    text = str(caught.value)
    assert "2 of 3 audio files of asvspoof2021_df" in text
    assert "line 2, DF_E_2: ASVspoof2021_DF_eval/flac/DF_E_2.flac is not there" in text
    assert "line 3, DF_E_3" in text
    assert not (tmp_path / "out.jsonl").exists()
    made = to_manifest(rows, tmp_path, tmp_path / "out.jsonl", missing_ok=True, subset="all")
    assert [cut.id for cut in made.cuts] == ["DF_E_1"]
    assert len(made.summary.dropped) == 2


def test_long_lists_of_missing_audio_are_cut(tmp_path, rows):
    many = [dataclasses.replace(rows[0], utterance=f"DF_E_{i}", path=f"DF_E_{i}.flac") for i in range(100, 150)]
    with pytest.raises(DataError, match=r"50 of 50 audio files(.|\n)*and 30 more"):
        to_manifest(many, tmp_path, tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="50 of 50"):
        to_manifest(many, tmp_path, tmp_path / "out.jsonl", missing_ok=True)


def test_no_rows_and_no_folder_are_refused(tmp_path, rows):
    with pytest.raises(DataError, match="no rows"):
        to_manifest([], tmp_path, tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="is not a folder"):
        to_manifest(rows, tmp_path / "nowhere", tmp_path / "out.jsonl")


def test_dfadd_finds_either_container(tmp_path):
    (tmp_path / "DATASET_GradTTS").mkdir()
    (tmp_path / "DATASET_GradTTS/test.txt").write_text("p1 a_GradTTS - - spoof\np1 a - - bonafide\n")
    sound(tmp_path / "DATASET_GradTTS/test/a_GradTTS.wav")
    sound(tmp_path / "DATASET_VCTK_BONAFIDE/test/a.wav")
    made = to_manifest(read_dfadd(tmp_path), tmp_path, tmp_path / "dfadd.jsonl")
    assert made.summary.generators == {"GradTTS": 1}
    assert made.summary.labels == {"bonafide": 1, "spoof": 1}


def protocol_2019(folder: Path, name: str, bonafide: int, each: int, attacks: tuple[str, ...] = TRAIN_ATTACKS) -> None:
    lines = [f"LA_0079 LA_T_{i} - - bonafide" for i in range(bonafide)]
    lines += [f"LA_0080 LA_T_{a}{i} - {a} spoof" for a in attacks for i in range(each)]
    (folder / name).write_text("\n".join(lines) + "\n")


def test_a_complete_part_is_as_published(tmp_path):
    protocol_2019(tmp_path, "ASVspoof2019.LA.cm.train.trn.txt", 2_580, 3_800)
    table = check("asvspoof2019_la", tmp_path)
    assert table.ok
    assert str(table) == "asvspoof2019_la: as published\nnot read: dev, eval"
    assert table.records()[:4] == [
        ("train", "bonafide", "2,580", "2,580", "ok"),
        ("train", "spoof", "22,800", "22,800", "ok"),
        ("train", "speakers", "2", "", ""),
        ("train", "A01", "3,800", "3,800", "ok"),
    ]


def test_what_is_off_is_said(tmp_path):
    protocol_2019(tmp_path, "ASVspoof2019.LA.cm.train.trn.txt", 2_579, 3_800, (*TRAIN_ATTACKS[:-1], "A42"))
    table = check("asvspoof2019_la", tmp_path)
    assert not table.ok
    assert table.problems == (
        "train: 2,579 bonafide, published are 2,580",
        "train: 0 A06, published are 3,800",
        "train: the attack A42 is none of A01 to A06",
    )
    assert ("train", "A42", "3,800", "", "") in table.records()
    assert ("train", "A06", "0", "3,800", "OFF") in table.records()


def test_missing_audio_is_counted(tmp_path, rows):
    sound(tmp_path / "flac/DF_E_1.flac")
    table = check("asvspoof2021_df", tmp_path / "trial_metadata.txt", tmp_path)
    assert table.problems[-1].startswith("2 of 3 audio files are not below")
    assert not any("audio" in problem for problem in check("asvspoof2021_df", tmp_path).problems)


def test_an_unknown_corpus_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no protocol 'x'"):
        check("x", tmp_path)


def test_published_sizes_are_consistent():
    sizes = {name: row.sizes for name, row in PROTOCOLS.items()}

    def total(corpus: str, what: str) -> int:
        return sum(part[what] for part in sizes[corpus].values())

    assert [sum(part[k] for k in ("bonafide", "spoof")) for part in sizes["asvspoof2019_la"].values()] == [
        25_380,
        24_844,
        71_237,
    ]
    assert total("asvspoof2021_la", "bonafide") + total("asvspoof2021_la", "spoof") == 181_566
    assert sum(sizes["asvspoof2021_la"]["eval"].values()) == 148_176
    assert (total("asvspoof2021_df", "bonafide"), total("asvspoof2021_df", "spoof")) == (22_617, 589_212)
    assert sum(sizes["in_the_wild"]["test"][k] for k in ("bonafide", "spoof")) == 31_779
    assert sizes["dfadd"]["test"]["bonafide"] + sizes["dfadd"]["test"]["spoof"] == 3_755
    for protocol in PROTOCOLS.values():
        for subset, part in protocol.sizes.items():
            attacks = [count for name, count in part.items() if name in protocol.attacks.get(subset, ())]
            assert not attacks or sum(attacks) == part["spoof"], (protocol.name, subset)
