import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.audio.check import Statistics, Warn, check, check_header, code_of
from auricle.core.errors import AudioError
from tests.hostile import speechlike


def codes(wave, rate_hz=16_000):
    return [code_of(text) for text in check(wave, rate_hz)]


def test_good_audio_has_no_warning():
    assert check(speechlike(0.1), 16_000) == ()
    assert check(speechlike(0.5).astype(np.float64)[None], 16_000) == ()


def test_clipping_needs_three_equal_samples_at_full_scale():
    wave = speechlike(0.5, peak=0.9)
    wave[100:102] = 1.0
    assert codes(wave) == []
    wave[100:103] = 1.0
    wave[200:204] = -1.0
    (text,) = check(wave, 16_000)
    assert text.startswith("clipped: 7 samples")


@pytest.mark.parametrize(("mean", "expected"), [(0.009, []), (0.02, [Warn.DC]), (-0.02, [Warn.DC])])
def test_dc(mean, expected):
    wave = speechlike(0.5, peak=0.3).astype(np.float64)
    assert codes(wave - wave.mean() + mean) == expected


@pytest.mark.parametrize(("level_db", "expected"), [(-59.0, []), (-61.0, [Warn.QUIET])])
def test_very_quiet_is_the_level_without_dc(level_db, expected):
    wave = speechlike(0.5).astype(np.float64)
    wave -= wave.mean()
    wave *= 10 ** (level_db / 20) / np.sqrt(np.mean(wave**2))
    assert codes(wave + 0.005) == expected


def test_the_smallest_step_of_24_bits_is_a_signal_and_less_is_silence():
    assert codes(np.tile([0, 2**-23], 1000)) == [Warn.QUIET]
    with pytest.raises(AudioError, match="silence"):
        check(np.tile([0, 2**-25], 1000), 16_000)
    with pytest.raises(AudioError, match="a constant"):
        check(np.full(2000, -0.5), 16_000)


@pytest.mark.parametrize(
    ("wave", "rate_hz", "words"),
    [
        (np.zeros(1599) + speechlike(1.0)[:1599], 16_000, r"0\.100 s"),
        (np.ones(16_000, np.int16), 16_000, "int16"),
        (np.ones((2, 3, 4000)), 16_000, "shape"),
        (np.ones((65, 4000)), 16_000, "65 channels"),
        (np.ones((0, 4000)), 16_000, "0 channels"),
        (np.ones(0), 16_000, "no samples"),
        (speechlike(1.0), 0, "0 Hz"),
        (speechlike(1.0), 3_999, "3999 Hz"),
        (speechlike(1.0), 192_001, "192001 Hz"),
        (1e11 * speechlike(1.0), 16_000, "not audio samples"),
    ],
)
def test_refusals(wave, rate_hz, words):
    with pytest.raises(AudioError, match=words):
        check(wave, rate_hz)


def test_a_header_that_no_codec_could_keep():
    check_header(16_000, 1, 8192 * 100, 100)
    with pytest.raises(AudioError, match="claims"):
        check_header(16_000, 1, 8192 * 100 + 1, 100)


def test_unknown_warning_text():
    with pytest.raises(AudioError, match="not an audio warning"):
        code_of("hello: there")


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 4), st.integers(1, 2000), st.lists(st.integers(0, 2000), max_size=5), st.integers(0, 2**31))
def test_statistics_do_not_depend_on_the_pieces(channels, frames, cuts, seed):
    rng = np.random.default_rng(seed)
    wave = (rng.standard_normal((channels, frames)) * rng.choice([1e-3, 1.0, 1e4])).astype(np.float32)
    whole, parts = Statistics(channels, 16_000), Statistics(channels, 16_000)
    whole.add(wave)
    edges = [0, *sorted(min(cut, frames) for cut in cuts), frames]
    for start, end in itertools.pairwise(edges):
        parts.add(wave[:, start:end])
    np.testing.assert_allclose(parts.rms, whole.rms, rtol=1e-9)
    np.testing.assert_allclose(whole.rms, wave.astype(np.float64).std(axis=1), rtol=1e-6)
    assert (parts.frames, parts.loudest) == (whole.frames, whole.loudest)
    assert whole.loudest == int(np.argmax(wave.astype(np.float64).std(axis=1)))
