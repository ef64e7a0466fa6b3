"""Is this the kind of sound the detector was made for? Speech at all, and speech like that of the training set."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from auricle.audio.level import set_level
from auricle.audio.spectral import LFCC

COEFFICIENTS = 20
FAR_QUANTILE = 0.995  # of the training clips' distances; beyond it an input is called out of domain


@functools.cache
def _cepstrum(rate_hz: int, band_hz: float) -> LFCC:
    """Give the front end, whose filters are made once."""
    return LFCC(
        rate_hz, n_filters=COEFFICIENTS, n_coefficients=COEFFICIENTS, high_hz=band_hz, deltas=0, center=True, floor=1e-8
    )


def describe(wave: np.ndarray, rate_hz: int, band_hz: float) -> np.ndarray:
    """Describe a clip by the mean and spread of its cepstrum and the rhythm of its envelope.

    Args:
        wave: (T,) at least 0.1 s.
        rate_hz: its rate in Hz.
        band_hz: nothing above it counts, so that a source's bandwidth does not decide.

    Returns:
        (41,): means without the level, standard deviations, and the log shares of 1-3 and 3-8 Hz in the envelope.
    """
    described: np.ndarray = describe_many([wave], rate_hz, band_hz)[0]
    return described


def describe_many(waves: Sequence[np.ndarray], rate_hz: int, band_hz: float) -> np.ndarray:
    """Describe several clips of one length, as `describe` does each.

    Args:
        waves: (T,) each.
        rate_hz: their rate in Hz.
        band_hz: nothing above it counts.

    Returns:
        (clips, 41).
    """
    levelled = torch.from_numpy(np.stack([set_level(wave) for wave in waves]))
    frames = _cepstrum(rate_hz, band_hz)(levelled).numpy()  # (clips, frames, 20)
    envelope = frames[..., 0] - frames[..., 0].mean(1, keepdims=True)
    size = max(512, envelope.shape[1])
    power = np.abs(np.fft.rfft(envelope, n=size)) ** 2
    hertz = np.fft.rfftfreq(size, d=0.01)
    total = power[:, (hertz > 0.5) & (hertz < 20)].sum(1) + 1e-6
    rhythm = [np.log(power[:, (hertz >= low) & (hertz < high)].sum(1) / total + 1e-3) for low, high in ((1, 3), (3, 8))]
    return np.concatenate([frames[..., 1:].mean(1), frames.std(1), np.stack(rhythm, 1)], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Domain:
    """Two checks of an input, fitted on training data; plain numbers, so that a checkpoint can carry them.

    Attributes:
        weights: of the speech-or-not classifier, on standardised descriptions.
        bias: of the same.
        mean: of the training clips' descriptions.
        scale: standard deviations of the same.
        whiten: rows that turn a standardised description into independent numbers.
        far: distance beyond which an input is out of domain.
        accuracy: balanced accuracy of the speech classifier on clips it was not fitted on.
        held: how many clips those are.
    """

    weights: np.ndarray
    bias: float
    mean: np.ndarray
    scale: np.ndarray
    whiten: np.ndarray
    far: float
    accuracy: float
    held: int

    def warnings(self, description: np.ndarray) -> list[str]:
        """Give the warnings that an input's description calls for."""
        z = (description - self.mean) / self.scale
        if float(z @ self.weights) + self.bias < 0:
            return ["non-speech: this does not sound like speech, and the detector knows only speech"]
        distance = float(np.sqrt(np.mean((self.whiten @ z) ** 2)))
        if distance > self.far:
            return [
                f"out-of-domain: unlike the training clips (distance {distance:.1f}, usual up to {self.far:.1f}); "
                "do not rely on the score"
            ]
        return []

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Domain:
        """Read what `to_dict` wrote."""
        return cls(
            weights=np.array(values["weights"]),
            bias=float(values["bias"]),
            mean=np.array(values["mean"]),
            scale=np.array(values["scale"]),
            whiten=np.array(values["whiten"]),
            far=float(values["far"]),
            accuracy=float(values["accuracy"]),
            held=int(values["held"]),
        )


def fit_domain(clips: Sequence[np.ndarray], speech: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> Domain:
    """Fit both checks.

    Args:
        clips: descriptions of the detector's training clips.
        speech: descriptions of untouched speech recordings; every fifth one is kept for the accuracy.
        other: descriptions of sounds and music, used likewise.

    Returns:
        The checks.
    """
    from sklearn.linear_model import LogisticRegression

    known = np.stack(clips)
    mean, scale = known.mean(0), known.std(0) + 1e-6
    z = (known - mean) / scale
    values, vectors = np.linalg.eigh(np.cov(z.T) + 0.1 * np.eye(z.shape[1]))
    whiten = (vectors / np.sqrt(values)).T
    far = float(np.quantile(np.sqrt(np.mean((z @ whiten.T) ** 2, axis=1)), FAR_QUANTILE))
    described = (np.concatenate([np.stack([*clips, *speech]), np.stack(other)]) - mean) / scale
    truth = np.repeat([1, 0], [len(clips) + len(speech), len(other)])
    held = np.arange(len(truth)) % 5 == 0
    model = LogisticRegression(C=0.3, class_weight="balanced", max_iter=2000).fit(described[~held], truth[~held])
    right = model.predict(described[held]) == truth[held]
    accuracy = float(np.mean([right[truth[held] == label].mean() for label in (0, 1)]))
    return Domain(model.coef_[0], float(model.intercept_[0]), mean, scale, whiten, far, accuracy, int(held.sum()))
