"""What users give the codec: arrays of any form, tokens of any origin, folders, odd names, special files."""

from __future__ import annotations

import dataclasses
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from auricle.audio.token_files import MAX_BYTES, Tokens, dumps, loads, read
from auricle.cli.codec import app
from auricle.core.answers import Refused
from auricle.core.config import override
from auricle.core.errors import AudioError, CheckpointError, ConfigError, DataError
from auricle.systems.pipeline import resolve
from auricle.systems.screen import screen
from auricle.systems.unisrcodec.config import laptop, smoke
from auricle.systems.unisrcodec.files import Written, decode_files, encode_files
from auricle.systems.unisrcodec.infer import coder_of
from auricle.systems.unisrcodec.train import Training

RATE = 44_100


@pytest.fixture(scope="module")
def coder():
    cfg = smoke()
    return coder_of(Training(cfg).codec.eval(), cfg, "smoke")


def noise(samples=20_000, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def sound(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(os.fsencode(path), noise(seed=seed), RATE, format="WAV", subtype="FLOAT")
    return path


# --- arrays -----------------------------------------------------------------------------------------------------------

INT16 = np.round(noise() * 32_767).astype(np.int16)
AS_FLOAT = INT16.astype(np.float32) / 32_768
QUIET = 0.1 * AS_FLOAT
FORMS = {
    "(T,)": AS_FLOAT,
    "(1, T)": AS_FLOAT[None],
    "(T, 1)": AS_FLOAT[:, None],
    "(C, T)": np.stack([QUIET, AS_FLOAT]),
    "(T, C)": np.stack([AS_FLOAT, QUIET], axis=1),
    "float64": AS_FLOAT.astype(np.float64),
    "int16": INT16,
    "int16 (T, C)": np.stack([INT16, INT16 // 10], axis=1),
    "tensor": torch.from_numpy(AS_FLOAT),
    "tensor (1, T) with gradient": torch.from_numpy(AS_FLOAT)[None].requires_grad_(),
    "list": AS_FLOAT.tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_waveform_gives_the_same_tokens_in_every_form(coder, form):
    wanted = coder.encode(AS_FLOAT, RATE)
    found = coder.encode(FORMS[form], RATE)
    assert np.array_equal(found.indices, wanted.indices)
    assert found.samples == wanted.samples == 20_000


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        ((128 + 100 * noise()).astype(np.uint8), r"give \(samples - 128\.0\) / 128"),
        (noise() > 0, "a mask, not a waveform"),
        (noise().reshape(2, 100, 100), r"a waveform of shape \(2, 100, 100\)"),
        (noise().reshape(100, 200), "more than 64 channels"),
        (np.where(np.arange(20_000) == 7, np.nan, noise()), "NaN or Inf"),
        (noise(2_000), "at least 0.1 s is needed"),
        (np.zeros(20_000), "digital silence"),
        ([[0.1, 0.2], [0.3]], "differ in length"),
    ],
)
def test_what_is_no_waveform_is_refused_with_the_one_sentence(coder, wave, message):
    with pytest.raises(AudioError, match=message):
        coder.encode(wave, RATE)


@pytest.mark.parametrize("rate", ["16000", None, True, [16_000]])
def test_a_rate_that_is_no_number_is_refused(coder, rate):
    with pytest.raises(AudioError, match="as a number in Hz, such as 16000"):
        coder.encode(noise(), rate)


def test_a_rate_may_come_from_numpy(coder):
    assert np.array_equal(coder.encode(noise(), np.int64(RATE)).indices, coder.encode(noise(), RATE).indices)


def test_coder_and_tokens_say_what_they_are_in_one_line(coder):
    for one in (coder, coder.encode(noise(), RATE)):
        assert "\n" not in repr(one)
        assert len(repr(one)) < 200
    assert "64 codes, 0.26 kbit/s, GriffinLimVocoder" in repr(coder)


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_indices_without_their_facts_are_refused_with_a_sentence(coder):
    tokens = coder.encode(noise(), RATE)
    for given in (tokens.indices, torch.from_numpy(tokens.indices), tokens.indices.tolist(), None):
        with pytest.raises(DataError, match=f"was given {type(given).__name__}: indices alone do not say"):
            coder.decode(given)
    other = dataclasses.replace(tokens, indices=tokens.indices[::-1].copy())
    assert coder.decode(other).shape == (20_000,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "cannot be the tokens of 0 samples"),
        ({"samples": 3 * 8192 + 1}, "3 columns of int64 cannot be"),
        ({"samples": 2**63}, "cannot be the tokens of"),
        ({"hop": 256}, "this codec has"),
        ({"indices": np.full((3, 7), 1)}, r"tokens of shape \(3, 7\); this codec has \(columns, 8\)"),
        ({"indices": np.full((3, 8), 64)}, "codes 0 to 63"),
        ({"indices": np.full((3, 8), 1.0)}, "columns of float64"),
    ],
)
def test_tokens_that_this_codec_cannot_have_made_are_refused(coder, change, message):
    tokens = coder.encode(noise(), RATE)
    with pytest.raises(DataError, match=message):
        coder.decode(dataclasses.replace(tokens, **change))


def test_many_indices_are_unpacked_piece_by_piece():
    indices = np.random.default_rng(0).integers(0, 1 << 13, (30_001, 8))
    tokens = Tokens(indices, 1, RATE, 512, 16, 13, "ab" * 16)
    assert np.array_equal(loads(dumps(tokens)).indices, indices)


def test_special_files_are_refused_by_name_and_nothing_waits(coder, tmp_path):
    os.mkfifo(tmp_path / "pipe.ausr")
    (tmp_path / "loop.ausr").symlink_to(tmp_path / "loop.ausr")
    (tmp_path / "big.ausr").write_bytes(b"AUSR")
    os.truncate(tmp_path / "big.ausr", 5 << 30)
    (tmp_path / "zeros.ausr").write_bytes(b"")
    os.truncate(tmp_path / "zeros.ausr", 5 << 30)
    good = next(encode_files(coder, [sound(tmp_path / "a.wav")], tmp_path)).path
    names = ["pipe.ausr", "loop.ausr", "big.ausr", "zeros.ausr", "a.wav.ausr"]
    given = [*(tmp_path / name for name in names[:-1]), "/dev/zero", good]
    done = list(decode_files(coder, given, tmp_path / "out"))
    assert [isinstance(one, Written) for one in done] == [False] * 5 + [True]
    words = ("a pipe, a socket or a device", "symbolic links", f"more than {MAX_BYTES >> 20} MiB", "no token file")
    for one, word in zip(done, (*words, "a pipe, a socket or a device"), strict=False):
        assert word in one.error
        assert one.error.count(one.input) == 1


def test_a_header_that_lies_is_refused(tmp_path):
    import hashlib

    data = bytearray(dumps(Tokens(np.zeros((3, 8), int), 20_000, RATE, 512, 16, 13, "ab" * 16)))
    struct.pack_into("<I", data, 13, 0)  # the rate
    data[-8:] = hashlib.sha256(data[:-8]).digest()[:8]
    (tmp_path / "a.ausr").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.ausr is damaged: a rate of 0 Hz"):
        read(tmp_path / "a.ausr")


# --- files and folders ------------------------------------------------------------------------------------------------


def test_a_folder_stays_a_folder_and_comes_back_under_its_own_names(coder, tmp_path):
    for name in ("x.wav", "one/x.wav", "one/deep/y.flac.wav", "two/x.wav"):
        sound(tmp_path / "in" / name)
    soundfile.write(tmp_path / "in" / "z.flac", noise(), RATE)
    done = list(encode_files(coder, [tmp_path / "in"], tmp_path / "tokens"))
    assert all(isinstance(one, Written) for one in done)
    made = sorted(path.relative_to(tmp_path / "tokens").as_posix() for path in (tmp_path / "tokens").rglob("*.ausr"))
    assert made == [f"{name}.ausr" for name in ("one/deep/y.flac.wav", "one/x.wav", "two/x.wav", "x.wav", "z.flac")]
    back = list(decode_files(coder, [tmp_path / "tokens"], tmp_path / "out"))
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert len(back) == 5
    assert found == ["one/deep/y.flac.wav", "one/x.wav", "two/x.wav", "x.wav", "z.flac.wav"]


def test_decoding_beside_the_recordings_does_not_write_over_them(coder, tmp_path):
    original = sound(tmp_path / "a.wav").read_bytes()
    list(encode_files(coder, [tmp_path / "a.wav"], tmp_path))
    (refused,) = decode_files(coder, [tmp_path / "a.wav.ausr"], tmp_path)
    assert refused.error.endswith("a.wav is there; give another --out, or --overwrite")
    assert (tmp_path / "a.wav").read_bytes() == original
    (done,) = decode_files(coder, [tmp_path / "a.wav.ausr"], tmp_path, overwrite=True)
    assert isinstance(done, Written)
    assert (tmp_path / "a.wav").read_bytes() != original


def test_a_source_that_failed_claims_no_name(coder, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.wav").write_text("no audio")
    sound(tmp_path / "b" / "x.wav")
    first, second = encode_files(coder, [tmp_path / "a", tmp_path / "b"], tmp_path / "t")
    assert isinstance(first, Refused)
    assert isinstance(second, Written)


def test_long_and_odd_names_never_end_the_batch(coder, tmp_path):
    names = ["a" * 246 + ".wav", "b" * 248 + ".wav", "c.wav", os.fsdecode(b"d\xff.wav"), "e\nf.wav"]
    files = [sound(tmp_path / name) for name in names]
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    given = [*files, tmp_path / "loop.wav", tmp_path / "pipe.wav", "/dev/zero", "https://example.com/a.wav"]
    done = list(encode_files(coder, given, tmp_path / "t", arrays=True))
    assert [isinstance(one, Written) for one in done] == [True, False, True, True, True] + [False] * 4
    words = ("File name too long", "symbolic links", "a pipe, a socket or a device", "not a regular", "are not fetched")
    for one, word in zip((one for one in done if isinstance(one, Refused)), words, strict=True):
        assert word in one.error
    assert len(list((tmp_path / "t").glob("*.npy"))) == 4
    assert not [path for path in (tmp_path / "t").iterdir() if path.name.startswith(".")]


def test_a_full_disk_is_one_error_and_not_a_refusal_of_each_file(coder, tmp_path, monkeypatch):
    import errno

    from auricle.systems.unisrcodec import files

    def full(path, tokens):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(files.token_files, "write", full)
    with pytest.raises(OSError, match="No space left"):
        list(encode_files(coder, [sound(tmp_path / "a.wav")], tmp_path / "t"))


def test_the_screen_names_a_file_once_and_refuses_what_it_cannot_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    soundfile.write(tmp_path / "x" / "zeros.wav", np.zeros(20_000), RATE)
    os.mkfifo(tmp_path / "x" / "pipe.wav")
    (tmp_path / "x" / "loop.wav").symlink_to("loop.wav")
    rows = list(screen(["../" + tmp_path.name + "/x"]))
    assert all(isinstance(row, Refused) for row in rows)
    assert [row.error.count("../") for row in rows] == [1, 1, 1]
    with pytest.raises(ConfigError, match="both must be above 0"):
        list(screen([tmp_path], band_hz=0))


def test_what_a_folder_leaves_out_is_counted(coder, tmp_path):
    sound(tmp_path / "in" / "a.wav")
    (tmp_path / "in" / "notes.mid").write_bytes(b"MThd")
    (tmp_path / "in" / "readme.txt").write_text("hello")
    for function in (
        lambda unread: encode_files(coder, [tmp_path / "in"], tmp_path / "t", unread=unread),
        lambda unread: screen([tmp_path / "in"], unread=unread),
    ):
        unread = []
        assert len(list(function(unread))) == 1
        assert [path.name for path in unread] == ["notes.mid"]
    done = CliRunner().invoke(app, ["screen", str(tmp_path / "in")])
    assert done.exit_code == 1
    assert "1 file(s) of the folders look like audio and were left out" in done.output
    assert "notes.mid" in done.output


def test_the_command_shows_odd_bytes_as_escapes(tmp_path):
    (tmp_path / "none").mkdir()
    command = [sys.executable, "-m", "auricle", "codec", "screen", os.fsencode(tmp_path) + b"/none/b\xff\x1b[2J.wav"]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 1
    assert rb"b\udcff\x1b[2J.wav" in done.stderr
    assert b"Traceback" not in done.stderr


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "settings", "message"),
    [
        ("laptop", ["train.feature=1"], "train.feature=1.0 would decide nothing: with train.adversarial=0"),
        ("laptop", ["model.discriminator=16"], "model.discriminator=16 would decide nothing"),
        ("smoke", ["train.adversarial=0", "train.adversarial_after=3"], "train.adversarial_after=3 would decide"),
        ("smoke", ["model.quantizer=fsq", "model.beta=1"], "model.beta=1.0 would decide nothing"),
        ("smoke", ["eval.vocoder=v/", "eval.griffin_lim=8"], "eval.griffin_lim=8 would decide nothing: eval.vocoder"),
    ],
)
def test_a_setting_that_would_be_ignored_is_refused(preset, settings, message):
    with pytest.raises(ConfigError, match=message):
        resolve("unisrcodec", preset, None, settings)


