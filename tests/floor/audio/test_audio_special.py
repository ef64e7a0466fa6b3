"""Names and things that are no ordinary files, and disks that are full."""

import errno
import os
import socket
import stat
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
import soundfile

from auricle.audio import channel
from auricle.audio.files import blocks, find_audio, left_out, located, probe, read, read_mono, scan, write
from auricle.core.errors import AudioError, AuricleError, DataError
from tests.hostile import speechlike

OPENERS = (read, probe, scan, read_mono, lambda path: list(blocks(path, 1.0, 1.0)))


def refused(path, words):
    for function in OPENERS:
        with pytest.raises(AudioError, match=words):
            function(path)


def test_urls_are_not_fetched():
    for url in ("https://example.com/a.wav", "http://example.com/a.mp3", "file:///a.wav", "s3://bucket/a.flac"):
        refused(url, "URLs are not fetched; download the file")
        with pytest.raises(AudioError, match="URLs are not fetched"):
            find_audio([url])


def test_a_file_whose_name_looks_like_a_url_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("https:/example.com")
    write("https:/example.com/a.wav", speechlike(), 16_000)
    assert read("https://example.com/a.wav").duration_s == 1.0
    assert len(find_audio(["https://example.com/a.wav"])) == 1


def test_loops_long_names_and_zeros_are_refused_by_name(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / "b.wav")
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    long = tmp_path / ("x" * 300 + ".wav")
    for path, words in ((tmp_path / "a.wav", "symbolic links"), (long, "too long"), (f"{tmp_path}/a\0.wav", "null")):
        refused(path, words)
        with pytest.raises(AudioError, match=words):
            find_audio([path])


def test_pipes_sockets_and_devices_are_refused_without_a_wait(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.wav")
    os.mkfifo("pipe.m4a")
    refused(tmp_path / "pipe.wav", "not a regular file")
    refused(tmp_path / "pipe.m4a", "not a regular file")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket.wav")
        refused(tmp_path / "socket.wav", "cannot be opened")
    refused("/dev/zero", "not a regular file")
    refused("/dev/null", "not a regular file")
    assert [path.name for path in find_audio(tmp_path)] == ["pipe.m4a", "pipe.wav", "socket.wav"]
    os.mkfifo("pipe.bin")
    assert left_out(tmp_path) == []


def test_a_name_that_is_no_utf8_is_answered_and_shown_on_one_line(tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"not-utf8-\xe9.wav")
    try:
        open(path, "wb").close()
    except OSError:
        pytest.skip("this file system refuses such names")
    write(os.fsdecode(path), speechlike(), 16_000)
    (found,) = find_audio(tmp_path)
    for function in OPENERS:
        function(found)
    found.write_bytes(b"")
    with pytest.raises(AudioError) as caught:
        read(found)
    assert str(caught.value).encode("utf-8").decode() == str(caught.value)
    assert r"not-utf8-\udce9.wav" in str(caught.value)


@pytest.mark.parametrize("there", ["NFC", "NFD"])
def test_composed_and_decomposed_names_are_both_found(tmp_path, there):
    name = "Aufnahme schön é.wav"
    folder = tmp_path / unicodedata.normalize(there, "Gespräche")
    folder.mkdir()
    write(folder / unicodedata.normalize(there, name), speechlike(), 16_000)
    for form in ("NFC", "NFD"):
        asked = tmp_path / unicodedata.normalize(form, "Gespräche") / unicodedata.normalize(form, name)
        assert read(asked).duration_s == 1.0
        assert find_audio([asked]) == [folder / unicodedata.normalize(there, name)]
        assert os.path.exists(located(asked))
        assert len(find_audio([asked.parent])) == 1
    missing = tmp_path / "fehlt ü.wav"
    assert located(missing) == missing
    refused(missing, "No such file")


def test_of_two_names_that_look_alike_the_one_that_was_asked_for_is_read(tmp_path):
    composed, decomposed = (tmp_path / unicodedata.normalize(form, "ö.wav") for form in ("NFC", "NFD"))
    write(composed, speechlike(1.0), 16_000)
    write(decomposed, speechlike(2.0), 16_000)
    if read(composed).duration_s != 1.0:
        pytest.skip("this file system takes both for one name")
    assert read(decomposed).duration_s == 2.0


@pytest.mark.skipif(not hasattr(os, "SEEK_DATA"), reason="holes cannot be told here")
@pytest.mark.parametrize("name", ["a.g722", "a.rf64", "a.wav", "a.mp3", "a.flac", "a.ogg"])
def test_a_file_of_holes_is_refused_at_once(tmp_path, name):
    path = tmp_path / name
    soundfile.write(path, speechlike(), 16_000, format="WAV")
    os.truncate(path, 100 << 30)
    if path.stat().st_blocks * 512 > 1 << 30:
        pytest.skip("this file system has no holes")
    refused(path, r"only \d+ were ever written; the rest are holes")


def test_holes_in_a_file_that_was_written_are_silence(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.concatenate([speechlike(), np.zeros(160_000)]), 16_000, subtype="PCM_16")
    with open(path, "r+b") as handle:
        handle.truncate(40_000)
        handle.truncate(352_044)
    assert read(path).duration_s == 11.0


def test_a_full_disk_is_called_a_full_disk(tmp_path, monkeypatch):
    write(tmp_path / "a.flac", speechlike(), 16_000)
    before = (tmp_path / "a.flac").read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"a\.flac: no space left on the disk"):
        write(tmp_path / "a.flac", speechlike(seed=2), 16_000)
    assert os.listdir(tmp_path) == ["a.flac"]
    assert (tmp_path / "a.flac").read_bytes() == before


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".opus"])
def test_a_file_that_the_system_cuts_short_is_no_refused_format(tmp_path, suffix):
    script = (
        "import resource, sys\nimport numpy as np\nfrom auricle.audio.files import write\n"
        "from auricle.core.errors import DataError\nresource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))\n"
        "wave = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000)\n"
        "try:\n    write(sys.argv[1], wave, 16_000)\n"
        "except DataError as error:\n    print(error)\n"
    )
    path = tmp_path / f"a{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert f"a{suffix}: cannot be written: " in done.stdout
    assert os.listdir(tmp_path) == []


def test_a_folder_that_takes_no_files_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(AuricleError, match=r"a\.wav: cannot be written"):
        write(tmp_path / "file" / "a.wav", speechlike(), 16_000)


def test_written_files_have_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.wav", speechlike(), 16_000)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.wav").stat().st_mode) == 0o640


def test_no_python_runs_below_libsndfile_where_it_writes(tmp_path, monkeypatch):
    def never(*args):
        raise AssertionError("libsndfile was given functions of Python's")

    monkeypatch.setattr(soundfile.SoundFile, "_init_virtual_io", never)
    write(tmp_path / "a.ogg", speechlike(), 16_000)
    for name in ("mp3", "opus", "gsm", "mu_law"):
        assert channel.apply(name, speechlike(), 16_000, np.random.default_rng(0)).shape == (16_000,)
