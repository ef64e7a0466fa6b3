"""A cut's channel, files, segment and perturbation: honoured, or refused with the cut's name; damage is noticed."""

from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import pytest
import soundfile

from auricle.audio.resample import resample
from auricle.backbones.classical import numbers
from auricle.core.errors import DataError
from auricle.data import fields, manifest, shar
from auricle.data.clips import load_clips
from auricle.data.cut_audio import check_cut, fingerprint, mono_cut, read_cut
from auricle.data.labelled import split_manifest

RATE = 16_000


def noise(seed, seconds=2.0, rate=RATE):
    """Noise below 3 kHz, so that resamplers agree on it."""
    wave = np.random.default_rng(seed).normal(0, 0.1, int(seconds * rate))
    spectrum = np.fft.rfft(wave)
    spectrum[int(3000 * seconds) :] = 0
    return np.fft.irfft(spectrum, len(wave)).astype(np.float32)


def correlation(a, b):
    n = min(len(a), len(b))
    return float(np.corrcoef(a[:n], b[:n])[0, 1])


@pytest.fixture
def call(tmp_path):
    """A call: the quiet voice on channel 0, the loud one on channel 1."""
    left, right = 0.3 * noise(1), noise(2)
    soundfile.write(tmp_path / "call.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    return tmp_path / "call.wav", left, right


def mono(path, channel, name, **custom):
    from lhotse import MonoCut

    whole = manifest.cut("x", path, {})
    return MonoCut(name, 0, whole.duration, channel, recording=whole.recording, custom={"label": "spoof", **custom})


def test_each_cut_of_a_call_gets_its_own_channel(call, tmp_path):
    path, left, right = call
    cuts = [mono(path, 0, "left"), mono(path, 1, "right")]
    for one, truth in zip(cuts, (left, right), strict=True):
        np.testing.assert_array_equal(mono_cut(one)[0], truth)
        np.testing.assert_array_equal(read_cut(one).wave, truth[None])
        np.testing.assert_array_equal(shar.wave(one), one.load_audio())
    clips = load_clips(cuts, RATE)
    assert correlation(clips.wave(0), left) > 0.9999
    assert correlation(clips.wave(1), right) > 0.9999
    level, peak = numbers(clips)[:, 0], numbers(clips)[:, 1]
    assert level[1] - level[0] == pytest.approx(20 * np.log10(np.std(right) / np.std(left)), abs=0.05)
    assert peak[0] == pytest.approx(20 * np.log10(np.abs(left).max()), abs=1e-3)
    # a cut of both channels is one clip: the loudest channel
    assert correlation(load_clips([manifest.cut("both", path, {"label": "spoof"})], RATE).wave(0), right) > 0.9999


def test_a_recording_of_one_file_a_channel_gives_each_its_file(tmp_path):
    from lhotse import AudioSource, MonoCut, MultiCut, Recording

    waves = [noise(3), noise(4)]
    for number, wave in enumerate(waves):
        soundfile.write(tmp_path / f"{number}.wav", wave, RATE, subtype="FLOAT")
    sources = [AudioSource("file", [number], str(tmp_path / f"{number}.wav")) for number in (0, 1)]
    recording = Recording("r", sources, RATE, 2 * RATE, 2.0, channel_ids=[0, 1])
    for number in (0, 1):
        one = MonoCut(f"c{number}", 0.5, 1.0, number, recording=recording)
        np.testing.assert_array_equal(read_cut(one).wave[0], waves[number][8000:24000])
        np.testing.assert_array_equal(read_cut(one).wave, one.load_audio())
    both = MultiCut("both", 0.0, 2.0, [0, 1], recording=recording)
    np.testing.assert_array_equal(read_cut(both).wave, np.stack(waves))
    shar.export([both], tmp_path / "s")
    (back,) = shar.read(tmp_path / "s")
    np.testing.assert_array_equal(shar.wave(back), np.stack(waves))


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.25])
def test_speed_is_applied(tmp_path, factor):
    wave = noise(5)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    slow = manifest.cut("slow", tmp_path / "a.wav", {"label": "spoof"}).perturb_speed(factor)
    found, rate, _ = mono_cut(slow)
    truth = resample(wave, RATE * factor, RATE)
    assert rate == RATE
    assert abs(len(found) - slow.num_samples) <= 1
    assert correlation(found, truth) > 0.9999
    assert correlation(found, slow.load_audio()[0]) > 0.999
    part = slow.truncate(offset=0.5, duration=0.75)
    begin = round(0.5 * RATE)
    assert abs(len(mono_cut(part)[0]) - 0.75 * RATE) <= 1
    assert correlation(mono_cut(part)[0][200:-200], truth[begin + 200 : begin + round(0.75 * RATE) - 200]) > 0.999
    assert correlation(load_clips([slow], RATE).wave(0), truth) > 0.9999


