"""Artefacts: they change what they say and nothing else, and what a clip cannot carry is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from auricle.core.errors import AudioError, ConfigError, DataError
from auricle.data.worlds import artefacts as of
from auricle.data.worlds.artefacts import BAND_EDGES_HZ, BIN_S, KINDS, RATE_HZ, artefact, inject, plan

N = round(of.CLIP_S * RATE_HZ)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(seed: int = 0) -> np.ndarray:
    return (0.1 * rng(seed).standard_normal(N)).astype(np.float32)


def power_db(wave: np.ndarray, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(wave)) ** 2
    hz = np.fft.rfftfreq(len(wave), 1 / RATE_HZ)
    return float(10 * np.log10(spectrum[(hz >= low_hz) & (hz < high_hz)].mean() + 1e-20))


@pytest.mark.parametrize("place", range(6))
def test_a_notch_lowers_its_band_by_what_it_says_and_no_other(place):
    one = artefact("notch", place, 0.5, rng())
    wave = noise()
    out = inject(wave, [one], rng())
    for band in range(6):
        # away from the edges, where the transform's bins leak
        low, high = BAND_EDGES_HZ[band] + 60, BAND_EDGES_HZ[band + 1] - 60
        moved = power_db(out, low, high) - power_db(wave, low, high)
        assert moved == pytest.approx(-24.0 if band == place else 0.0, abs=1.0), band


def test_a_cutoff_lowers_all_above_its_edge():
    one = artefact("cutoff", 2, 1.0, rng())
    assert BAND_EDGES_HZ[2] <= one.low_hz < BAND_EDGES_HZ[3]
    wave = noise()
    out = inject(wave, [one], rng())
    assert power_db(out, one.low_hz + 60, 7900) - power_db(wave, one.low_hz + 60, 7900) == pytest.approx(-42, abs=1.5)
    assert power_db(out, 60, one.low_hz - 60) - power_db(wave, 60, one.low_hz - 60) == pytest.approx(0, abs=0.5)


def test_a_mirror_puts_the_image_of_a_tone_where_it_belongs():
    one = artefact("mirror", 3, 0.5, rng())  # no gain at one half
    time = np.arange(N) / RATE_HZ
    wave = (0.1 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32) + 1e-3 * noise()
    out = inject(wave, [one], rng())
    spectrum = np.abs(np.fft.rfft(out[4000:20000] * np.hanning(16000)))
    hz = np.fft.rfftfreq(16000, 1 / RATE_HZ)
    above = hz > 1150
    assert hz[above][spectrum[above].argmax()] == pytest.approx(2 * one.low_hz - 1000, abs=16)


def test_smoothing_takes_the_changes_out_of_a_band():
    wave = noise() * (1 + np.sign(np.sin(2 * np.pi * 4 * np.arange(N) / RATE_HZ))).astype(np.float32)
    one = artefact("smooth", 4, 1.0, rng())
    out = inject(wave, [one], rng())

    def spread(given: np.ndarray, band: int) -> float:
        frames = np.abs(np.fft.rfft(given[: N // 400 * 400].reshape(-1, 400), axis=1))
        hz = np.fft.rfftfreq(400, 1 / RATE_HZ)
        level = frames[:, (hz > BAND_EDGES_HZ[band] + 80) & (hz < BAND_EDGES_HZ[band + 1] - 80)].mean(axis=1)
        return float(level.std() / level.mean())

    assert spread(out, 4) < 0.6 * spread(wave, 4)
    assert spread(out, 1) == pytest.approx(spread(wave, 1), rel=0.05)


@pytest.mark.parametrize("kind", of.TIME_KINDS)
def test_time_artefacts_change_their_stretch_alone_and_lie_in_their_bin(kind):
    for place in range(8):
        one = artefact(kind, place, 0.8, rng(place))
        assert place * BIN_S <= one.start_s < one.end_s <= (place + 1) * BIN_S
        wave = noise(place)
        changed = np.flatnonzero(inject(wave, [one], rng()) != wave)
        assert changed[0] >= round(one.start_s * RATE_HZ)
        assert changed[-1] < round(one.end_s * RATE_HZ)


def test_what_the_time_kinds_do():
    wave = noise()
    one = artefact("silence", 3, 1.0, rng())
    stretch = slice(round(one.start_s * RATE_HZ), round(one.end_s * RATE_HZ))
    assert not inject(wave, [one], rng())[stretch].any()
    one = artefact("gain", 3, 0.5, rng())
    stretch = slice(round(one.start_s * RATE_HZ), round(one.end_s * RATE_HZ))
    assert np.allclose(inject(wave, [one], rng())[stretch] / wave[stretch], 10 ** (9.5 / 20), rtol=1e-4)
    one = artefact("repeat", 3, 1.0, rng())
    out = inject(wave, [one], rng())[round(one.start_s * RATE_HZ) : round(one.end_s * RATE_HZ)]
    period = next(lag for lag in range(400, 900) if np.array_equal(out[lag:], out[:-lag]))
    assert 0.03 * RATE_HZ - 1 <= period <= 0.05 * RATE_HZ + 1


def test_a_clip_that_cannot_carry_an_artefact_refuses_it():
    time = np.arange(N) / RATE_HZ
    tone = (0.1 * np.sin(2 * np.pi * 300 * time)).astype(np.float32)
    with pytest.raises(AudioError, match="cannot carry a notch in band 4"):
        inject(tone, [artefact("notch", 4, 1.0, rng())], rng())
    half = tone.copy()
    half[: N // 2] = 0
    with pytest.raises(AudioError, match="cannot carry a silence in bin 1"):
        inject(half, [artefact("silence", 1, 1.0, rng())], rng())
    assert inject(half, [artefact("silence", 6, 1.0, rng())], rng()) is not None
    with pytest.raises(AudioError, match="silent clip"):
        inject(np.zeros(N, np.float32), [], rng())
    with pytest.raises(AudioError, match="shape"):
        inject(np.zeros(100, np.float32), [], rng())


def test_plans_have_the_shares_that_were_asked_for():
    draws = rng(1)
    plans = [plan(draws, share_time=0.5, both=0.3, strength=(0.5, 1.0)) for _ in range(2000)]
    assert np.mean([len(one) == 2 for one in plans]) == pytest.approx(0.3, abs=0.04)
    assert np.mean([any(a.domain == "time" for a in one) for one in plans]) == pytest.approx(0.65, abs=0.04)
    parts = [a for one in plans for a in one]
    assert {a.kind for a in parts} == set(KINDS)
    assert all(0.5 <= a.strength <= 1.0 for a in parts)
    assert set(Counter(a.place for a in parts if a.kind == "click")) == set(range(8))
    assert {a.place for a in parts if a.kind == "cutoff"} == {1, 2, 3, 4}
    assert all(one[0].domain == "frequency" for one in plans if len(one) == 2)
    assert plan(rng(5)) == plan(rng(5))


def test_an_artefact_survives_json_and_wrong_ones_are_refused():
    one = artefact("click", 7, 0.5, rng())
    assert of.from_dict(one.as_dict()) == one
    with pytest.raises(DataError, match="not an artefact"):
        of.from_dict({"kind": "click"})
    with pytest.raises(DataError, match="kind 'crackle'"):
        of.from_dict({**one.as_dict(), "kind": "crackle"})
    with pytest.raises(ConfigError, match="places 1 to 4"):
        artefact("cutoff", 5, 0.5, rng())
    with pytest.raises(ConfigError, match="no artefact is called"):
        artefact("crackle", 0, 0.5, rng())
