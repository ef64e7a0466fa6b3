"""What only PyAV reads."""

import socket
import tracemalloc

import numpy as np
import pytest

from auricle.audio import media as media_room
from auricle.audio.check import Warn, code_of
from auricle.audio.files import blocks, decode, find_audio, left_out, probe, read, read_mono, scan
from auricle.audio.resample import resample
from auricle.core.errors import AudioError
from tests.hostile import coded, speechlike
from tests.odd_audio import LOSSLESS, MEDIA, SPEEX, media, through_av

pytest.importorskip("av")
SECONDS = 2.0


def original(name, seconds=SECONDS):
    return speechlike(seconds, int(MEDIA[name][2].get("rate_hz", 16_000)))


@pytest.mark.parametrize("name", MEDIA)
def test_every_kind_is_read_alike_by_every_function(tmp_path, name):
    wave, path = original(name), tmp_path / name
    path.write_bytes(media(name, wave))
    audio, info, found = read(path), probe(path), scan(path)
    assert audio.rate_hz == MEDIA[name][2].get("rate_hz", 16_000)
    assert audio.warnings == found.warnings == ()
    assert info.frames == audio.wave.shape[1] == found.frames
    pieces = [piece for _, piece in blocks(path, 0.3, 0.3)]
    np.testing.assert_array_equal(np.concatenate(pieces), audio.wave[0])
    np.testing.assert_array_equal(decode(path.read_bytes(), path.suffix).wave, audio.wave)
    part = read(path, 0.5, 0.4)
    start = round(0.5 * audio.rate_hz)
    np.testing.assert_array_equal(part.wave, audio.wave[:, start : start + round(0.4 * audio.rate_hz)])
    if name in LOSSLESS:
        assert audio.wave.shape == (1, len(wave))
        assert np.abs(audio.wave[0] - wave).max() <= 1 / 32_768
    else:
        assert abs(audio.duration_s - SECONDS) < 0.15
        assert likeness(audio.wave[0], wave) > 0.8