def test_volume_and_resampling_are_applied(tmp_path):
    wave = noise(6)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    whole = manifest.cut("a", tmp_path / "a.wav", {"label": "spoof"})
    np.testing.assert_allclose(read_cut(whole.perturb_volume(0.5)).wave[0], 0.5 * wave, rtol=1e-6)
    found, rate, _ = mono_cut(whole.resample(8000).perturb_speed(1.1))
    assert rate == 8000
    assert correlation(found, resample(wave, 17_600, 8000)) > 0.999
    shar.export([whole.resample(8000)], tmp_path / "s")
    (back,) = shar.read(tmp_path / "s")
    assert (back.sampling_rate, shar.wave(back).shape) == (8000, (1, 16_000))


def test_what_cannot_be_honoured_is_refused_by_name(call, tmp_path):
    from lhotse import MonoCut

    path, *_ = call
    whole = mono(path, 0, "one")
    plain = MonoCut("plain", 0, 1.0, 0)
    far = mono(path, 0, "far")
    far.channel = 5
    late, over, silly = mono(path, 0, "late"), mono(path, 0, "over"), mono(path, 0, "silly")
    late.start = 60.0
    over.start = 1.5
    silly.recording = silly.recording.perturb_speed(50.0)
    rate, channels = mono(path, 0, "rate"), mono(path, 0, "channels")
    rate.recording.sampling_rate = 8000
    channels.recording.sources[0].channels = channels.recording.channel_ids = [0]
    for one, message in (
        (whole.append(mono(path, 1, "two"), preserve_id="left"), r"^one: a MixedCut"),
        (whole.pad(duration=5.0, preserve_id=True), r"^one: a MixedCut"),
        (whole.perturb_tempo(1.1, affix_id=False), r"^one: its recording is changed by Tempo, which is not read"),
        (whole.reverb_rir(affix_id=False), r"^one: its recording is changed by ReverbWithImpulseResponse"),
        (silly, r"^silly: Speed with .* from 0\.1 to 10"),
        (plain, r"^plain: it has no recording"),
        (far, r"^far: channel \[5\]; its recording has 0, 1"),
        (late, r"^late: .*a stretch from 60\.0 s; the file ends at 2\.000 s"),
        (over, r"^over: its segment of 2\.000 s lies past the end of .*call\.wav, which has 0\.500 s"),
        (rate, r"^rate: .*is at 16000 Hz; the manifest says 8000 Hz"),
        (channels, r"^channels: .*has 2 channels; the manifest says 1"),
    ):
        for use in (read_cut, shar.wave, lambda cut: load_clips([whole, cut], RATE)):
            with pytest.raises(DataError, match=message.replace("^", "^(1 of 2 clips cannot be read: )?")):
                use(one)
        with pytest.raises(DataError, match=f"cannot be exported: {message[1:]}"):
            shar.export([one], tmp_path / "s")


def test_a_silent_segment_and_a_silent_channel_name_the_cut(tmp_path):
    wave = np.stack([np.concatenate([noise(7, 1.0), np.zeros(RATE)]), np.zeros(2 * RATE)], axis=1)
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    silent, heard, empty = mono(tmp_path / "a.wav", 0, "silent"), *(mono(tmp_path / "a.wav", n, "x") for n in (0, 1))
    silent.start, silent.duration = 1.0, 1.0
    with pytest.raises(DataError, match=r"^1 of 2 clips cannot be read: silent: digital silence"):
        load_clips([silent, heard], RATE)
    with pytest.raises(DataError, match=r"^1 of 1 clips cannot be read: x: digital silence"):
        load_clips([empty], RATE)
    assert shar.wave(silent).shape == (1, RATE)  # a stretch of silence can still be exported


