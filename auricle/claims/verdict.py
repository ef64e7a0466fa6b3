"""From estimates to a verdict: comparisons held against a bound, and their combination by a claim's rule."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.claims.claim import Measured, Outcome, Part, Verdict
from auricle.claims.statistics import Estimate, all_of, paired_t, side
from auricle.core.errors import ConfigError


def compare(name: str, found: Estimate, *, below: float | None = None, above: float | None = None) -> Part:
    """Give a comparison of a claim, decided by where its interval lies.

    Args:
        name: what is compared, with its unit.
        found: the estimate.
        below: the claim says that it lies below this.
        above: the claim says that it lies above this; without either the part is only reported.

    Raises:
        ConfigError: both bounds are given.
    """
    if below is not None and above is not None:
        raise ConfigError(f"'{name}' is claimed to be both below {below:g} and above {above:g}; give one bound")
    outcome: Outcome | None = None
    if below is not None:
        outcome = side(found.ci95, below, "below")
    elif above is not None:
        outcome = side(found.ci95, above, "above")
    return Part(name, found.value, found.ci95, outcome)


def decided(name: str, found: Estimate, outcome: Outcome | None) -> Part:
    """Give a comparison whose outcome a rule of its own says."""
    return Part(name, found.value, found.ci95, outcome)


def verdict(
    effect: Estimate, parts: Sequence[Part], outcome: Outcome | None = None, notes: Sequence[str] = ()
) -> Verdict:
    """Give the verdict of a claim.

    Args:
        effect: the claim's effect.
        parts: the comparisons behind it.
        outcome: what the rule says; None: all parts that decide must hold.
        notes: what a reader has to know.
    """
    if outcome is None:
        outcome = all_of([part.verdict for part in parts if part.verdict])
    return Verdict(outcome, effect.value, effect.ci95, tuple(notes), effect.minimum_detectable, tuple(parts))


def difference(measured: Measured, name: str, one: str, other: str) -> Estimate:
    """Give a number of one arm less that of another, paired over seeds."""
    return paired_t(measured.values(one, name), measured.values(other, name))


def within(measured: Measured, arm: str, name: str, other: str) -> Estimate:
    """Give a number of an arm less another number of the same arm, paired over seeds."""
    return paired_t(measured.values(arm, name), measured.values(arm, other))
