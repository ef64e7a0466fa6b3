"""How the contract suite exercises moe_adapter: one step on answers, the routing losses and the heads beside them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from auricle.alm.items import Batch, Items, batch
from auricle.alm.questions import OPEN, Question, chat_of
from auricle.alm.scoring import option_scores
from auricle.core.config import override
from auricle.systems.moe_adapter.config import MoeAdapterConfig, paper, smoke
from auricle.systems.moe_adapter.hearing import MELS
from auricle.systems.moe_adapter.model import HEADS, bare, build
from auricle.systems.moe_adapter.stages import sft_step
from tests.contract.adapter import Adapter

OPTIONS = ("major", "minor")


def mel(frames: int, seed: int) -> Tensor:
    return torch.randn(frames, MELS, generator=torch.Generator().manual_seed(seed))


def question(place: int) -> Question:
    return Question("Which chord is played?", OPTIONS, place, 0)


def clips(cfg: MoeAdapterConfig) -> Items:
    features = torch.stack([mel(128, number) for number in range(4)])
    chats = [chat_of(question(number % 2), OPEN, answered=True) for number in range(4)]
    return Items(chats, features, targets={name: torch.arange(4) % 4 for name in HEADS})


def step(cfg: MoeAdapterConfig, model: nn.Module, given: Batch) -> Mapping[str, Tensor]:
    return sft_step(model, clips(cfg))(model, given)


def forward(model: nn.Module, mels: Tensor, lengths: Tensor) -> Tensor:
    asked = [model.prompt(chat_of(question(0), OPEN), [int(size)]) for size in lengths]
    audio = model.lm.encode_audio(mels, lengths).embeds
    options = [[model.lm.ids(option) for option in OPTIONS]] * len(asked)
    return option_scores(model.lm, asked, options, audio).sums


ADAPTER = Adapter(
    config=lambda: override(smoke(), ["model.dim=16", "model.channels=[4,4,4]"]),
    build=build,
    inputs=lambda count: [mel(40 + 23 * item, item) for item in range(count)],
    batch=lambda cfg: batch(clips(cfg), range(4)),
    step=step,
    forward=forward,
    meta=lambda: bare(paper()),
    clocks=frozenset({"A10 clock"}),
    packages={"peft": "pip install 'auricle[hf]'"},
    asks=("--text", "Which number is said? A) one B) two C) three D) four"),
)
