"""Procedural music whose instrument, chord, tempo and contour are known. No recording is used.

Six instruments of partials below 3.8 kHz, where every recording of the embedded corpus has energy too. What is drawn
of a piece (pitch, colour, decay, rhythm) is drawn alike whatever the answer to a question is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from auricle.core.errors import ConfigError

RATE_HZ = 16_000
INSTRUMENTS = ("organ", "flute", "clarinet", "brass", "plucked string", "bell")
CHORDS = {"major": (0, 4, 7), "minor": (0, 3, 7), "diminished": (0, 3, 6), "augmented": (0, 4, 8)}
TEMPI_BPM = {"slow": (56.0, 70.0), "moderate": (88.0, 106.0), "fast": (130.0, 152.0), "very fast": (186.0, 216.0)}
CONTOURS = {
    "rises": (1, 1, 1, 1),
    "falls": (-1, -1, -1, -1),
    "rises, then falls": (1, 1, -1, -1),
    "falls, then rises": (-1, -1, 1, 1),
}
_HIGHEST_HZ = 3800.0
_BELL = (0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 2.66, 3.01, 4.1)  # partials of a bell, in multiples of its strike note

Wave = npt.NDArray[np.float64]


class Player:
    """One instrument with its colour: the same all through a piece."""

    def __init__(self, instrument: str, rng: np.random.Generator) -> None:
        """Draw how this instrument sounds.

        Args:
            instrument: one of `INSTRUMENTS`.
            rng: draws brightness, decay, vibrato, and how each note is played.

        Raises:
            ConfigError: an unknown instrument.
        """
        if instrument not in INSTRUMENTS:
            raise ConfigError(f"no instrument is called {instrument!r}; instruments: {', '.join(INSTRUMENTS)}")
        self.instrument, self.rng = instrument, rng
        self.tilt = float(rng.uniform(-0.25, 0.25))
        self.decay_s = float(rng.uniform(0.25, 0.6))
        self.vibrato_hz = float(rng.uniform(4.5, 6.5))

    def note(self, hz: float, length_s: float) -> Wave:
        """Play a note.

        Args:
            hz: its pitch.
            length_s: from its beginning to its end, release included.

        Returns:
            Samples (T,) at `RATE_HZ`.
        """
        time = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
        ratios, levels = self._partials(hz)
        phases = self.rng.uniform(0, 2 * np.pi, len(ratios))
        bend = np.zeros_like(time)
        if self.instrument in ("flute", "brass"):
            bend = 0.004 * np.sin(2 * np.pi * self.vibrato_hz * time) / (2 * np.pi * self.vibrato_hz)
        angle = 2 * np.pi * hz * (time + bend)
        sound = np.zeros_like(time)
        for ratio, level, phase in zip(ratios, levels, phases, strict=True):
            sound += level * self._envelope(time, float(ratio)) * np.sin(ratio * angle + phase)
        if self.instrument == "flute":
            breath = np.convolve(self.rng.standard_normal(len(time)), np.ones(6) / 6, mode="same")
            sound += 0.06 * breath * self._envelope(time, 1.0)
        release = np.clip((length_s - time) / 0.02, 0, 1)
        return np.asarray(sound * release * float(self.rng.uniform(0.7, 1.0)))

    def _partials(self, hz: float) -> tuple[Wave, Wave]:
        """Give the multiples of the pitch, and their levels."""
        top = max(_HIGHEST_HZ / hz, 1.0)
        every = np.arange(1, int(top) + 1, dtype=np.float64)
        tilt = {"organ": 0.6, "flute": 2.4, "clarinet": 1.0, "brass": 0.7, "plucked string": 1.1, "bell": 0.5}
        kinds = {
            "organ": every[np.isin(every, (1, 2, 3, 4, 6, 8))],
            "clarinet": every[every % 2 == 1],
            "bell": np.array([ratio for ratio in _BELL if ratio <= top]),
        }
        ratios = kinds.get(self.instrument, every)
        return ratios, ratios ** -(tilt[self.instrument] + self.tilt)

    def _envelope(self, time: Wave, ratio: float) -> Wave:
        attack = {"organ": 0.02, "flute": 0.07, "clarinet": 0.03, "brass": 0.03 + 0.012 * min(ratio, 8)}
        rise = np.minimum(1, time / attack.get(self.instrument, 0.003))
        if self.instrument == "plucked string":
            return np.asarray(rise * np.exp(-time * (0.6 + 0.4 * ratio) / self.decay_s))
        if self.instrument == "bell":
            return np.asarray(rise * np.exp(-time * (0.5 + 0.5 * ratio) / (2 * self.decay_s)))
        return np.asarray(rise)


def add(out: Wave, start_s: float, sound: npt.NDArray[np.floating]) -> None:
    """Add a sound (T,) to a piece at a time; what lies outside of the piece is cut off."""
    first = round(start_s * RATE_HZ)
    low, high = max(first, 0), min(first + len(sound), len(out))
    if low < high:
        out[low:high] += sound[low - first : high - first]


def chord(kind: str, length_s: float, player: Player, rng: np.random.Generator) -> Wave:
    """Play a chord's notes one after another, then together.

    Args:
        kind: one of `CHORDS`.
        length_s: of the whole.
        player: the instrument.
        rng: draws the root and the order of the notes.

    Returns:
        Samples (T,).
    """
    out = np.zeros(round(length_s * RATE_HZ))
    root_hz = 262 * 2 ** (float(rng.uniform(0, 12)) / 12)
    notes = [root_hz * 2 ** (step / 12) for step in CHORDS[kind]]
    beat_s = length_s / 6
    for turn, index in enumerate(rng.permutation(3)):
        add(out, turn * beat_s, player.note(notes[int(index)], 1.1 * beat_s))
    for hz in notes:
        add(out, 3 * beat_s, player.note(hz, 3 * beat_s) / 2)
    return out


def melody(contour: str, length_s: float, player: Player, rng: np.random.Generator) -> Wave:
    """Play five notes that follow a contour.

    Args:
        contour: one of `CONTOURS`.
        length_s: of the whole.
        player: the instrument.
        rng: draws the middle pitch, the steps and the rhythm.

    Returns:
        Samples (T,).
    """
    sizes = rng.integers(2, 5, len(CONTOURS[contour]))
    steps = np.concatenate([[0], np.cumsum(np.array(CONTOURS[contour]) * sizes)]).astype(float)
    steps -= (steps.max() + steps.min()) / 2
    return tune(steps, length_s, player, rng)


def tune(steps: Sequence[float] | Wave, length_s: float, player: Player, rng: np.random.Generator) -> Wave:
    """Play notes one after another in a rhythm that is drawn.

    Args:
        steps: semitones of each note from a middle pitch, which is drawn between 330 and 554 Hz.
        length_s: of the whole.
        player: the instrument.
        rng: draws pitch and rhythm.

    Returns:
        Samples (T,).
    """
    out = np.zeros(round(length_s * RATE_HZ))
    middle_hz = 330 * 2 ** (float(rng.uniform(0, 9)) / 12)
    shares = rng.uniform(0.7, 1.3, len(steps))
    starts = np.concatenate([[0.0], np.cumsum(shares)]) / shares.sum() * length_s
    for step, start, end in zip(steps, starts[:-1], starts[1:], strict=True):
        add(out, float(start), player.note(middle_hz * 2 ** (float(step) / 12), 1.05 * float(end - start)))
    return out


def pulse(tempo: str, length_s: float, hit: npt.NDArray[np.floating], rng: np.random.Generator) -> Wave:
    """Repeat a sound at a steady tempo.

    Args:
        tempo: one of `TEMPI_BPM`.
        length_s: of the whole.
        hit: the sound (T,) of one beat; it is cut where the next one begins.
        rng: draws the tempo within its class, where it begins, and the accents.

    Returns:
        Samples (T,).
    """
    out = np.zeros(round(length_s * RATE_HZ))
    beat_s = 60 / float(rng.uniform(*TEMPI_BPM[tempo]))
    sound = np.array(hit[: round(beat_s * RATE_HZ)], np.float64)
    fade = min(160, len(sound))
    sound[len(sound) - fade :] *= np.linspace(1, 0, fade)
    start = float(rng.uniform(0, beat_s)) - beat_s
    while start < length_s:
        add(out, start, sound * float(rng.uniform(0.6, 1.0)))
        start += beat_s
    return out
