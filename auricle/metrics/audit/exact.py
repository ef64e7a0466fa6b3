"""Exact error rates of large score lists: look everywhere on a grid, and at every score only where the answer can be.

Both error rates are monotone in the threshold. Between two thresholds of a grid a cost is therefore never below the
misses at the lower one plus the false accepts at the upper one: where that is above the best cost of the grid, no score
needs a look. The results are those of `auricle.metrics.detection`, `adcf` and `tandem`, not approximations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.metrics.audit.trials import Mask
from auricle.metrics.detection import EqualErrorRate, eer_from_counts, eer_index
from auricle.metrics.trials import FloatArray


def _edges(classes: Sequence[FloatArray], steps: FloatArray) -> FloatArray:
    """Give the grid with the lowest score of all below it, and infinity: from "accept all" to "refuse all"."""
    low = min(float(scores[0]) for scores in classes)
    return np.unique(np.concatenate([[low], steps[steps > low], [np.inf]]))


def _inside(classes: Sequence[FloatArray], edges: FloatArray, wanted: Mask) -> FloatArray:
    """Give the distinct scores in [edges[k], edges[k + 1]) of the wanted k, rising."""
    first = np.flatnonzero(wanted & ~np.append(False, wanted[:-1]))
    last = np.flatnonzero(wanted & ~np.append(wanted[1:], False)) + 1
    parts = [
        scores[begin:end]
        for scores in classes
        for begin, end in zip(np.searchsorted(scores, edges[first]), np.searchsorted(scores, edges[last]), strict=True)
    ]
    joined = np.sort(np.concatenate(parts)) if parts else np.empty(0)
    return joined[np.append(True, joined[1:] != joined[:-1])] if joined.size else joined


def exact_eer(real: FloatArray, fake: FloatArray, steps: FloatArray) -> EqualErrorRate:
    """Measure the EER as `auricle.metrics.detection.eer` does.

    Args:
        real: scores of bona fide trials, ascending, shape (N,).
        fake: scores of spoof trials, ascending, shape (M,).
        steps: a grid of thresholds.
    """
    edges = _edges((real, fake), steps)
    ahead = np.searchsorted(real, edges) / real.size - (1 - np.searchsorted(fake, edges) / fake.size)
    # refused minus accepted rises; around its change of sign one of two neighbouring scores is the best. The share
    # below an edge is that at or below the score before it, so that score's interval is looked at too.
    at = int(np.argmax(ahead >= 0))
    wanted = np.zeros(edges.size - 1, dtype=bool)
    wanted[max(0, at - 2) : at + 1] = True
    thresholds = _inside((real, fake), edges, wanted)
    lower = [scores[at - 1] for scores in (real, fake) if (at := int(np.searchsorted(scores, thresholds[0])))]
    before = max(lower) if lower else np.nextafter(thresholds[0], -np.inf)
    thresholds = np.concatenate([[before], thresholds])
    counts = [np.searchsorted(scores, np.append(thresholds, np.inf), side="right") for scores in (real, fake)]
    index = int(eer_index(*counts))
    threshold = thresholds[min(index, thresholds.size - 1)]
    return EqualErrorRate(float(eer_from_counts(*counts)), float(threshold))


def least_cost(
    missed: FloatArray,
    accepted: Sequence[FloatArray],
    miss_weight: float,
    accept_weights: Sequence[float],
    steps: FloatArray,
) -> float:
    """Measure min over thresholds of miss_weight * miss rate + sum of accept_weights * false-accept rates.

    Args:
        missed: scores of the class to accept, ascending.
        accepted: scores of each class to refuse, ascending.
        miss_weight: at least 0.
        accept_weights: one a class to refuse, at least 0.
        steps: a grid of thresholds.
    """

    def parts(at: FloatArray) -> tuple[FloatArray, FloatArray]:
        miss = miss_weight * (np.searchsorted(missed, at) / missed.size)
        alarm = np.zeros(at.size)
        for scores, weight in zip(accepted, accept_weights, strict=True):
            alarm += weight * ((scores.size - np.searchsorted(scores, at)) / scores.size)
        return miss, alarm

    edges = _edges((missed, *accepted), steps)
    miss, alarm = parts(edges)
    best = float(np.min(miss + alarm))
    wanted = miss[:-1] + alarm[1:] <= best * (1 + 1e-12)
    thresholds = _inside((missed, *accepted), edges, wanted)
    if not thresholds.size:
        return best
    return min(best, float(np.min(np.add(*parts(thresholds)))))
