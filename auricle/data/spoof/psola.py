"""Pitch change in the time domain: two-period grains laid down closer together or further apart (TD-PSOLA)."""

from __future__ import annotations

import bisect

import numpy as np
from numpy.typing import NDArray

from auricle.data.spoof import pitch
from auricle.data.spoof.result import Spoof, finish

# Where there is no pitch, grains of this spacing are put back where they were.
UNVOICED_S = 0.005
# A mark may stray from its predicted place by this part of a period while it looks for the peak.
SEARCH = 0.2


def marks(
    wave: NDArray[np.float32], rate_hz: int, f0: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Place one mark a pitch period, on its peak, and one every 5 ms where unvoiced.

    Args:
        wave: (T,).
        rate_hz: its rate.
        f0: per-sample pitch (T,), 0 where unvoiced.

    Returns:
        Positions (M,), strictly rising, and whether each lies in voice.
    """
    # the glottal pulse is the sharper side of the wave; marks on the other side would wander
    side = wave if float(np.mean(wave.astype(np.float64) ** 3)) >= 0 else -wave
    places: list[int] = []
    voices: list[bool] = []
    at = 0.0
    was_voiced = False
    step_unvoiced = UNVOICED_S * rate_hz
    while at < len(wave):
        place = int(at)
        voiced = bool(f0[place] > 0)
        period = rate_hz / f0[place] if voiced else step_unvoiced
        if voiced:
            # a run's first mark looks through a whole period for the peak, later ones near where it is due
            reach = SEARCH if was_voiced else 0.5
            start = max(int(at - reach * period), places[-1] + 1 if places else 0)
            stop = min(int(at + reach * period) + 1, len(wave))
            if stop > start:
                place = start + int(np.argmax(side[start:stop]))
        if not places or place > places[-1]:
            places.append(place)
            voices.append(voiced)
        was_voiced = voiced
        at = place + period
    return np.asarray(places, np.int64), np.asarray(voices, np.bool_)


def shift(wave: NDArray[np.float32], rate_hz: int, f0: NDArray[np.float64], factor: float) -> NDArray[np.float32]:
    """Multiply the pitch by `factor` and keep duration and spectral envelope.

    Moulines and Charpentier (1990), "Pitch-synchronous waveform processing techniques".

    Args:
        wave: (T,).
        rate_hz: its rate.
        f0: per-sample pitch (T,), 0 where unvoiced.
        factor: between 0.5 and 2.
    """
    places, voices = marks(wave, rate_hz, f0)
    positions: list[int] = places.tolist()
    gaps = np.diff(places, append=places[-1] + round(UNVOICED_S * rate_hz))
    longest = int(gaps.max()) + 1
    padded = np.pad(wave, longest)
    out = np.zeros(len(padded), np.float32)
    ramps = {size: _rise(size) for size in np.unique(gaps).tolist()}
    at = float(positions[0])
    while at < len(wave):
        index = bisect.bisect_left(positions, at)
        if index > 0 and (index == len(positions) or at - positions[index - 1] < positions[index] - at):
            index -= 1
        before, after = int(gaps[max(index - 1, 0)]), int(gaps[index])
        source, sink = positions[index] + longest, int(at) + longest
        out[sink - before : sink] += padded[source - before : source] * ramps[before]
        out[sink : sink + after] += padded[source : source + after] * (1.0 - ramps[after])
        at += after / factor if voices[index] else after
    return out[longest : longest + len(wave)]


def _rise(size: int) -> NDArray[np.float32]:
    """Give the rising half of a Hann window; with its mirror image it adds up to one."""
    return (0.5 - 0.5 * np.cos(np.pi * np.arange(size) / size)).astype(np.float32)


def change_pitch(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Change a clip's pitch by the factor that `variant` names; nothing is drawn from `rng`.

    Raises:
        AudioError: less than 0.1 s of the clip is voiced, so that nothing would change.
    """
    track = pitch.track(wave, rate_hz)
    pitch.require_voiced(track, "psola")
    out = shift(wave, rate_hz, pitch.at_samples(track, len(wave), rate_hz), float(variant))
    return finish(out, rate_hz, f"psola-{variant}", like=wave)
