"""How the contract suite exercises ft_grpo: one step of supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from auricle.alm.items import Batch, Items, batch
from auricle.alm.writing import explained_odds
from auricle.core.config import override
from auricle.systems.ft_grpo.config import FtGrpoConfig, paper, smoke
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.items import ready
from auricle.systems.ft_grpo.model import bare, build, chat
from auricle.systems.ft_grpo.rationale import LABELS
from auricle.systems.ft_grpo.stages import sft_step
from tests.contract.adapter import Adapter


def mel(frames: int, seed: int) -> Tensor:
    return torch.randn(frames, 64, generator=torch.Generator().manual_seed(seed))


def clips(cfg: FtGrpoConfig) -> Items:
    waves = (3000 * torch.randn(4, 24_000, generator=torch.Generator().manual_seed(0))).short().numpy()
    rows = [Item(str(n), "sound", "real", (), wave, "group", str(n)) for n, wave in enumerate(waves)]
    return ready(rows, cfg.model)


def step(cfg: FtGrpoConfig, model: nn.Module, items: Batch) -> Mapping[str, Tensor]:
    return sft_step(model, clips(cfg), cfg.train.head_weight)(model, items)


def forward(model: nn.Module, mels: Tensor, lengths: Tensor) -> Tensor:
    asked = [model.prompt(chat(), [int(size)]) for size in lengths]
    audio = model.lm.encode_audio(mels, lengths).embeds
    return explained_odds(model.lm, asked, audio, [["<think>\n<answer>"] * len(asked)], LABELS)


ADAPTER = Adapter(
    config=lambda: override(smoke(), ["model.dim=16", "model.channels=[4,4]"]),
    build=build,
    inputs=lambda count: [mel(60 + 23 * item, item) for item in range(count)],
    batch=lambda cfg: batch(clips(cfg), range(4)),
    step=step,
    forward=forward,
    meta=lambda: bare(paper()),
    packages={"peft": "pip install 'auricle[hf]'"},
)
