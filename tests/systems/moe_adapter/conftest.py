"""The task world, planned and made once."""

from __future__ import annotations

import pytest

from auricle.core.run import RunFolder
from auricle.data import fields
from auricle.data.worlds.recordings import Stock, stock
from auricle.systems.moe_adapter import config, data
from auricle.systems.moe_adapter.plan import SplitPlan, plan


@pytest.fixture(scope="session")
def found() -> Stock:
    return stock("embedded", 0)


@pytest.fixture(scope="session")
def plans(found) -> dict[str, SplitPlan]:
    """The clips and items of the defaults, without audio."""
    return {name: plan(config.DataConfig(), found, name) for name in fields.SPLITS}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> tuple[RunFolder, dict]:
    """The smoke world with its audio, and what `prepare` said of it."""
    run = RunFolder(tmp_path_factory.mktemp("moe_adapter"))
    return run, data.prepare(config.smoke(), run)
