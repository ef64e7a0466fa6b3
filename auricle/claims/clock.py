"""Seconds and peak memory of computations, measured so that they can be compared."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.core.errors import ConfigError, DataError

_KINETO_LEVEL = "KINETO_LOG_LEVEL"


def interleaved_seconds(work: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Time several computations in turns, so that a busy moment of the machine meets all of them.

    Args:
        work: computation by name.
        repeats: turns; one more, before them, warms up.

    Returns:
        Median seconds of each.

    Raises:
        ConfigError: fewer than one repeat.
    """
    if repeats < 1:
        raise ConfigError(f"repeats must be at least 1, got {repeats}")
    taken: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, call in work.items():
            started = time.perf_counter()
            call()
            if turn:
                taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in taken.items()}


def peak_bytes(call: Callable[[], Any]) -> int:
    """Give the most memory that torch's CPU allocator held during a call, above what it held before.

    It is counted allocation by allocation, so it is the same on a busy machine; a process's resident size is not.

    Args:
        call: the computation.

    Returns:
        Bytes.

    Raises:
        DataError: the call allocated nothing that torch reports.
    """
    from torch.profiler import ProfilerActivity, profile

    # the profiler tells on standard error that it starts and stops, unless its level is above all it has
    level = os.environ.get(_KINETO_LEVEL)
    os.environ[_KINETO_LEVEL] = level or "6"
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            call()
    finally:
        if level is None:
            del os.environ[_KINETO_LEVEL]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiled.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    changes = sorted(
        (event["ts"], int(event["args"]["Bytes"]))
        for event in events
        if event.get("name") == "[memory]" and int(event["args"].get("Device Type", 0)) == 0
    )
    if not changes:
        raise DataError("nothing was allocated through torch during the call; there is no memory to measure")
    held = peak = 0
    for _, change in changes:
        held += change
        peak = max(peak, held)
    return peak


def crossover(lengths: Sequence[int], a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    """Find the length from which `a` is faster than `b` for good, between lengths on logarithms.

    Args:
        lengths: in frames, rising.
        a: seconds at each length, shape (L,).
        b: seconds at each length, shape (L,).

    Returns:
        Frames: the first length where `a` is faster at all; None where it is slower at the last.
    """
    gap = np.log(a) - np.log(b)
    if gap[-1] >= 0:
        return None
    slower = np.flatnonzero(gap >= 0)
    if not slower.size:
        return float(lengths[0])
    i = int(slower[-1])
    share = gap[i] / (gap[i] - gap[i + 1])
    return float(np.exp(np.log(lengths[i]) + share * np.log(lengths[i + 1] / lengths[i])))
