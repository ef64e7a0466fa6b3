"""Do domains pull weights apart? Cosines of their mean gradients, with intervals and two nulls.

All that is needed of the gradients is their inner products: an array (B, B) over batches, each of one domain. A cosine
of two mean gradients says little alone. Sampling noise pulls it towards 0, so the same cosine between halves of one
domain is the most that can be seen, and between groups with shuffled labels it is what no difference of domains gives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from auricle.core.errors import DataError
from auricle.core.seed import rng
from auricle.metrics.trials import FloatArray

DRAWS = 500


@dataclass(frozen=True)
class Cosine:
    """Cosine of the mean gradients of two domains.

    Attributes:
        value: cosine; NaN where a domain has no gradient.
        ci95: jackknife over batches, with t; NaN where `value` is.
        at_half: mean cosine of random halves of the two domains, as noisy as the halves below are.
        halves: mean cosine between random halves of one domain, over both domains: the first null.
        halves95: quantiles 0.025 and 0.975 of it.
        shuffled: mean cosine after shuffling the two domains' labels: the second null.
        shuffled95: quantiles 0.025 and 0.975 of it.
        p: two-sided; share of shuffles, this one included, whose cosine is as far from their mean.
        batches: of the two domains.
    """

    value: float
    ci95: tuple[float, float]
    at_half: float
    halves: float
    halves95: tuple[float, float]
    shuffled: float
    shuffled95: tuple[float, float]
    p: float
    batches: tuple[int, int]


def gradient_cosines(
    products: npt.ArrayLike, domains: Sequence[Any], *, seed: int, n: int = DRAWS
) -> dict[tuple[Any, Any], Cosine]:
    """Compare the mean gradients of each pair of domains.

    Args:
        products: inner products of the batches' gradients, (B, B), as `auricle.train.gradients.gradient_products` gives
            them; disjoint batches of equal size, at least four a domain, better twenty.
        domains: of each batch, (B,).
        seed: of the draws.
        n: draws of halves and of shuffles.

    Returns:
        By pair of domains, in order of appearance.

    Raises:
        DataError: shapes that do not fit, or fewer than two domains or four batches a domain.
    """
    table = np.asarray(products, np.float64)
    names = list(dict.fromkeys(domains))
    if table.shape != (len(domains), len(domains)) or not np.isfinite(table).all():
        raise DataError(f"products of shape {table.shape} for {len(domains)} batches; give finite (batches, batches)")
    rows = {name: np.flatnonzero([one == name for one in domains]) for name in names}
    if len(names) < 2 or min(map(len, rows.values())) < 4:
        sizes = {name: len(found) for name, found in rows.items()}
        raise DataError(f"batches by domain: {sizes}; two or more domains of at least four batches are compared")
    return {
        (a, b): _compare(table, rows[a], rows[b], rng(seed, "gradient cosines", str(a), str(b)), n)
        for a, b in combinations(names, 2)
    }


def zero_padded(
    products: Mapping[int, npt.ArrayLike],
    domains: Sequence[Any],
    selected: Mapping[Any, Collection[int]],
    rest: npt.ArrayLike | None = None,
) -> FloatArray:
    """Give the inner products of gradients in which experts that a domain does not select count as zero.

    Domains that use other experts are at right angles then by construction; so a cosine near 0 is no sign of peace.

    Args:
        products: of each expert's gradients, (B, B).
        domains: of each batch, (B,).
        selected: experts that each domain selects, say its k most used ones.
        rest: products of what all domains share (router, block beside the experts), (B, B); None leaves it out.

    Raises:
        DataError: a domain without an entry, or an expert that has no products.
    """
    if missing := [name for name in dict.fromkeys(domains) if name not in selected]:
        raise DataError(f"no selected experts are given for the domain {missing[0]!r}")
    if unknown := sorted({expert for experts in selected.values() for expert in experts} - set(products)):
        raise DataError(f"there are no products of expert {unknown[0]}; there are those of {sorted(products)}")
    total = np.zeros((len(domains), len(domains))) if rest is None else np.array(rest, np.float64)
    for expert, table in products.items():
        uses = np.array([expert in selected[name] for name in domains], np.float64)
        total += np.asarray(table, np.float64) * np.outer(uses, uses)
    return total


def _compare(
    table: FloatArray, a: npt.NDArray[Any], b: npt.NDArray[Any], stream: np.random.Generator, n: int
) -> Cosine:
    value = _cosine(table, a, b)
    at_half, within, shuffled = [], [], []
    both = np.concatenate([a, b])
    for _ in range(n):
        (a1, a2), (b1, b2) = (np.array_split(stream.permutation(one), 2) for one in (a, b))
        at_half.append(_cosine(table, a1, b1))
        within += [_cosine(table, a1, a2), _cosine(table, b1, b2)]
        mixed = stream.permutation(both)
        shuffled.append(_cosine(table, mixed[: len(a)], mixed[len(a) :]))
    centre = float(np.mean(shuffled))
    as_far = np.abs(np.array(shuffled) - centre) >= abs(value - centre) - 1e-12
    return Cosine(
        value,
        _jackknife(table, a, b, value),
        float(np.mean(at_half)),
        float(np.mean(within)),
        _quantiles(within),
        centre,
        _quantiles(shuffled),
        (1 + int(as_far.sum())) / (1 + n) if np.isfinite(value) else float("nan"),
        (len(a), len(b)),
    )


def _cosine(table: FloatArray, a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    inner, left, right = (float(table[np.ix_(i, j)].mean()) for i, j in ((a, b), (a, a), (b, b)))
    return inner / float(np.sqrt(left * right)) if left > 0 and right > 0 else float("nan")


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _jackknife(table: FloatArray, a: npt.NDArray[Any], b: npt.NDArray[Any], value: float) -> tuple[float, float]:
    """Leave one batch out at a time; a bootstrap would draw batches twice, and call their noise agreement."""
    variance = 0.0
    for first, mine in ((True, a), (False, b)):
        left = [np.delete(mine, place) for place in range(len(mine))]
        each = np.array([_cosine(table, one, b) if first else _cosine(table, a, one) for one in left])
        variance += (len(mine) - 1) / len(mine) * float(((each - each.mean()) ** 2).sum())
    if not np.isfinite(value + variance):
        return float("nan"), float("nan")
    wide = float(stdtrit(min(len(a), len(b)) - 1, 0.975)) * float(np.sqrt(variance))
    return max(-1.0, value - wide), min(1.0, value + wide)
