"""One rule for waveforms in memory."""

import numpy as np
import pytest
import torch

from auricle.audio.arrays import as_channels, as_wave, as_waves
from auricle.audio.check import Warn, check, code_of
from auricle.core.errors import AudioError, ConfigError
from tests.hostile import speechlike

WAVE = speechlike(0.5)
INT16 = np.round(WAVE * 32767).astype(np.int16)


def test_float32_comes_back_bit_for_bit_and_is_not_copied():
    wave, warnings = as_wave(WAVE, 16_000)
    assert (wave.dtype, warnings) == (np.float32, ())
    assert np.shares_memory(wave, WAVE)
    np.testing.assert_array_equal(wave, WAVE)


@pytest.mark.parametrize(
    "given",
    [
        WAVE[None],
        WAVE[:, None],
        WAVE.astype(np.float64),
        torch.from_numpy(WAVE),
        torch.from_numpy(WAVE)[None],
        torch.from_numpy(WAVE).requires_grad_() * 1.0,
        WAVE.tolist(),
        [WAVE.tolist()],
        np.asfortranarray(np.stack([WAVE, 0.5 * WAVE])),
        np.stack([0.5 * WAVE, WAVE], axis=1),
    ],
    ids=["1T", "T1", "float64", "tensor", "tensor1T", "gradient", "list", "list1T", "2T", "T2"],
)
def test_every_form_is_the_same_wave(given):
    wave, warnings = as_wave(given, 16_000)
    assert (wave.dtype, wave.shape) == (np.float32, WAVE.shape)
    np.testing.assert_array_equal(wave, WAVE)
    assert all(code_of(text) is Warn.CHANNELS for text in warnings)


@pytest.mark.parametrize("given", [INT16, torch.from_numpy(INT16), INT16.astype(np.int32) << 16, INT16[:, None]])
def test_integers_are_divided_by_their_range(given):
    np.testing.assert_array_equal(as_wave(given, 16_000)[0], INT16.astype(np.float32) / 32768)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.bfloat16, 2e-3), (torch.float16, 3e-4)])
def test_half_precision_is_taken(dtype, atol):
    np.testing.assert_allclose(as_wave(torch.from_numpy(WAVE).to(dtype), 16_000)[0], WAVE, atol=atol)


def test_the_loudest_channel_is_taken_and_said():
    pair = np.stack([0.1 * WAVE, -WAVE])
    for given in (pair, pair.T):
        wave, warnings = as_wave(given, 16_000)
        np.testing.assert_array_equal(wave, -WAVE)
        assert [code_of(text) for text in warnings] == [Warn.CHANNELS]
    channels, _ = as_channels(pair.T, 16_000)
    np.testing.assert_array_equal(channels, pair)
    assert channels.flags.c_contiguous


def test_the_warnings_are_those_of_check():
    wave = np.clip(4 * WAVE, -1, 1)
    assert as_wave(wave, 16_000)[1] == check(wave, 16_000)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((128 + 100 * WAVE).astype(np.uint8), r"uint8.*128"),
        (WAVE > 0, "bool are a mask"),
        (WAVE.astype(np.complex64), "complex"),
        (INT16.astype(np.int64), "int64.*int16 or int32"),
        (INT16.tolist(), "int64"),
        ((100 * WAVE).astype(np.int8), "int8"),
        (WAVE[None, None], r"shape \(1, 1, 8000\).*\(T, C\)"),
        (np.float32(0.5), r"shape \(\)"),
        (np.tile(WAVE[:100], (100, 1)), "more than 64 channels"),
        ([[0.1, 0.2], [0.3]], "differ in length"),
        (["a", "b"], "no numbers"),
        (None, "no numbers"),
        (np.zeros(0, np.float32), "no samples"),
        (np.zeros(16_000), "silence"),
        (np.array([np.nan] * 8000), "NaN"),
        (np.array([1e300, -1e300] * 4000), "NaN or Inf"),
        (WAVE[:100], r"0\.006 s"),
    ],
)
def test_what_is_no_waveform_is_refused_with_its_reason(given, words):
    for take in (as_wave, as_channels):
        with pytest.raises(AudioError, match=words):
            take(given, 16_000)


def test_several_waveforms_need_a_whole_rate_each():
    waves, rates = as_waves([WAVE, np.stack([0.1 * WAVE, WAVE])], iter([16_000, np.float64(8000.0)]))
    assert rates == [16_000, 8000]
    np.testing.assert_array_equal(waves[1], WAVE)  # the loudest channel
    for given, says in ((16_000, "one rate for each"), ("16000", "one rate"), ([16_000], "2 waveforms and 1 rates")):
        with pytest.raises(ConfigError, match=says):
            as_waves([WAVE, WAVE], given)
    for rate in (True, 16_000.5, "fast"):
        with pytest.raises(AudioError, match="a whole number of Hz"):
            as_waves([WAVE], [rate])
