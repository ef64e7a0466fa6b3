"""What every benchmark keeps: two ways to do one job, run in turn in one process, one object per case.

A script gives `run` a function that yields its cases. `python benchmarks` runs all scripts; this file does nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One job, done by Auricle and by what a user would run instead.

    Attributes:
        name: what is done, with its sizes.
        ours: does it.
        peer: does it.
        peer_name: who that is.
        unit: ``s``, ``ms`` or ``MB``.
        measure: what is measured of a call, in seconds or bytes; lower is better.
        items: how many items a call of ours and one of the peer does; times are of one item.
    """

    name: str
    ours: Callable[[], object]
    peer: Callable[[], object]
    peer_name: str
    unit: str = "s"
    measure: Callable[[Callable[[], object]], float] | None = None
    items: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Skipped:
    """A case that is not run, and why."""

    name: str
    peer_name: str
    why: str


def seconds(job: Callable[[], object]) -> float:
    """Time one call."""
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def row_of(case: Case, pairs: list[tuple[float, float]]) -> dict[str, object]:
    """Sum up pairs of measures (ours, peer): medians, and the ratio of each pair; above 1 Auricle is better."""
    scale = {"s": 1.0, "ms": 1e3, "MB": 1e-6}[case.unit]
    ratios = [peer / ours for ours, peer in pairs]
    return {
        "case": case.name,
        "ours": scale * statistics.median(ours for ours, _ in pairs),
        "peer": scale * statistics.median(peer for _, peer in pairs),
        "peer_name": case.peer_name,
        "unit": case.unit,
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "n": len(pairs),
    }


def measure(case: Case, repeats: int, budget_s: float) -> dict[str, object]:
    """Warm both up, then run them in turn: at least two pairs, at most `repeats`, none begun after the budget."""
    if case.measure is not None:  # what does not vary is measured once
        return row_of(case, [(case.measure(case.ours), case.measure(case.peer))])
    begin = time.perf_counter()
    case.ours()
    case.peer()
    pairs: list[tuple[float, float]] = []
    while len(pairs) < 2 or (len(pairs) < repeats and time.perf_counter() - begin < budget_s):
        pairs.append((seconds(case.ours) / case.items[0], seconds(case.peer) / case.items[1]))
    return row_of(case, pairs)


def shown(row: dict[str, object]) -> str:
    """Write a row for people."""
    return (
        f"{row['case']:46} {row['ours']:9.4g} {row['unit']:2}  peer {row['peer']:9.4g} {row['unit']:2}  "
        f"ratio {row['ratio']:5.2f} ({row['ratio_min']:.2f}-{row['ratio_max']:.2f}, n={row['n']})  {row['peer_name']}"
    )


def run(
    about: str, cases: Callable[[bool], Iterable[Case | Skipped]], quick_s: float = 20.0, full_s: float = 120.0
) -> None:
    """Be a benchmark script: read the arguments, measure each case and print it.

    Args:
        about: the script's own description.
        cases: quick -> cases; made one at a time.
        quick_s: seconds that a case may take with ``--quick``.
        full_s: seconds that it may take without.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats, under two minutes")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--only", default="", help="only the cases with this text in their name")
    args = parser.parse_args()
    for case in cases(args.quick):
        if args.only not in case.name:
            continue
        if isinstance(case, Skipped):
            row = {"case": case.name, "peer_name": case.peer_name, "skipped": case.why}
            print(json.dumps(row) if args.json else f"{case.name:46} skipped: {case.why}  {case.peer_name}", flush=True)
            continue
        row = measure(case, 5 if args.quick else 15, quick_s if args.quick else full_s)
        print(json.dumps(row) if args.json else shown(row), flush=True)
