"""Tests never leave the machine: only loopback and unix sockets, in this process and in its children."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "offline"

os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("COLUMNS", "160")  # tables of child processes are not folded
_spec = importlib.util.spec_from_file_location("offline_guard", OFFLINE / "sitecustomize.py")
assert _spec is not None
assert _spec.loader is not None
_spec.loader.exec_module(importlib.util.module_from_spec(_spec))


@pytest.fixture(scope="session")
def auricle() -> Callable[..., object]:
    """The real command, in a process of its own."""
    from tests.command import in_child

    return in_child


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Callable[..., Path]]:
    """`finished(name)`: the folder of the system's one smoke run of this session; never write into it."""
    from tests.finished import assert_unchanged, finish

    base = tmp_path_factory.getbasetemp()
    place = (base.parent if hasattr(request.config, "workerinput") else base) / "finished"
    given: dict[str, Path] = {}

    def of(name: str) -> Path:
        given[name] = given.get(name) or finish(name, place)
        return given[name]

    yield of
    for folder in given.values():
        assert_unchanged(folder)
