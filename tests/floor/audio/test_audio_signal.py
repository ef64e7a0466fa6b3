"""Resampling, levels, noise and channels."""

import io

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.audio import channel
from auricle.audio.level import bandwidth_hz, crop, peak_db, rms_db, set_level, tile, trim_silence
from auricle.audio.noise import add_noise, coloured, pink, white
from auricle.audio.resample import resample
from auricle.core.errors import AudioError
from auricle.core.seed import rng
from tests.hostile import coded, speechlike

RATES = [(44_100, 16_000), (16_000, 8_000), (8_000, 16_000), (11_025, 16_000), (48_000, 44_100)]


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_resampling_a_tone_gives_the_tone(from_hz, to_hz):
    def tone(rate_hz):
        return np.sin(2 * np.pi * 997 * np.arange(rate_hz) / rate_hz)

    got = resample(tone(from_hz), from_hz, to_hz)
    assert len(got) == to_hz
    middle = slice(to_hz // 10, -to_hz // 10)
    assert np.abs(got[middle] - tone(to_hz)[middle]).max() < 1e-4
    theirs = scipy.signal.resample_poly(tone(from_hz), to_hz, from_hz)
    assert np.abs(got[middle] - theirs[: len(got)][middle]).max() < 5e-3


def test_resampling_removes_what_the_new_rate_cannot_hold():
    high = np.sin(2 * np.pi * 6000 * np.arange(16_000) / 16_000)
    assert rms_db(resample(high, 16_000, 8_000)[400:-400]) < -90


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(RATES), st.integers(1, 3000), st.booleans())
def test_resampling_keeps_type_shape_and_proportion(rates, length, double):
    wave = np.random.default_rng(length).standard_normal((2, 3, length)).astype(np.float64 if double else np.float32)
    got = resample(wave, *rates)
    assert got.shape[:2] == (2, 3)
    assert abs(got.shape[2] - length * rates[1] / rates[0]) <= 1
    assert got.dtype == wave.dtype
    np.testing.assert_array_equal(got[1, 2], resample(wave[1, 2], *rates))


def test_resampling_refuses():
    wave = speechlike(0.2)
    assert resample(wave, 16_000, 16_000) is wave
    for bad in [(0, 16_000), (16_000, -1), (float("nan"), 16_000)]:
        with pytest.raises(AudioError, match="Hz"):
            resample(wave, *bad)
    with pytest.raises(AudioError, match="int16"):
        resample(np.zeros(100, np.int16), 16_000, 8_000)


def test_levels_by_hand():
    assert rms_db(np.array([0.1, -0.1])) == pytest.approx(-20)
    assert peak_db(np.array([0.01, -0.5])) == pytest.approx(20 * np.log10(0.5))
    assert rms_db(np.zeros(5)) == peak_db(np.zeros(5)) == rms_db(np.zeros(0)) == -np.inf


@settings(max_examples=40, deadline=None)
@given(st.floats(-60, 0), st.floats(1e-4, 100), st.integers(0, 1000))
def test_set_level_hits_the_level_or_the_peak(level_db, scale, seed):
    wave = scale * speechlike(0.1, seed=seed)
    got = set_level(wave, level_db)
    assert got.dtype == np.float32
    assert np.abs(got).max() <= 0.99 + 1e-6
    assert rms_db(got) == pytest.approx(level_db, abs=1e-3) or np.abs(got).max() == pytest.approx(0.99, abs=1e-5)
    assert rms_db(set_level(wave, level_db, peak=None)) == pytest.approx(level_db, abs=1e-3)


def test_silence_has_no_level():
    with pytest.raises(AudioError, match="silent"):
        set_level(np.zeros(100))


