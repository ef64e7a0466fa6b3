"""Numbers made up for the rules of claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auricle.claims.claim import Claim, Measured, Verdict

SPREAD = (-0.002, 0.001, 0.003, -0.001, -0.001)  # of the seeds, relative to a number


def decided(claim: Claim, numbers: Mapping[str, Mapping[str, Any]]) -> Verdict:
    """Apply a claim's rule to numbers by arm; those of the first arm differ a little over the seeds, lists do not."""
    seeds = claim.seeds("full")
    first = next(iter(numbers))
    cells = {
        arm: {
            seed: {
                name: value if arm != first or isinstance(value, list) else value * (1 + SPREAD[seed])
                for name, value in own.items()
            }
            for seed in seeds
        }
        for arm, own in numbers.items()
    }
    return claim.decide(Measured(cells, seeds))
