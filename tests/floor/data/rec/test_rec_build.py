"""The build of the large corpus, with tiny packages from a shelf in place of the archive."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import soundfile

from auricle.core.errors import AudioError, ConfigError, DataError
from auricle.core.files import read_json, read_jsonl
from auricle.data import rec
from auricle.data.rec import construction, parts, place, recording
from auricle.data.rec.apt import Apt
from auricle.data.rec.construction import build
from auricle.data.rec.recording import Recording, convert
from tests.floor.data.rec.debs import SOURCES, Shelf, sound

ROOT = Path(__file__).parents[4]
SCRIPT = """
import sys
from pathlib import Path
from tests.floor.data.rec.debs import SOURCES, Shelf
from auricle.data.rec import construction
construction._PART_BYTES = construction._BATCH_BYTES = 9_000
if __name__ == "__main__":
    construction.build(downloader=Shelf(Path(sys.argv[1])), workers=2, sources=SOURCES, folder=Path(sys.argv[2]),
                       say=lambda text: print(text, flush=True))
"""


@pytest.fixture
def corpus(built, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(built[1].parent))
    return built


def rows_of(folder: Path) -> dict[str, dict]:
    return {row["id"]: row for row in read_jsonl(folder / "clips.jsonl")}


def test_rows_say_what_the_packages_tell(built):
    summary, folder, said = built
    rows = rows_of(folder)
    assert len(rows) == summary.clips == 19
    keys = ("kind", "speaker", "speaker_group", "language", "text", "prompt", "label", "licence", "author", "version")
    told = {name: {key: row[key] for key in keys if key in row} for name, row in rows.items()}
    tux = {"licence": "GPL-2.0-only", "author": "Tux Paint", "version": "1:2.0-3"}
    volunteer = {"speaker": "ro-a", "speaker_group": "t-ro", "language": "ro", "text": "O pisică."}
    assert told["stamp-animals-cat-desc-ro"] == {"kind": "speech", **volunteer, **tux}
    # no volunteer is known for Lithuanian, and the file has no words of it
    assert told["stamp-animals-cat-desc-lt"] == {"kind": "speech", "language": "lt", **tux}
    # two volunteers read the French animals
    assert told["stamp-animals-cat-desc-fr"] == {"kind": "speech", "language": "fr", "text": "Un chat.", **tux}
    assert told["stamp-animals-cat-desc"] == {"kind": "speech", "language": "en", "text": "A cat.", **tux}
    # numbers were read by others
    assert told["stamp-symbols-math-7-ro"] == {"kind": "speech", "language": "ro", **tux}
    assert told["stamp-animals-cat"] == {"kind": "sound", "label": "animal", **tux}
    fish = told["fish-sound-ateam-cs-ate-v-ahoj"]
    assert (fish["speaker"], fish["speaker_group"], fish["text"]) == ("cs-b", "f-v", 'Ahoj "rybo".')
    assert told["fish-sound-ateam-cs-ate-x-bum"]["kind"] == "sound"
    assert (told["letters-de-alpha-c"]["text"], told["letters-de-alpha-c"]["speaker_group"]) == ("C", "k-de")
    assert (told["es-b-hola"]["prompt"], told["es-b-hola"]["speaker_group"]) == ("hola", "p7")
    assert told["es-b-digits-7"]["label"] == "7"
    assert "text" not in told["es-b-digits-7"]
    assert told["es-b-beep"]["kind"] == "sound"
    call, slick = told["lomiri-sounds-lomiri-ringtones-call-me"], told["lomiri-sounds-lomiri-notifications-slick"]
    assert (call["kind"], call["licence"], call["author"]) == ("music", "CC0-1.0", "2018, Ann")
    assert (slick["label"], slick["licence"], slick["author"]) == ("notification", "GPL-2.0-or-later", "2019, Bo")
    assert (folder / "LICENSES/lomiri-sounds/copyright").is_file()
    left_out = list(read_jsonl(folder / "left_out.jsonl"))
    assert [row["left_out"] for row in left_out] == ["stamp-animals-silent"]
    assert "0.1" in left_out[0]["reason"]
    assert said[0].startswith("fetching 6 packages")
    assert said[1] == "asterisk-prompt-es-co: unpacked"


def test_files_are_mono_at_no_more_than_16_khz_and_originals_stay(built):
    _, folder, _ = built
    rows = rows_of(folder)
    for row in rows.values():
        info = soundfile.info(folder / row["path"])
        assert (info.format, info.channels, info.samplerate) == ("FLAC", 1, row["rate_hz"])
        assert row["rate_hz"] == min(row["source_rate_hz"], 16_000)
        assert row["duration_s"] == pytest.approx(0.5, abs=0.03)
        assert bool(row["original"]) == (row["source_rate_hz"] > 16_000)
    stereo = rows["stamp-animals-cat-desc-ro"]
    assert (folder / stereo["original"]).read_bytes() == sound("cat_ro", channels=2)
    assert stereo["changes"] == "the louder channel taken, resampled from 44100 to 16000 Hz, recoded as 16-bit FLAC"
    wave, _ = soundfile.read(folder / stereo["path"])
    # the second channel, 0.2 * 1.5 loud; the mean of both would have 0.2
    assert abs(wave).max() == pytest.approx(0.3, abs=0.06)
    assert rows["es-b-hola"]["rate_hz"] == 8_000
    assert rows["es-b-hola"]["original"] == ""
    assert not (folder / "work").exists()


def test_a_conversion_keeps_the_samples(tmp_path):
    data = sound("x", 16_000, suffix=".wav")
    given = Recording("x", "sound", "usr/x.wav", ".wav", lambda: data, "A", "MIT")
    row = convert(given, "p", "1", tmp_path)
    before, _ = soundfile.read(recording.io.BytesIO(data), dtype="int16")
    after, _ = soundfile.read(tmp_path / row["path"], dtype="int16")
    assert (before == after).all()
    with pytest.raises(AudioError):
        convert(Recording("y", "sound", "y", ".wav", lambda: b"RIFFnothing", "A", "MIT"), "p", "1", tmp_path)


def test_clips_are_listed_like_those_of_the_embedded_corpus(corpus):
    summary, folder, _ = corpus
    speech = rec.clips("speech")
    assert {clip.kind for clip in speech} == {"speech"}
    assert len(rec.clips()) == summary.clips == rec.verify()
    assert {clip.language for clip in rec.clips(language="cs")} == {"cs"}
    one = rec.clip("stamp-animals-cat-desc-ro")
    assert (one.read().rate_hz, one.read_original().rate_hz) == (16_000, 44_100)
    assert one.read_original().wave.shape[0] == 2
    assert one.file() == folder / one.path
    assert rec.speakers()["cs-b"] == "f-v"
    with pytest.raises(ConfigError, match="kind 'noise' is not in the large corpus"):
        rec.clips("noise")
    with pytest.raises(ConfigError, match="use one of cs, de, en, es, fr, lt, ro"):
        rec.clips(language="xx")
    with pytest.raises(DataError, match="no clip 'nothing'"):
        rec.clip("nothing")


def test_a_complete_corpus_is_left_as_it_is(built, debs):
    shelf = Shelf(debs)
    said: list[str] = []
    again = build(downloader=shelf, sources=SOURCES, folder=built[1], say=said.append)
    assert again == built[0]
    assert shelf.fetched == []
    assert "is complete" in said[0]


def test_without_a_build_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"is not there.*auricle data build --profile rec"):
        rec.clips()
    (tmp_path / "rec").mkdir()
    with pytest.raises(DataError, match="is not complete"):
        rec.clips()


def test_damage_is_found(corpus, tmp_path, monkeypatch):
    shutil.copytree(corpus[1], tmp_path / "rec")
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    (tmp_path / "rec" / rec.clips("music")[0].path).write_bytes(b"x")
    with pytest.raises(DataError, match="has changed"):
        rec.verify()


def test_the_cache_is_never_inside_the_sources(monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(ROOT / "auricle" / "cache"))
    with pytest.raises(DataError, match="set AURICLE_CACHE to a folder outside"):
        rec.folder()
    monkeypatch.delenv("AURICLE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert place.corpus_folder() == Path("/somewhere/auricle/rec")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/x")
    assert place.corpus_folder() == Path("/home/x/.cache/auricle/rec")


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc to see the worker processes")
def test_killed_and_started_again_it_gives_the_same_rows(built, debs, tmp_path):
    folder = tmp_path / "rec"
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(debs), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    for moment in ("fillets-ng-data-cs", "part 2 of"):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        while not process.stdout.readline().startswith(moment):
            assert process.poll() is None
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert not (folder / ".completed").exists()
        assert workers
        until = time.monotonic() + 20
        while any(alive(pid) for pid in workers) and time.monotonic() < until:
            time.sleep(0.05)
        assert not any(alive(pid) for pid in workers)
    assert len(list((folder / "work/parts").glob("*.jsonl"))) >= 2
    broken = next(path for path in (folder / "speech").rglob("*.flac"))
    broken.write_bytes(broken.read_bytes()[:-10])  # as after a power cut
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert rows_of(folder) == rows_of(built[1])
    assert read_json(folder / ".completed")["built"] == read_json(built[1] / ".completed")["built"]


def complain() -> bool:
    os.write(2, b"a damaged frame\n")
    return signal.getsignal(signal.SIGINT) == signal.SIG_DFL


def test_a_converting_process_is_a_good_child_and_complains_to_a_file(tmp_path, capfd):
    begin = (str(tmp_path / "decoder.log"), os.getpid())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=parts.start_converter, initargs=begin) as pool:
        assert pool.submit(complain).result()
    assert (tmp_path / "decoder.log").read_text() == "a damaged frame\n"
    assert capfd.readouterr().err == ""


def test_a_package_that_is_there_is_not_fetched_again(debs, tmp_path):
    shelf = Shelf(debs)

    def stop(archive, target):
        if archive.package == "klettres-data":
            raise DataError("the line is down")

    shelf.before = stop
    with pytest.raises(DataError, match="the line is down"):
        build(downloader=shelf, workers=1, sources=SOURCES, folder=tmp_path / "rec")
    first = list(shelf.fetched)
    assert first == ["asterisk-prompt-es-co", "tuxpaint-stamps-default", "fillets-ng-data-cs", "fillets-ng-data"]
    shelf.before = lambda archive, target: None
    build(downloader=shelf, workers=1, sources=SOURCES, folder=tmp_path / "rec")
    assert shelf.fetched[len(first) :] == ["klettres-data", "lomiri-sounds"]


def test_a_damaged_package_is_refused_and_not_kept(debs, tmp_path):
    class Torn(Shelf):
        def fetch(self, archives, folder):
            for archive in archives:
                (folder / archive.file).write_bytes((self.folder / archive.file).read_bytes()[:-1] + b"?")

    with pytest.raises(DataError, match=r"not what the archive describes .*SHA-256"):
        build(downloader=Torn(debs), workers=1, sources=SOURCES[:1], folder=tmp_path / "rec")
    assert build(downloader=Shelf(debs), workers=1, sources=SOURCES[:1], folder=tmp_path / "rec").clips == 3

    class NoPackage(Shelf):
        def __init__(self, folder):
            super().__init__(folder)
            shutil.copy(next(debs.glob("asterisk*")), folder)
            next(folder.glob("*.deb")).write_bytes(b"this is no package")

    (tmp_path / "shelf").mkdir()
    with pytest.raises(DataError, match=r"asterisk.*cannot be unpacked"):
        build(downloader=NoPackage(tmp_path / "shelf"), workers=1, sources=SOURCES[:1], folder=tmp_path / "other")


def test_a_full_disk_is_said(debs, tmp_path, monkeypatch):
    def full(archive, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"disk of .* is full .*goes on from there"):
        build(downloader=Shelf(debs, full), workers=1, sources=SOURCES[:1], folder=tmp_path / "rec")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(construction.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"needs up to .* set AURICLE_CACHE"):
        build(downloader=Shelf(debs), workers=1, sources=SOURCES[:1], folder=tmp_path / "other")


def test_a_place_that_cannot_be_written_is_said(debs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        build(downloader=Shelf(debs), sources=SOURCES[:1], folder=tmp_path / "file" / "rec")


def test_two_builds_in_one_folder_are_refused(debs, tmp_path):
    def second(archive, target):
        with pytest.raises(DataError, match="another build is running"):
            build(downloader=Shelf(debs), sources=SOURCES[:1], folder=tmp_path / "rec")

    build(downloader=Shelf(debs, second), workers=1, sources=SOURCES[:1], folder=tmp_path / "rec")


def test_wrong_use_is_said(tmp_path):
    with pytest.raises(ConfigError, match="no profile 'tiny'; profiles: rec"):
        build("tiny", folder=tmp_path)
    with pytest.raises(ConfigError, match="0 workers"):
        build(workers=0, folder=tmp_path)


def fake_apt(folder: Path, script: str) -> None:
    for name, text in (("apt-get", script), ("dpkg-deb", "exit 0")):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)


def test_a_machine_without_apt_gets_the_other_ways(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"apt-get and dpkg-deb, not found.*--data embedded"):
        Apt().look_up(["klettres-data"])
    fake_apt(tmp_path, "exit 0")
    (tmp_path / "apt-get").unlink()
    with pytest.raises(DataError, match=r"made with apt-get, not found"):
        Apt().look_up(["klettres-data"])


def test_apt_without_package_lists_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    fake_apt(tmp_path, "echo 'E: Unable to locate package x' >&2; exit 100")
    with pytest.raises(DataError, match=r"no package lists. Run `apt-get update` as root.*E: Unable to locate"):
        Apt().look_up(["x"])
    line = f"'http://h/x_1%3a2-3_all.deb' x_1%3a2-3_all.deb 12 SHA256:{'a' * 64}"
    fake_apt(tmp_path, f'echo "{line}"')
    archive = Apt().look_up(["x"])["x"]
    assert (archive.version, archive.size, archive.sha256) == ("1:2-3", 12, "a" * 64)
    with pytest.raises(DataError, match="apt has no package y"):
        Apt().look_up(["x", "y"])
    fake_apt(tmp_path, "echo 'E: Failed to fetch http://h  404' >&2; exit 100")
    with pytest.raises(DataError, match=r"not all of x could be fetched: E: Failed to fetch.*goes on from here"):
        Apt().fetch([archive], tmp_path)


def test_the_marker_of_a_part_is_json(built):
    facts = json.loads((built[1] / ".completed").read_text())
    assert {row["package"] for row in facts["packages"]} == {*(source.package for source in SOURCES), "fillets-ng-data"}
    assert all(len(row["sha256"]) == 64 for row in facts["packages"])