def test_tile_and_crop():
    wave = np.arange(5.0)
    assert tile(wave, 12).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert tile(wave, 3).tolist() == [0, 1, 2]
    assert tile(wave, 0).tolist() == []
    assert tile(np.stack([wave, -wave]), 7)[1].tolist() == [0, -1, -2, -3, -4, 0, -1]
    assert crop(wave, 2).tolist() == [0, 1]
    assert crop(wave, 9, rng(0)).tolist() == wave.tolist()
    starts = {int(crop(wave, 2, rng(0, k))[0]) for k in range(60)}
    assert starts == {0, 1, 2, 3}
    for bad in (lambda: tile(np.zeros(0), 3), lambda: tile(wave, -1), lambda: crop(wave, 0)):
        with pytest.raises(AudioError):
            bad()


def test_trim_silence():
    sound = speechlike(0.4)
    wave = np.concatenate([np.zeros(8000), sound, 1e-5 * sound, np.zeros(4001)]).astype(np.float32)
    part, start, end = trim_silence(wave, 16_000)
    assert abs(start - (8000 - 800)) <= 320
    assert abs(end - (8000 + 6400 + 800)) <= 320
    np.testing.assert_array_equal(part, wave[start:end])
    assert trim_silence(np.zeros(100), 16_000)[1:] == (0, 100)
    assert trim_silence(np.zeros(0), 16_000)[1:] == (0, 0)
    assert trim_silence(sound, 16_000)[1:] == (0, len(sound))


@pytest.mark.parametrize("edge_hz", [1500, 3400, 5500, 8000])
def test_bandwidth(edge_hz):
    spectrum = np.fft.rfft(0.1 * white(32_000, rng(1)))
    spectrum[edge_hz * 2 :] = 0
    assert bandwidth_hz(np.fft.irfft(spectrum), 16_000) == pytest.approx(edge_hz, abs=100)
    assert bandwidth_hz(np.zeros(1000), 16_000) == 0
    assert bandwidth_hz(resample(0.1 * white(8_000, rng(2)), 8_000, 16_000), 16_000) == pytest.approx(4000, abs=150)


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 1.0, 2.0])
def test_coloured_noise_has_its_slope_and_unit_level(exponent):
    noise = coloured(2**17, exponent, rng(3))
    assert rms_db(noise) == pytest.approx(0, abs=1e-3)
    frequency, power = scipy.signal.welch(noise, nperseg=1024)
    inside = (frequency > 0.01) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.05)
    np.testing.assert_array_equal(pink(500, rng(4)), coloured(500, 1.0, rng(4)))


@settings(max_examples=40, deadline=None)
@given(st.floats(-20, 60), st.integers(2, 40_000), st.booleans(), st.integers(0, 100))
def test_snr_is_true(snr_db, noise_length, random_part, seed):
    wave = speechlike(0.25, seed=seed).astype(np.float64)
    noise = 7 * white(noise_length, rng(seed))
    noisy = add_noise(wave, noise, snr_db, rng(seed, "part") if random_part else None)
    assert rms_db(wave) - rms_db(noisy - wave) == pytest.approx(snr_db, abs=0.1)


def test_silence_has_no_snr():
    for wave, noise in [(np.zeros(100), np.ones(100)), (np.ones(100), np.zeros(100))]:
        with pytest.raises(AudioError, match="silent"):
            add_noise(wave, noise, 10)
    with pytest.raises(AudioError):
        add_noise(np.ones(100), np.zeros(0), 10)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 96_000])
@pytest.mark.parametrize("name", list(channel.CHANNELS))
def test_channels_keep_length_time_and_content(name, rate_hz):
    # telephone band, so that every channel can carry it; an odd length
    wave = channel.band_limit(speechlike(1.0, rate_hz), rate_hz, 400, 3000)[:-37]
    got = channel.apply(name, wave, rate_hz, rng(5))
    assert got.shape == wave.shape
    assert got.dtype == np.float32
    assert np.isfinite(got).all()
    correlation = scipy.signal.correlate(got, wave)
    lag = int(np.argmax(correlation)) - (len(wave) - 1)
    assert abs(lag) <= max(1, rate_hz / 8000)
    # GSM full rate keeps the waveform least
    assert np.corrcoef(got, wave)[0, 1] > (0.85 if name == "gsm" else 0.9)
    np.testing.assert_array_equal(got, channel.apply(name, wave, rate_hz, rng(5)))
    if name != "band_limit":
        assert not np.array_equal(got, wave)


