"""What is cut off and what is laid under a clip: the same for a whole recording and for pieces of it."""

import numpy as np
import pytest

from auricle.audio.hearing import FLOOR_DB, LEAD_S, Envelope, Sound, beginning, heard, part, sound_of
from auricle.data.clips import windows

RATE = 16000


def burst(before_s, sound_s, after_s, rate_hz=RATE, seed=0):
    """Give noise between zeros."""
    wave = np.random.default_rng(seed).normal(0, 0.1, round(sound_s * rate_hz)).astype(np.float32)
    zeros = [np.zeros(round(seconds * rate_hz), np.float32) for seconds in (before_s, after_s)]
    return np.concatenate([zeros[0], wave, zeros[1]])


def given(wave, length, sound=None):
    return list(heard([wave], sound or sound_of(wave, RATE), length))


def test_silence_at_the_ends_is_cut_off_but_for_a_lead():
    sound = sound_of(burst(1.0, 2.0, 0.5), RATE)
    assert 1.0 - LEAD_S - 0.02 <= sound.start / RATE <= 1.0 - LEAD_S
    assert 3.0 + LEAD_S <= sound.end / RATE <= 3.0 + LEAD_S + 0.02


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050])
@pytest.mark.parametrize(("before", "after"), [(0.3, 0.3), (0.0, 0.2), (0.117, 0.0), (1.5, 0.001)])
def test_zeros_at_the_ends_change_no_window(rate_hz, before, after):
    """A recording that begins in the middle of a sound is heard as if zeros stood before it."""
    step = Envelope(rate_hz).step
    bare = burst(0.0, 2.3, 0.0, rate_hz)
    zeros = [np.zeros(round(seconds * rate_hz / step) * step, np.float32) for seconds in (before, after)]
    padded = np.concatenate([zeros[0], bare, zeros[1]])
    ours, theirs = sound_of(bare, rate_hz), sound_of(padded, rate_hz)
    assert theirs.start - ours.start == len(zeros[0])
    for (a, one), (b, other) in zip(given(bare, rate_hz, ours), given(padded, rate_hz, theirs), strict=True):
        assert b - a == len(zeros[0])
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_noise_that_nobody_hears_does_not_move_where_a_sound_begins():
    wave = burst(0.3, 1.0, 0.3)
    noisy = wave + np.random.default_rng(1).normal(0, 0.1 * 10 ** (-72 / 20), len(wave)).astype(np.float32)
    ours, theirs = sound_of(wave, RATE), sound_of(noisy, RATE)
    assert abs(ours.start - theirs.start) <= 2 * Envelope(RATE).step
    assert abs(ours.end - theirs.end) <= 2 * Envelope(RATE).step


@pytest.mark.parametrize("length", [1000, 32_000, 36_000])
def test_pieces_of_a_recording_give_the_windows_of_the_whole(length):
    wave = burst(0.2, 2.1, 0.4)
    envelope = Envelope(RATE)
    cuts = np.array_split(wave, [1, 17, 900, 5000, 5001, 30_000])
    for piece in cuts:
        envelope.add(piece)
    sound = envelope.sound()
    assert vars(sound) == pytest.approx(vars(sound_of(wave, RATE)))
    whole, pieces = given(wave, length), list(heard(cuts, sound, length))
    assert [start for start, _ in whole] == [start for start, _ in pieces]
    for (_, one), (_, other) in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("size", [400, 1999, 2000, 2001, 3000, 3001, 7777])
def test_windows_are_those_of_training(size):
    """Overlap by half, the last ends with the sound, a short one is tiled: as `auricle.data.clips.windows`."""
    wave = np.random.default_rng(2).normal(0, 0.1, size).astype(np.float32)
    found = list(heard(np.array_split(wave, 5), Sound(0, size, 0.0), 2000))
    np.testing.assert_array_equal(np.stack([window for _, window in found]), windows(wave, 2000))


def test_the_floor_is_the_same_quiet_noise_under_every_window():
    wave = burst(0.0, 5.0, 0.0)
    sound = sound_of(wave, RATE)
    bare = list(heard([wave], Sound(sound.start, sound.end, 0.0), RATE))
    floors = [window - plain for (_, window), (_, plain) in zip(given(wave, RATE), bare, strict=True)]
    assert len(floors) > 5
    level = np.sqrt(np.mean(part(wave, sound) ** 2))
    for floor in floors:
        np.testing.assert_allclose(floor, floors[0], atol=1e-7)
        assert 20 * np.log10(level / np.sqrt(np.mean(floor**2))) == pytest.approx(FLOOR_DB, abs=0.5)


def test_digital_silence_inside_a_recording_is_no_window():
    wave = np.concatenate([burst(0, 1.0, 3.0), burst(0, 1.0, 0, seed=3)])
    starts = [start / RATE for start, _ in given(wave, RATE)]
    assert not [start for start in starts if 1.05 < start < 2.9]
    assert starts[0] < 1 < 3.5 < starts[-1]


def test_a_recording_without_power_is_taken_whole():
    assert sound_of(np.zeros(1600, np.float32), RATE) == Sound(0, 1600, 0.0)


def test_the_beginning_is_the_first_window_as_it_is_or_tiled():
    wave = burst(0.5, 2.0, 0.5)
    ((start, window),) = heard([wave[:9000], wave[9000:]], beginning(len(wave), 30_000), 30_000)
    assert start == 0
    assert np.array_equal(window, wave[:30_000])
    ((_, tiled),) = heard([wave], beginning(len(wave), 66_800), 66_800)
    assert np.array_equal(tiled, np.tile(wave, 2)[:66_800])


def test_what_comes_after_the_heard_part_is_not_asked_for():
    def pieces():
        yield burst(0.0, 1.0, 0.0)
        raise AssertionError("a piece too many")

    assert len(list(heard(pieces(), beginning(48_000, 12_000), 12_000))) == 1
