"""Equal budget: arms that are compared have the same parameters, to 3 %, and the same steps."""

from __future__ import annotations

from typing import Any

from auricle.claims.claim import Claim, Measured

TOLERANCE = 0.03


def check(claim: Claim, measured: Measured) -> dict[str, Any]:
    """Compare the parameters and steps that the cells recorded.

    Args:
        claim: whose `equal` groups are held to the tolerance.
        measured: its cells.

    Returns:
        ``{parameters: {arm: n}, steps: {arm: n}, held_equal: [[arm]], equal: bool, problems: [text]}``.
    """
    parameters, steps = (_of(claim, measured, name) for name in ("parameters", "steps"))
    problems = []
    for group in claim.equal:
        missing = [arm for arm in group if arm not in parameters]
        if missing:
            problems.append(f"no parameter count of {', '.join(missing)}")
            continue
        sizes = [parameters[arm] for arm in group]
        if max(sizes) > (1 + TOLERANCE) * min(sizes):
            told = ", ".join(f"{arm} {parameters[arm]}" for arm in group)
            problems.append(f"parameters differ by more than {100 * TOLERANCE:.0f} %: {told}")
    if len(set(steps.values())) > 1:
        problems.append(f"training steps differ: {', '.join(f'{arm} {count}' for arm, count in steps.items())}")
    return {
        "parameters": parameters,
        "steps": steps,
        "held_equal": [list(group) for group in claim.equal],
        "equal": not problems,
        "problems": problems,
    }


def _of(claim: Claim, measured: Measured, name: str) -> dict[str, int]:
    """Give one count of each arm that has it; the largest over its seeds."""
    found = {}
    for arm in claim.arms:
        counts = [int(cell[name]) for cell in measured.cells.get(arm, {}).values() if name in cell]
        if counts:
            found[arm] = max(counts)
    return found