def test_settings_that_decide_something_are_not():
    for preset, settings in (
        ("smoke", ["train.feature=1"]),
        ("laptop", ["train.adversarial=0.1", "train.feature=1"]),
        ("laptop", ["train.feature=2.0"]),  # as it is
        ("smoke", ["train.adversarial=0"]),
    ):
        assert resolve("unisrcodec", preset, None, settings)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (["model.quantizer=fsq", "model.codes=100"], ConfigError, "FSQ has no level set for 100 codes"),
        (["model.quantizer=lfq", "model.codes=100"], ConfigError, "LFQ has 2, 4, 8"),
        (["eval.vocoder=nowhere"], CheckpointError, "eval.vocoder=nowhere has no"),
        (["eval.peers=nowhere"], DataError, "there is no folder nowhere"),
        (["eval.peers=opus=."], ConfigError, "the name 'opus' is taken"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_built(tmp_path, monkeypatch, settings, error, message):
    from auricle.systems import pipeline
    from auricle.systems.unisrcodec import data

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "_band_hz", lambda *_: pytest.fail("it began to build"))
    module, cfg, run = pipeline.open_with("unisrcodec", "smoke", tmp_path / "run", None, settings)
    with pytest.raises(error, match=message) as caught:
        pipeline.prepare(module, cfg, run)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_channels_that_are_none_are_refused():
    with pytest.raises(ConfigError, match="must be multiples of groups 4, each at least that"):
        override(smoke(), ["model.channels=[0,0,0]"])
    assert laptop().model.channels == (16, 32, 64)
