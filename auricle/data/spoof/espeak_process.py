"""One sentence of espeak-ng in a process of its own: text on standard input, a JSON line and 16-bit samples out.

The library carries the state of its noise and flutter from one sentence to the next, past a restart and whatever the
seed, so only a fresh copy speaks a sentence twice the same. Runs with the standard library alone, so that it starts in
a few hundredths of a second. Names and numbers are those of the library's public header, ``speak_lib.h``.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

AUDIO_OUTPUT_SYNCHRONOUS = 2
DONT_EXIT = 0x8000
CHARS_UTF8 = 1
POS_CHARACTER = 1
EE_OK = 0
RATE, PITCH = 1, 3


def speak(library_path: str, data_path: str, languages: list[str], variant: str, pace: int, pitch: int) -> None:
    """Speak standard input with the first of `languages` the library has.

    Raises:
        SystemExit: with one line of text, when the library refuses.
    """
    library = ctypes.CDLL(library_path)
    pieces: list[bytes] = []

    def gather(samples: int | None, count: int, events: int | None) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    # held here until the end: a callback that Python collects would crash the library
    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(gather)
    rate_hz = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path.encode(), DONT_EXIT)
    if rate_hz <= 0:
        raise SystemExit(f"espeak-ng did not start with the data in {data_path}; reinstall espeakng_loader")
    library.espeak_SetSynthCallback(callback)
    language = _choose(library, languages, variant)
    library.espeak_SetParameter(RATE, pace, 0)
    library.espeak_SetParameter(PITCH, pitch, 0)
    text = sys.stdin.buffer.read()
    size = ctypes.c_size_t(len(text) + 1)
    status = library.espeak_Synth(text, size, 0, POS_CHARACTER, 0, CHARS_UTF8, None, None)
    if status != EE_OK:
        raise SystemExit(f"espeak-ng refused the text (status {status})")
    library.espeak_Synchronize()
    header = json.dumps({"rate_hz": rate_hz, "language": language})
    sys.stdout.buffer.write(header.encode() + b"\n" + b"".join(pieces))


def _choose(library: Any, languages: list[str], variant: str) -> str:
    for language in languages:
        if library.espeak_SetVoiceByName(f"{language}+{variant}".encode()) == EE_OK:
            return language
    raise SystemExit(f"espeak-ng has no voice for {languages[0]!r}; give a language it speaks, such as en, fr, it, ru")


if __name__ == "__main__":
    _, _library, _data, _languages, _variant, _pace, _pitch = sys.argv
    speak(_library, _data, _languages.split(","), _variant, int(_pace), int(_pitch))
