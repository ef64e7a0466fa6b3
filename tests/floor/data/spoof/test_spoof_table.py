"""The table and the one entrance: names, lazy imports, bad input, determinism."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import soxr

from auricle.core import extras
from auricle.core.errors import AudioError, DataError, MissingExtra
from auricle.data.spoof import FAMILIES, synthesize

FREE = [name for name, family in FAMILIES.items() if family.extra is None and family.kind != "tts"]
GPL = [name for name, family in FAMILIES.items() if family.extra == "gpl"]
# What works on pitch cannot make anything of a clip without one.
NEED_VOICE = {"world_conversion", "neighbour", "psola", "harmonic"}
# A change of speed is the one thing that changes the length.
LENGTH = {"stretch-0.90": 0.9, "stretch-1.10": 1.1}
TEXT = "Please enter your password, followed by the pound key."


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def variants():
    return [
        pytest.param(name, variant, id=f"{name}-{variant}")
        for name in FREE
        for variant in (*FAMILIES[name].variants, *FAMILIES[name].on_request) or (None,)
    ]


@pytest.mark.parametrize(("name", "variant"), variants())
def test_result_is_sound_repeats_and_is_not_the_input(name, variant, voice, other_voice):
    first = synthesize(name, voice, 16000, rng(3), target=other_voice, variant=variant)
    again = synthesize(name, voice, 16000, rng(3), target=other_voice, variant=variant)
    assert first.generator == (f"{name}-{variant}" if variant else name)
    assert first.rate_hz == 16000
    assert first.wave.dtype == np.float32
    assert np.isfinite(first.wave).all()
    assert np.abs(first.wave).max() <= 1
    assert len(first.wave) == round(LENGTH.get(variant, 1.0) * len(voice))
    assert np.array_equal(first.wave, again.wave)
    n = min(len(voice), len(first.wave))
    assert np.abs(first.wave[:n] - voice[:n]).max() > 0.01
    # at the clip's own level, unless the peak had to be held
    assert np.std(first.wave) == pytest.approx(np.std(voice), rel=0.02) or np.abs(first.wave).max() > 0.99


@pytest.mark.parametrize("name", ["lpc_noise", "lpc_pulse", "griffin_lim", "world_conversion"])
def test_what_is_drawn_comes_from_the_generator(name, voice, other_voice):
    variant = FAMILIES[name].variants[0] if FAMILIES[name].variants else None
    a, b = (synthesize(name, voice, 16000, rng(seed), target=other_voice, variant=variant).wave for seed in (1, 2))
    assert not np.array_equal(a, b)


def test_a_variant_is_drawn_and_never_a_slow_one(voice):
    drawn = {synthesize("psola", voice, 16000, rng(seed)).generator for seed in range(12)}
    assert len(drawn) > 2
    assert drawn <= {f"psola-{variant}" for variant in FAMILIES["psola"].variants}
    assert {synthesize("world", voice, 16000, rng(seed)).generator for seed in range(3)} == {"world-dio"}


@pytest.mark.parametrize("rate_hz", [4000, 8000, 11025, 44100])
@pytest.mark.parametrize("name", FREE)
def test_any_rate(name, rate_hz, make_voice, other_voice):
    wave = make_voice(rate_hz=rate_hz, duration_s=0.5)
    target = soxr.resample(other_voice, 16000, rate_hz)
    spoof = synthesize(name, wave, rate_hz, rng(), target=target)
    assert spoof.rate_hz == rate_hz
    assert np.isfinite(spoof.wave).all()
    assert 0.85 < len(spoof.wave) / len(wave) < 1.15


@pytest.mark.parametrize("name", FREE)
def test_noise_works_or_is_refused_by_what_needs_a_voice(name, other_voice):
    noise = (0.1 * rng(5).standard_normal(16000)).astype(np.float32)
    if name in NEED_VOICE:
        with pytest.raises(AudioError, match="voiced"):
            synthesize(name, noise, 16000, rng(), target=other_voice)
    else:
        assert np.isfinite(synthesize(name, noise, 16000, rng(), target=other_voice).wave).all()


@pytest.mark.parametrize("name", FREE)
def test_the_shortest_clip_works_or_is_refused(name, voice, other_voice):
    shortest = voice[8000:9600]
    if name in ("psola", "harmonic"):
        with pytest.raises(AudioError, match="voiced"):
            synthesize(name, shortest, 16000, rng(), target=other_voice)
    else:
        assert np.isfinite(synthesize(name, shortest, 16000, rng(), target=other_voice).wave).all()


BAD = {
    "short": (np.ones(800, np.float32) * np.sin(np.arange(800, dtype=np.float32)), 16000, "0.1 s"),
    "silent": (np.zeros(16000, np.float32), 16000, "silence"),
    "constant": (np.full(16000, 0.3, np.float32), 16000, "silence"),
    "faint": (1e-5 * np.sin(np.arange(16000, dtype=np.float32)), 16000, "-80 dBFS"),
    "nan": (np.full(16000, np.nan, np.float32), 16000, "NaN"),
    "stereo": (np.ones((2, 16000), np.float32), 16000, "one channel"),
    "empty": (np.zeros(0, np.float32), 16000, "no samples"),
    "no-rate": (np.sin(np.arange(16000, dtype=np.float32)), 0, "0"),
    "integers": (np.ones(16000, np.int16), 16000, "int16"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("name", ["world", "psola", "griffin_lim"])
def test_bad_clips_are_refused_with_the_reason(name, case):
    wave, rate_hz, reason = BAD[case]
    with pytest.raises(AudioError, match=reason) as raised:
        synthesize(name, wave, rate_hz, rng())
    assert name in str(raised.value)


def test_a_bad_target_is_named(voice):
    with pytest.raises(AudioError, match=r"world_conversion \(target\)"):
        synthesize("world_conversion", voice, 16000, rng(), target=np.zeros(16000, np.float32))
    noise = (0.1 * rng(5).standard_normal(16000)).astype(np.float32)
    with pytest.raises(AudioError, match="of the target"):
        synthesize("world_conversion", voice, 16000, rng(), target=noise)


@pytest.mark.parametrize(
    ("name", "kwargs", "reason"),
    [
        ("vocoder", {}, "world_conversion"),
        ("opus", {}, "no spoof family 'opus'"),
        ("psola", {"variant": "3.00"}, "0.85"),
        ("lpc_noise", {"variant": "x"}, "it has none"),
        ("world_conversion", {}, "target="),
        ("hibari", {}, "text="),
        ("hibari", {"text": " ... "}, "text="),
        ("hibari", {"text": "Bonjour", "language": "fr-CA"}, "speaks en"),
        ("hibari", {"text": "Hello", "variant": "emma"}, "heart"),
    ],
)
def test_wrong_use_says_what_is_allowed(name, kwargs, reason, voice):
    with pytest.raises(DataError, match=reason):
        synthesize(name, voice, 16000, rng(), **kwargs)


def test_a_clip_is_asked_for():
    with pytest.raises(DataError, match="works on a clip"):
        synthesize("world", None, 16000, rng())


@pytest.mark.parametrize("name", GPL)
def test_a_missing_package_names_the_extra(name, voice, monkeypatch):
    monkeypatch.setattr("auricle.data.spoof.available", lambda package: False)
    with pytest.raises(MissingExtra, match=r"auricle\[gpl\]") as raised:
        synthesize(name, voice, 16000, rng(), text=TEXT)
    assert raised.value.package == FAMILIES[name].packages[0]
    assert name in str(raised.value)


def test_nothing_but_gpl_needs_gpl():
    gpl = {name for name, family in FAMILIES.items() if "GPL" in family.licence}
    assert gpl == set(GPL) == {"espeak", "praat", "piper"}
    assert {package for name in GPL for package in FAMILIES[name].packages} == set(extras.EXTRAS["gpl"])


def test_the_table_is_light():
    code = "import sys, auricle.data.spoof; print(*sorted({'torch', 'scipy', 'pyworld', 'hibari'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
