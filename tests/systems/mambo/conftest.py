import numpy as np
import pytest

from auricle.audio.resample import resample
from auricle.core.seed import rng
from auricle.data import embedded, fields
from auricle.data.clips import Clips
from auricle.systems.mambo.domain import fit_domain


@pytest.fixture(scope="session")
def smoke_run(finished):
    """The finished smoke run; never write into it."""
    return finished("mambo")


def real_clips(packages=None, without=None, each=12):
    """Embedded recordings as they are, at 16 kHz, up to `each` of a voice."""
    waves, facts = [], []
    counts = {}
    for clip in embedded.clips(kind="speech"):
        voice = (clip.package, clip.speaker_group)
        if clip.duration_s < 1 or clip.package == without or (packages and clip.package not in packages):
            continue
        counts[voice] = counts.get(voice, 0) + 1
        if counts[voice] > each:
            continue
        audio = clip.read()
        wave = resample(audio.mono(), audio.rate_hz, 16000)[: 4 * 16000]
        waves.append((0.5 * wave / np.abs(wave).max() * 32767).astype(np.int16))
        facts.append({fields.LABEL: "bonafide", fields.SOURCE: clip.package, fields.SPEAKER_GROUP: clip.speaker_group})
    return Clips(waves, facts, 16000)


def domain_of(clips):
    """What a detector knows that was trained on these clips."""
    return fit_domain([clips], 3800.0, 32000, rng(0, "domain"))


@pytest.fixture(scope="session")
def domain():
    """What a detector knows that was trained on the embedded voices."""
    return domain_of(real_clips())