def test_companding_equals_g711():
    wave = speechlike(0.5, 8_000)
    # G.711 mu-law: about 38 dB; A-law the same, over a wide range of levels
    for carry in (channel.mu_law, channel.a_law):
        for gain in (1.0, 0.1):
            error = carry(gain * wave, 8_000) - gain * wave
            assert 30 < rms_db(gain * wave) - rms_db(error) < 45
    expected, _ = soundfile.read(io.BytesIO(coded(wave, 8_000, "AU", "ULAW")), dtype="float32")
    np.testing.assert_array_equal(channel.mu_law(wave, 8_000), expected)
    # 8 bits: no more than 256 values
    assert len(np.unique(channel.mu_law(0.99 * white(8_000, rng(0)).clip(-1, 1), 8_000))) <= 256


@pytest.mark.parametrize("name", ["mu_law", "a_law", "gsm", "g722"])
def test_telephone_codecs_limit_the_band(name):
    wave = 0.1 * white(44_100, rng(6))
    limit_hz = 8000 if name == "g722" else 4000
    got = channel.apply(name, wave, 44_100, rng(6))
    assert bandwidth_hz(got, 44_100) <= limit_hz + 200


def test_harder_compression_changes_more():
    wave = speechlike(1.0)
    for carry in (channel.mp3, channel.opus, channel.vorbis):
        soft, hard = (rms_db(carry(wave, 16_000, level) - wave) for level in (0.1, 0.95))
        assert soft < hard < rms_db(wave)
        with pytest.raises(AudioError, match="level"):
            carry(wave, 16_000, 1.5)


def test_band_limit_is_flat_inside_and_closed_outside_and_has_no_delay():
    impulse = np.zeros(4001, np.float32)
    impulse[2000] = 1
    response = channel.band_limit(impulse, 16_000, 300, 3400)
    np.testing.assert_allclose(response, response[::-1], atol=1e-7)
    gain_db = 20 * np.log10(np.abs(np.fft.rfft(response)) + 1e-9)
    hz = np.fft.rfftfreq(4001, 1 / 16_000)
    assert np.abs(gain_db[(hz > 500) & (hz < 3200)]).max() < 0.1
    assert gain_db[(hz < 100) | (hz > 3600)].max() < -45
    assert gain_db[np.argmin(abs(hz - 300))] == pytest.approx(-6, abs=0.5)
    kernel = scipy.signal.firwin(401, [300, 3400], pass_zero=False, fs=16_000)
    wave = speechlike(0.5)
    theirs = scipy.signal.lfilter(kernel, [1.0], np.pad(wave, (0, 200)).astype(np.float64))[200:]
    np.testing.assert_allclose(channel.band_limit(wave, 16_000, 300, 3400), theirs, atol=1e-6)
    np.testing.assert_array_equal(channel.band_limit(wave, 16_000, 0, 8000), wave)
    assert bandwidth_hz(channel.band_limit(wave, 16_000, 0, 2000), 16_000, 40) < 2300


def test_channels_refuse():
    good = speechlike(0.2)
    for call in (
        lambda: channel.apply("carrier_pigeon", good, 16_000, rng(0)),
        lambda: channel.mu_law(np.stack([good, good]), 16_000),
        lambda: channel.gsm(np.zeros(0, np.float32), 16_000),
        lambda: channel.g722(np.full(1000, np.nan), 16_000),
        lambda: channel.mp3(good, 0),
        lambda: channel.band_limit(good, 16_000, 3000, 300),
        lambda: channel.band_limit(good, 16_000, 9000, 10_000),
    ):
        with pytest.raises(AudioError):
            call()
