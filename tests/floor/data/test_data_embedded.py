from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest

from auricle.audio.files import Audio
from auricle.core.errors import ConfigError, DataError
from auricle.data import embedded

MAX_BYTES = 32 * 10**6
LICENCES = {
    "CC0-1.0",
    "CC-BY-3.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "MIT",
    "LicenseRef-Armelle",
    "LicenseRef-CC-BY-SA-3.0-IT",
    "LicenseRef-FOTAQ",
    "LicenseRef-PublicDomain",
}


@pytest.fixture(scope="module")
def clips():
    return embedded.clips()


@pytest.fixture(scope="module")
def decoded(clips):
    return {clip.id: clip.read() for clip in clips}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the table and of two files, in place of the corpus."""
    chosen = embedded.clips()[:2]
    for clip in chosen:
        (tmp_path / clip.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.file(), tmp_path / clip.path)
    rows = [{key: value for key, value in dataclasses.asdict(clip).items() if value != ""} for clip in chosen]
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(embedded.folder() / "hrtf", tmp_path / "hrtf")
    monkeypatch.setattr(embedded, "folder", lambda: tmp_path)
    embedded._table.cache_clear()
    embedded._by_id.cache_clear()
    yield tmp_path, chosen
    embedded._table.cache_clear()
    embedded._by_id.cache_clear()


def test_the_corpus_is_small_enough():
    total = sum(
        path.stat().st_size
        for path in embedded.folder().rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    assert 15 * 10**6 < total <= MAX_BYTES


def test_checksums_are_right():
    embedded.verify()


def test_no_file_is_without_a_row(clips):
    listed = {clip.path for clip in clips}
    lying = {
        path.relative_to(embedded.folder()).as_posix()
        for kind in embedded.KINDS
        for path in (embedded.folder() / kind).rglob("*")
        if path.is_file()
    }
    assert lying == listed


def test_ids_and_files_are_unique(clips):
    assert len({clip.id for clip in clips}) == len(clips)
    assert len({clip.sha256 for clip in clips}) == len(clips)


def test_every_clip_decodes_to_what_its_row_says(clips, decoded):
    for clip in clips:
        audio = decoded[clip.id]
        assert isinstance(audio, Audio)
        assert audio.rate_hz == clip.rate_hz, clip.id
        assert audio.wave.shape[1] / audio.rate_hz == pytest.approx(clip.duration_s, abs=0.06), clip.id
        assert np.isfinite(audio.wave).all()
        assert np.sqrt((audio.wave**2).mean()) > 1e-3, clip.id


def test_every_clip_names_author_licence_and_changes(clips):
    texts = {path.stem for path in (embedded.folder() / "LICENSES").iterdir()}
    for clip in clips:
        assert clip.author.strip(), clip.id
        assert clip.changes.strip(), clip.id
        assert set(clip.licence.split(" AND ")) <= LICENCES, clip.id
        assert set(clip.licence.split(" AND ")) <= texts, clip.id
        assert "GPL" not in clip.licence


def test_licence_texts_are_the_right_ones():
    folder = embedded.folder() / "LICENSES"
    needles = {
        "CC-BY-SA-3.0": "Attribution-ShareAlike 3.0 Unported",
        "CC-BY-3.0": "Attribution 3.0 Unported",
        "CC-BY-SA-4.0": "Attribution-ShareAlike 4.0 International",
        "CC0-1.0": "Statement of Purpose",
        "MIT": "Permission is hereby granted, free of charge",
        "LicenseRef-CC-BY-SA-3.0-IT": "http://www.voip.ammdomus.it",
        "LicenseRef-Armelle": "Copyright (C) 2006 Michel Gutierrez",
        "LicenseRef-FOTAQ": "You may modify the game as you wish",
        "LicenseRef-MIT-KEMAR": "Copyright 1994 by the MIT Media Laboratory",
        "LicenseRef-PublicDomain": "public domain",
    }
    assert {path.stem for path in folder.iterdir()} == set(needles)
    for stem, needle in needles.items():
        assert needle in (folder / f"{stem}.txt").read_text(encoding="utf-8"), stem


def test_the_readme_names_every_voice_and_the_address_that_its_author_asks_for():
    text = (embedded.folder() / "README.md").read_text(encoding="utf-8")
    assert "http://www.voip.ammdomus.it" in text
    assert "modified version" in text.lower()
    for name in ("Allison Smith", "June Wallack", "Carlo Flora", "Maxim Topal", "Marco Menardi", "Paola Dal Zot"):
        assert name in text
    for name in ("Armelle Desjardins", "John Passfield", "Paul Shuler", "Manolo Camp", "Reno Project", "Bill Gardner"):
        assert name in text
    for clip in embedded.clips():
        assert clip.package in text, clip.package
    for speaker in embedded.speakers():
        assert f"`{speaker}`" in text


def test_game_recordings_are_marked_as_modified(clips):
    game = [clip for clip in clips if clip.licence == "LicenseRef-FOTAQ"]
    assert game
    assert all("MODIFIED" in clip.changes for clip in game)


def test_every_voice_has_its_minutes():
    minutes = Counter()
    for clip in embedded.clips("speech"):
        if not clip.label:
            minutes[clip.speaker] += clip.duration_s / 60
    assert len(minutes) >= 18
    groups = embedded.speakers()
    per_group = Counter()
    for speaker, value in minutes.items():
        per_group[groups[speaker]] += value
        assert value > 0.9, speaker
    assert len(per_group) >= 13
    assert min(per_group.values()) >= 2.0
    professional = [speaker for speaker, group in groups.items() if group.startswith("p")]
    assert len(professional) == 7
    assert all(2.4 <= minutes[speaker] <= 3.0 for speaker in professional)


def test_sentences_have_a_useful_length():
    sentences = [clip for clip in embedded.clips("speech") if not clip.label]
    assert all(1.2 <= clip.duration_s <= 8.0 for clip in sentences)


def test_allison_is_one_person_in_two_languages():
    groups = embedded.speakers()
    assert groups["en-a"] == groups["es-a"]
    assert Counter(groups.values())[groups["fr-a"]] == 1
    assert groups["it-a"] != groups["it-b"]


def test_speech_rows_are_complete():
    for clip in embedded.clips("speech"):
        assert re.fullmatch(r"[a-z]{2}-[a-z]", clip.speaker)
        assert clip.speaker_group
        assert clip.language == clip.speaker[:2]
        assert clip.id.startswith(clip.speaker)
    for clip in embedded.clips("sound") + embedded.clips("music"):
        assert clip.label
        assert not clip.speaker
        assert not clip.language


def test_acted_text_fits_the_sound():
    acted = [clip for clip in embedded.clips("speech", "en") if clip.package == "flight-of-the-amazon-queen"]
    lengths = np.array([len(clip.text) for clip in acted])
    durations_s = np.array([clip.duration_s for clip in acted])
    assert len(acted) > 500
    assert np.corrcoef(lengths, durations_s)[0, 1] > 0.75  # a shifted join of text and sound has none
    assert np.corrcoef(lengths, np.roll(durations_s, 1))[0, 1] < 0.3
    assert all(re.fullmatch(r"[A-Za-z0-9 .,!?'\"-]+", clip.text) for clip in acted)
    per_speaker = Counter((clip.speaker, clip.text) for clip in acted)
    assert max(per_speaker.values()) == 1


def test_known_lines_are_there():
    by_source = {clip.source_path.rsplit("!", 1)[-1]: clip.text for clip in embedded.clips("speech", "en")}
    known = {
        "100007P3.SB": "Who are you?",
        "380020P3.SB": "I'm sorry Joe, but we'd never sell him!",
        "5700A4P1.SB": "Now you're just being silly!",
    }
    assert {entry: by_source.get(entry) for entry in known} == known


def test_digits_and_letters():
    words = defaultdict(dict)
    for clip in embedded.clips("speech"):
        if clip.label:
            words[clip.speaker][clip.label] = clip.text
    assert set(words) == {"en-a", "es-a", "fr-a", "fr-b", "it-a", "it-b", "ru-a"}
    for speaker, found in words.items():
        assert set("0123456789") <= set(found), speaker
        assert len(set("abcdefghijklmnopqrstuvwxyz") & set(found)) >= 24, speaker
        # the words themselves are certain in English only
        assert all(found.values()) == (speaker == "en-a")
    assert words["en-a"]["7"] == "seven"
    assert words["en-a"]["90"] == "ninety"
    assert words["en-a"]["x-ray"] == "x-ray"


def test_voices_of_a_language_share_few_prompts():
    prompts = defaultdict(set)
    for clip in embedded.clips("speech"):
        if clip.prompt:
            prompts[clip.speaker].add(clip.prompt)
    for a, b in (("it-a", "it-b"), ("fr-a", "fr-b")):
        assert len(prompts[a] & prompts[b]) <= 0.1 * len(prompts[a])
    assert len(prompts["en-a"] & prompts["es-a"]) > 20  # a cross-lingual pair of one person


def test_sounds_have_classes():
    counts = Counter(clip.label for clip in embedded.clips("sound"))
    assert len(counts) >= 20
    assert sum(count >= 5 for count in counts.values()) >= 15
    sources = defaultdict(set)
    for clip in embedded.clips("sound"):
        sources[clip.label].add(clip.package)
    assert sum(len(packages) >= 2 for packages in sources.values()) >= 8  # a test set from another package is possible


def test_music_is_cut_to_whole_seconds():
    tracks = [clip for clip in embedded.clips("music") if clip.label == "track"]
    assert len(tracks) == 20
    assert {clip.duration_s for clip in tracks} == {10.0}


def test_filters_and_their_errors(clips):
    assert [clip.id for clip in embedded.clips("music")] == [clip.id for clip in clips if clip.kind == "music"]
    assert {clip.language for clip in embedded.clips(language="it")} == {"it"}
    assert embedded.clips("sound", "it") == []
    with pytest.raises(ConfigError, match="kind 'noise' is not in the embedded corpus; use one of speech, sound"):
        embedded.clips("noise")
    with pytest.raises(ConfigError, match=r"language 'xx' .* en, es, fr, it, ru"):
        embedded.clips(language="xx")


def test_one_clip_by_id(clips):
    assert embedded.clip(clips[7].id) == clips[7]
    with pytest.raises(DataError, match="has no clip 'nothing'"):
        embedded.clip("nothing")


def test_overview_counts_every_clip(clips):
    table = embedded.overview()
    assert sum(int(row[3]) for row in table) == len(clips)
    assert {row[0] for row in embedded.overview("music")} == {"music"}


def test_the_hrtf_set_is_kemar():
    h5py = pytest.importorskip("h5py")
    with h5py.File(embedded.hrtf_path()) as sofa:
        assert sofa["Data.IR"].shape == (710, 2, 512)
        assert sofa["Data.SamplingRate"][0] == 44100


def test_verify_names_a_changed_file(copy):
    folder, chosen = copy
    embedded.verify()
    data = bytearray((folder / chosen[1].path).read_bytes())
    data[10] ^= 1
    (folder / chosen[1].path).write_bytes(data)
    with pytest.raises(DataError, match=rf"{re.escape(chosen[1].path)} has changed \(1 of 3 files\)"):
        embedded.verify()


def test_verify_names_a_missing_file(copy):
    folder, _ = copy
    (folder / "hrtf" / "MIT_KEMAR_normal_pinna.sofa").unlink()
    with pytest.raises(DataError, match=r"MIT_KEMAR_normal_pinna\.sofa is missing"):
        embedded.verify()


def test_a_row_with_an_unknown_field_is_refused(copy):
    folder, _ = copy
    rows = (folder / "clips.jsonl").read_text().splitlines()
    rows[1] = json.dumps({**json.loads(rows[1]), "mood": "happy"})
    (folder / "clips.jsonl").write_text("\n".join(rows))
    with pytest.raises(DataError, match="line 2: unknown field 'mood'"):
        embedded.clips()


def test_export_writes_audio_manifest_and_credits(copy, tmp_path_factory):
    from auricle.data.manifest import read

    folder, chosen = copy
    (folder / "LICENSES").mkdir()
    (folder / "LICENSES" / "MIT.txt").write_text("text")
    (folder / "README.md").write_text("readme")
    target = tmp_path_factory.mktemp("out") / "corpus"
    assert "2 clips as FLAC" in embedded.export(target)
    cuts = list(read(target / "clips.jsonl"))
    assert [cut.id for cut in cuts] == [clip.id for clip in chosen]
    from auricle.audio.files import read as read_audio

    for cut, clip in zip(cuts, chosen, strict=True):
        wave = read_audio(cut.recording.sources[0].source).wave
        np.testing.assert_allclose(wave, clip.read().wave, atol=1 / 32768)
        assert cut.custom["author"] == clip.author
    assert (target / "LICENSES" / "MIT.txt").is_file()
    (target.parent / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        embedded.export(target.parent / "file")


def test_looking_at_the_corpus_loads_nothing_heavy():
    code = (
        "import sys; from auricle.data import embedded, fields, manifest; embedded.clips(); "
        "print([name for name in ('torch', 'lhotse', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
