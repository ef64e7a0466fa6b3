"""How far an input lies from what is known, and how far is too far.

A point is a description of a recording by a few numbers. What is measured of a short recording scatters more than what
is measured of a long one, so a distance is held against what its length alone brings. How far is too far is read off
points whose group (a voice, a package) the fit did not know: the distances of known groups are always too small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError

SHRINK = 0.3  # towards independent numbers: a covariance of few hundred points says too much about its last directions


@dataclass(frozen=True)
class Known:
    """What is known, in plain numbers, so that a checkpoint can carry them.

    Attributes:
        mean: of the known points, (D,).
        scale: standard deviations of the same, (D,).
        whiten: rows that turn a standardised point into independent numbers, (D, D).
        steady: mean square distance of known points of endless length.
        short: what a length of 1 adds to it; a length of L adds ``short / L``.
        far: distance beyond which a point is not of the kind.
    """

    mean: np.ndarray
    scale: np.ndarray
    whiten: np.ndarray
    steady: float
    short: float
    far: float

    def distances(self, points: npt.ArrayLike, lengths: npt.ArrayLike) -> np.ndarray:
        """Give distances; known points have about 1.

        Args:
            points: (N, D).
            lengths: (N,), such as seconds, as the fit had them.

        Returns:
            (N,).
        """
        usual = self.steady + self.short / np.asarray(lengths, dtype=np.float64)
        return np.asarray(np.sqrt(_squares(points, self.mean, self.scale, self.whiten) / usual))

    def to_dict(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Known:
        """Read what `to_dict` wrote.

        Args:
            values: plain JSON values.

        Raises:
            DataError: a number is missing or is none, or sizes differ.
        """
        try:
            arrays = {name: np.array(values[name], dtype=np.float64) for name in ("mean", "scale", "whiten")}
            numbers = {name: float(values[name]) for name in ("steady", "short", "far")}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"what is known holds a mean, a scale, rows and three numbers; got {error}") from None
        size = arrays["mean"].size
        every = np.concatenate([*(value.ravel() for value in arrays.values()), list(numbers.values())])
        if not np.isfinite(every).all() or [value.shape for value in arrays.values()] != [
            (size,),
            (size,),
            (size, size),
        ]:
            raise DataError(f"what is known holds (D,), (D,) and (D, D) finite numbers; D is {size} here")
        mean, scale, whiten = arrays.values()
        return cls(mean, scale, whiten, **numbers)


def fit_known(
    points: npt.ArrayLike,
    lengths: npt.ArrayLike,
    groups: npt.ArrayLike,
    judged: npt.ArrayLike,
    *,
    quantile: float,
    shrink: float = SHRINK,
) -> Known:
    """Learn what is usual, and how far a point of a group that was not there still lies.

    Args:
        points: (N, D).
        lengths: (N,), above 0; several ones, or their part in a distance cannot be told.
        groups: (N,), names of voices or packages; each is left out once. With one group only, its own distances count.
        judged: (N,) booleans: the points whose distances set the limit.
        quantile: share of the judged points, from 0 to 1, that shall lie within it.
        shrink: from 0 (the covariance as it is) to 1 (the numbers as if they were independent).

    Returns:
        The fit.

    Raises:
        DataError: fewer than two points, none that is judged, or sizes that differ.
    """
    x, size, names = np.asarray(points, np.float64), np.asarray(lengths, np.float64), np.asarray(groups)
    chosen = np.asarray(judged, bool)
    if x.ndim != 2 or len(x) < 2 or not (len(x) == len(size) == len(names) == len(chosen)) or not chosen.any():
        raise DataError(
            f"points {x.shape}, {len(size)} lengths, {len(names)} groups, {int(chosen.sum())} judged; give (N, D) with "
            "at least two points, N of each, and at least one that is judged"
        )
    form = _form(x, shrink)
    steady, short = _usual(_squares(x, *form), size)
    usual = steady + short / size
    apart = np.zeros(len(x))
    for name in np.unique(names):
        inside = names == name
        rest = form if len(x) - int(inside.sum()) < 2 else _form(x[~inside], shrink)
        apart[inside] = np.sqrt(_squares(x[inside], *rest) / usual[inside])
    return Known(*form, steady, short, float(np.quantile(apart[chosen], quantile)))


def _form(x: np.ndarray, shrink: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give mean, scale and whitening rows of points (N, D)."""
    mean, scale = x.mean(0), x.std(0) + 1e-6
    z = (x - mean) / scale
    covariance = np.atleast_2d(np.cov(z.T))
    values, vectors = np.linalg.eigh((1 - shrink) * covariance + shrink * np.eye(x.shape[1]))
    return mean, scale, (vectors / np.sqrt(values)).T


def _squares(points: npt.ArrayLike, mean: np.ndarray, scale: np.ndarray, whiten: np.ndarray) -> np.ndarray:
    """Give mean squares (N,) of whitened points (N, D)."""
    z = (np.asarray(points, np.float64) - mean) / scale
    return np.asarray(np.mean((z @ whiten.T) ** 2, axis=1))


def _usual(squares: np.ndarray, lengths: np.ndarray) -> tuple[float, float]:
    """Fit squares by ``steady + short / length``, neither below 0 and not both 0."""
    design = np.stack([np.ones_like(lengths), 1 / lengths], axis=1)
    if np.ptp(lengths) == 0:
        return float(squares.mean()), 0.0
    # relative errors count alike: the squares of short recordings are far larger, and so is their scatter
    weights = 1 / (design @ [1.0, float(np.median(lengths))])
    steady, short = np.linalg.lstsq(design * weights[:, None], squares * weights, rcond=None)[0]
    if steady <= 0:
        return 0.0, float(np.sum(squares / lengths) / np.sum(1 / lengths**2))
    if short < 0:
        return float(squares.mean()), 0.0
    return float(steady), float(short)
