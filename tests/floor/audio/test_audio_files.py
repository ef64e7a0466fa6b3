import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from G722 import G722

from auricle.audio.check import Warn, code_of
from auricle.audio.files import Audio, blocks, decode, find_audio, probe, read, read_mono, scan, write
from auricle.audio.resample import resample
from auricle.core.errors import AudioError
from tests.hostile import coded, speechlike


def codes(warnings):
    return [code_of(text) for text in warnings]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3"])
def test_written_files_read_back(tmp_path, name):
    wave = speechlike(1.0)
    assert write(tmp_path / name, wave, 16_000) == ()
    audio = read(tmp_path / name)
    assert (audio.rate_hz, audio.wave.shape, audio.duration_s) == (16_000, (1, 16_000), 1.0)
    if name in ("a.wav", "a.flac"):
        assert np.abs(audio.wave[0] - wave).max() <= 1 / 32768
    else:
        assert np.corrcoef(audio.wave[0], wave)[0, 1] > 0.97
    info = probe(tmp_path / name)
    assert (info.rate_hz, info.channels, info.frames, info.duration_s) == (16_000, 1, 16_000, 1.0)


def test_float_files_keep_every_bit_and_channels_keep_their_order(tmp_path):
    wave = np.stack([speechlike(0.5, seed=1), 3 * speechlike(0.5, seed=2)])
    assert write(tmp_path / "a.wav", wave, 48_000, "FLOAT") == ()
    audio = read(tmp_path / "a.wav")
    np.testing.assert_array_equal(audio.wave, wave)
    assert probe(tmp_path / "a.wav").format == "WAV/FLOAT"
    assert codes(audio.warnings) == [Warn.ABOVE_FULL_SCALE, Warn.CHANNELS]


def test_clipping_on_writing_is_counted(tmp_path):
    wave = speechlike(0.5, peak=0.9)
    wave[[5, 50, 500]] = [1.5, -2.0, 1.0]
    (text,) = write(tmp_path / "a.flac", wave, 16_000)
    assert code_of(text) is Warn.CLIPPED
    assert "2 samples" in text
    assert read(tmp_path / "a.flac").wave[0, 50] == -1.0


@pytest.mark.parametrize(
    ("name", "wave", "rate_hz", "subtype", "words"),
    [
        ("a.wav", np.array([0.0, np.nan]), 16_000, None, "NaN"),
        ("a.xyz", np.zeros(10), 16_000, None, "cannot write"),
        ("a.wav", np.zeros(10), 16_000, "PCM_99", "no subtype"),
        ("a.opus", np.zeros(10), 44_100, None, "8, 12, 16, 24 and 48"),
        ("a.wav", np.zeros(10), 10**6, None, "1000000 Hz"),
        ("a.wav", np.zeros((2, 3, 4)), 16_000, None, "shape"),
        ("a.wav", np.zeros(0), 16_000, None, "shape"),
        ("a.wav", np.zeros(10, np.int16), 16_000, None, "int16"),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path, name, wave, rate_hz, subtype, words):
    with pytest.raises(AudioError, match=words):
        write(tmp_path / name, wave, rate_hz, subtype)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path):
    write(tmp_path / "a.opus", speechlike(0.5), 16_000)
    before = (tmp_path / "a.opus").read_bytes()
    with pytest.raises(AudioError):
        write(tmp_path / "a.opus", speechlike(0.5), 11_025)
    assert (tmp_path / "a.opus").read_bytes() == before


def test_a_long_vorbis_file_can_be_written(tmp_path):
    wave = np.tile(speechlike(1.0), 120)
    write(tmp_path / "a.ogg", wave, 16_000)
    assert probe(tmp_path / "a.ogg").frames == len(wave)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.g722", "a.gsm"])
