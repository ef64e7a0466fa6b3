"""A file whose header leaves its length open or has it wrong is read to its end, by every function alike."""

import io
import struct

import numpy as np
import pytest
import soundfile

from auricle.audio.check import Warn, code_of
from auricle.audio.files import blocks, probe, read, read_mono, scan
from auricle.audio.spliced import Spliced, edited
from tests.hostile import coded, speechlike
from tests.odd_audio import flac_claiming, set_bytes, wav_left_open, without_index

WAVE, SHORT = speechlike(6.0), speechlike(3.0, seed=5)
OTHER_RATE = speechlike(3.0, 8_000, seed=5)
JUNK = b"JUNK" + struct.pack("<I", 28) + bytes(28)
W64_RIFF, W64_DATA = 16, 104 - 8


def of(container, wave=WAVE, rate_hz=16_000, subtype=None):
    return coded(wave, rate_hz, container, subtype)


def length_at(data, name, skip):
    return data.index(name) + skip


def caf(value):
    data = of("CAF")
    return set_bytes(data, length_at(data, b"data", 4), struct.pack(">q", value))


def aiff_left_open():
    data = set_bytes(of("AIFF"), 4, bytes(4))
    data = set_bytes(data, length_at(data, b"COMM", 10), bytes(4))
    return set_bytes(data, length_at(data, b"SSND", 4), bytes(4))


def w64(value):
    data = of("W64")
    return set_bytes(data, length_at(data, b"data", 16), struct.pack("<Q", value))


def rf64(value):
    data = of("RF64")
    return set_bytes(data, length_at(data, b"ds64", 8), struct.pack("<QQ", value, value))


def agreed(path):
    """Read a file in every way; gives its samples and the codes of its warnings."""
    audio = read(path)
    frames = audio.wave.shape[1]
    assert probe(path).frames == frames
    assert probe(path).duration_s == frames / audio.rate_hz
    found = scan(path)
    assert (found.frames, found.warnings) == (frames, audio.warnings)
    assert sum(len(wave) for _, wave in blocks(path, 0.7, 0.7)) == frames
    assert len(read_mono(path)[0]) == frames
    return audio.wave, [code_of(text) for text in audio.warnings]


EXACT = {
    "killed.wav": (lambda: wav_left_open(WAVE), [Warn.LENGTH]),
    "killed_4088.wav": (lambda: wav_left_open(WAVE, 4088, JUNK), [Warn.LENGTH]),
    "killed_later.wav": (lambda: set_bytes(of("WAV"), 40, struct.pack("<I", 64_000)), [Warn.LENGTH]),
    "piped.wav": (lambda: set_bytes(of("WAV"), 40, b"\xff" * 4), []),
    "open.flac": (lambda: flac_claiming(of("FLAC"), 0), []),
    "less.flac": (lambda: flac_claiming(of("FLAC"), 8_000), [Warn.LENGTH]),
    "more.flac": (lambda: flac_claiming(of("FLAC"), 100_000), [Warn.TRUNCATED]),
    "open.caf": (lambda: caf(-1), []),
    "killed.caf": (lambda: caf(0), [Warn.LENGTH]),
    "killed.aiff": (aiff_left_open, [Warn.LENGTH]),
    "killed.au": (lambda: set_bytes(of("AU"), 8, bytes(4)), [Warn.LENGTH]),
    "piped.au": (lambda: set_bytes(of("AU"), 8, b"\xff" * 4), []),
    "killed.w64": (lambda: w64(0), [Warn.LENGTH]),
    "killed.rf64": (lambda: rf64(0), [Warn.LENGTH]),
    "piped.rf64": (lambda: rf64(2**64 - 1), []),
}


@pytest.mark.parametrize("name", EXACT)
def test_samples_behind_a_wrong_length_are_all_there(tmp_path, name):
    make, expected = EXACT[name]
    (tmp_path / name).write_bytes(make())
    wave, codes = agreed(tmp_path / name)
    assert codes == expected
    np.testing.assert_array_equal(wave, read_bytes(of("FLAC" if name.endswith("flac") else "WAV"))[None])


def read_bytes(data):
    return soundfile.read(io.BytesIO(data), dtype="float32")[0]


