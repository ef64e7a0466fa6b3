"""Is this the kind of sound the detector was made for? Speech at all, and speech like that of the training set.

The first question is Silero VAD's (`auricle.backbones.vad`), which knows nothing of a run; the second is answered by
what training saw.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from auricle.audio.level import set_level
from auricle.audio.spectral import LFCC

SPEECH_SHARE = 0.15  # of the 32 ms frames; with fewer of speech an input is called non-speech
NO_SPEECH = "non-speech"
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
    """How far an input lies from the training data; plain numbers, so that a checkpoint can carry them.

    Attributes:
        mean: of the training clips' descriptions.
        scale: standard deviations of the same.
        whiten: rows that turn a standardised description into independent numbers.
        far: distance beyond which an input is out of domain.
    """

    mean: np.ndarray
    scale: np.ndarray
    whiten: np.ndarray
    far: float

    def warnings(self, description: np.ndarray) -> list[str]:
        """Give the warnings that an input's description calls for."""
        z = (description - self.mean) / self.scale
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
        """Read what `to_dict` wrote; what an older version wrote beside it is left out."""
        arrays = {name: np.array(values[name], dtype=np.float64) for name in ("mean", "scale", "whiten")}
        return cls(**arrays, far=float(values["far"]))


def fit_domain(clips: Sequence[np.ndarray]) -> Domain:
    """Learn what is usual.

    Args:
        clips: descriptions of the detector's training clips.

    Returns:
        The check.
    """
    known = np.stack(clips)
    mean, scale = known.mean(0), known.std(0) + 1e-6
    z = (known - mean) / scale
    values, vectors = np.linalg.eigh(np.cov(z.T) + 0.1 * np.eye(z.shape[1]))
    whiten = (vectors / np.sqrt(values)).T
    far = float(np.quantile(np.sqrt(np.mean((z @ whiten.T) ** 2, axis=1)), FAR_QUANTILE))
    return Domain(mean, scale, whiten, far)


def speech_warnings(share: float) -> list[str]:
    """Give the warning that a share of speech frames calls for, from 0 to 1."""
    if share >= SPEECH_SHARE:
        return []
    return [f"{NO_SPEECH}: speech in {100 * share:.0f} % of it; the detector knows only speech"]
