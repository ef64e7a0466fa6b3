"""What the contract suite needs to know of a system: a tiny model, a batch, how to call it, how to pad it.

Each system has one in `tests/systems/NAME/adapter.py`, called ``ADAPTER``; the contract suite finds it by name.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Adapter:
    """How to exercise one system.

    Attributes:
        config: gives a tiny config.
        build: config -> model, with the weights that the config's seed gives.
        inputs: number of items -> valid inputs, one tensor (T, ...) an item, of different lengths.
        batch: config -> a training batch.
        step: (config, model, batch) -> losses by name, the whole under "loss".
        forward: (model, padded inputs (B, T, ...), lengths (B,)) -> outputs (B, ...) that must not depend on padding.
        meta: builds the model of `paper()`; called under the meta device.
        packages: importable package -> the command that brings it; without it, tests of a finished run are skipped.
        clocks: arms that only measure time, as "claim arm": their settings are the same for every seed.
        asks: what `auricle infer` needs beside audio files, such as ``("--text", "who speaks?")``.
    """

    config: Callable[[], Any]
    build: Callable[[Any], nn.Module]
    inputs: Callable[[int], list[Tensor]]
    batch: Callable[[Any], Any]
    step: Callable[[Any, nn.Module, Any], Mapping[str, Tensor]]
    forward: Callable[[nn.Module, Tensor, Tensor], Tensor]
    meta: Callable[[], nn.Module]
    packages: Mapping[str, str] = field(default_factory=dict)
    clocks: frozenset[str] = frozenset()
    asks: tuple[str, ...] = ()


def adapter_of(name: str) -> Adapter:
    """Find a system's adapter.

    Raises:
        AssertionError: it has none.
    """
    module = f"tests.systems.{name}.adapter" if name != "dummy" else "tests.dummy.adapter"
    try:
        there = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even the folder
        there = False
    if not there:
        raise AssertionError(
            f"'{name}' works and has no adapter: write tests/systems/{name}/adapter.py with ADAPTER = Adapter(...), "
            "see tests/contract/adapter.py"
        )
    found = importlib.import_module(module).ADAPTER
    assert isinstance(found, Adapter), f"{module}.ADAPTER is a {type(found).__name__}, not an Adapter"
    return found
