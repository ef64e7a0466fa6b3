"""Hibari, a small neural text-to-speech engine whose one bundled voice needs no download."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from auricle.core.errors import DataError
from auricle.data.spoof.result import Spoof, finish


@lru_cache(maxsize=2)
def engine(voice: str) -> Any:
    """Load a voice once a process.

    Raises:
        DataError: the voice is not inside the package; Hibari would fetch it from the network, Auricle does not.
    """
    from hibari import Hibari
    from hibari.voices import VOICES

    if not VOICES.get(voice, {}).get("bundled"):
        inside = [name for name, about in VOICES.items() if about.get("bundled")]
        raise DataError(f"the Hibari voice {voice!r} is not inside the package; voices that are: {', '.join(inside)}")
    return Hibari(voice=voice)


def speak(text: str, language: str, rng: np.random.Generator, variant: str) -> Spoof:
    """Speak an English text.

    Args:
        text: what to say.
        language: an English tag; the bundled voice is American.
        rng: draws the pace (0.9 to 1.1 of the voice's own) and the seed of the noise in the voice.
        variant: the voice.
    """
    pace = float(rng.uniform(0.9, 1.1))
    seed = int(rng.integers(2**31))
    voice = engine(variant)
    return finish(voice(text, speed=pace, seed=seed), int(voice.sample_rate), f"hibari-{variant}")
