"""How much a sound moves."""

import numpy as np
import pytest
import torch

from auricle.audio.level import set_level
from auricle.audio.motion import COEFFICIENTS, LOUD, motion
from auricle.audio.spectral import LFCC
from auricle.core.errors import AudioError


def speechlike(seed=0, rate=1.0):
    """Noise whose colour swings, `rate` times as fast."""
    draws = np.random.default_rng(seed)
    time = np.arange(32000) / 16000
    low, high = np.cumsum(draws.normal(size=32000)), draws.normal(size=32000)
    mix = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * rate * time)
    low = (low - np.convolve(low, np.ones(200) / 200, "same")) / 10
    return (0.1 * (mix * high + (1 - mix) * low)).astype(np.float32)


def test_neither_level_nor_steady_colour_changes_it():
    wave = speechlike()
    plain, louder = motion([wave, 0.01 * wave], 16000, 3800.0)
    assert plain.shape == (COEFFICIENTS,)
    np.testing.assert_allclose(louder, plain, atol=1e-3)
    coloured = np.convolve(wave, [1.0, -0.5])[:32000].astype(np.float32)
    np.testing.assert_allclose(motion([coloured], 16000, 3800.0)[0], plain, atol=0.1)


def test_what_changes_faster_has_more_of_it():
    slow, fast = motion([speechlike(rate=0.25), speechlike(rate=4.0)], 16000, 3800.0)
    assert fast[1] > slow[1] + 0.3


def test_it_is_the_log_deviation_of_steps_between_loud_frames():
    wave = speechlike()

    cepstrum = LFCC(16000, n_filters=40, n_coefficients=12, high_hz=3800.0, deltas=0, floor=1e-8)
    frames = cepstrum(torch.from_numpy(set_level(wave))[None])[0].double().numpy()
    loud = frames[:, 0] >= np.quantile(frames[:, 0], 1 - LOUD)
    steps = np.diff(frames, axis=0)[loud[1:] & loud[:-1]]
    np.testing.assert_allclose(motion([wave], 16000, 3800.0)[0], np.log(steps.std(0) + 1e-3), atol=1e-6)


def test_mates_change_nothing_and_silence_has_none():
    waves = [speechlike(1), speechlike(2), speechlike(3)]
    together = motion(waves, 16000, 3800.0)
    np.testing.assert_allclose(together[1], motion(waves[1:2], 16000, 3800.0)[0], atol=1e-5)
    with pytest.raises(AudioError, match="no level"):
        motion([np.zeros(32000, np.float32)], 16000, 3800.0)
