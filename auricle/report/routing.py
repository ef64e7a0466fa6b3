"""Plots of routed models: where tokens go, and how the gradients of domains lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from auricle.metrics.interference import Cosine
from auricle.report.heatmap import Matrix, heat_map
from auricle.report.plots import Plot


def routing_map(shares: Mapping[str, npt.NDArray[Any]]) -> Plot:
    """Draw the share of choices that fall on each expert, by domain.

    Args:
        shares: (N,) by domain.
    """
    experts = len(next(iter(shares.values())))
    rows, values = list(shares), [100 * own for own in shares.values()]
    return heat_map(
        Matrix("Choices on each expert", rows, [str(n) for n in range(experts)], values, "domain", "expert", unit="%")
    )


def cosine_map(title: str, parts: Mapping[str, Mapping[tuple[str, str], Cosine]]) -> Plot:
    """Draw cosines of the domains' mean gradients: of all weights with the nulls, then of each part of them.

    Args:
        title: heading.
        parts: cosines by pair of domains, by part of the weights; ``all`` among them.
    """
    pairs = list(parts["all"])
    others = [name for name in parts if name != "all"]
    values = [
        [own.value, own.at_half, own.halves, own.shuffled, *(parts[name][pair].value for name in others)]
        for pair, own in parts["all"].items()
    ]
    rows = [f"{one} and {other}" for one, other in pairs]
    columns = ["all", "all, halves of two", "halves of one", "shuffled", *others]
    return heat_map(Matrix(title, rows, columns, values, "domains", "weights", (-1.0, 1.0)))
