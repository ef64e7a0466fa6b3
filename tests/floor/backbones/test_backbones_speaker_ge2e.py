"""GE2E against the original code, run from the file inside its package, with its voice activity detector left out."""

import importlib.machinery
import importlib.util
import sys
import types

import numpy as np
import pytest
import torch

from auricle.audio.resample import resample
from auricle.backbones.speaker import Verifier, load_verifier
from auricle.backbones.speaker import ge2e as ours
from auricle.core import extras
from auricle.core.errors import AudioError, CheckpointError, DataError
from auricle.data import embedded

pytestmark = pytest.mark.skipif(
    extras.weights_path("ge2e") is None, reason="resemblyzer is not installed: auricle models add ge2e"
)


@pytest.fixture(scope="module")
def verifier():
    return load_verifier("ge2e")


@pytest.fixture(scope="module")
def original():
    """The original encoder; what its audio module imports and this test does not use is replaced."""
    folder = extras.weights_path("ge2e").parent
    stubs = {
        "webrtcvad": types.ModuleType("webrtcvad"),
        "scipy.ndimage.morphology": types.ModuleType("scipy.ndimage.morphology"),
        "resemblyzer": types.ModuleType("resemblyzer"),
    }
    stubs["scipy.ndimage.morphology"].binary_dilation = None
    stubs["resemblyzer"].__path__ = [str(folder)]
    names = [*stubs, "resemblyzer.hparams", "resemblyzer.audio", "resemblyzer.voice_encoder"]
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(stubs)
    try:
        for name in ("hparams", "audio", "voice_encoder"):
            spec = importlib.util.spec_from_file_location(f"resemblyzer.{name}", folder / f"{name}.py")
            module = importlib.util.module_from_spec(spec)
            sys.modules[f"resemblyzer.{name}"] = module
            setattr(stubs["resemblyzer"], name, module)
            spec.loader.exec_module(module)
        yield sys.modules["resemblyzer.voice_encoder"].VoiceEncoder("cpu", verbose=False)
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def speech(count, least_s=0.0):
    found = [clip for clip in embedded.clips("speech") if clip.duration_s >= least_s]
    return found[:: len(found) // count][:count]


def test_it_is_a_verifier(verifier):
    assert isinstance(verifier, Verifier)
    assert (verifier.name, verifier.dim, verifier.rate_hz) == ("ge2e", 256, 16_000)


def test_the_package_is_not_imported(verifier):
    assert "resemblyzer" not in sys.modules


def test_the_network_is_the_original_one(verifier, original):
    mels = torch.rand(5, 160, 40, generator=torch.Generator().manual_seed(0)) ** 4
    with torch.no_grad():
        torch.testing.assert_close(verifier.network(mels), original(mels), rtol=0, atol=1e-6)


@pytest.mark.parametrize("samples", [1600, 15_000, 25_600, 25_601, 31_500, 31_600, 37_919, 37_920, 100_000, 212_345])
def test_partials_are_cut_where_the_original_cuts(original, samples):
    _, slices = original.compute_partial_slices(samples, 1.3, 0.75)
    assert ours.partial_count(samples) == len(slices)
    assert [one.start for one in slices] == [ours.STEP_FRAMES * i for i in range(len(slices))]


def test_embeddings_are_those_of_the_original(verifier, original):
    for clip in speech(4):
        wave = ours.prepared(resample(clip.read().mono(), clip.rate_hz, 16_000))
        made = verifier.network(verifier.partials(wave)).mean(0)
        wanted = original.embed_utterance(wave)
        np.testing.assert_allclose((made / made.norm()).numpy(), wanted, rtol=0, atol=1e-5)


def test_a_spectrum_made_in_blocks_is_the_same(verifier, monkeypatch):
    wave = np.random.default_rng(0).normal(0, 0.1, 100_000).astype(np.float32)
    whole = verifier.partials(wave).clone()
    monkeypatch.setattr(ours, "BLOCK_FRAMES", 77)
    torch.testing.assert_close(verifier.partials(wave), whole, rtol=1e-5, atol=1e-7)


def test_volume_is_raised_and_never_lowered():
    tone = np.sin(np.arange(16_000) / 5).astype(np.float32)
    quiet = ours.prepared(tone * np.float32(1e-3))
    assert 20 * np.log10(np.sqrt(np.mean(quiet**2))) == pytest.approx(-30, abs=0.01)
    np.testing.assert_array_equal(ours.prepared(tone), tone)


def test_batch_mates_and_rates_do_not_matter(verifier):
    clips = speech(5)
    waves, rates = [clip.read().mono() for clip in clips], [clip.rate_hz for clip in clips]
    waves[0] = np.tile(waves[0], 8)  # a long one among short ones
    waves[1] = waves[1][: rates[1] // 5]
    together = verifier.embed(waves, rates)
    alone = np.concatenate([verifier.embed([wave], [rate]) for wave, rate in zip(waves, rates, strict=True)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    assert together.dtype == np.float32
    twice = resample(waves[2], rates[2], 48_000)
    assert float(verifier.embed([twice], [48_000])[0] @ together[2]) > 0.99


def test_one_voice_is_nearer_to_itself_than_to_others(verifier):
    groups = {}
    for clip in embedded.clips("speech"):
        if clip.duration_s >= 2:
            groups.setdefault(clip.speaker_group, []).append(clip)
    chosen = [clip for name in sorted(groups)[:4] for clip in groups[name][:3]]
    made = verifier.embed([clip.read().mono() for clip in chosen], [clip.rate_hz for clip in chosen])
    cosines = made @ made.T
    who = np.repeat(np.arange(4), 3)
    same = who[:, None] == who
    assert cosines[same & ~np.eye(12, dtype=bool)].mean() > cosines[~same].mean() + 0.1


def test_an_empty_list_gives_no_rows(verifier):
    assert verifier.embed([], []).shape == (0, 256)


@pytest.mark.parametrize(
    ("waves", "rates", "error", "message"),
    [
        ([np.zeros(16_000, np.float32)], [16_000], AudioError, "waveform 1 of 1: digital silence"),
        ([np.ones((2, 16_000), np.float32)], [16_000], AudioError, r"waveform 1 of 1 has the shape \(2, 16000\)"),
        ([np.ones(100, np.float32)], [16_000], AudioError, "at least 0.1 s"),
        ([np.full(16_000, np.nan, np.float32)], [16_000], AudioError, "NaN"),
        ([np.ones(16_000, np.float32)], [], DataError, "1 waveforms and 0 rates"),
    ],
)
def test_unusable_waveforms_are_named(verifier, waves, rates, error, message):
    with pytest.raises(error, match=message):
        verifier.embed(waves, rates)


@pytest.mark.parametrize("content", ["empty", "text", "keys", "extra", "shape"])
def test_a_wrong_file_is_refused(verifier, tmp_path, content):
    state = dict(verifier.network.state_dict())
    file = tmp_path / "weights.pt"
    if content == "empty":
        file.write_bytes(b"")
    elif content == "text":
        file.write_bytes(b"these are no weights")
    else:
        if content == "keys":
            state.pop("linear.bias")
        elif content == "extra":
            state["more"] = torch.zeros(1)
        else:
            state["linear.bias"] = torch.zeros(3)
        torch.save({"model_state": state}, file)
    with pytest.raises(CheckpointError, match="auricle models add ge2e"):
        ours.GE2E(file)


def test_the_parameters_of_the_training_loss_are_left_out(verifier, tmp_path):
    state = {**verifier.network.state_dict(), "similarity_weight": torch.ones(1), "similarity_bias": torch.ones(1)}
    torch.save({"model_state": state}, tmp_path / "weights.pt")
    again = ours.GE2E(tmp_path / "weights.pt")
    wave = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    np.testing.assert_array_equal(again.embed([wave], [16_000]), verifier.embed([wave], [16_000]))
