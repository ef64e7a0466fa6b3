"""Is this the kind of sound the detector was made for? Speech at all, and speech that moves as that of its clips does.

The first question is Silero VAD's (`auricle.backbones.vad`), which knows nothing of a run. The second is answered by
the clips of a run (`auricle.metrics.novelty`): how much the cepstrum changes from frame to frame. What is steady over a
recording, such as its colour, its level and the voice's mean spectrum, is left out: that of a new microphone is always
unlike, and that of a synthetic voice often is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from auricle.audio.hearing import heard, sound_of
from auricle.audio.motion import motion
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.metrics.novelty import Known, fit_known
from auricle.systems.mambo.rows import speakers

SPEECH_SHARE = 0.15  # of the 32 ms frames; with fewer of speech an input is called non-speech
NO_SPEECH = "non-speech"
WITHIN = 0.92  # share of the real clips of a package that was left out which shall not be called out of domain
CLIPS = 600
SHORTEST_S = 0.4  # of the excerpts that show what little a short recording tells


def describe(wave: np.ndarray, rate_hz: int, band_hz: float, window: int) -> tuple[np.ndarray, float]:
    """Describe a recording as `infer` does.

    Args:
        wave: (T,).
        rate_hz: its rate in Hz.
        band_hz: nothing above it counts.
        window: samples of a window.

    Returns:
        (12,), the mean over its windows; and the seconds of its sound.
    """
    sound = sound_of(wave, rate_hz)
    windows = [piece for _, piece in heard([wave], sound, window)]
    return motion(windows, rate_hz, band_hz).mean(0), (sound.end - sound.start) / rate_hz


def fit_domain(parts: Sequence[Clips], band_hz: float, window: int, draws: np.random.Generator) -> Known:
    """Learn what is usual from a run's clips, real and fake: a seen fake is in the domain.

    Each package (each voice, where there is one package) is left out once, and the limit is set on its real clips.

    Args:
        parts: training and dev clips.
        band_hz: nothing above it counts.
        window: samples of a window.
        draws: which clips, and one excerpt of each, which shows what a length brings.

    Returns:
        The check.
    """
    packages = {name for part in parts for name in part.values(fields.SOURCE)}
    names = [part.values(fields.SOURCE) if len(packages) > 1 else speakers(part) for part in parts]
    truths = [part.labels for part in parts]
    clips = [(number, index) for number, part in enumerate(parts) for index in range(len(part))]
    rows: list[tuple[np.ndarray, float, str, bool]] = []
    for chosen in draws.permutation(len(clips))[:CLIPS]:
        number, index = clips[chosen]
        wave, rate_hz = parts[number].wave(index), parts[number].rate_hz
        shortest = min(len(wave), round(SHORTEST_S * rate_hz))
        size = round(shortest * (len(wave) / shortest) ** draws.random())
        start = int(draws.integers(len(wave) - size + 1))
        pieces = [piece for piece in (wave, wave[start : start + size]) if piece.any()]
        whose, real = str(names[number][index]), bool(truths[number][index])
        rows += [(*describe(piece, rate_hz, band_hz, window), whose, real) for piece in pieces]
    points, seconds, groups, judged = (np.array(column) for column in zip(*rows, strict=True))
    return fit_known(points, seconds, groups, judged, quantile=WITHIN)


def known_domain(values: Mapping[str, Any] | None) -> Known | None:
    """Read the check from a checkpoint; None where there is none, or one of an older version, which misled.

    Raises:
        DataError: it is damaged.
    """
    return None if values is None or (values and "steady" not in values) else Known.from_dict(values)


def domain_warnings(known: Known, description: np.ndarray, seconds: float) -> list[str]:
    """Give the warning that an input's description calls for, by the seconds that were described."""
    distance = float(known.distances([description], [seconds])[0])
    if distance <= known.far:
        return []
    return [
        f"out-of-domain: it does not move as the clips that the detector knows (distance {distance:.1f}, usual up to "
        f"{known.far:.1f}); do not rely on the score"
    ]


def speech_warnings(share: float) -> list[str]:
    """Give the warning that a share of speech frames calls for, from 0 to 1."""
    if share >= SPEECH_SHARE:
        return []
    return [f"{NO_SPEECH}: speech in {100 * share:.0f} % of it; the detector knows only speech"]
