"""Silence at the ends and a noise that nobody hears: `infer` and `evaluate` hear the same, and labels stay."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auricle.audio.files import read_mono
from auricle.audio.level import sounding
from auricle.core.request import Request
from auricle.data import embedded, manifest
from auricle.systems.voice_auth import infer

RATE = 16000


@pytest.fixture(scope="module")
def run(finished):
    """The finished smoke run; never write into it."""
    return finished("voice_auth")


@pytest.fixture(scope="module")
def login(run):
    return infer.load(run)


@pytest.fixture(scope="module")
def clips(run):
    """60 clips of the run, and 60 recordings as they came, at their own rates: (wave, rate)."""
    cuts = list(manifest.read(run / "manifests" / "clips.jsonl"))[::2][:60]
    made = [read_mono(cut.recording.sources[0].source)[:2] for cut in cuts]
    raw = [clip.read() for clip in embedded.clips(kind="speech") if clip.duration_s >= 1.2][::10][:60]
    return made + [(np.asarray(audio.mono(), np.float32), audio.rate_hz) for audio in raw]


def labels(login, clips):
    scores = login.scores(*zip(*clips, strict=True))
    return np.array(scores), np.array([login.calibration.label(score) for score in scores])


def between_zeros(wave, rate_hz):
    silence = np.zeros(round(0.3 * rate_hz), np.float32)
    return np.concatenate([silence, wave, silence]), rate_hz


def in_noise(wave, rate_hz, seed):
    noise = np.random.default_rng(seed).standard_normal(len(wave))
    level = np.sqrt(np.mean(np.square(wave, dtype=np.float64))) * 10 ** (-72 / 20)
    return (wave + level * noise).astype(np.float32), rate_hz


def test_infer_and_evaluate_give_a_file_one_score(run, login):
    scored = {row["id"]: row["detector"] for row in map(json.loads, (run / "scores" / "test.jsonl").open())}
    cuts = [cut for cut in manifest.read(run / "manifests" / "clips.jsonl") if cut.id in scored]
    assert len(cuts) > 40
    found = list(infer.infer(login, [Request(audio=cut.recording.sources[0].source) for cut in cuts]))
    gaps = [abs(answer.score - scored[cut.id]) for answer, cut in zip(found, cuts, strict=True)]
    assert max(gaps) < 1e-5


def test_silence_at_the_ends_and_inaudible_noise_do_not_move_a_label(login, clips):
    scores, before = labels(login, clips)
    silent, after = labels(login, [between_zeros(*clip) for clip in clips])
    _, later = labels(login, [in_noise(*clip, seed) for seed, clip in enumerate(clips)])
    shares = 100 * np.mean(after != before), 100 * np.mean(later != before)
    print(f"labels changed by 0.3 s of zeros: {shares[0]:.1f} %, by noise at 72 dB: {shares[1]:.1f} %")
    assert max(shares) < 2.0
    assert np.abs(silent - scores)[:60].max() < 1e-5  # at the detector's rate they hear the very same


@pytest.mark.parametrize("zeros", [0, 1, 77, 320, 4801])
def test_the_sounding_part_begins_and_ends_at_the_same_sample_whatever_is_around_it(zeros):
    draws = np.random.default_rng(3)
    speech = (draws.standard_normal(8000) * np.abs(np.sin(np.arange(8000) / 900))).astype(np.float32)
    quiet = 1e-4 * draws.standard_normal(3200).astype(np.float32)  # under the threshold: silence, too
    alone = sounding(speech, RATE)
    padded = np.concatenate([np.zeros(zeros, np.float32), speech, np.zeros(2 * zeros, np.float32)])
    assert np.array_equal(sounding(padded, RATE), alone)
    assert np.array_equal(sounding(np.concatenate([quiet, speech, quiet]), RATE), alone)
    assert len(alone) > 7900
    assert np.array_equal(sounding(alone, RATE), alone)


@pytest.mark.parametrize(
    "wave", [np.ones(100), np.full(4000, 0.1), np.r_[np.ones(400), np.full(4000, 0.01)], [0.0] * 999]
)
def test_odd_waves_have_a_sounding_part(wave):
    wave = np.asarray(wave, np.float32)
    assert 0 < len(sounding(wave, RATE)) <= len(wave)