def likeness(heard, wave):
    """The largest correlation over delays of less than 0.2 s."""
    size = 1 << 18
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wave, size))
    reach = np.fft.irfft(product, size)[: len(wave) // 10]
    return float(reach.max() / np.sqrt((heard.astype(float) ** 2).sum() * (wave.astype(float) ** 2).sum()))


def test_speex_is_read(tmp_path):
    (tmp_path / "a.spx").write_bytes(SPEEX)
    audio = read(tmp_path / "a.spx")
    assert (audio.rate_hz, audio.wave.shape[0]) == (8_000, 1)
    assert 0.3 <= audio.duration_s < 0.35
    spectrum = np.abs(np.fft.rfft(audio.wave[0, 800:2400]))
    assert np.argmax(spectrum) * 8_000 / 1600 == pytest.approx(440, abs=5)


def test_channels_keep_their_order_and_the_loudest_is_taken(tmp_path):
    pair = np.stack([0.1 * speechlike(1.0), speechlike(1.0, seed=3)])
    (tmp_path / "a.mka").write_bytes(through_av(pair, "matroska", "flac", form="s16"))
    audio = read(tmp_path / "a.mka")
    assert np.abs(audio.wave - pair).max() <= 1 / 32_768
    assert [code_of(text) for text in audio.warnings] == [Warn.CHANNELS]
    np.testing.assert_array_equal(read_mono(tmp_path / "a.mka")[0], audio.wave[1])


def test_a_rate_that_changes_in_the_middle_is_brought_to_that_of_the_beginning(tmp_path):
    first, second = media("a.aac", speechlike(1.0)), through_av(speechlike(1.0, 44_100), "adts", "aac", 44_100)
    (tmp_path / "a.aac").write_bytes(first + second)
    audio = read(tmp_path / "a.aac")
    assert (audio.rate_hz, audio.warnings) == (16_000, ())
    assert 2.0 < audio.duration_s < 2.2
    heard = audio.wave[0, -17_500:]
    assert likeness(heard, resample(speechlike(1.0, 44_100), 44_100, 16_000)) > 0.9
    assert probe(tmp_path / "a.aac").frames == audio.wave.shape[1]


def test_of_several_sound_tracks_one_is_read_and_said(tmp_path):
    (tmp_path / "a.mkv").write_bytes(through_av(speechlike(1.0), "matroska", "flac", form="s16", tracks=2))
    audio = read(tmp_path / "a.mkv")
    assert [code_of(text) for text in audio.warnings] == [Warn.STREAMS]
    assert audio.wave.shape == (1, 16_000)


def test_a_cut_file_is_read_to_its_end_and_says_so(tmp_path):
    data = media("a.tta", speechlike(6.0))
    (tmp_path / "a.tta").write_bytes(data[: len(data) // 2])
    audio = read(tmp_path / "a.tta")
    assert [code_of(text) for text in audio.warnings] == [Warn.TRUNCATED]
    assert 2.0 < audio.duration_s < 4.0
    assert probe(tmp_path / "a.tta").frames == audio.wave.shape[1]


def test_a_video_without_sound_says_so(tmp_path):
    import io

    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", "mp4") as out:
        picture = out.add_stream("mjpeg", rate=10, width=32, height=32, pix_fmt="yuvj420p")
        out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        out.mux(picture.encode())
    (tmp_path / "a.mp4").write_bytes(buffer.getvalue())
    with pytest.raises(AudioError, match=r"a\.mp4: MPEG-4 or QuickTime without a sound track"):
        read(tmp_path / "a.mp4")


def test_a_file_that_names_another_one_opens_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        for name, text in (
            ("list.m4a", f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n"),
            ("concat.mkv", f"ffconcat version 1.0\nfile {url}\n"),
            (
                "session.mp4",
                f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\na=control:{url}\n",
            ),
        ):
            (tmp_path / name).write_text(text)
            with pytest.raises(AudioError, match="not audio"):
                read(tmp_path / name)
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_pyav_the_line_that_installs_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(media_room, "available", lambda package: False)
    for name in ("a.m4a", "a.webm", "flac.oga"):
        (tmp_path / name).write_bytes(media(name, original(name)))
        for function in (read, probe, scan, read_mono):
            with pytest.raises(AudioError, match=rf"{name}: .*pip install 'auricle\[av\]'"):
                function(tmp_path / name)
    with pytest.raises(AudioError, match=r"FLAC in Ogg.*auricle\[av\]"):
        read(tmp_path / "flac.oga")


def test_a_long_one_takes_constant_memory(tmp_path):
    wave = np.tile(speechlike(10.0), 30)
    (tmp_path / "a.mka").write_bytes(through_av(wave, "matroska", "flac", form="s16"))
    tracemalloc.start()
    try:
        total = sum(len(piece) for _, piece in blocks(tmp_path / "a.mka", 4.0, 4.0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == len(wave)
    assert peak < 4e6  # 19 MB as float32


def test_a_folder_lists_them_and_names_what_it_left_out(tmp_path):
    made = dict.fromkeys(("a.m4a", "b.WEBM", "c.wma", "d.mka", "e.mp4", "f.amr", "g.spx", "notes.txt"), b"x")
    made |= {
        "h.mid": b"x",
        "i.m4p": b"x",
        "code.ts": b"const a = 1;\n",
        "j.ts": b"G" + bytes(187) + b"G" + bytes(187) + b"G",
    }
    made |= {
        "recording": coded(speechlike(0.2)),
        "k.bak": b"\0\0\0\x20ftypM4A ",
        ".hidden.mid": b"x",
        "table.csv": b"a,b\n",
    }
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    assert [path.name for path in find_audio(tmp_path)] == [
        "a.m4a",
        "b.WEBM",
        "c.wma",
        "d.mka",
        "e.mp4",
        "f.amr",
        "g.spx",
    ]
    assert [path.name for path in left_out(tmp_path)] == ["h.mid", "i.m4p", "j.ts", "k.bak", "recording"]
    assert left_out([tmp_path / "notes.txt", tmp_path / "h.mid"]) == []
    assert read(tmp_path / "recording").duration_s == pytest.approx(0.2)


def test_rate_is_that_of_the_sound_and_not_of_the_container(tmp_path):
    wave = speechlike(1.0, 44_100)
    (tmp_path / "a.m4a").write_bytes(through_av(wave, "ipod", "aac", 44_100))
    mono, rate_hz, _ = read_mono(tmp_path / "a.m4a", 16_000)
    assert rate_hz == 16_000
    assert likeness(mono, resample(wave, 44_100, 16_000)) > 0.95
