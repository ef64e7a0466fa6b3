"""The baselines beside the result: whatever the clips are, they give a number, or cost their own row."""

import numpy as np
import pytest

from auricle.backbones.classical import lfcc_gmm
from auricle.core.errors import DataError
from auricle.data.clips import Clips, as_int16


def clips(waves, labels, rate_hz=16000):
    facts = [{"label": "bonafide" if label else "spoof"} for label in labels]
    return Clips([as_int16(wave) for wave in waves], facts, rate_hz)


def noise(seed, seconds=1.0, rate_hz=16000):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate_hz)).astype(np.float32)


def gated(seed):
    """A recording with a stretch of digital silence: its frames are all the same."""
    wave = noise(seed)
    wave[4000:14000] = 0.0
    return wave


def test_digital_silence_in_every_real_clip_does_not_stop_lfcc_gmm():
    """Thousands of equal frames with numbers of about a hundred: their variance in float32 is negative."""
    train = clips([gated(i) for i in range(30)] + [noise(100 + i) for i in range(30)], [1] * 30 + [0] * 30)
    test = clips([gated(500), noise(501)], [1, 0])
    (scores,) = lfcc_gmm(train, [test], 3800.0, 0)
    assert np.isfinite(scores).all()
    assert scores[0] > scores[1]


def test_fewer_frames_than_components_are_fitted_all_the_same():
    train = clips([noise(0, 0.1), noise(1, 0.1)], [1, 0])
    assert np.isfinite(lfcc_gmm(train, [train], 3800.0, 0)[0]).all()


def test_lfcc_gmm_needs_both_classes():
    with pytest.raises(DataError, match="both bona fide and spoof"):
        lfcc_gmm(clips([noise(0)], [1]), [], 3800.0, 0)