def test_a_stretch_is_a_part_of_the_whole(tmp_path, name):
    path, wave = tmp_path / name, speechlike(3.0)
    if name == "a.g722":
        path.write_bytes(G722(16_000, 64_000).encode((wave * 32767).astype(np.int16)))
    elif name == "a.gsm":
        path.write_bytes(coded(wave[:24_000], 8_000, "RAW", "GSM610"))
    else:
        write(path, wave, 16_000)
    whole = read(path)
    part = read(path, start_s=1.2345, duration_s=0.5)
    start = round(1.2345 * whole.rate_hz)
    np.testing.assert_allclose(part.wave, whole.wave[:, start : start + whole.rate_hz // 2], atol=1e-6)
    assert read(path, start_s=2.5).wave.shape[1] == whole.wave.shape[1] - round(2.5 * whole.rate_hz)
    assert read(path, start_s=2.9, duration_s=9.0).warnings == whole.warnings


def test_bad_stretches_are_refused(tmp_path):
    write(tmp_path / "a.wav", speechlike(1.0), 16_000)
    for start_s, duration_s in [(-1, None), (0, 0), (0, -1), (1.0, None), (float("nan"), None), (0, float("nan"))]:
        with pytest.raises(AudioError, match="stretch"):
            read(tmp_path / "a.wav", start_s, duration_s)
    with pytest.raises(AudioError, match=r"0\.1 s"):
        read(tmp_path / "a.wav", 0.0, 0.01)
    assert read(tmp_path / "a.wav", 0.0, 0.01, check=False).wave.shape == (1, 160)


def test_g722_decodes_as_the_codec_does():
    wave = speechlike(1.0)
    data = bytes(G722(16_000, 64_000).encode((wave * 32767).astype(np.int16)))
    audio = decode(data, ".g722")
    expected = np.array(G722(16_000, 64_000).decode(data), np.int16) / 32768
    np.testing.assert_array_equal(audio.wave[0], expected.astype(np.float32))
    # the filter bank of the codec delays by 22 samples
    assert np.corrcoef(audio.wave[0, 22:], wave[:-22])[0, 1] > 0.99


def test_gsm_decodes_as_libsndfile_does(tmp_path):
    data = coded(speechlike(1.0, 8_000), 8_000, "RAW", "GSM610")
    (tmp_path / "a.gsm").write_bytes(data)
    expected, _ = soundfile.read(
        tmp_path / "a.gsm", dtype="float32", format="RAW", subtype="GSM610", samplerate=8_000, channels=1
    )
    np.testing.assert_array_equal(decode(data, ".GSM").wave[0], expected)
    assert probe(tmp_path / "a.gsm").frames == 8_000


def test_mono_takes_the_loudest_channel_and_never_the_mean():
    wave = speechlike(0.5)
    np.testing.assert_array_equal(Audio(np.stack([wave, -wave]), 16_000, "a").mono(), wave)
    np.testing.assert_array_equal(Audio(np.stack([0.5 * wave, -wave, 0 * wave]), 16_000, "a").mono(), -wave)
    # DC is not loudness
    np.testing.assert_array_equal(Audio(np.stack([0 * wave + 0.9, wave]), 16_000, "a").mono(), wave)


def test_read_mono_resamples(tmp_path):
    wave = speechlike(1.0, 44_100)
    write(tmp_path / "a.wav", np.stack([0.1 * wave, wave]), 44_100, "FLOAT")
    mono, rate_hz, warnings = read_mono(tmp_path / "a.wav", 16_000)
    assert (mono.shape, mono.dtype, rate_hz, codes(warnings)) == ((16_000,), np.float32, 16_000, [Warn.CHANNELS])
    np.testing.assert_allclose(mono, resample(wave, 44_100, 16_000), atol=1e-7)
    assert read_mono(tmp_path / "a.wav")[1] == 44_100
    with pytest.raises(AudioError, match="Hz"):
        read_mono(tmp_path / "a.wav", 100)


@pytest.mark.parametrize(("block_s", "hop_s"), [(1.0, 1.0), (1.0, 0.25), (0.5, 2.0), (0.3333, 0.1), (99.0, 1.0)])
@pytest.mark.parametrize("rate_hz", [None, 16_000])
def test_blocks_are_the_whole_file_in_pieces(tmp_path, block_s, hop_s, rate_hz):
    wave = np.stack([0.5 * speechlike(7.7, 22_050), -speechlike(7.7, 22_050, seed=4)])
    # the first channel is the louder one at the beginning only
    wave[0, :22_050] *= 3
    write(tmp_path / "a.wav", wave, 22_050, "FLOAT")
    whole, got_hz, warnings = read_mono(tmp_path / "a.wav", rate_hz)
    size, hop = round(block_s * got_hz), round(hop_s * got_hz)
    pieces = list(blocks(tmp_path / "a.wav", block_s, hop_s, rate_hz))
    for k, (start_s, piece) in enumerate(pieces):
        assert start_s == k * hop / got_hz
        np.testing.assert_allclose(piece, whole[k * hop : k * hop + size], atol=1e-5)
    if hop <= size:
        assert (len(pieces) - 1) * hop + len(pieces[-1][1]) == len(whole)
        assert all((k * hop + size) < len(whole) for k in range(len(pieces) - 1))
    found = scan(tmp_path / "a.wav")
    assert (found.channel, found.frames, found.warnings) == (1, wave.shape[1], warnings)
    again = list(blocks(tmp_path / "a.wav", block_s, hop_s, rate_hz, judged=found))
    assert all(np.array_equal(one[1], other[1]) for one, other in zip(pieces, again, strict=True))


def test_blocks_refuse_at_the_call_and_not_later(tmp_path):
    wave = np.tile(speechlike(1.0), 10)
    wave[-1] = np.inf
    write_raw = tmp_path / "a.wav"
    soundfile.write(write_raw, wave, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN or Inf"):
        blocks(write_raw, 1.0, 1.0)
    with pytest.raises(AudioError, match="positive"):
        blocks(write_raw, 0.0, 1.0)


def test_blocks_of_a_file_that_was_judged_do_not_judge_it_again(tmp_path, monkeypatch):
    write(tmp_path / "a.wav", speechlike(2.0), 16_000)
    found = scan(tmp_path / "a.wav")
    monkeypatch.setattr("auricle.audio.blocks.scan", lambda path: pytest.fail("judged again"))
    assert len(list(blocks(tmp_path / "a.wav", 1.0, 1.0, judged=found))) == 2


def test_blocks_of_a_long_file_stay_small(tmp_path):
    path, minute = tmp_path / "long.wav", speechlike(60.0)
    with soundfile.SoundFile(path, "w", 16_000, 1, subtype="PCM_16") as out:
        for _ in range(30):
            out.write(minute)
    tracemalloc.start()
    try:
        total = sum(len(wave) for _, wave in blocks(path, 4.0, 4.0, 8_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 30 * 60 * 8_000
    # the whole file would be 115 MB as float32
    assert peak < 8e6


def test_find_audio(tmp_path):
    for name in ["b/two.flac", "b/one.WAV", "a.ogg", "b/deep/er/x.g722", "notes.txt", ".hidden/h.wav", "b/._x.wav"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b/deep/up").symlink_to(tmp_path)
    names = ["a.ogg", "b/deep/er/x.g722", "b/one.WAV", "b/two.flac"]
    assert find_audio(tmp_path) == [tmp_path / name for name in names]
    assert find_audio([tmp_path / "notes.txt", str(tmp_path / "b/deep")]) == [
        tmp_path / "notes.txt",
        tmp_path / "b/deep/er/x.g722",
    ]
    assert find_audio([]) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match=r"no audio in this folder.*\.wav \.flac"):
        find_audio([tmp_path / "empty"])
    with pytest.raises(AudioError, match="does not exist"):
        find_audio([tmp_path / "nothing.wav"])
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    with pytest.raises(AudioError, match="leads nowhere"):
        find_audio([Path(tmp_path / "dead")])
