"""Shares at the edge: what 0 of n, and n of n, say of the share behind them, and from which n on an interval is given.

A bootstrap of items that are all alike has width zero, which says nothing: behind 0 of 20 may be a share of 17 %.
"""

from __future__ import annotations

from scipy.special import betaincinv

from auricle.core.errors import DataError

FEWEST_ITEMS = 5
"""With fewer items (or fewer trials of a class) no interval is given: the limits would be nearly the whole range."""

_TAIL = 0.025


def exact_limits(hits: int, n: int) -> tuple[float, float]:
    """Give the exact 95 % limits of a share (Clopper & Pearson, Biometrika 26, 1934).

    Args:
        hits: how many of them.
        n: independent items.

    Returns:
        (low, high), of which one is 0 or 1 exactly where none or all are hits.

    Raises:
        DataError: no items, or other hits than 0 to n.
    """
    if n < 1 or not 0 <= hits <= n:
        raise DataError(f"{hits} of {n} is no share; give 0 to n hits of at least one item")
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, _TAIL))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 1 - _TAIL))
    return low, high


def at_edge(value: float, interval: tuple[float, float], n: int) -> tuple[float, float]:
    """Widen the interval of a share that is exactly 0 or 1 to the exact limits; any other comes back as it is.

    Args:
        value: the share.
        interval: its interval so far.
        n: items behind it; of a mean of two classes' shares, as of an EER, those of the smaller class.
    """
    if value not in (0.0, 1.0) or n < 1:
        return interval
    low, high = exact_limits(0 if value == 0.0 else n, n)
    return min(low, interval[0]), max(high, interval[1])


def apart(name: str, value: float, interval: tuple[float, float], smaller: int) -> tuple[float, float]:
    """Widen the interval of a detection metric whose classes are wholly apart, where every replicate is alike.

    Args:
        name: ``eer``, ``auc`` or ``min_dcf`` (with its default prior and costs).
        value: the metric.
        interval: its interval so far.
        smaller: trials of the smaller class.
    """
    if name != "min_dcf":
        return at_edge(value, interval, smaller)
    if value > 0:
        return interval
    # both error rates at the limit of 0 of n, weighted as the cost weighs them; the better constant answer costs 1
    highest = exact_limits(0, smaller)[1] * (0.95 * 1 + 0.05 * 10) / (0.05 * 10)
    return interval[0], max(interval[1], min(1.0, highest))
