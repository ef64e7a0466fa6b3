"""The vocoder's mel: BigVGAN's formula, librosa's filters, exact frame counts, and the way back."""

import math

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.audio.vocoder_mel import GriffinLimVocoder, MelContract, VocoderMel, check_contract
from auricle.core.errors import AudioError, ConfigError

MEL = VocoderMel()


def by_formula(wave):
    """The published front end, written out in NumPy with librosa's filters."""
    bank = librosa.filters.mel(sr=44_100, n_fft=2048, n_mels=128, fmin=0, fmax=None)
    padded = np.pad(wave.astype(np.float64), 768, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2048)[::512]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    spectrum = np.fft.rfft(frames * window, axis=1)
    return np.log(np.maximum(np.sqrt(np.abs(spectrum) ** 2 + 1e-9) @ bank.T, 1e-5))


def test_it_is_the_published_formula():
    rng = np.random.default_rng(0)
    time = np.arange(20_000) / 44_100
    wave = (0.3 * np.sin(2 * np.pi * 3000 * time) + 0.01 * rng.standard_normal(20_000)).astype(np.float32)
    ours, theirs = MEL(torch.from_numpy(wave)[None])[0].numpy(), by_formula(wave)
    assert ours.shape == theirs.shape == (39, 128)
    assert np.abs(ours - theirs).max() < 1e-3  # float32 against float64, in the log
    assert np.abs(ours - theirs).mean() < 1e-5


def test_a_sine_peaks_in_its_band():
    wave = torch.sin(2 * torch.pi * 3000 * torch.arange(44_100) / 44_100)
    edges = librosa.mel_frequencies(130, fmin=0, fmax=22_050)
    assert int(MEL(wave[None])[0].mean(dim=0).argmax()) == int(np.abs(edges[1:-1] - 3000).argmin())


def test_silence_lies_on_the_floor():
    assert torch.allclose(MEL(torch.zeros(1, 5120)), torch.tensor(math.log(1e-5)))
    assert round(math.log(1e-5), 3) == -11.513


@settings(max_examples=25, deadline=None)
@given(st.integers(769, 5000))
def test_frames_are_whole_hops(samples):
    assert MEL(torch.zeros(1, samples)).shape[1] == MEL.frames(samples) == samples // 512


def test_what_is_too_short_to_reflect_is_refused():
    with pytest.raises(AudioError, match="768"):
        MEL(torch.zeros(1, 768))


def test_padding_and_mates_change_nothing():
    waves = torch.randn(2, 6000, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([6000, 4000])
    together = MEL(waves, lengths)
    assert torch.allclose(together[0], MEL(waves[:1])[0], atol=1e-5)
    assert torch.allclose(together[1, :7], MEL(waves[1:, :4000])[0], atol=1e-5)
    assert not together[1, 7:].any()


def test_griffin_lim_gives_the_clip_back_in_time_and_in_kind():
    time = torch.arange(2 * 22_050) / 44_100
    wave = 0.5 * torch.sin(2 * torch.pi * 440 * time) * (time > 0.5) * (time < 0.8)
    mel = MEL(wave[None, : 512 * 80])
    made = GriffinLimVocoder(iterations=32)(mel)
    assert made.shape == (1, 512 * 80)
    loud = made[0].abs() > 0.15
    first, last = int(loud.nonzero()[0]), int(loud.nonzero()[-1])
    assert abs(first / 44_100 - 0.5) < 0.02
    assert abs(last / 44_100 - 0.8) < 0.02
    assert float((MEL(made) - mel).abs().mean()) < 1.0


def test_another_mel_is_refused_by_name():
    check_contract(MelContract(), MelContract())
    with pytest.raises(ConfigError, match=r"n_mels is 128 there and 80 here.*floor"):
        check_contract(MelContract(), MelContract(n_mels=80, floor=1e-10))
    with pytest.raises(AudioError):
        VocoderMel(MelContract(n_fft=1025))
