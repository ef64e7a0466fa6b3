"""The small neural vocoders: their weights are the ones in the package, whole, and what they make is the clip again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from auricle.core.errors import CheckpointError
from auricle.data import embedded, rec
from auricle.data.spoof import neural, neural_istft, neural_training, neural_upsampling, synthesize

KINDS = neural_training.VOCODERS


@pytest.mark.parametrize("name", KINDS)
def test_the_weights_in_the_package_are_whole_small_and_finite(name):
    state = load_file(neural.weights_file(name))
    own = KINDS[name]().state_dict()
    assert {key: tensor.shape for key, tensor in state.items()} == {key: tensor.shape for key, tensor in own.items()}
    assert sum(tensor.numel() for tensor in state.values()) <= 1_000_000
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "fault", ["missing", "a weight too few", "a weight too many", "another shape", "no file of weights"]
)
def test_other_weights_are_refused_by_name(name, fault, tmp_path, monkeypatch):
    monkeypatch.setattr(neural, "WEIGHTS", tmp_path)
    state = {key: tensor.clone() for key, tensor in KINDS[name]().state_dict().items()}
    first = next(iter(state))
    if fault == "a weight too few":
        del state[first]
    elif fault == "a weight too many":
        state["other"] = torch.zeros(3)
    elif fault == "another shape":
        state[first] = torch.zeros(3)
    if fault == "no file of weights":
        (tmp_path / f"{name}.safetensors").write_bytes(b"RIFF")
    elif fault != "missing":
        save_file(state, tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match=f"neural_training {name}"):
        neural.load_vocoder(KINDS[name](), name)


@pytest.mark.parametrize("name", KINDS)
def test_real_speech_comes_back_close_in_log_mel_and_not_as_it_was(name, measure):
    clip = next(clip for clip in embedded.clips(kind="speech") if clip.duration_s > 2).read()
    wave = clip.mono()
    made = synthesize(name, wave, clip.rate_hz, np.random.default_rng(0)).wave
    noise = (np.random.default_rng(0).standard_normal(len(wave)) * wave.std()).astype(np.float32)
    near, far = (measure.log_mel_distance(other, wave, clip.rate_hz) for other in (made, noise))
    assert 0.05 < near < 0.5 * far
    assert measure.median_f0(made, clip.rate_hz) == pytest.approx(measure.median_f0(wave, clip.rate_hz), rel=0.05)
    assert np.abs(made - wave).max() > 0.01


@pytest.mark.parametrize("name", KINDS)
def test_the_first_use_leaves_the_generators_of_a_run_alone(name, voice):
    neural.shipped.cache_clear()
    before = torch.get_rng_state()
    synthesize(name, voice, 16000, np.random.default_rng(0))
    assert torch.equal(before, torch.get_rng_state())


def test_the_two_are_built_differently():
    upsampling, spectral = neural_upsampling.Upsampler(), neural_istft.SpectralVocoder()
    assert any(isinstance(part, torch.nn.ConvTranspose1d) for part in upsampling.modules())
    assert not any(isinstance(part, torch.nn.ConvTranspose1d) for part in spectral.modules())
    assert (upsampling.hop, upsampling.mel.filters.shape[1]) != (spectral.hop, spectral.mel.filters.shape[1])


def test_no_voice_of_the_embedded_corpus_trains_a_vocoder():
    assert not set(neural_training.PACKAGES) & {clip.package for clip in embedded.clips()}


def made_corpus(monkeypatch, tmp_path):
    """Stand in for the large corpus: three clips of a vowel, two of them of packages that may be heard."""

    class Clip:
        def __init__(self, package, seconds):
            self.package, self.duration_s = package, seconds

        def read(self):
            class Audio:
                rate_hz = 16000

                @staticmethod
                def mono():
                    time = np.arange(round(self.duration_s * 16000)) / 16000
                    return (0.1 * np.sin(2 * np.pi * 150 * time) + 0.05 * np.sin(2 * np.pi * 900 * time)).astype(
                        np.float32
                    )

            return Audio

    clips = [Clip("klettres-data", 1.2), Clip("flight-of-the-amazon-queen", 3.0), Clip("tuxpaint-stamps-default", 1.0)]
    monkeypatch.setattr(rec, "clips", lambda kind=None: clips)


def test_training_hears_only_the_packages_that_it_names(monkeypatch, tmp_path):
    made_corpus(monkeypatch, tmp_path)
    heard = neural_training.waves(0)
    assert sorted(len(wave) for wave in heard) == [16000, 19200]
    assert all(np.std(wave) == pytest.approx(neural.LEVEL, rel=0.01) for wave in heard)


@pytest.mark.parametrize("name", KINDS)
def test_the_command_trains_and_writes_weights_that_load(name, monkeypatch, tmp_path):
    made_corpus(monkeypatch, tmp_path)
    out = tmp_path / f"{name}.safetensors"
    monkeypatch.setattr("sys.argv", ["neural_training", name, "--minutes", "0.02", "--out", str(out)])
    neural_training.main()
    monkeypatch.setattr(neural, "WEIGHTS", tmp_path)
    trained = neural.load_vocoder(KINDS[name](), name)
    assert not trained.training
    wave = torch.zeros(1, 4000)
    assert trained(wave).shape == wave.shape
