"""Every hostile file has one right outcome, the same for reading, streaming and looking at the header."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from auricle.audio.check import code_of
from auricle.audio.files import blocks, decode, find_audio, probe, read, read_mono
from auricle.core.errors import AudioError
from tests.hostile import HostileCase, coded, make_hostile, speechlike


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[HostileCase]:
    return make_hostile(tmp_path_factory.mktemp("hostile"))


def outcome(call):
    try:
        return True, call()
    except AudioError as error:
        return False, str(error)


def test_there_are_many_of_both_kinds(cases):
    assert sum(not case.accept for case in cases) >= 30
    assert sum(case.accept for case in cases) >= 30


def test_read_accepts_and_refuses_as_decided(cases):
    for case in cases:
        accepted, result = outcome(lambda case=case: read(case.path))
        assert accepted == case.accept, f"{case}: {result}"
        if accepted:
            codes = [code_of(text).value for text in result.warnings]
            assert codes == ([case.reason] if case.reason else []), f"{case}: {result.warnings}"
            assert result.wave.dtype == np.float32
            assert np.isfinite(result.wave).all()
        else:
            assert case.reason in result, f"{case}: {result}"
            assert "\n" not in result


def test_probe_judges_headers_only(cases):
    for case in cases:
        accepted, result = outcome(lambda case=case: probe(case.path))
        assert accepted == case.probe_ok, f"{case}: {result}"


def test_blocks_and_read_mono_agree_with_read(cases):
    for case in cases:
        accepted, pieces = outcome(lambda case=case: [wave for _, wave in blocks(case.path, 0.5, 0.5, 16_000)])
        assert accepted == case.accept, f"{case}: {pieces}"
        if accepted:
            whole, rate_hz, _ = read_mono(case.path, 16_000)
            assert rate_hz == 16_000
            np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-5, err_msg=str(case.path))


def test_decode_judges_bytes_as_read_judges_files(cases):
    for case in cases:
        if not os.path.isfile(case.path):
            continue
        accepted, result = outcome(lambda case=case: decode(case.path.read_bytes(), case.path.suffix))
        assert accepted == case.accept, f"{case}: {result}"


def test_a_refused_file_is_named_on_one_line(tmp_path):
    path = tmp_path / "two\nlines.wav"
    path.write_bytes(b"nothing")
    with pytest.raises(AudioError, match=r"two\\nlines\.wav': not audio"):
        read(path)


def test_a_pipe_without_a_writer_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.g722")
    code = (
        "import sys; from auricle.audio.files import read; from auricle.core.errors import AudioError\n"
        "try: read(sys.argv[1])\nexcept AudioError: sys.exit(7)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "pipe.g722")], timeout=60, check=False)
    assert done.returncode == 7


def test_files_are_closed_again(cases):
    # the process that decodes odd files stays for the next one
    outcome(lambda: read(next(case.path for case in cases if case.path.name == "plain.aiff")))
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    for case in cases:
        outcome(lambda case=case: read(case.path))
        outcome(lambda case=case: probe(case.path))
    if before is None:
        pytest.skip("no /proc to count open files")
    assert len(os.listdir("/proc/self/fd")) <= before + 1


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".ogg", ".aiff", ".au"])
def test_random_damage_never_escapes_as_another_error(tmp_path, suffix):
    container = {".aiff": "AIFF", ".au": "AU"}.get(suffix, suffix[1:].upper())
    good = coded(speechlike(0.6), container=container)
    rng = np.random.default_rng(11)
    path = tmp_path / f"damaged{suffix}"
    for _ in range(40):
        damaged = bytearray(good)
        for position in rng.integers(0, min(len(damaged), 400), rng.integers(1, 12)):
            damaged[position] = int(rng.integers(256))
        path.write_bytes(bytes(damaged[: rng.integers(1, len(damaged) + 1)]))
        accepted, result = outcome(lambda: read(path))
        if accepted:
            assert np.isfinite(result.wave).all()
            assert result.wave.shape[1] >= 0.1 * result.rate_hz


def test_find_audio_lists_bad_files_too_and_leaves_out_foreign_ones(cases):
    folder = cases[0].path.parent
    found = find_audio([folder])
    names = {path.name for path in found}
    assert {"text.wav", "pipe.wav", "dangling.wav", "UPPER.WAV", "name\nwith newline.wav"} <= names
    assert not {"document.docx", "plain_with_odd_suffix.xyz", "directory.wav"} & names
    assert found == sorted(found)
