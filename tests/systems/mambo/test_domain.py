"""What is unlike the clips of a run gets no probability; real voices of packages that it lacks mostly get one."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter

import auricle
from auricle.audio.resample import resample
from auricle.core.extras import available
from auricle.core.request import Request
from auricle.core.seed import rng
from auricle.data import embedded
from auricle.data.spoof import FAMILIES, synthesize
from auricle.systems.mambo.domain import describe
from auricle.systems.mambo.infer import infer
from tests.systems.mambo.conftest import domain_of, real_clips

VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))  # formants in Hz
NOBODY_TRAINS_ON = ("formant", "phase_vocoder", "psola", "praat", "espeak", "piper")


def by_rule(draws):
    """Two seconds of pulses through three resonators that jump between vowels: an engine of rules, as there were."""
    parts, state = [], np.zeros((3, 2))
    pitch = draws.uniform(90, 180)
    for _ in range(20):
        size = int(draws.integers(1600, 3600))
        source = (np.diff(np.floor(pitch * np.arange(size) / 16000), prepend=0) > 0).astype(float)
        for number, hertz in enumerate(VOWELS[draws.integers(len(VOWELS))]):
            radius, angle = np.exp(-np.pi * 80 / 16000), 2 * np.pi * hertz / 16000
            poles = [1, -2 * radius * np.cos(angle), radius**2]
            source, state[number] = lfilter([1 - radius], poles, source, zi=state[number])
        parts.append(source * np.hanning(size) ** 0.25)
    wave = np.concatenate(parts)[:32000]
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def far(domain, waves):
    found = [describe(wave, 16000, 3800.0, 32000) for wave in waves]
    return np.mean(domain.distances([one for one, _ in found], [seconds for _, seconds in found]) > domain.far)


@pytest.fixture(scope="module")
def stand_ins():
    """Clips by engines that stand for one that no preset trains on, and by those of the `gpl` extra where it is."""
    spoken = [clip for clip in embedded.clips(kind="speech") if clip.language == "en" and len(clip.text or "") > 30][
        ::20
    ]
    waves = [by_rule(rng(number, "rule")) for number in range(12)]
    for name in NOBODY_TRAINS_ON:
        if not all(available(package) for package in FAMILIES[name].packages):
            continue
        for clip in spoken[:5]:
            audio = clip.read()
            voice = resample(audio.mono(), audio.rate_hz, 16000)[: 4 * 16000]
            made = synthesize(name, voice, 16000, rng(0, clip.id, name), text=clip.text, language="en")
            waves.append(resample(made.wave, made.rate_hz, 16000).astype(np.float32))
    return waves


def test_no_engine_that_is_called_out_of_domain_gets_a_probability(domain, stand_ins, tmp_path):
    for number, wave in enumerate(stand_ins):
        soundfile.write(tmp_path / f"{number:03}.wav", wave, 16000, subtype="FLOAT")
    detector = replace(auricle.pretrained("mambo"), domain=domain)
    answers = list(infer(detector, [Request(audio=path) for path in sorted(tmp_path.iterdir())]))
    unlike = [one for one in answers if one.warnings[0].startswith(("out-of-domain: ", "non-speech: "))]
    assert len(unlike) >= 10
    for one in unlike:
        assert (one.label, one.p_bonafide, one.reason) == ("undecided", None, one.warnings[0])
        assert one.as_dict()["reason"] == one.reason
    for one in answers:
        if one not in unlike:
            assert (one.p_bonafide is None) == (one.reason is not None)
            assert not any(text.startswith(("out-of-domain", "non-speech")) for text in one.warnings)


def test_an_engine_of_rules_is_out_of_domain(domain):
    assert far(domain, [by_rule(rng(number, "rule")) for number in range(12)]) > 0.8


@pytest.mark.parametrize(
    "package", ["asterisk-core-sounds-ru-g722", "asterisk-prompt-it-menardi-wav", "flight-of-the-amazon-queen"]
)
def test_real_voices_of_a_package_that_was_left_out_are_mostly_in_the_domain(package):
    held = real_clips([package])
    assert far(domain_of(real_clips(without=package)), [held.wave(index) for index in range(len(held))]) <= 0.25


def test_colour_and_level_of_a_recording_do_not_decide(domain):
    clips = real_clips(each=4)
    waves = [clips.wave(index) for index in range(len(clips))]
    coloured = [(0.05 * lfilter([1.0, -0.6], [1.0], wave)).astype(np.float32) for wave in waves]
    assert abs(far(domain, coloured) - far(domain, waves)) <= 0.1
