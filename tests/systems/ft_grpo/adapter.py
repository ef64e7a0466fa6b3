"""How the contract suite exercises ft_grpo: one step of supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from auricle.core.config import override
from auricle.systems.ft_grpo.config import FtGrpoConfig, paper, smoke
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.items import Batch, Items, batch, ready
from auricle.systems.ft_grpo.model import bare, build
from auricle.systems.ft_grpo.stages import SftStep
from tests.contract.adapter import Adapter


def mel(frames: int, seed: int) -> Tensor:
    return torch.randn(frames, 64, generator=torch.Generator().manual_seed(seed))


def clips(cfg: FtGrpoConfig) -> Items:
    waves = (3000 * torch.randn(4, 24_000, generator=torch.Generator().manual_seed(0))).short().numpy()
    rows = [Item(str(n), "sound", "real", (), wave, "group", str(n)) for n, wave in enumerate(waves)]
    return ready(rows, cfg.model)


def step(cfg: FtGrpoConfig, model: nn.Module, items: Batch) -> Mapping[str, Tensor]:
    return SftStep(model, clips(cfg), cfg.train.head_weight)(model, items)


ADAPTER = Adapter(
    config=lambda: override(smoke(), ["model.dim=16", "model.channels=[4,4]"]),
    build=build,
    inputs=lambda count: [mel(60 + 23 * item, item) for item in range(count)],
    batch=lambda cfg: batch(clips(cfg), range(4)),
    step=step,
    forward=lambda model, mels, lengths: model.log_odds(
        model.encode(mels, lengths), lengths, ["<think>\n"] * len(mels)
    ),
    meta=lambda: bare(paper()),
    packages={"peft": "pip install 'auricle[hf]'"},
)
