"""What nobody hears does not move a label: zeros at the ends, and a noise 72 dB below the speech."""

import numpy as np
import pytest

import auricle
from auricle.audio.resample import resample
from auricle.core.seed import rng
from auricle.data import embedded
from auricle.data.spoof import synthesize

CLIPS = 100
FAMILIES = ("world", "griffin_lim", "lpc_pulse", "lpc_noise", "psola")
GOAL = 0.02


@pytest.fixture(scope="module")
def detector():
    return auricle.pretrained("mambo")


@pytest.fixture(scope="module")
def waves():
    """A hundred embedded recordings of all voices and rates, every second one as a fake of five families."""
    spoken = [clip for clip in embedded.clips(kind="speech") if clip.duration_s >= 1]
    found = []
    for number, index in enumerate(np.linspace(0, len(spoken) - 1, CLIPS)):
        audio = spoken[int(index)].read()
        wave, rate_hz = audio.mono(), audio.rate_hz
        if number % 2:
            at_16k = resample(wave, rate_hz, 16000).astype(np.float32)
            made = synthesize(FAMILIES[number // 2 % len(FAMILIES)], at_16k, 16000, rng(0, "labels hold", number))
            wave, rate_hz = made.wave.astype(np.float32), made.rate_hz
        found.append((wave, rate_hz))
    return found


def labels(detector, waves):
    scores = detector.scores([wave for wave, _ in waves], [rate_hz for _, rate_hz in waves])
    return np.array([detector.calibration.label(score) for score in scores]), np.array(scores)


def silent_ends(wave, rate_hz, number):
    zeros = np.zeros(round(0.3 * rate_hz), np.float32)
    return np.concatenate([zeros, wave, zeros])


def faint_noise(wave, rate_hz, number):
    level = float(np.sqrt(np.mean(wave.astype(np.float64) ** 2))) * 10 ** (-72 / 20)
    return (wave + level * rng(1, "noise", number).standard_normal(len(wave))).astype(np.float32)


@pytest.mark.parametrize("change", [silent_ends, faint_noise])
def test_the_share_of_changed_labels_is_below_two_percent(detector, waves, change, capsys):
    before, scores = labels(detector, waves)
    assert {"bonafide", "spoof", "undecided"} == set(before.tolist())
    changed = [(change(wave, rate_hz, number), rate_hz) for number, (wave, rate_hz) in enumerate(waves)]
    after, moved = labels(detector, changed)
    share = float(np.mean(before != after))
    with capsys.disabled():
        print(
            f"\n{change.__name__}: {100 * share:.0f} % of {CLIPS} labels changed; scores by "
            f"{np.abs(moved - scores).mean():.3f} on average, {np.abs(moved - scores).max():.2f} at most"
        )
    assert share < GOAL