@pytest.mark.parametrize(
    ("container", "said"), [("W64", 192_000), ("RF64", 192_000), ("AIFF", 192_000), ("CAF", 192_000), ("NIST", 192_000)]
)
def test_a_cut_file_says_so(tmp_path, container, said):
    path, data = tmp_path / "cut", of(container)
    path.write_bytes(data[: len(data) // 3])
    wave, codes = agreed(path)
    assert codes == [Warn.TRUNCATED]
    assert f"{said} bytes" in read(path).warnings[0]
    np.testing.assert_array_equal(wave[0], read_bytes(of("WAV"))[: wave.shape[1]])
    assert 28_000 < wave.shape[1] < 32_000


@pytest.mark.parametrize("container", ["FLAC", "MP3", "OGG"])
def test_a_cut_stream_has_one_length_too(tmp_path, container):
    path, data = tmp_path / "cut", of(container)
    path.write_bytes(data[: len(data) * 6 // 10])
    assert agreed(path)[1] == [Warn.TRUNCATED]


def test_an_mp3_of_variable_rate_without_an_index_is_whole(tmp_path):
    quiet_first = np.concatenate([1e-4 * WAVE, WAVE])
    for name, wave in (("plain.mp3", WAVE), ("quiet_first.mp3", quiet_first)):
        indexed = of("MP3", wave)
        (tmp_path / name).write_bytes(without_index(indexed))
        found, codes = agreed(tmp_path / name)
        assert codes == []
        # whole frames of 576, with the 1105 samples before the sound that an index tells to leave out
        assert found.shape[1] % 576 == 0
        np.testing.assert_allclose(found[0, 1105 : 1105 + len(wave)], read_bytes(indexed), atol=1e-6)
    (tmp_path / "six_seconds.mp3").write_bytes(without_index(of("MP3")))
    assert probe(tmp_path / "six_seconds.mp3").frames == 97_344


def test_an_index_that_is_wrong_is_put_right(tmp_path):
    data = of("MP3")
    at = data.index(b"Xing")
    wrong = set_bytes(data, at + 8, struct.pack(">II", 60, 9_000))
    (tmp_path / "a.mp3").write_bytes(wrong)
    wave, codes = agreed(tmp_path / "a.mp3")
    assert codes == [Warn.LENGTH]
    np.testing.assert_allclose(wave[0], read_bytes(data), atol=1e-6)


def test_an_mp3_of_constant_rate_without_an_index_is_read_as_before(tmp_path):
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", 16_000, 1, format="MP3", bitrate_mode="CONSTANT", compression_level=0.5
    ) as out:
        out.write(SHORT)
    data = without_index(buffer.getvalue())
    (tmp_path / "a.mp3").write_bytes(data)
    wave, codes = agreed(tmp_path / "a.mp3")
    assert codes == []
    np.testing.assert_allclose(wave[0], read_bytes(data), atol=1e-6)


JOINED = {
    "a.mp3": [of("MP3"), of("MP3", SHORT)],
    "same.mp3": [of("MP3"), of("MP3")],
    "a.ogg": [of("OGG"), of("OGG", SHORT)],
    "same.ogg": [of("OGG"), of("OGG")],
    "a.opus": [of("OGG", subtype="OPUS"), of("OGG", SHORT, subtype="OPUS")],
    "a.wav": [of("WAV"), of("WAV", SHORT), of("WAV")],
    "a.flac": [of("FLAC"), of("FLAC", SHORT)],
}


@pytest.mark.parametrize("name", JOINED)
def test_joined_files_are_their_parts_one_after_another(tmp_path, name):
    (tmp_path / name).write_bytes(b"".join(JOINED[name]))
    wave, codes = agreed(tmp_path / name)
    assert codes == [Warn.STREAMS]
    parts = []
    for index, data in enumerate(JOINED[name]):
        part = tmp_path / f"{index}{name}"
        part.write_bytes(data)
        parts.append(read(part).wave)
    np.testing.assert_allclose(wave, np.concatenate(parts, axis=1), atol=1e-6)
    part = read(tmp_path / name, start_s=5.5, duration_s=1.0)
    np.testing.assert_allclose(part.wave, wave[:, 88_000:104_000], atol=1e-6)


def test_a_tag_between_joined_mp3s_is_no_sound(tmp_path):
    tag = b"ID3\x03\x00\x00" + bytes([0, 0, 0x40, 0]) + bytes(0x40 << 7)
    data = of("MP3")
    (tmp_path / "a.mp3").write_bytes(tag + data + tag + data)
    wave, codes = agreed(tmp_path / "a.mp3")
    assert codes == [Warn.STREAMS]
    assert wave.shape[1] == 2 * len(WAVE)


@pytest.mark.parametrize("container", ["OGG", "MP3"])
def test_a_stream_of_another_rate_is_left_out_and_said(tmp_path, container):
    path = tmp_path / "a"
    path.write_bytes(of(container) + of(container, OTHER_RATE, 8_000))
    wave, codes = agreed(path)
    assert codes == [Warn.STREAMS, Warn.LENGTH]
    assert wave.shape[1] == len(WAVE)


@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), bytes(512), b"LIST" + struct.pack("<I", 4) + b"INFO", b"x"])
def test_what_follows_the_samples_is_no_sound(tmp_path, tail):
    (tmp_path / "a.wav").write_bytes(of("WAV") + tail)
    wave, codes = agreed(tmp_path / "a.wav")
    assert (wave.shape[1], codes) == (len(WAVE), [])


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.opus", "a.aiff", "a.w64"])
def test_ordinary_files_keep_every_bit(tmp_path, name):
    container = {"opus": "OGG"}.get(name[2:], name[2:].upper())
    data = of(container, speechlike(3.0), 16_000, "OPUS" if name == "a.opus" else None)
    (tmp_path / name).write_bytes(data)
    wave, codes = agreed(tmp_path / name)
    assert codes == []
    # soundfile seeks before it reads, from where libmpg123 rounds otherwise
    np.testing.assert_allclose(wave[0], read_bytes(data), rtol=0, atol=1e-7 if name == "a.mp3" else 0)


def test_mpeg_in_blocks_is_silent_on_standard_error(tmp_path, capfd):
    (tmp_path / "a.mp3").write_bytes(of("MP3", np.tile(WAVE, 4)))
    read(tmp_path / "a.mp3")
    scan(tmp_path / "a.mp3")
    assert capfd.readouterr().err == ""


def test_a_spliced_file_reads_as_one_across_its_seams():
    below = io.BytesIO(bytes(range(200)))
    file = Spliced(below, [(10, 20), b"abc", 4, (0, 0), (50, 53)])
    whole = bytes(range(10, 20)) + b"abc" + bytes(4) + bytes(range(50, 53))
    assert file.read() == whole
    for start in range(len(whole) + 2):
        file.seek(start)
        assert file.read(5) == whole[start : start + 5]
    assert file.seek(-2, io.SEEK_END) == len(whole) - 2
    assert Spliced(below, edited(200, [(3, b"xy"), (0, b"z")])).read() == b"z\x01\x02xy" + bytes(range(5, 200))
