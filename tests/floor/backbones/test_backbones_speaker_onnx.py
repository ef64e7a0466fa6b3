"""Verifiers in ONNX files, with files written here."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from auricle.audio.level import set_level, trim_silence
from auricle.audio.resample import resample
from auricle.backbones.speaker import NAMES, Verifier, load_verifier
from auricle.core import extras
from auricle.core.errors import CheckpointError, ConfigError, DataError, MissingExtra
from auricle.data import embedded

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'auricle[onnx]'")
_spec = importlib.util.spec_from_file_location("onnx_bytes", Path(__file__).parent / "onnx_bytes.py")
write = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(write)

KERNELS = np.random.default_rng(0).normal(size=(3, 1, 8)).astype(np.float32)


def mean_of_filters(inputs=None, wave="wave", steps=None):
    """(1, T) -> (1, 3): three filters, absolute values, mean over time."""
    nodes = steps or [
        write.node("Unsqueeze", [wave, "axis"], "image"),
        write.node("Conv", ["image", "kernels"], "filtered", strides=[4]),
        write.node("Abs", ["filtered"], "size"),
        write.node("ReduceMean", ["size"], "embedding", axes=[2], keepdims=0),
    ]
    constants = [
        write.constant("axis", [1], [1], kind=7),
        write.constant("kernels", KERNELS.shape, KERNELS.ravel().tolist()),
    ]
    return write.model(nodes, inputs or [write.port(wave, [1, "time"])], [write.port("embedding", [1, "d"])], constants)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_bytes(mean_of_filters())
    return path


def by_hand(wave):
    windows = np.lib.stride_tricks.sliding_window_view(wave, 8)[::4]
    made = np.abs(windows @ KERNELS[:, 0].T).mean(0)
    return made / np.linalg.norm(made)


def test_any_model_of_a_waveform_is_a_verifier(file):
    verifier = load_verifier(f"onnx:{file}")
    assert isinstance(verifier, Verifier)
    assert (verifier.name, verifier.dim, verifier.rate_hz) == ("onnx:mine", 3, 16_000)
    generator = np.random.default_rng(1)
    waves = [generator.normal(0, 0.1, n).astype(np.float32) for n in (1600, 50_000, 8000)]
    made = verifier.embed(waves, [16_000, 16_000, 8000])
    waves[2] = resample(waves[2], 8000, 16_000)
    np.testing.assert_allclose(made, [by_hand(wave) for wave in waves], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(verifier.embed(waves[1:2], [16_000]), made[1:2])
    assert verifier.embed([], []).shape == (0, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be opened as an ONNX model"),
        (b"not a model", "cannot be opened as an ONNX model"),
        (
            mean_of_filters([write.port("wave", [1, 80, "t"])], steps=[write.node("Abs", ["wave"], "embedding")]),
            r"takes wave tensor\(float\) \[1, 80, 't'\]; a verifier takes one float32 input \(1, T\)",
        ),
        (mean_of_filters([write.port("wave", [1, 16_000])]), "takes 16000 samples, no more and no fewer"),
        (mean_of_filters([write.port("wave", [4, "t"])]), r"takes wave tensor\(float\) \[4, 't'\]"),
        (
            mean_of_filters([write.port("wave", [1, "t"], kind=11)], steps=[write.node("Abs", ["wave"], "embedding")]),
            r"tensor\(double\)",
        ),
        (
            mean_of_filters(
                [write.port("wave", [1, "t"]), write.port("more", [1, "t"])],
                steps=[write.node("Add", ["wave", "more"], "embedding")],
            ),
            "wave .* more",
        ),
        (
            mean_of_filters(
                steps=[
                    write.node("Unsqueeze", ["wave", "axis"], "image"),
                    write.node("Conv", ["image", "kernels"], "embedding"),
                ]
            ),
            r"gives float32 \[1, 3, 15993\]",
        ),
    ],
    ids=["empty", "text", "features", "fixed", "batch", "double", "two", "frames"],
)
def test_other_models_are_refused_in_one_sentence(tmp_path, content, message):
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_verifier(f"onnx:{path}")


def test_a_model_whose_width_follows_the_length_is_refused(tmp_path):
    path = tmp_path / "same.onnx"
    path.write_bytes(mean_of_filters(steps=[write.node("Abs", ["wave"], "embedding")]))
    verifier = load_verifier(f"onnx:{path}")
    with pytest.raises(CheckpointError, match="gives 8000 numbers for 8000 samples and 16000 for a second"):
        verifier.embed([np.sin(np.arange(8000, dtype=np.float32))], [16_000])


def test_an_embedding_of_zeros_is_refused(tmp_path):
    path = tmp_path / "zero.onnx"
    steps = [
        write.node("Sub", ["wave", "wave"], "nothing"),
        write.node("ReduceMean", ["nothing"], "embedding", axes=[1], keepdims=1),
    ]
    path.write_bytes(mean_of_filters(steps=steps))
    with pytest.raises(DataError, match="waveform 1 of 1 is zero"):
        load_verifier(f"onnx:{path}").embed([np.sin(np.arange(8000, dtype=np.float32))], [16_000])


@pytest.mark.parametrize("spec", ["", "GE2E", "ge2e:x", "ecapa", "onnx:", "voicefilter:x", "resnet"])
def test_an_unknown_verifier_lists_the_known_ones(spec):
    with pytest.raises(ConfigError, match="there is no verifier") as caught:
        load_verifier(spec)
    assert all(name in str(caught.value) for name in NAMES)


def test_a_missing_file_is_named():
    with pytest.raises(CheckpointError, match=r"nowhere\.onnx does not exist"):
        load_verifier("onnx:nowhere.onnx")


def test_without_onnxruntime_the_extra_is_named(file, monkeypatch):
    monkeypatch.setattr(extras, "available", lambda package: False)
    with pytest.raises(MissingExtra, match=r"auricle\[onnx\]"):
        load_verifier(f"onnx:{file}")


installed = pytest.mark.skipif(
    extras.weights_path("voicefilter") is None, reason="weights are not installed: auricle models add voicefilter"
)


@pytest.fixture(scope="module")
def verifier():
    return load_verifier("voicefilter")


@pytest.fixture(scope="module")
def clips():
    found = [clip for clip in embedded.clips("speech") if 1 < clip.duration_s < 5]
    return [(clip.read().mono(), clip.rate_hz) for clip in found[:: len(found) // 3][:3]]


@installed
def test_batch_mates_and_loudness_do_not_matter(verifier, clips):
    waves, rates = [wave for wave, _ in clips], [rate for _, rate in clips]
    waves[1] = waves[1][: rates[1] // 4]
    together = verifier.embed(waves, rates)
    alone = np.concatenate([verifier.embed([wave], [rate]) for wave, rate in zip(waves, rates, strict=True)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    # the weights' own rounding to 8 bits is all that is left
    assert float(verifier.embed([waves[0] * np.float32(0.1)], rates[:1])[0] @ together[0]) > 0.999


@installed
def test_windows_are_those_of_librosa(verifier, clips):
    librosa = pytest.importorskip("librosa")
    wave = resample(clips[0][0], clips[0][1], 16_000)
    level = set_level(trim_silence(wave, 16_000)[0])
    mel = librosa.feature.melspectrogram(
        y=level, sr=16_000, n_fft=512, win_length=400, hop_length=160, n_mels=40, window="hamming", center=False
    )
    wanted = np.log10(mel + 1e-6).T
    made = np.concatenate(verifier._windows(wave))
    assert len(made) == 1 + (len(wanted) - 80) // 40
    for number, window in enumerate(made):
        np.testing.assert_allclose(window, wanted[40 * number : 40 * number + 80], rtol=0, atol=1e-4)


@installed
def test_a_long_clip_goes_in_blocks(verifier, clips):
    wave = np.tile(resample(clips[0][0], clips[0][1], 16_000), 4)
    whole = np.concatenate(verifier._windows(wave))
    verifier.block_frames = 200
    try:
        blocks = verifier._windows(wave)
    finally:
        del verifier.block_frames
    assert len(blocks) > 1
    np.testing.assert_allclose(np.concatenate(blocks), whole, rtol=0, atol=1e-5)
