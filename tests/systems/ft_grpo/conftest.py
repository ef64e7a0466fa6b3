"""A few clips of noise with artefacts, and a model of a few thousand weights: nothing is read from disk."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("peft")

from auricle.alm.items import Items
from auricle.core.config import override
from auricle.core.errors import AudioError
from auricle.core.seed import rng
from auricle.data.worlds.artefacts import CLIP_S, RATE_HZ, inject, plan
from auricle.systems.ft_grpo.config import FtGrpoConfig, smoke
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.features import as_int16
from auricle.systems.ft_grpo.items import ready


def clip(number: int) -> Item:
    """Make a clip of tones in noise; odd ones carry artefacts."""
    draws = rng(0, "clip", number)
    time = np.arange(round(CLIP_S * RATE_HZ)) / RATE_HZ
    tones = sum(np.sin(2 * np.pi * hz * time) for hz in draws.uniform(150, 3700, 12))
    wave = (0.05 * tones + 0.05 * draws.standard_normal(time.size)).astype(np.float32)
    artefacts = None
    while number % 2 and artefacts is None:
        try:
            wanted = plan(draws)
            wave, artefacts = inject(wave, wanted, draws), wanted
        except AudioError:
            continue
    kind = ("speech", "music")[number // 2 % 2]
    return Item(
        f"clip-{number}",
        kind,
        "fake" if number % 2 else "real",
        artefacts or (),
        as_int16(wave),
        f"group {number // 4}",
        f"pair {number // 2}",
    )


@pytest.fixture(scope="session")
def clips() -> list[Item]:
    return [clip(number) for number in range(16)]


@pytest.fixture(scope="session")
def cfg() -> FtGrpoConfig:
    return override(
        smoke(),
        [
            "model.dim=16",
            "model.layers=1",
            "model.channels=[4,4]",
            "train.heads.max_steps=2",
            "train.sft.max_steps=4",
            "train.sft.batch=8",
            "train.heads.batch=8",
            "train.grpo.prompts=4",
            "train.grpo.max_new=24",
            "train.more_sft.max_steps=2",
            "train.more_sft.batch=8",
        ],
    )


@pytest.fixture(scope="session")
def items(clips, cfg) -> Items:
    return ready(clips, cfg.model)
