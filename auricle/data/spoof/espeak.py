"""espeak-ng, rule-based formant synthesis in some hundred languages. Part of the extra `gpl`.

The library comes as a wheel (`espeakng_loader`); nothing is installed on the system. See `espeak_process` for why each
sentence has a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from auricle.core.errors import DataError
from auricle.core.extras import require
from auricle.data.spoof.result import Spoof, finish

PROCESS = Path(__file__).with_name("espeak_process.py")
# Words a minute and pitch (0 to 100) around the library's defaults, 175 and 50.
WORDS_A_MINUTE = (150, 190)
PITCHES = (40, 61)
TIMEOUT_S = 60


def speak(text: str, language: str, rng: np.random.Generator, variant: str) -> Spoof:
    """Speak a text in any language espeak-ng knows.

    Args:
        text: what to say.
        language: a tag such as ``en``, ``fr-ca`` or ``ru``; plain English is ``en-us``, and a region the library does
            not know falls to the language alone. The generator tag says which was used.
        rng: draws pace and pitch.
        variant: the voice variant, such as ``f3``.

    Raises:
        DataError: a language it does not speak, or nothing in the text can be spoken.
    """
    loader = require("espeakng_loader", "gpl", "the spoof family 'espeak'")
    pace, pitch = int(rng.integers(*WORDS_A_MINUTE)), int(rng.integers(*PITCHES))
    languages = "en-us" if language == "en" else f"{language},{language.split('-')[0]}"
    command = [
        sys.executable,
        "-I",
        "-S",
        str(PROCESS),
        str(loader.get_library_path()),
        str(loader.get_data_path()),
        languages,
        variant,
        str(pace),
        str(pitch),
    ]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise DataError(f"espeak-ng took more than {TIMEOUT_S} s for {text[:60]!r}; give shorter sentences") from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise DataError(lines[-1] if lines else f"espeak-ng stopped with status {done.returncode}")
    header, samples = done.stdout.split(b"\n", 1)
    about = json.loads(header)
    wave = np.frombuffer(samples, np.int16).astype(np.float32) / 32768.0
    return finish(wave, int(about["rate_hz"]), f"espeak-{about['language']}+{variant}")
