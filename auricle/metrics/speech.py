"""Published measures of coded speech, each by its own package: STOI, ViSQOL, PESQ. Two waves in, one number out.

All three look at speech alone and need some of it. A pair that a measure cannot judge is a `DataError`, never a number.
"""

from __future__ import annotations

import functools
import importlib.metadata
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.core.extras import available, require

RATE_HZ = 16_000
LEAST_S = 1.0  # STOI needs 0.4 s of speech and ViSQOL a patch of it; under a second many recordings have neither


def stoi(made: npt.ArrayLike, real: npt.ArrayLike) -> float:
    """Give the short-time objective intelligibility (Taal et al., 2011), 1 for equal waves.

    Args:
        made: samples (T,) at 16 kHz.
        real: as many, of speech.

    Raises:
        DataError: other shapes, or less than 0.4 s of speech.
        MissingExtra: pystoi is not installed.
    """
    ours, truth = _pair(made, real)
    package = require("pystoi", "codec", "STOI")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        value = float(package.stoi(truth, ours, RATE_HZ))
    if any("Not enough STFT frames" in str(one.message) for one in said):  # it would give 1e-5
        raise DataError("STOI found less than 0.4 s of speech in the reference; give a longer recording")
    return _finite(value, "STOI")


def visqol(made: npt.ArrayLike, real: npt.ArrayLike) -> float:
    """Give ViSQOL's estimate of a mean opinion score from 1 to 5 (Chinen et al., 2004.09584), for speech.

    The similarity becomes a score by the exponential fit of its speech mode, on every machine: the newer map needs a
    runtime of its own and gives lower scores, so the two must not be mixed.

    Args:
        made: samples (T,) at 16 kHz.
        real: as many, of speech.

    Raises:
        DataError: other shapes, or no active speech in the reference.
        MissingExtra: visqol-python is not installed.
    """
    ours, truth = _pair(made, real)
    try:
        found = _visqol().measure_from_arrays(truth, ours, RATE_HZ)
    except (IndexError, ValueError, ZeroDivisionError) as error:  # what it raises where no patch is active
        raise DataError(f"ViSQOL cannot judge this pair ({error}); give more speech") from None
    return _finite(float(found.moslqo), "ViSQOL")


def pesq(made: npt.ArrayLike, real: npt.ArrayLike) -> float:
    """Give wide-band PESQ (ITU-T P.862.2) as a mean opinion score up to 4.64.

    Args:
        made: samples (T,) at 16 kHz.
        real: as many, of speech.

    Raises:
        DataError: other shapes, or no utterance in a wave.
        MissingExtra: pesq is not installed.
    """
    ours, truth = _pair(made, real)
    package = require("pesq", "pesq", "PESQ")
    try:
        return _finite(float(package.pesq(RATE_HZ, truth, ours, "wb")), "PESQ")
    except package.PesqError as error:
        raise DataError(f"PESQ cannot judge this pair: {type(error).__name__}") from None


@dataclass(frozen=True)
class Measure:
    """A measure of coded speech and where it comes from.

    Attributes:
        name: of its rows.
        package: import name.
        distribution: name on the package index.
        extra: the extra of Auricle that brings it.
        call: (made, real) at 16 kHz -> number.
        how: what to know about the number.
    """

    name: str
    package: str
    distribution: str
    extra: str
    call: Callable[[npt.ArrayLike, npt.ArrayLike], float]
    how: str

    @property
    def ready(self) -> bool:
        """Whether the package is installed."""
        return available(self.package)

    @property
    def source(self) -> str:
        """The package and its version."""
        return f"{self.distribution} {importlib.metadata.version(self.distribution)}"


MEASURES = (
    Measure("stoi", "pystoi", "pystoi", "codec", stoi, "resampled to 10 kHz inside"),
    Measure(
        "visqol",
        "visqol",
        "visqol-python",
        "codec",
        visqol,
        "speech mode at 16 kHz, exponential map, which gives higher scores than the newer lattice map",
    ),
    Measure("pesq", "pesq", "pesq", "pesq", pesq, "wide band, 16 kHz"),
)


@functools.cache
def _visqol() -> Any:
    api = require("visqol", "codec", "ViSQOL").VisqolApi()
    api.create(mode="speech", use_lattice_model=False)
    return api


def _pair(made: npt.ArrayLike, real: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    ours, truth = np.asarray(made, np.float64), np.asarray(real, np.float64)
    if ours.shape != truth.shape or ours.ndim != 1 or not ours.size:
        raise DataError(f"waves of shape {ours.shape} and {truth.shape}; give two of the same length (T,)")
    return ours, truth


def _finite(value: float, name: str) -> float:
    if not math.isfinite(value):
        raise DataError(f"{name} of this pair is {value}; the reference or the made wave holds no speech")
    return value
