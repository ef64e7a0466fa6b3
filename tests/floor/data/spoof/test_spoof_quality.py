"""Each family does to the voice what its name says, measured by other means than its own."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from auricle.data.spoof import FAMILIES, formant, framing, lpc, phase_vocoder, pitch, psola, synthesize


def spoof(name, wave, variant=None, **kwargs):
    return synthesize(name, wave, 16000, np.random.default_rng(7), variant=variant, **kwargs).wave


@pytest.mark.parametrize(("f0_hz", "rate_hz"), [(90, 16000), (120, 16000), (210, 44100), (320, 8000)])
def test_tracker_finds_the_pitch_that_was_made(f0_hz, rate_hz, make_voice):
    track = pitch.track(make_voice(f0_hz, rate_hz=rate_hz, swing=0.0), rate_hz)
    assert np.median(track[track > 0]) == pytest.approx(f0_hz, rel=0.01)
    assert np.mean(track > 0) > 0.8


def test_track_is_spread_without_sliding_to_zero():
    f0 = np.array([0.0, 100.0, 110.0, 0.0, 0.0, 200.0])
    spread = pitch.at_samples(f0, 960, 16000)
    assert set(np.unique(spread[(spread > 0)] >= 100)) == {True}
    assert spread[160] == pytest.approx(100)
    assert spread[240] == pytest.approx(105)
    assert spread[3 * 160 + 10] == 0


@pytest.mark.parametrize("variant", ["dio", "harvest"])
def test_world_copy_keeps_pitch_and_spectrum(variant, voice, measure):
    copy = spoof("world", voice, variant)
    assert measure.median_f0(copy, 16000) == pytest.approx(measure.median_f0(voice, 16000), rel=0.02)
    assert 0.05 < measure.log_mel_distance(copy, voice, 16000) < 0.6


@pytest.mark.parametrize("variant", ["mean", "warp"])
def test_conversion_moves_pitch_and_colour_towards_the_target(variant, voice, other_voice, measure):
    converted = spoof("world_conversion", voice, variant, target=other_voice)
    assert measure.median_f0(converted, 16000) == pytest.approx(measure.median_f0(other_voice, 16000), rel=0.04)
    colour, before, wanted = (measure.mean_log_spectrum(wave) for wave in (converted, voice, other_voice))
    assert np.abs(colour - wanted).mean() < 0.7 * np.abs(before - wanted).mean()


@pytest.mark.parametrize("variant", ["k1", "k4"])
def test_neighbour_speaks_with_the_envelopes_of_the_target(variant, voice, other_voice, measure):
    converted = spoof("neighbour", voice, variant, target=other_voice)
    assert measure.median_f0(converted, 16000) == pytest.approx(measure.median_f0(other_voice, 16000), rel=0.04)
    colour, before, wanted = (measure.mean_log_spectrum(wave) for wave in (converted, voice, other_voice))
    assert np.abs(colour - wanted).mean() < 0.7 * np.abs(before - wanted).mean()


@pytest.mark.parametrize(("variant", "bound"), [("mel80", 0.5), ("mel128", 0.35)])
def test_griffin_lim_is_close_in_log_mel(variant, bound, voice, measure):
    rebuilt = spoof("griffin_lim", voice, variant)
    assert 0.02 < measure.log_mel_distance(rebuilt, voice, 16000) < bound
    assert measure.median_f0(rebuilt, 16000) == pytest.approx(measure.median_f0(voice, 16000), rel=0.02)


def test_levinson_solves_the_normal_equations(voice):
    lags = lpc.autocorrelation(framing.frame(voice, 512, 128) * framing.hann(512), 20)
    lags[:, 0] *= 1.0001
    poly, error = lpc.levinson(lags)
    for k in (20, 60, 100):
        solved = scipy.linalg.solve_toeplitz(lags[k, :20], -lags[k, 1:])
        assert poly[k, 1:] == pytest.approx(solved, abs=1e-6)
        assert error[k] == pytest.approx(lags[k, 0] + lags[k, 1:] @ solved, rel=1e-6)


def test_levinson_of_a_known_process():
    # x[n] = 0.8 x[n-1] + e[n] has lags 0.8**k: one coefficient, the rest 0, error 1 - 0.64
    poly, error = lpc.levinson(0.8 ** np.arange(5.0)[None])
    assert poly[0] == pytest.approx([1, -0.8, 0, 0, 0], abs=1e-12)
    assert error[0] == pytest.approx(0.36)
    silent, zero = lpc.levinson(np.zeros((1, 4)))
    assert silent[0].tolist() == [1, 0, 0, 0]
    assert zero[0] == 0


def test_pulses_have_unit_power_and_the_right_number():
    train = lpc.pulses(np.full(16000, 125.0), 16000)
    assert 124 <= np.count_nonzero(train) <= 125
    assert np.mean(train**2) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("name", ["lpc_pulse", "lpc_noise"])
def test_lpc_keeps_the_envelope(name, voice, measure):
    driven = spoof(name, voice)
    for low, high in ((300, 900), (1900, 3100)):
        wanted = measure.formant_peak(voice, 16000, low, high)
        assert measure.formant_peak(driven, 16000, low, high) == pytest.approx(wanted, rel=0.05)


def test_lpc_pulse_keeps_the_pitch_and_noise_has_none(voice, measure):
    pulse, noise = spoof("lpc_pulse", voice), spoof("lpc_noise", voice)
    assert measure.median_f0(pulse, 16000) == pytest.approx(measure.median_f0(voice, 16000), rel=0.02)
    assert np.mean(pitch.track(pulse, 16000) > 0) > 0.8
    assert np.mean(pitch.track(noise, 16000) > 0) < 0.3


@pytest.mark.parametrize("variant", FAMILIES["psola"].variants)
def test_psola_changes_pitch_by_the_factor_and_leaves_formants(variant, voice, measure):
    changed = spoof("psola", voice, variant)
    ratio = measure.median_f0(changed, 16000) / measure.median_f0(voice, 16000)
    assert ratio == pytest.approx(float(variant), rel=0.03)
    wanted = measure.formant_peak(voice, 16000, 1900, 3100)
    assert measure.formant_peak(changed, 16000, 1900, 3100) == pytest.approx(wanted, rel=0.03)


def test_psola_of_factor_one_gives_the_clip_back(voice):
    f0 = pitch.at_samples(pitch.track(voice, 16000), len(voice), 16000)
    same = psola.shift(voice, 16000, f0, 1.0)
    inside = slice(1600, -1600)
    assert np.abs(same[inside] - voice[inside]).max() < 1e-5


def test_psola_marks_sit_one_period_apart(make_voice):
    wave = make_voice(125.0, swing=0.0)
    places, voices = psola.marks(wave, 16000, np.full(len(wave), 125.0))
    assert voices.all()
    assert (np.diff(places) > 0).all()
    assert np.median(np.diff(places)) == pytest.approx(128, abs=1)


@pytest.mark.parametrize("variant", FAMILIES["formant"].variants)
def test_formant_shift_moves_the_peaks_and_leaves_the_pitch(variant, voice, measure):
    factor = float(variant)
    moved = spoof("formant", voice, variant)
    assert measure.median_f0(moved, 16000) == pytest.approx(measure.median_f0(voice, 16000), rel=0.01)
    third = measure.formant_peak(voice, 16000, 2200, 2800)
    peak = measure.formant_peak(moved, 16000, 2200 * factor, 2800 * factor)
    assert peak == pytest.approx(factor * third, rel=0.04)


def test_warp_moves_a_peak_and_factor_one_changes_nothing():
    bump = np.exp(-(((np.arange(257) - 100) / 5.0) ** 2))
    assert np.array_equal(formant.warp(bump, 1.0), bump)
    assert np.argmax(formant.warp(bump, 1.2)) == 120
    assert np.argmax(formant.warp(np.stack([bump, bump]), 0.8)[1]) == 80


@pytest.mark.parametrize("factor", [0.7, 0.9, 1.0, 1.1, 1.537])
def test_stretch_is_exact_in_length_and_keeps_pitch(factor, voice, measure):
    longer = phase_vocoder.stretch(voice, 16000, factor)
    assert len(longer) == round(factor * len(voice))
    assert measure.median_f0(longer, 16000) == pytest.approx(measure.median_f0(voice, 16000), rel=0.02)


def test_stretch_by_one_gives_the_clip_back(voice):
    assert np.abs(phase_vocoder.stretch(voice, 16000, 1.0) - voice).max() < 1e-4


@pytest.mark.parametrize("factor", [0.87, 1.15])
def test_vocoder_pitch_shift_moves_pitch_and_keeps_length(factor, voice, measure):
    changed = phase_vocoder.change_pitch(voice, 16000, factor)
    assert len(changed) == len(voice)
    ratio = measure.median_f0(changed, 16000) / measure.median_f0(voice, 16000)
    assert ratio == pytest.approx(factor, rel=0.02)


def test_frames_and_overlap_add_are_each_others_inverse(voice):
    frames = framing.frame(voice, 512, 128)
    assert frames.shape == (1 + len(voice) // 128, 512)
    assert np.array_equal(frames[10], voice[1280 - 256 : 1280 + 256])
    back = framing.overlap_add(frames * framing.hann(512), 128, len(voice))
    assert back[512:-512] == pytest.approx(2 * voice[512:-512], abs=1e-5)
