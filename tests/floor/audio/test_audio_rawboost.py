"""RawBoost against the formulas, SciPy's filter design and the ratios it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from auricle.audio import rawboost as module
from auricle.audio.rawboost import filtered, notch_banks, rawboost
from auricle.core.errors import AudioError, ConfigError
from auricle.core.seed import rng

RATE = 16_000


@pytest.fixture(scope="module")
def wave() -> np.ndarray:
    t = np.arange(20_000) / RATE
    tone = 0.4 * np.sin(2 * np.pi * 220 * t) * (1 + 0.5 * np.sin(2 * np.pi * 3 * t))
    return (tone + 0.02 * rng(0, "rawboost").standard_normal(t.size)).astype(np.float32)


def firwin_bank(seed: int, peak_db: float, centre, width, size) -> np.ndarray:
    b = np.ones(1)
    for c, w, n in zip(centre, width, size, strict=True):
        edges = [max(c - w / 2, 1e-3), min(c + w / 2, RATE / 2 - 1e-3)]
        b = np.convolve(b, signal.firwin(n, edges, window="hamming", fs=RATE))
    response = np.abs(signal.freqz(b, 1, worN=513, include_nyquist=True)[1])
    return b * 10 ** (peak_db / 20) / response.max()


@pytest.mark.parametrize("seed", range(4))
def test_notch_banks_equal_firwin(seed):
    peaks = np.array([0.0, -12.5])
    kernels = notch_banks(RATE, peaks, rng(seed))
    draw = rng(seed)
    centre, width = draw.uniform(20, 8000, (2, 5)), draw.uniform(100, 1000, (2, 5))
    size = draw.integers(10, 100, (2, 5)) | 1
    for k, peak, c, w, n in zip(kernels, peaks, centre, width, size, strict=True):
        wanted = firwin_bank(seed, peak, c, w, n)
        margin = (len(k) - len(wanted)) // 2
        np.testing.assert_allclose(k[margin : len(k) - margin], wanted, atol=1e-12)
        assert np.abs(k[:margin]).max(initial=0) < 1e-12


def test_a_notch_takes_its_band_out_and_leaves_the_rest():
    kernel = notch_banks(
        RATE, np.zeros(1), rng(1), notches=1, centre_hz=(3000, 3000), width_hz=(800, 800), taps=(99, 99)
    )
    hz, response = signal.freqz(kernel[0], fs=RATE)
    gain_db = 20 * np.log10(np.abs(response))
    assert kernel.shape == (1, 99)
    assert gain_db[np.abs(hz - 3000) < 100].max() < -25
    assert gain_db[(hz < 2000) | (hz > 4000)].min() > -0.5


@pytest.mark.parametrize("length", [1, 7, 480, 4096, 20_001])
def test_filtering_equals_the_sum_of_convolutions(length):
    draw = rng(2, length)
    signals, kernels = draw.standard_normal((3, length)), draw.standard_normal((3, 481))
    wanted = sum(np.convolve(s, k)[240 : 240 + length] for s, k in zip(signals, kernels, strict=True))
    np.testing.assert_allclose(filtered(signals, kernels), wanted, atol=1e-10)


@pytest.mark.parametrize("algorithm", range(1, 9))
def test_every_algorithm_changes_the_wave_keeps_its_form_and_repeats(wave, algorithm):
    before = wave.copy()
    first, again, other = (rawboost(wave, RATE, algorithm, rng(seed)) for seed in (3, 3, 4))
    assert first.dtype == np.float32
    assert first.shape == wave.shape
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(wave, before)
    assert np.abs(first - wave).max() > 1e-3
    assert not np.array_equal(first, other)
    if algorithm in (1, 2, 5, 8):
        assert np.abs(first).max() <= 1.0


@pytest.mark.parametrize("snr_db", [-5.0, 10.0, 25.5, 40.0])
@pytest.mark.parametrize("rate_hz", [8_000, RATE, 44_100])
def test_stationary_noise_has_its_ratio(wave, snr_db, rate_hz):
    noisy = rawboost(wave, rate_hz, 3, rng(5), snr_db=(snr_db, snr_db)).astype(np.float64)
    noise = noisy - wave
    measured = 10 * np.log10(np.mean(wave.astype(np.float64) ** 2) / np.mean(noise**2))
    assert measured == pytest.approx(snr_db, abs=0.1)


def test_stationary_noise_is_coloured_by_its_notches():
    quiet = np.full(1 << 16, 1e-3, np.float32)
    settings = {"notches": 1, "centre_hz": (3000, 3000), "width_hz": (1000, 1000), "taps": (99, 99)}
    noise = rawboost(quiet, RATE, 3, rng(6), snr_db=(0, 0), **settings).astype(np.float64) - quiet
    hz, power = signal.welch(noise, RATE, nperseg=512)
    inside, outside = power[np.abs(hz - 3000) < 200].mean(), power[(hz > 4500) & (hz < 7500)].mean()
    assert 10 * np.log10(outside / inside) > 15


def test_impulses_hit_the_share_of_samples_and_no_other(wave):
    wave = 0.3 * wave  # never above 1, so never divided by the peak
    out = rawboost(wave, RATE, 2, rng(7), share=(0.05, 0.05))
    assert np.count_nonzero(out != wave) == pytest.approx(0.05 * wave.size, rel=0.01)
    changed = out != wave
    # x (1 + 2 r) with |r| < 1
    assert np.all(np.abs(out[changed] - wave[changed]) <= 2 * np.abs(wave[changed]) + 1e-7)
    np.testing.assert_array_equal(rawboost(wave, RATE, 2, rng(7), share=(0, 0)), wave)


def test_convolutive_noise_by_formula(wave):
    # one tap-3 notch at the upper end, drawn at fixed values: the bank is known, so is the sum of powers
    settings = {"orders": 3, "notches": 1, "centre_hz": (4000, 4000), "width_hz": (500, 500), "taps": (31, 31)}
    quiet = 0.5 * wave
    out = rawboost(quiet, RATE, 1, rng(8), drop_db=(10, 10), **settings)
    h = firwin_bank(0, 0.0, [4000], [500], [31])
    x = quiet.astype(np.float64)
    y = sum(
        np.convolve(x**order, h * 10 ** (gain / 20))[15 : 15 + x.size] for order, gain in ((1, 0), (2, -10), (3, -10))
    )
    np.testing.assert_allclose(out, y - y.mean(), atol=1e-6)


def test_the_gain_of_higher_orders_is_drawn_between_both_drops(monkeypatch, wave):
    asked = []

    def spy(rate_hz, peak_db, **settings):
        asked.append(peak_db)
        return notch_banks(rate_hz, peak_db, **settings)

    monkeypatch.setattr(module, "notch_banks", spy)
    for seed in range(40):
        rawboost(wave[:200], RATE, 1, rng(seed))
    peaks = np.stack(asked)
    assert peaks.shape == (40, 5)
    assert np.all(peaks[:, 0] == 0)
    assert peaks[:, 1:].min() >= -20
    assert peaks[:, 1:].max() <= -5
    assert np.ptp(peaks[:, 1:]) > 12


def test_chains_are_their_steps_one_after_the_other(wave):
    # with the same generator handed on, a chain is the composition of its parts
    for chain, parts in ((5, (1, 2)), (6, (1, 3)), (7, (2, 3)), (4, (1, 2, 3))):
        draw, step = rng(9), wave
        for part in parts:
            step = rawboost(step, RATE, part, draw)
        np.testing.assert_allclose(rawboost(wave, RATE, chain, rng(9)), step, atol=2e-6)


def test_the_parallel_algorithm_is_the_limited_sum(wave):
    draw = rng(10)
    both = rawboost(wave, RATE, 1, draw).astype(np.float64) + rawboost(wave, RATE, 2, draw)
    np.testing.assert_allclose(rawboost(wave, RATE, 8, rng(10)), both / max(1, np.abs(both).max()), atol=1e-6)


def test_no_shift_in_time(wave):
    out = rawboost(wave, RATE, 1, rng(11), orders=1).astype(np.float64)
    lags = signal.correlation_lags(out.size, wave.size)
    assert lags[np.argmax(signal.correlate(out, wave))] == 0


@pytest.mark.parametrize("rate_hz", [4_000, 8_000, 48_000])
@pytest.mark.parametrize("length", [2, 50, 1000])
def test_any_rate_and_very_short_waves(rate_hz, length):
    ramp = np.linspace(0.1, 0.5, length, dtype=np.float32)
    out = rawboost(ramp, rate_hz, 7, rng(12), share=(1, 1), snr_db=(30, 30))
    assert out.shape == (length,)
    assert np.isfinite(out).all()


def test_numpy_integers_name_algorithms(wave):
    np.testing.assert_array_equal(rawboost(wave, RATE, np.int64(5), rng(1)), rawboost(wave, RATE, 5, rng(1)))


@pytest.mark.parametrize("algorithm", [0, 9, -1, 1.0, "1", None, True, np.array([1])])
def test_other_algorithms_are_refused(wave, algorithm):
    with pytest.raises(ConfigError, match="1 to 8"):
        rawboost(wave, RATE, algorithm, rng(0))


@pytest.mark.parametrize(
    ("algorithm", "settings", "word"),
    [
        (1, {"orders": 0}, "orders"),
        (1, {"notches": 0}, "notches"),
        (2, {"share": (0.2, 0.1)}, "share"),
        (2, {"share": (0.0, 1.5)}, "share"),
        (3, {"snr_db": (40, 10)}, "snr_db"),
        (3, {"snr_db": (float("nan"), 10)}, "snr_db"),
        (1, {"gain_db": (1, 0)}, "gain_db"),
        (3, {"taps": (100, 10)}, "taps"),
        (3, {"width_hz": (0, 10)}, "width_hz"),
        (3, {"centre_hz": (9_000, 12_000)}, "centre_hz"),
    ],
)
def test_settings_out_of_range_are_refused(wave, algorithm, settings, word):
    with pytest.raises(ConfigError, match=word):
        rawboost(wave, RATE, algorithm, rng(0), **settings)


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (np.zeros((2, 10), np.float32), "shape"),
        (np.zeros(0, np.float32), "shape"),
        (np.zeros(10, np.int16), "type"),
        (np.array([0.1, np.nan], np.float32), "NaN"),
        (np.array([0.1, np.inf], np.float32), "NaN"),
    ],
)
def test_what_is_not_a_waveform_is_refused(bad, word):
    with pytest.raises(AudioError, match=word):
        rawboost(bad, RATE, 2, rng(0))


def test_silence_has_no_ratio_and_a_rate_has_bounds(wave):
    with pytest.raises(AudioError, match="silent"):
        rawboost(np.zeros(100, np.float32), RATE, 3, rng(0))
    with pytest.raises(AudioError, match="rate"):
        rawboost(wave, 1_000, 2, rng(0))
