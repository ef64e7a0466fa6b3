"""Readers of the ASVspoof corpora on files in their real formats, quirks and breakages included."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.data.protocols import (
    PROTOCOLS,
    ProtocolRow,
    read,
    read_asvspoof5,
    read_asvspoof2019_la,
    read_asvspoof2021_df,
    read_asvspoof2021_la,
    read_asvspoof2021_trials,
)

# a byte order mark, CRLF, empty lines, a trailing space, tabs, a last line without an end
TRAIN_2019 = (
    "\ufeffLA_0079 LA_T_1138215 - - bonafide\r\n"
    "LA_0079 LA_T_1271820 - - bonafide \r\n"
    "\r\n"
    "LA_0080\tLA_T_2406511\t-\tA01\tspoof\r\n"
    "   \n"
    "LA_0090   LA_T_1004644 - A06 spoof"
)
LA_2021 = (
    "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval\n"
    "LA_0020 LA_E_7294490 g722 loc_tx bonafide bonafide notrim eval\r\n"
    "LA_0014\tLA_E_1000001\tnone\tmad_tx\t-\tbonafide\tnotrim\tprogress  \n"
    "\n"
    "LA_0014 LA_E_1000002 opus sin_tx A19 spoof trim hidden\n"
)
# ragged after the eighth column
DF_2021 = (
    "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -\n"
    "TEF2 DF_E_2000013 low_m4a vcc2020 Task1-team20 spoof notrim eval neural_vocoder_nonautoregressive "
    "Task1 team20 FF E\n"
    "TGF1 DF_E_2000024 mp3m4a vcc2020 Task2-team12 spoof notrim eval traditional_vocoder Task2 team12 FF G \r\n"
    "VCC2TM2 DF_E_2000030 high_ogg vcc2018 - bonafide notrim eval bonafide\n"
    "LA_0023 DF_E_2000031 oggm4a asvspoof bonafide bonafide trim hidden\n"
    "VCC2SF1 DF_E_2000032 low_mp3 vcc2018 HUB-B01 spoof notrim eval unknown HUB - MF - and more\n"
)
EVAL_5 = (
    "E_0001 E_0000000000 F C01 1 E_0000000009 AC1 A17 spoof -\n"
    "E_0002\tE_0000000001\tM\t-\t0\t-\t-\tbonafide\tbonafide\t-\r\n"
    "\n"
    "E_0003 E_0000000002 F C11 8 E_0000000008 AC2 A32 spoof - \n"
)


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return file


def test_2019_file_with_its_quirks(tmp_path):
    rows = read_asvspoof2019_la(written(tmp_path, "ASVspoof2019.LA.cm.train.trn.txt", TRAIN_2019))
    assert [row.utterance for row in rows] == ["LA_T_1138215", "LA_T_1271820", "LA_T_2406511", "LA_T_1004644"]
    assert [row.line for row in rows] == [1, 2, 4, 6]
    assert rows[0] == ProtocolRow(
        corpus="asvspoof2019_la",
        utterance="LA_T_1138215",
        path="ASVspoof2019_LA_train/flac/LA_T_1138215.flac",
        label="bonafide",
        line=1,
        speaker="LA_0079",
        subset="train",
    )
    assert (rows[2].label, rows[2].attack, rows[2].speaker) == ("spoof", "A01", "LA_0080")


@pytest.mark.parametrize("folder", ["", "ASVspoof2019_LA_cm_protocols/", "LA/ASVspoof2019_LA_cm_protocols/"])
def test_2019_folder_joins_its_parts(tmp_path, folder):
    written(tmp_path, f"{folder}ASVspoof2019.LA.cm.eval.trl.txt", "LA_0031 LA_E_5932896 - A13 spoof\n")
    written(tmp_path, f"{folder}ASVspoof2019.LA.cm.dev.trl.txt", "LA_0069 LA_D_1047731 - - bonafide\n")
    rows = read_asvspoof2019_la(tmp_path)
    assert [(row.subset, row.path) for row in rows] == [
        ("dev", "ASVspoof2019_LA_dev/flac/LA_D_1047731.flac"),
        ("eval", "ASVspoof2019_LA_eval/flac/LA_E_5932896.flac"),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("\n \r\n", "is empty"),
        ("LA_0079 LA_T_1 - bonafide\n", "line 1: 4 columns; expected 5"),
        ("LA_0079 LA_T_1 - - bonafide\nLA_0079 LA_T_2 - A01 spoof extra\n", "line 2: 6 columns; expected 5"),
        ("LA_0079 LA_T_1 - - genuine\n", "line 1: label 'genuine'; expected bonafide"),
        ("LA_0079 LA_T_1 - - BONAFIDE\n", "line 1: label 'BONAFIDE'"),
        ("LA_0079 LA_T_1 - - -\n", "line 1: label '-'"),
        ("LA_0079 LA_T_1 - - bonafide\n\nLA_0080 LA_T_1 - A01 spoof\n", "line 3: LA_T_1 was already in line 1"),
        ("LA_0079 LA_T_1 - A01 bonafide\n", "line 1: bona fide speech with the attack 'A01'"),
        ("LA_0079 LA_T_1 - - spoof\n", "line 1: a spoof without an attack"),
        ("LA_0079 DF_E_1 - - bonafide\n", "line 1: utterance 'DF_E_1'; expected a name that starts with LA_T_ or"),
        ("LA_0079 - - - bonafide\n", "line 1: utterance '-'"),
    ],
)
def test_2019_broken_files(tmp_path, text, complaint):
    file = written(tmp_path, "ASVspoof2019.LA.cm.train.trn.txt", text)
    with pytest.raises(DataError) as caught:
        read_asvspoof2019_la(file)
    assert complaint in str(caught.value)
    assert str(file) in str(caught.value)


def test_the_same_utterance_in_two_files_is_named_with_both(tmp_path):
    for name in ("ASVspoof2019.LA.cm.train.trn.txt", "ASVspoof2019.LA.cm.dev.trl.txt"):
        written(tmp_path, name, "LA_0079 LA_T_1 - - bonafide\n")
    with pytest.raises(DataError, match=r"dev.trl.txt, line 1: LA_T_1 was already in .*train.trn.txt, line 1"):
        read_asvspoof2019_la(tmp_path)


def test_2021_la_with_its_quirks(tmp_path):
    rows = read_asvspoof2021_la(written(tmp_path, "keys/LA/CM/trial_metadata.txt", LA_2021))
    assert [(r.codec, r.transmission, r.attack, r.label, r.trim, r.subset) for r in rows] == [
        ("alaw", "ita_tx", "A07", "spoof", "notrim", "eval"),
        ("g722", "loc_tx", None, "bonafide", "notrim", "eval"),
        ("none", "mad_tx", None, "bonafide", "notrim", "progress"),
        ("opus", "sin_tx", "A19", "spoof", "trim", "hidden"),
    ]
    assert rows[0].path == "ASVspoof2021_LA_eval/flac/LA_E_9332881.flac"
    assert read_asvspoof2021_la(tmp_path) == rows


def test_2021_df_takes_ragged_lines(tmp_path):
    rows = read_asvspoof2021_df(written(tmp_path, "DF-keys-full/keys/DF/CM/trial_metadata.txt", DF_2021))
    assert [(r.codec, r.source, r.attack, r.vocoder) for r in rows] == [
        ("nocodec", "asvspoof", "A14", "traditional_vocoder"),
        ("low_m4a", "vcc2020", "Task1-team20", "neural_vocoder_nonautoregressive"),
        ("mp3m4a", "vcc2020", "Task2-team12", "traditional_vocoder"),
        ("high_ogg", "vcc2018", None, None),
        ("oggm4a", "asvspoof", None, None),
        ("low_mp3", "vcc2018", "HUB-B01", "unknown"),
    ]
    assert [(r.task, r.team, r.gender_pair, r.language) for r in rows] == [
        (None, None, None, None),
        ("Task1", "team20", "FF", "en"),
        ("Task2", "team12", "FF", "de"),
        (None, None, None, None),
        (None, None, None, None),
        ("HUB", None, "MF", None),
    ]
    assert [r.subset for r in rows] == ["progress", "eval", "eval", "eval", "hidden", "eval"]
    assert read_asvspoof2021_df(tmp_path) == rows


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("LA_0009 LA_E_1 alaw ita_tx A07 spoof notrim\n", "line 1: 7 columns; expected 8"),
        ("LA_0009 LA_E_1 alaw ita_tx A07 spoof notrim eval x\n", "line 1: 9 columns; expected 8"),
        ("LA_0009 LA_E_1 alaw ita_tx A07 fake notrim eval\n", "line 1: label 'fake'"),
        ("LA_0009 LA_E_1 alaw ita_tx A07 spoof cut eval\n", "line 1: trim 'cut'; expected one of notrim, trim"),
        ("LA_0009 LA_E_1 alaw ita_tx A07 spoof trim test\n", "line 1: subset 'test'; expected one of progress, eval"),
        ("LA_0023 DF_E_1 nocodec asvspoof A14 spoof notrim eval\n", "expected a name that starts with LA_E_"),
        (
            LA_2021 + "LA_0009 LA_E_9332881 pstn ita_tx A07 spoof notrim eval\n",
            "line 6: LA_E_9332881 was already in line 1",
        ),
    ],
)
def test_2021_la_broken_files(tmp_path, text, complaint):
    file = written(tmp_path, "trial_metadata.txt", text)
    with pytest.raises(DataError) as caught:
        read_asvspoof2021_la(file)
    assert complaint in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("LA_0023 DF_E_1 nocodec asvspoof A14 spoof notrim\n", "line 1: 7 columns; expected at least 8"),
        ("LA_0023 DF_E_1 nocodec asvspoof A14 maybe notrim eval\n", "line 1: label 'maybe'"),
        ("LA_0023 DF_E_1 nocodec asvspoof A14 bonafide notrim eval\n", "bona fide speech with the attack 'A14'"),
        ("LA_0023 DF_E_1 nocodec A14 spoof notrim eval vocoder -\n", "line 1: label 'notrim'"),
        ("LA_0009 LA_E_1 alaw ita_tx A07 spoof notrim eval\n", "expected a name that starts with DF_E_"),
        (DF_2021 + DF_2021, "line 7: DF_E_2000011 was already in line 1"),
    ],
)
def test_2021_df_broken_files(tmp_path, text, complaint):
    with pytest.raises(DataError) as caught:
        read_asvspoof2021_df(written(tmp_path, "trial_metadata.txt", text))
    assert complaint in str(caught.value)


def test_2021_trial_lists_have_no_labels(tmp_path):
    file = written(tmp_path, "ASVspoof2021.DF.cm.eval.trl.txt", "DF_E_2000011\r\n\r\nDF_E_2000013 \n")
    rows = read_asvspoof2021_trials(file)
    assert [(r.utterance, r.label, r.corpus) for r in rows] == [
        ("DF_E_2000011", None, "asvspoof2021_df"),
        ("DF_E_2000013", None, "asvspoof2021_df"),
    ]
    assert rows[0].path == "ASVspoof2021_DF_eval/flac/DF_E_2000011.flac"
    assert read_asvspoof2021_trials(tmp_path) == rows


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("LA_E_1\nLA_E_1\n", "line 2: LA_E_1 was already in line 1"),
        ("LA_E_1 bonafide\n", "line 1: 2 columns; expected 1"),
        ("LA_E_1\nDF_E_1\n", "line 2: DF_E_1; expected trials of one track"),
        ("PA_E_1\n", "line 1: utterance 'PA_E_1'"),
    ],
)
def test_2021_broken_trial_lists(tmp_path, text, complaint):
    with pytest.raises(DataError) as caught:
        read_asvspoof2021_trials(written(tmp_path, "ASVspoof2021.LA.cm.eval.trl.txt", text))
    assert complaint in str(caught.value)


def test_a_folder_with_both_trial_lists_is_not_guessed(tmp_path):
    for track in ("LA", "DF"):
        written(tmp_path, f"ASVspoof2021.{track}.cm.eval.trl.txt", f"{track}_E_1\n")
    with pytest.raises(DataError, match="both tracks"):
        read_asvspoof2021_trials(tmp_path)


def test_asvspoof5_with_its_quirks(tmp_path):
    written(tmp_path, "ASVspoof5_protocols/ASVspoof5.eval.track_1.tsv", EVAL_5)
    written(tmp_path, "ASVspoof5_protocols/ASVspoof5.train.tsv", "T_0001 T_0000000000 F - - - AC3 A05 spoof -\n")
    rows = read_asvspoof5(tmp_path)
    assert [(r.subset, r.path, r.label, r.attack) for r in rows] == [
        ("train", "flac_T/T_0000000000.flac", "spoof", "A05"),
        ("eval", "flac_E_eval/E_0000000000.flac", "spoof", "A17"),
        ("eval", "flac_E_eval/E_0000000001.flac", "bonafide", None),
        ("eval", "flac_E_eval/E_0000000002.flac", "spoof", "A32"),
    ]
    assert (rows[0].codec, rows[0].codec_quality, rows[0].attack_tag, rows[0].gender) == (None, None, "AC3", "F")
    assert (rows[1].codec, rows[1].codec_quality, rows[1].codec_seed) == ("C01", "1", "E_0000000009")
    assert (rows[2].codec, rows[2].codec_quality, rows[2].attack_tag) == (None, "0", None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("T_0001 T_1 F - - spoof -\n", "line 1: 7 columns; expected 10"),
        ("T_0001 T_1 X - - - AC3 A05 spoof -\n", "line 1: gender 'X'"),
        ("T_0001 T_1 F - - - AC3 A05 A05 -\n", "line 1: label 'A05'"),
        ("T_0001 T_1 F - - - AC3 - spoof -\n", "line 1: a spoof without an attack"),
        ("T_0001 T_1 F - - - - A05 bonafide -\n", "bona fide speech with the attack 'A05'"),
        ("LA_1 LA_T_1 F - - - AC3 A05 spoof -\n", "utterance 'LA_T_1'"),
        (EVAL_5 + EVAL_5, "line 5: E_0000000000 was already in line 1"),
    ],
)
def test_asvspoof5_broken_files(tmp_path, text, complaint):
    with pytest.raises(DataError) as caught:
        read_asvspoof5(written(tmp_path, "ASVspoof5.train.tsv", text))
    assert complaint in str(caught.value)


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_every_reader_says_what_it_looked_for(tmp_path, name):
    with pytest.raises(DataError, match="looked for"):
        read(name, tmp_path)
    with pytest.raises(DataError, match="nowhere"):
        read(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name != "dfadd"])
def test_every_reader_refuses_what_is_not_text(tmp_path, name):
    with pytest.raises(DataError, match="not text in UTF-8"):
        read(name, written_bytes(tmp_path))


def written_bytes(folder: Path) -> Path:
    file = folder / "trial_metadata.txt"
    file.write_bytes(b"fLaC\x00\xff\xfe\x80 spoof\n")
    return file


def test_an_unknown_corpus_is_refused_with_the_list():
    with pytest.raises(ConfigError, match="asvspoof2019_la, asvspoof2021_la"):
        read("asvspoof2017", "x")
