"""Recorded sounds at known places in a clip: one, several in a row, the same one some times, or twice at two speeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from auricle.core.errors import AudioError

RATE_HZ = 16_000
PACES = {"much slower": 1.9, "slower": 1.35, "faster": 1 / 1.35, "much faster": 1 / 1.9}  # second length over first
_FADE_S = 0.01

Wave = npt.NDArray[np.float32]
Given = npt.NDArray[np.floating]


def stretch_of(wave: Given, length_s: float, rng: np.random.Generator) -> Wave:
    """Cut a stretch of at most `length_s` that sounds: of some that are drawn, the loudest; with short fades.

    Args:
        wave: samples (T,) at `RATE_HZ`.
        length_s: longest.
        rng: draws where to look.
    """
    wave = np.asarray(wave, np.float32)
    length = round(length_s * RATE_HZ)
    if len(wave) > length:
        starts = rng.integers(len(wave) - length + 1, size=4)
        start = int(max(starts, key=lambda at: float(np.square(wave[at : at + length], dtype=np.float64).sum())))
        wave = wave[start : start + length]
    return _faded(wave)


def placed(wave: Given, n_samples: int, rng: np.random.Generator) -> Wave:
    """Put a sound at a place that is drawn; of one that is too long a stretch is cut.

    Args:
        wave: samples (T,) at `RATE_HZ`.
        n_samples: samples to give.
        rng: draws the place.
    """
    sound = stretch_of(wave, n_samples / RATE_HZ, rng)
    out = np.zeros(n_samples, np.float32)
    start = int(rng.integers(n_samples - len(sound) + 1))
    out[start : start + len(sound)] = sound
    return out


def in_a_row(waves: Sequence[Given], n_samples: int, rng: np.random.Generator, least_gap_s: float = 0.08) -> Wave:
    """Put sounds one after another at one level, with gaps that are drawn.

    Args:
        waves: sounds in their order, each (T,) at `RATE_HZ`; together with the gaps they fit.
        n_samples: samples to give.
        rng: draws what is left to the gaps before, between and after.
        least_gap_s: between two sounds.

    Raises:
        AudioError: they do not fit, or one is silent.
    """
    sounds = [_faded(_levelled(wave)) for wave in waves]
    spare = n_samples - sum(map(len, sounds)) - round(least_gap_s * RATE_HZ) * (len(sounds) - 1)
    if spare < 0:
        raise AudioError(f"{len(sounds)} sounds do not fit into {n_samples} samples; {-spare} are missing")
    gaps = np.floor(rng.dirichlet(np.ones(len(sounds) + 1)) * spare).astype(int)
    out = np.zeros(n_samples, np.float32)
    place = 0
    for sound, gap in zip(sounds, gaps, strict=False):
        place += int(gap)
        out[place : place + len(sound)] = sound
        place += len(sound) + round(least_gap_s * RATE_HZ)
    return out


def twice(wave: Given, pace: str, n_samples: int, rng: np.random.Generator) -> Wave:
    """Give a sound twice, the second time at another pace and the same pitch.

    Both are stretched by the same amount, one up and one down, so that what stretching does to a sound tells nothing.

    Args:
        wave: samples (T,) at `RATE_HZ`, at most a third of `n_samples`.
        pace: one of `PACES`.
        n_samples: samples to give.
        rng: draws the pace of both within 10 % and the gaps.
    """
    from auricle.data.spoof.phase_vocoder import stretch

    half = float(np.sqrt(PACES[pace] * rng.uniform(0.93, 1.07)))
    base = float(rng.uniform(0.9, 1.1))
    given = np.asarray(wave, np.float32)
    return in_a_row([stretch(given, RATE_HZ, base / half), stretch(given, RATE_HZ, base * half)], n_samples, rng)


def respeeded(wave: Given, factor: float) -> Wave:
    """Play a sound at another speed, pitch and all: above 1 is faster and higher.

    Args:
        wave: samples (T,).
        factor: of the speed.
    """
    import soxr

    return np.asarray(soxr.resample(np.asarray(wave, np.float32), factor, 1.0, quality="HQ"), np.float32)


def _levelled(wave: Given) -> Wave:
    power = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0
    if power == 0:
        raise AudioError("a silent sound cannot be placed")
    return np.asarray(wave / power, np.float32)


def _faded(wave: Given) -> Wave:
    out = np.array(wave, np.float32)
    fade = min(round(_FADE_S * RATE_HZ), len(out) // 2)
    if fade:
        out[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
        out[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return out