def test_truncated_audio_is_refused_as_damaged(tmp_path):
    for name, seconds in (("a.flac", 2.0), ("b.flac", 2.0)):
        soundfile.write(tmp_path / name, noise(8, seconds), RATE)
    cuts = [manifest.cut(name, tmp_path / name, {"label": "spoof"}) for name in ("a.flac", "b.flac")]
    data = (tmp_path / "b.flac").read_bytes()
    (tmp_path / "b.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"1 of 2 clips cannot be read: b\.flac: .*b\.flac has changed"):
        load_clips(cuts, RATE)
    for one in cuts:  # as a manifest of others, which has no fingerprint
        one.custom.pop(fields.FINGERPRINT)
    with pytest.raises(DataError, match=r"1 of 2 clips cannot be read: b\.flac: .*b\.flac is damaged: truncated"):
        load_clips(cuts, RATE)


def test_changed_audio_behind_a_path_is_noticed(tmp_path):
    for name, seed in (("a.wav", 1), ("b.wav", 2)):
        soundfile.write(tmp_path / name, noise(seed), RATE)
    manifest.write(
        [manifest.cut(name, tmp_path / name, {"label": "spoof"}) for name in ("a.wav", "b.wav")], tmp_path / "m.jsonl"
    )
    assert len(load_clips(manifest.read(tmp_path / "m.jsonl"), RATE)) == 2
    shutil.copy(tmp_path / "a.wav", tmp_path / "b.wav")  # of the same length and size
    with pytest.raises(DataError, match=r"1 of 2 clips cannot be read: b\.wav: .*b\.wav has changed since"):
        load_clips(manifest.read(tmp_path / "m.jsonl"), RATE)


def test_a_fingerprint_is_of_size_beginning_and_end(tmp_path):
    data = bytearray(np.random.default_rng(0).bytes(400_000))
    prints = []
    for change in (None, 0, -1, 200_000, "longer"):
        changed = bytearray(data)
        if change == "longer":
            changed += b"x"
        elif change is not None:
            changed[change] ^= 1
        (tmp_path / "a").write_bytes(changed)
        prints.append(fingerprint(tmp_path / "a"))
    assert len({prints[n] for n in (0, 1, 2, 4)}) == 4
    assert prints[3] == prints[0]  # the middle of a long file is not looked at


def test_a_manifest_that_was_cut_or_changed_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1), RATE)
    path = tmp_path / "m.jsonl"
    manifest.write([manifest.cut(f"c{n}", tmp_path / "a.wav", {"label": "spoof"}) for n in range(5)], path)
    assert len(manifest.read(path)) == 5
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    for text, says in (
        ("".join(lines[:3]), "holds 3 of 5 cuts"),
        (whole.replace("spoof", "bonafide", 1), "holds 5 of 5 cuts"),
        ("", "holds 0 of 5 cuts"),
    ):
        path.write_text(text)
        with pytest.raises(
            DataError, match=rf"m\.jsonl is damaged, or has been changed .*{says}.*delete m\.jsonl\.sha256"
        ):
            manifest.read(path)
    (tmp_path / "m.jsonl.sha256").unlink()
    path.write_text("".join(lines[:3]))  # a change that is the user's own
    assert len(manifest.read(path)) == 3
    path.write_text(whole)
    (tmp_path / "m.jsonl.sha256").write_text("what\n")
    with pytest.raises(DataError, match=r"sha256 is damaged"):
        manifest.read(path)
    manifest.write(manifest.read(tmp_path / "n.jsonl") if (tmp_path / "n.jsonl").exists() else [], path)
    assert len(manifest.read(path)) == 0


def test_gzip_and_a_byte_order_mark_are_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1), RATE)
    row = manifest.cut("c", tmp_path / "a.wav", {"label": "spoof"}).to_dict()
    row["recording"]["sources"][0]["source"] = "a.wav"
    text = json.dumps(row).encode() + b"\r\n"
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(text))
    (tmp_path / "b.jsonl").write_bytes(b"\xef\xbb\xbf" + text)
    for name in ("m.jsonl.gz", "b.jsonl"):
        assert correlation(load_clips(manifest.read(tmp_path / name), RATE).wave(0), noise(1)) > 0.999


def test_a_users_manifest_is_judged_before_anything_is_built(call, tmp_path):
    path, *_ = call
    mixed = mono(path, 0, "one").pad(duration=5.0, preserve_id=True)
    (tmp_path / "m.jsonl").write_text(json.dumps(mixed.to_dict()) + "\n")
    with pytest.raises(DataError, match="one: a MixedCut"):
        split_manifest(str(tmp_path / "m.jsonl"), 0)
    with pytest.raises(DataError, match="one: a MixedCut"):
        check_cut(mixed)
