from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auricle.core.errors import DataError
from auricle.core.run import RunFolder
from auricle.data import fields
from auricle.data.cut_audio import fingerprint
from auricle.data.manifest import cut, from_csv, read, summary, validate, write

RATE = 8000


def tone(path, seconds=0.5, channels=1, rate_hz=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(int(seconds * rate_hz)) / rate_hz
    wave = 0.3 * np.sin(2 * np.pi * 440 * time_s)
    soundfile.write(path, np.stack([wave] * channels, axis=1), rate_hz)
    return path


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b", "c"):
        tone(tmp_path / "audio" / f"{name}.wav")
    return tmp_path


def table(folder, text, name="files.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_becomes_a_manifest(folder):
    csv = table(
        folder,
        "path,label,speaker,generator,text,language,split,synthetic,note\n"
        'audio/a.wav,bonafide,s1,,"Hello, you",en,train,false,x\n'
        "audio/b.wav,FAKE,s1,world,,,test,yes,\n"
        "\n"
        "audio/c.wav,Bona-Fide,s2,,,,dev,,\n",
    )
    found = from_csv(csv, folder / "m.jsonl")
    assert found.cuts == 3
    assert found.labels == {"bonafide": 2, "spoof": 1}
    assert found.speakers == {"s1": 2, "s2": 1}
    assert found.generators == {"world": 1}
    assert found.hours == pytest.approx(3 * 0.5 / 3600)
    assert found.dropped == ()
    cuts = list(read(folder / "m.jsonl"))
    assert [cut.id for cut in cuts] == ["audio/a.wav", "audio/b.wav", "audio/c.wav"]
    assert cuts[0].custom.pop(fields.FINGERPRINT) == fingerprint(folder / "audio" / "a.wav")
    assert cuts[0].custom == {
        "label": "bonafide",
        "speaker": "s1",
        "text": "Hello, you",
        "language": "en",
        "split": "train",
        "synthetic": False,
        "note": "x",
    }
    assert cuts[1].custom[fields.SYNTHETIC] is True
    supervision = cuts[0].supervisions[0]
    assert (supervision.text, supervision.speaker, supervision.language) == ("Hello, you", "s1", "en")
    assert validate(cuts) == []


def test_plain_lhotse_reads_it_and_its_audio(folder):
    from lhotse import CutSet

    csv = table(folder, "path,label,family\naudio/a.wav,1,vocoder\n")
    from_csv(csv, folder / "m.jsonl")
    plain = CutSet.from_file(folder / "m.jsonl").with_recording_path_prefix(folder)
    cut = next(iter(plain))
    assert cut.label == "bonafide"
    assert cut.custom["family"] == "vocoder"
    expected, _ = soundfile.read(folder / "audio" / "a.wav", dtype="float32")
    np.testing.assert_array_equal(cut.load_audio()[0], expected)


def audio_of(path):
    return [cut.recording.sources[0].source for cut in read(path)]


@pytest.mark.parametrize("run", ["run", "runs/seed-1"])  # the seeds of a run share its cache
def test_a_run_that_is_moved_finds_its_audio_and_never_the_old_places(folder, run):
    own, given = folder / "old" / run, folder / "audio" / "a.wav"
    made = tone(RunFolder(own).cache / "audio-1" / "a.wav")
    (own / "manifests").mkdir(parents=True)
    (own / "config.json").write_text("{}")
    write([cut("made", made, {}), cut("given", given, {})], own / "manifests" / "train.jsonl")
    assert audio_of(own / "manifests" / "train.jsonl") == [str(made), str(given)]
    assert str(folder / "old") not in (own / "manifests" / "train.jsonl").read_text()
    shutil.copytree(folder / "old", folder / "new")
    copied = str(made).replace("/old/", "/new/")
    assert audio_of(folder / "new" / run / "manifests" / "train.jsonl") == [copied, str(given)]
    shutil.rmtree(folder / "old")
    assert validate(read(folder / "new" / run / "manifests" / "train.jsonl").map(labelled)) == []


def labelled(one):
    one.custom = {fields.LABEL: fields.BONAFIDE}
    return one


def test_a_manifest_of_ones_own_has_relative_paths_below_its_folder_alone(folder):
    (folder / "manifests").mkdir()
    write([cut("a", folder / "audio" / "a.wav", {})], folder / "manifests" / "m.jsonl")
    assert f'"source": "{folder}/audio/a.wav"' in (folder / "manifests" / "m.jsonl").read_text()


@pytest.mark.parametrize("spelling", ["bonafide", "Bona-Fide", "REAL", "genuine", "1", "bona fide"])
def test_spellings_of_bonafide(folder, spelling):
    csv = table(folder, f"path,label\naudio/a.wav,{spelling}\n")
    assert from_csv(csv, folder / "m.jsonl").labels == {"bonafide": 1}


@pytest.mark.parametrize("spelling", ["spoof", "Fake", "0"])
def test_spellings_of_spoof(folder, spelling):
    csv = table(folder, f"path,label\naudio/a.wav,{spelling}\n")
    assert from_csv(csv, folder / "m.jsonl").labels == {"spoof": 1}


def test_every_bad_row_is_in_one_error(folder):
    (folder / "audio" / "text.wav").write_text("this is not audio at all, it is only words")
    csv = table(
        folder,
        "path,label,split,synthetic\n"
        "audio/a.wav,bonafide,,\n"
        "audio/none.wav,spoof,,\n"
        "audio/text.wav,spoof,,\n"
        "./audio/a.wav,spoof,,\n"
        "audio/b.wav,maybe,,\n"
        ",spoof,,\n"
        "audio/c.wav,spoof\n"
        "audio/c.wav,spoof,holdout,\n",
    )
    with pytest.raises(DataError) as error:
        from_csv(csv, folder / "m.jsonl")
    text = str(error.value)
    assert "7 of 8 rows" in text
    assert f"{csv}, line 3: audio/none.wav is not a file" in text
    assert "line 4:" in text
    assert "line 5: ./audio/a.wav stands in line 2 already" in text
    assert "line 6: label 'maybe'; expected one of bonafide" in text
    assert "line 7: the column path is empty" in text
    assert "line 8: 2 columns; expected 4" in text
    assert "line 9: split 'holdout'; expected one of train, dev, test" in text
    assert not (folder / "m.jsonl").exists()


def test_a_bad_value_of_synthetic_is_named(folder):
    csv = table(folder, "path,label,synthetic\naudio/a.wav,0,perhaps\n")
    with pytest.raises(DataError, match="synthetic 'perhaps'; expected one of true"):
        from_csv(csv, folder / "m.jsonl")


def test_only_twenty_problems_are_listed(folder):
    csv = table(folder, "path,label\n" + "".join(f"gone{n}.wav,spoof\n" for n in range(33)))
    with pytest.raises(DataError) as error:
        from_csv(csv, folder / "m.jsonl")
    text = str(error.value)
    assert "33 of 33 rows" in text
    assert "gone19.wav" in text
    assert "gone20.wav" not in text
    assert text.endswith("... and 13 more")


def test_keep_going_drops_and_names(folder):
    csv = table(folder, "path,label\naudio/a.wav,real\ngone.wav,fake\naudio/b.wav,fake\n")
    found = from_csv(csv, folder / "m.jsonl", keep_going=True)
    assert found.cuts == 2
    assert len(found.dropped) == 1
    assert "line 3: gone.wav" in found.dropped[0]
    assert len(list(read(folder / "m.jsonl"))) == 2


def test_keep_going_needs_one_good_row(folder):
    csv = table(folder, "path,label\ngone.wav,fake\n")
    with pytest.raises(DataError, match=r"no row that can be used; the first problem: .*gone\.wav"):
        from_csv(csv, folder / "m.jsonl", keep_going=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found nothing"),
        ("file,label\nx,1\n", "found file, label"),
        ("path,speaker\nx,1\n", "found path, speaker"),
        ("path,label,label\nx,1,1\n", "'label' stands there twice"),
        ("path,label,duration\nx,1,1\n", "'duration' cannot become a field"),
        ("path,label,my column\nx,1,1\n", "'my column' cannot become a field"),
        ("path,label\n", "no row that can be used"),
        ('path,label\n"a.wav,1\n', "not CSV"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        from_csv(table(tmp_path, text), tmp_path / "m.jsonl")


def test_missing_folder_and_binary_tables(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        from_csv(tmp_path / "none.csv", tmp_path / "m.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        from_csv(tmp_path, tmp_path / "m.jsonl")
    (tmp_path / "x.csv").write_bytes(b"path,label\n\xff\xfe\x00,1\n")
    with pytest.raises(DataError, match="not text in UTF-8"):
        from_csv(tmp_path / "x.csv", tmp_path / "m.jsonl")


def test_a_byte_order_mark_is_no_part_of_the_header(folder):
    csv = folder / "bom.csv"
    csv.write_bytes(b"\xef\xbb\xbfpath,label\r\naudio/a.wav,1\r\n")
    assert from_csv(csv, folder / "m.jsonl").cuts == 1


def test_a_moved_folder_still_works(folder):
    csv = table(folder, "path,label\naudio/a.wav,1\n")
    from_csv(csv, folder / "m.jsonl")
    assert json.loads((folder / "m.jsonl").read_text())["recording"]["sources"][0]["source"] == "audio/a.wav"
    moved = folder.parent / (folder.name + "-moved")
    shutil.move(folder, moved)
    cut = next(iter(read(moved / "m.jsonl")))
    assert cut.recording.sources[0].source == str(moved / "audio" / "a.wav")
    assert validate([cut]) == []


def test_audio_elsewhere_keeps_an_absolute_path(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere")
    csv = table(folder, "path,label\naudio/a.wav,1\n")
    from_csv(csv, other / "m.jsonl")
    source = json.loads((other / "m.jsonl").read_text())["recording"]["sources"][0]["source"]
    assert source == str((folder / "audio" / "a.wav").resolve())


def test_stereo_becomes_a_cut_with_two_channels(tmp_path):
    tone(tmp_path / "s.wav", channels=2)
    from_csv(table(tmp_path, "path,label\ns.wav,spoof\n"), tmp_path / "m.jsonl")
    cut = next(iter(read(tmp_path / "m.jsonl")))
    assert cut.recording.num_channels == 2
    assert cut.custom["label"] == "spoof"


def test_validate_names_each_fault(folder):
    rows = "audio/a.wav,1,g1,train,\naudio/b.wav,1,g1,test,world\naudio/c.wav,0,g2,test,world\n"
    csv = table(folder, "path,label,speaker_group,split,generator\n" + rows)
    from_csv(csv, folder / "m.jsonl")
    cuts = list(read(folder / "m.jsonl"))
    (folder / "audio" / "c.wav").unlink()
    cuts[2].custom["label"] = "unknown"
    cuts[0].custom["split"] = "extra"
    problems = validate([*cuts, cuts[1]])
    assert "audio/b.wav: the id occurs twice" in problems
    assert any(text.startswith("audio/c.wav") and text.endswith("is not a file") for text in problems)
    assert "audio/c.wav: label 'unknown'; expected one of bonafide, spoof" in problems
    assert "audio/b.wav: bona fide, but made by 'world'" in problems
    assert "audio/a.wav: split 'extra'; expected one of train, dev, test" in problems
    assert "speaker group g1 is in several splits: extra, test" in problems


def test_validate_names_a_cut_without_audio():
    from lhotse import MonoCut

    cut = MonoCut(id="x", start=0.0, duration=1.0, channel=0, custom={"label": "spoof"})
    assert validate([cut]) == ["x: no audio file"]


def test_write_refuses_double_ids_and_other_suffixes(folder):
    from_csv(table(folder, "path,label\naudio/a.wav,1\n"), folder / "m.jsonl")
    cuts = list(read(folder / "m.jsonl"))
    with pytest.raises(DataError, match="two cuts have the id"):
        write(cuts + cuts, folder / "n.jsonl")
    assert not (folder / "n.jsonl").exists()
    with pytest.raises(DataError, match=r"ends in \.jsonl"):
        write(cuts, folder / "n.json")


@pytest.mark.parametrize("line", ['{"id": "x"}', '{"type": "MonoCut", "id": "x"}', "[1, 2]", '{"type": "Nothing"}'])
def test_read_names_the_bad_line(tmp_path, line):
    (tmp_path / "m.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=r"m\.jsonl, (entry|line) 1"):
        read(tmp_path / "m.jsonl")


def test_read_names_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "m.jsonl")


def test_a_recording_is_not_a_cut(folder):
    from lhotse import Recording

    row = {**Recording.from_file(folder / "audio" / "a.wav").to_dict(), "type": "Recording"}
    (folder / "r.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="expected a Lhotse cut"):
        read(folder / "r.jsonl")


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
values = st.one_of(words, st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False))
names = st.sampled_from([fields.GENERATOR, fields.FAMILY, fields.PAIR, fields.CHANNEL, fields.LICENCE, "listener_3"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(custom=st.dictionaries(names, values, max_size=6))
def test_custom_fields_survive_a_round_trip(folder, custom):
    from lhotse import CutSet, Recording

    cut = Recording.from_file(folder / "audio" / "a.wav").to_cut()
    cut.custom = dict(custom)
    write([cut], folder / "round.jsonl")
    assert (next(iter(read(folder / "round.jsonl"))).custom or {}) == custom
    assert (next(iter(CutSet.from_file(folder / "round.jsonl"))).custom or {}) == custom


def test_summary_takes_the_speaker_from_the_supervision(folder):
    from lhotse import Recording, SupervisionSegment

    cut = Recording.from_file(folder / "audio" / "a.wav").to_cut()
    cut.supervisions = [SupervisionSegment(id="s", recording_id=cut.recording.id, start=0, duration=0.5, speaker="z")]
    found = summary([cut])
    assert found.speakers == {"z": 1}
    assert found.labels == {"": 1}
