"""Procedural music: chord progressions by instruments of additive partials, with a beat. No recording is used."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RATE_HZ = 16_000
_PROGRESSIONS = ((0, 7, 9, 5), (0, 5, 7, 0), (9, 5, 0, 7), (0, 9, 2, 7), (0, 3, 8, 10), (2, 7, 0, 0))
_CHORDS = {
    0: (0, 4, 7),
    2: (0, 3, 7),
    3: (0, 4, 7),
    5: (0, 4, 7),
    7: (0, 4, 7),
    8: (0, 4, 7),
    9: (0, 3, 7),
    10: (0, 4, 7),
}
_HIGHEST_HZ = 3800.0
_TABLE = 4096  # samples of a stored period


def piece(n_samples: int, style: np.random.Generator, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Play a stretch of a piece.

    Args:
        n_samples: samples to give.
        style: draws what stays within a piece: progression, key, tempo, instrument; the same state is the same piece.
        rng: draws where in the piece the stretch begins and how each note is played.

    Returns:
        Samples (n_samples,) at `RATE_HZ`, peak 1.
    """
    progression = _PROGRESSIONS[int(style.integers(len(_PROGRESSIONS)))]
    root_hz, beat_s = 110 * 2 ** (float(style.integers(12)) / 12), float(style.uniform(0.28, 0.6))
    tilt, decay_s, detune = (
        float(style.uniform(0.4, 1.4)),
        float(style.uniform(0.2, 1.2)),
        float(style.uniform(0, 0.004)),
    )
    odd, drum = bool(style.random() < 0.3), float(style.uniform(0.0, 0.5))
    out = np.zeros(n_samples)
    beat, start = int(rng.integers(16)), -float(rng.uniform(0, beat_s))
    while start < n_samples / RATE_HZ:
        degree = progression[(beat // 2) % len(progression)]
        notes = [degree + step + octave for step in _CHORDS[degree] for octave in (0, 12)]
        picked = notes if beat % 2 == 0 else [notes[int(rng.integers(len(notes)))] + 12]
        for note in picked:
            _add(out, start, _note(root_hz * 2 ** (note / 12), tilt, decay_s, detune, odd, rng) / len(picked))
        _add(out, start, drum * _hit(rng, low=beat % 2 == 0))
        start, beat = start + beat_s, beat + 1
    return (out / max(float(np.abs(out).max()), 1e-9)).astype(np.float32)


def _add(out: npt.NDArray[np.float64], start_s: float, sound: npt.NDArray[np.float64]) -> None:
    """Add a sound at a time, which may lie before the beginning."""
    first = round(start_s * RATE_HZ)
    low, high = max(first, 0), min(first + len(sound), len(out))
    if low < high:
        out[low:high] += sound[low - first : high - first]


def _note(
    hz: float, tilt: float, decay_s: float, detune: float, odd: bool, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Play one note: partials that fall with their number, two slightly apart, dying away."""
    time = np.arange(round(min(3 * decay_s, 1.2) * RATE_HZ)) / RATE_HZ
    # one period of each of the two, read at the note's pitch
    spectrum = np.zeros((2, _TABLE // 2 + 1), np.complex128)
    partials = np.arange(1, max(int(_HIGHEST_HZ / hz), 1) + 1, 2 if odd else 1)
    spectrum[:, partials] = partials**-tilt * np.exp(2j * np.pi * rng.random((2, len(partials))))
    tables = np.fft.irfft(spectrum, _TABLE, axis=1) * _TABLE / 2
    sound = np.zeros(len(time))
    for table, factor in zip(tables, (1 - detune, 1 + detune), strict=True):
        sound += table[(hz * factor * _TABLE * time).astype(np.int64) % _TABLE]
    return sound * np.minimum(1, time / 0.01) * np.exp(-time / decay_s) * float(rng.uniform(0.6, 1.0))


def _hit(rng: np.random.Generator, low: bool) -> npt.NDArray[np.float64]:
    """Strike a drum: a falling tone, or a burst of noise."""
    time = np.arange(round(0.12 * RATE_HZ)) / RATE_HZ
    if low:
        return np.asarray(4 * np.sin(2 * np.pi * (60 * time + 4 * (1 - np.exp(-time / 0.02)))) * np.exp(-time / 0.05))
    return np.asarray(rng.standard_normal(len(time)) * np.exp(-time / 0.03))
