"""What stands beside the result: a classical detector, and one that never listens to the speech."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch

from auricle.audio.files import read_mono
from auricle.audio.level import bandwidth_hz, peak_db, rms_db, trim_silence
from auricle.audio.spectral import LFCC
from auricle.core.errors import DataError
from auricle.core.seed import derive
from auricle.data.clips import Clips
from auricle.data.cut_audio import mono_cut

COMPONENTS = 32
FRAMES = 20_000  # of each class; more changes little
METADATA = (
    "level",
    "peak",
    "crest",
    "dc",
    "zeros",
    "duration",
    "lead silence",
    "tail silence",
    "silent share",
    "bandwidth",
)


def lfcc_gmm(train: Clips, tests: Sequence[Clips], band_hz: float, seed: int) -> list[np.ndarray]:
    """Score clips with the ASVspoof challenges' classical baseline: LFCC frames, one Gaussian mixture a class.

    Args:
        train: clips of both classes.
        tests: sets of clips to score.
        band_hz: upper edge of the filters, the same as the detector's.
        seed: of the frames drawn and of the mixtures' start.

    Returns:
        For each set, the mean log-likelihood ratio of every clip, higher for bona fide.

    Raises:
        DataError: training has one class only.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if train.labels.all() or not train.labels.any():
        raise DataError("LFCC+GMM needs both bona fide and spoof clips in training")
    front = LFCC(train.rate_hz, n_filters=20, n_coefficients=20, high_hz=band_hz, deltas=2)
    draws = np.random.default_rng(derive(seed, "lfcc_gmm"))
    models = []
    for genuine in (True, False):
        clips = train.where(train.labels == genuine)
        frames = np.concatenate([_frames(front, clips, index) for index in range(len(clips))])
        frames = frames[draws.permutation(len(frames))[:FRAMES]]
        mixture = GaussianMixture(
            min(COMPONENTS, len(frames)),
            covariance_type="diag",
            max_iter=40,
            reg_covar=1e-4,
            init_params="k-means++",
            random_state=seed,
        )
        with warnings.catch_warnings():
            # forty rounds of EM are enough here, converged to the last digit or not
            warnings.simplefilter("ignore", ConvergenceWarning)
            models.append(mixture.fit(frames))
    found = []
    for clips in tests:
        scores = [
            float(models[0].score(frames) - models[1].score(frames))
            for frames in (_frames(front, clips, index) for index in range(len(clips)))
        ]
        found.append(np.array(scores))
    return found


def _frames(front: LFCC, clips: Clips, index: int) -> np.ndarray:
    # float64: many equal frames (digital silence) have no variance, and in float32 rounding makes it negative
    return np.asarray(front(torch.from_numpy(clips.wave(index))[None])[0], dtype=np.float64)


def metadata(train: Clips, tests: Sequence[Clips], seed: int) -> list[np.ndarray]:
    """Score clips by ten plain numbers of the file (`METADATA`): what a detector could know without listening.

    Args:
        train: clips of both classes.
        tests: sets of clips to score.
        seed: of the trees.

    Returns:
        For each set, the log-odds of bona fide of every clip.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(max_iter=100, random_state=seed, class_weight="balanced")
    model.fit(numbers(train), train.labels)
    return [np.asarray(model.decision_function(numbers(clips))) for clips in tests]


def numbers(clips: Clips) -> np.ndarray:
    """Give the ten plain numbers (`METADATA`) of each clip as its file holds it, (N, 10): its channel and segment."""
    if clips.cuts is not None:
        return np.array([_describe(*mono_cut(cut)[:2]) for cut in clips.cuts])
    return np.array([_describe(*read_mono(path)[:2]) for path in clips.values("path")])


def _describe(wave: np.ndarray, rate_hz: int) -> list[float]:
    _, start, end = trim_silence(wave, rate_hz)
    level, peak = rms_db(wave), peak_db(wave)
    seconds = len(wave) / rate_hz
    frames = wave[: len(wave) // 160 * 160].reshape(-1, 160)
    power = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    return [
        level,
        peak,
        peak - level,
        float(wave.mean()),
        float(np.mean(wave == 0)),
        seconds,
        start / rate_hz,
        seconds - end / rate_hz,
        float(np.mean(power < power.max() - 40)),
        bandwidth_hz(wave, rate_hz),
    ]
