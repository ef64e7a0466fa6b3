"""Procedural music holds what it is said to hold, and recorded events stand where they should."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import AudioError, ConfigError
from auricle.core.seed import rng
from auricle.data.worlds import events, tunes
from auricle.data.worlds.events import RATE_HZ

SECONDS = 2.56
SAMPLES = round(SECONDS * RATE_HZ)


def strongest_hz(wave: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 1 << 17))
    return float(np.argmax(spectrum) * RATE_HZ / (1 << 17))


@pytest.mark.parametrize("instrument", tunes.INSTRUMENTS)
def test_a_note_has_its_length_pitch_and_band(instrument):
    note = tunes.Player(instrument, rng(0, instrument)).note(440.0, 0.5)
    assert len(note) == 8000
    assert np.all(np.isfinite(note))
    spectrum = np.abs(np.fft.rfft(note)) ** 2
    frequencies = np.fft.rfftfreq(len(note), 1 / RATE_HZ)
    # breath is noise; else nothing lies above the band that every clip keeps
    assert spectrum[frequencies > 4200].sum() < 0.02 * spectrum.sum()
    if instrument != "bell":  # whose partials are no harmonics
        near = [abs(frequencies[int(at)] / 440 % 1) for at in np.argsort(spectrum)[-3:]]
        assert all(min(off, 1 - off) < 0.02 for off in near)


def test_instruments_differ_and_each_draw_sounds_another_way():
    notes = {name: tunes.Player(name, rng(0, "same")).note(440.0, 0.5) for name in tunes.INSTRUMENTS}
    shapes = {name: np.abs(np.fft.rfft(note)) / np.linalg.norm(np.fft.rfft(note)) for name, note in notes.items()}
    for one in tunes.INSTRUMENTS:
        for other in tunes.INSTRUMENTS:
            assert one == other or shapes[one] @ shapes[other] < 0.98, (one, other)
    assert not np.allclose(notes["organ"], tunes.Player("organ", rng(1, "other")).note(440.0, 0.5))


@pytest.mark.parametrize("kind", tunes.CHORDS)
def test_a_chord_has_its_notes(kind):
    wave = tunes.chord(kind, SECONDS, tunes.Player("flute", rng(0, kind)), rng(1, kind))
    assert len(wave) == SAMPLES
    part = round(SECONDS / 6 * RATE_HZ)
    pitches = sorted(strongest_hz(wave[turn * part + 2500 : (turn + 1) * part]) for turn in range(3))
    steps = [round(12 * np.log2(pitch / pitches[0])) for pitch in pitches]
    assert tuple(steps) == tunes.CHORDS[kind]


@pytest.mark.parametrize("contour", tunes.CONTOURS)
def test_a_melody_moves_as_it_is_said_to(contour):
    class Heard(tunes.Player):
        pitches: tuple[float, ...] = ()

        def note(self, hz: float, length_s: float) -> np.ndarray:
            self.pitches = (*self.pitches, hz)
            return super().note(hz, length_s)

    player = Heard("organ", rng(0, contour))
    assert len(tunes.melody(contour, SECONDS, player, rng(2, contour))) == SAMPLES
    assert tuple(np.sign(np.diff(player.pitches)).astype(int)) == tunes.CONTOURS[contour]
    assert 330 / 2 < min(player.pitches) < max(player.pitches) < 1120


@pytest.mark.parametrize("tempo", tunes.TEMPI_BPM)
def test_a_pulse_has_its_tempo(tempo):
    click = np.zeros(200)
    click[0] = 1.0
    beats = np.flatnonzero(tunes.pulse(tempo, SECONDS, click, rng(3, tempo)))
    bpm = 60 * RATE_HZ / np.diff(beats)
    low, high = tunes.TEMPI_BPM[tempo]
    assert np.all((bpm > low - 1) & (bpm < high + 1))
    edges = sorted(edge for pair in tunes.TEMPI_BPM.values() for edge in pair)
    assert [edge for pair in tunes.TEMPI_BPM.values() for edge in pair] == edges  # the classes do not overlap


def test_an_unknown_instrument():
    with pytest.raises(ConfigError, match="no instrument is called 'harp'"):
        tunes.Player("harp", rng(0, "x"))


def bursts(wave: np.ndarray) -> list[tuple[int, int]]:
    """Give beginnings and ends of what is not silent for 20 ms."""
    loud = np.flatnonzero(np.abs(wave) > 1e-4)
    breaks = np.flatnonzero(np.diff(loud) > 0.02 * RATE_HZ)
    starts = np.concatenate([[loud[0]], loud[breaks + 1]])
    return list(zip(starts.tolist(), np.concatenate([loud[breaks], [loud[-1]]]).tolist(), strict=True))


def tone(seconds: float, hz: float = 500.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ).astype(np.float32)


def test_sounds_in_a_row_keep_their_order_and_do_not_touch():
    low, high = tone(0.4, 300.0), 0.01 * tone(0.5, 2000.0)
    wave = events.in_a_row([high, low], SAMPLES, rng(0, "row"))
    (first, second) = bursts(wave)
    assert strongest_hz(wave[slice(*first)]) == pytest.approx(2000, abs=5)
    assert strongest_hz(wave[slice(*second)]) == pytest.approx(300, abs=5)
    assert second[0] - first[1] >= 0.08 * RATE_HZ - 200
    # a quiet recording is no quieter than a loud one
    assert np.abs(wave[slice(*first)]).max() == pytest.approx(np.abs(wave[slice(*second)]).max(), rel=0.05)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_sound_is_there_as_often_as_it_is_said_to_be(count):
    assert len(bursts(events.in_a_row([tone(0.3)] * count, SAMPLES, rng(count, "count")))) == count


@pytest.mark.parametrize("pace", events.PACES)
def test_the_second_time_has_its_pace_and_the_same_pitch(pace):
    wave = events.twice(tone(0.8), pace, SAMPLES, rng(0, pace))
    (first, second) = bursts(wave)
    ratio = (second[1] - second[0]) / (first[1] - first[0])
    assert ratio == pytest.approx(events.PACES[pace], rel=0.12)
    assert strongest_hz(wave[slice(*first)]) == pytest.approx(500, abs=6)
    assert strongest_hz(wave[slice(*second)]) == pytest.approx(500, abs=6)


def test_the_longest_that_is_said_twice_fits():
    for number in range(30):
        for pace in events.PACES:
            assert len(events.twice(tone(0.9), pace, SAMPLES, rng(number, pace))) == SAMPLES


def test_a_sound_is_placed_whole_and_a_long_one_is_cut():
    (place,) = bursts(events.placed(tone(0.5), SAMPLES, rng(0, "placed")))
    assert place[1] - place[0] == pytest.approx(0.5 * RATE_HZ, abs=30)
    assert len({bursts(events.placed(tone(0.5), SAMPLES, rng(n, "p")))[0][0] for n in range(20)}) == 20
    assert len(events.placed(tone(5.0), SAMPLES, rng(0, "long"))) == SAMPLES


def test_speed_changes_length_and_pitch():
    faster = events.respeeded(tone(1.0), 1.1)
    assert len(faster) == pytest.approx(RATE_HZ / 1.1, abs=2)
    assert strongest_hz(faster) == pytest.approx(550, abs=3)


def test_what_cannot_be_placed():
    with pytest.raises(AudioError, match="do not fit"):
        events.in_a_row([tone(1.5), tone(1.5)], SAMPLES, rng(0, "x"))
    with pytest.raises(AudioError, match="silent"):
        events.in_a_row([np.zeros(100, np.float32)], SAMPLES, rng(0, "x"))
