"""Two shares of the same items and their difference: what one way of answering gains over another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.metrics.evidence import Estimate, share
from auricle.metrics.shares import exact_limits


class PairedShares(NamedTuple):
    """The share of hits in two arms on the same items, and the first less the second with its paired interval."""

    a: Estimate
    b: Estimate
    difference: Estimate


def paired_shares(
    a: npt.ArrayLike, b: npt.ArrayLike, groups: Sequence[Any] | None = None, n: int = 1000, *, seed: int
) -> PairedShares:
    """Compare the hits of two arms on the same items.

    Where all items differ alike, in none say, resampling them has no spread, and the interval goes as far as the exact
    limits of such an all-or-nothing count allow: behind 0 of 20 items that differ may be a difference of 17 points.

    Args:
        a: hits of the first arm, booleans (N,).
        b: hits of the second on the same items, (N,).
        groups: group of each item to resample by; None resamples items.
        n: replicates.
        seed: of the resampling.

    Raises:
        DataError: no items, or another number of them in each arm.
    """
    first, second = (np.asarray(each, dtype=np.bool_) for each in (a, b))
    if first.shape != second.shape or first.ndim != 1:
        raise DataError(f"hits of shape {first.shape} and {second.shape}; give the same items, (N,) each")
    gained = first.astype(np.float64) - second.astype(np.float64)
    found = share(gained, groups, n, seed=seed)
    if found.ci95 is not None and np.all(gained == gained[0]):
        independent = gained.size if groups is None else len(set(groups))
        missed = 1.0 - exact_limits(independent, independent)[0]  # what may differ otherwise behind none that does
        low, high = float(gained[0]) - missed * (1 + gained[0]), float(gained[0]) + missed * (1 - gained[0])
        found = found._replace(ci95=(low, high))
    return PairedShares(share(first, groups, n, seed=seed), share(second, groups, n, seed=seed), found)
