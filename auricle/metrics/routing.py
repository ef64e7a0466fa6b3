"""What experts are used for: shares by domain, and whether expert and domain know of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.core.seed import rng
from auricle.metrics.trials import FloatArray

PERMUTATIONS = 2000


class Information(NamedTuple):
    """Mutual information of domain and expert, beside what chance gives.

    Attributes:
        nats: estimate from the counts; it is above 0 by chance alone.
        null_mean: mean over permutations of the clips' domains.
        null_95: quantile 0.95 of them.
        excess: `nats` less `null_mean`.
        p: share of permutations, this one included, that give as much.
        share: `nats` of the entropy of the domains: 1 when the expert gives the domain away.
    """

    nats: float
    null_mean: float
    null_95: float
    excess: float
    p: float
    share: float


def routing_histogram(counts: npt.ArrayLike, domains: Sequence[Any]) -> dict[Any, FloatArray]:
    """Give how often each expert is chosen, by domain.

    Args:
        counts: tokens of each clip that went to each expert, (C, N).
        domains: of each clip, (C,).

    Returns:
        By domain in order of appearance the share of choices, (N,); they sum to 1, so k of N experts used alike give
        1 / N each.

    Raises:
        DataError: shapes that do not fit, negative counts, or a domain without a token.
    """
    table, names, index = _checked(counts, domains)
    totals = _by_domain(table, index, len(names))
    if (totals.sum(axis=1) == 0).any():
        raise DataError(f"no token of the domain {names[int(totals.sum(axis=1).argmin())]!r} was routed")
    return dict(zip(names, totals / totals.sum(axis=1, keepdims=True), strict=True))


def mutual_information(
    counts: npt.ArrayLike, domains: Sequence[Any], *, seed: int, n: int = PERMUTATIONS
) -> Information:
    """Give the mutual information of domain and expert over choices, with a permutation null over clips.

    Tokens of one clip are alike, so clips are what is permuted; a null over tokens would call any routing special.

    Args:
        counts: tokens of each clip that went to each expert, (C, N).
        domains: of each clip, (C,).
        seed: of the permutations.
        n: permutations.

    Raises:
        DataError: as `routing_histogram`, fewer than two domains, or nothing routed.
    """
    table, names, index = _checked(counts, domains)
    if len(names) < 2:
        raise DataError(f"mutual information needs two or more domains, got {names}")
    if table.sum() == 0:
        raise DataError("no token was routed, so there is nothing to say about experts and domains")
    value = _nats(_by_domain(table, index, len(names)))
    stream = rng(seed, "routing permutations")
    null = np.array([_nats(_by_domain(table, stream.permutation(index), len(names))) for _ in range(n)])
    p = (1 + int((null >= value - 1e-12).sum())) / (1 + n)
    of_domains = _by_domain(table, index, len(names)).sum(axis=1)
    entropy = _entropy(of_domains / of_domains.sum())
    share = value / entropy if entropy > 0 else 0.0
    mean = float(null.mean())
    return Information(value, mean, float(np.quantile(null, 0.95)), value - mean, p, share)


def _checked(counts: npt.ArrayLike, domains: Sequence[Any]) -> tuple[FloatArray, list[Any], npt.NDArray[np.int64]]:
    """Give counts (C, N), the names of the domains in order of appearance and each clip's, (C,)."""
    table = np.asarray(counts, np.float64)
    if table.ndim != 2 or len(table) != len(domains) or 0 in table.shape:
        raise DataError(f"counts of shape {table.shape} for {len(domains)} domains; give (clips, experts), one a clip")
    if not np.isfinite(table).all() or (table < 0).any():
        raise DataError("counts of routed tokens must be 0 or more")
    names = list(dict.fromkeys(domains))
    place = {name: number for number, name in enumerate(names)}
    return table, names, np.array([place[name] for name in domains], np.int64)


def _by_domain(table: FloatArray, index: npt.NDArray[np.int64], domains: int) -> FloatArray:
    totals = np.zeros((domains, table.shape[1]))
    np.add.at(totals, index, table)
    return totals


def _nats(joint: FloatArray) -> float:
    p = joint / joint.sum()
    return _entropy(p.sum(axis=1)) + _entropy(p.sum(axis=0)) - _entropy(p.ravel())


def _entropy(p: FloatArray) -> float:
    some = p[p > 0]
    return float(-(some * np.log(some)).sum())
