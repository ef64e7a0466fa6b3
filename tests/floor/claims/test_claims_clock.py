import os

import numpy as np
import pytest
import torch

from auricle.claims.clock import crossover, interleaved_seconds, peak_bytes
from auricle.core.errors import ConfigError, DataError


def test_peak_counts_what_is_held_at_once():
    def two_of_three():
        a = torch.ones(250_000)
        b = a * 2
        del a
        return b.sum() + torch.ones(250_000).sum()

    assert peak_bytes(two_of_three) == pytest.approx(2_000_000, rel=0.01)
    with pytest.raises(DataError, match="nothing was allocated"):
        peak_bytes(lambda: None)


def test_the_profiler_leaves_no_trace(capfd, monkeypatch):
    monkeypatch.delenv("KINETO_LOG_LEVEL", raising=False)
    peak_bytes(lambda: torch.ones(10))
    assert capfd.readouterr().err == ""
    assert "KINETO_LOG_LEVEL" not in os.environ


def test_calls_take_turns():
    order = []
    found = interleaved_seconds({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 4
    assert found.keys() == {"a", "b"}
    with pytest.raises(ConfigError, match="at least 1"):
        interleaved_seconds({}, 0)


def test_crossover():
    lengths = (100, 200, 400)
    linear, flat = np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0 * 2**0.5, 2.0])
    # the logarithm of the ratio falls from log(2) / 2 at 200 to -log(2) at 400: zero after a third of the way
    assert crossover(lengths, flat, linear) == pytest.approx(200 * 2 ** (1 / 3))
    assert crossover(lengths, linear, 2 * linear) == 100
    assert crossover(lengths, 2 * linear, linear) is None
