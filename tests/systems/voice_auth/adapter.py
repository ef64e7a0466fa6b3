"""How the contract suite exercises voice_auth: its detector is what it trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.systems.voice_auth.batches import Batch
from auricle.systems.voice_auth.config import paper, smoke
from auricle.systems.voice_auth.network import Network
from auricle.systems.voice_auth.train import Step, new_network
from tests.contract.adapter import Adapter


def noise(seconds: float, seed: int) -> Tensor:
    return 0.1 * torch.randn(round(seconds * 16000), generator=torch.Generator().manual_seed(seed))


def forward(model: nn.Module, waves: Tensor, lengths: Tensor) -> Tensor:
    logits: Tensor = model(waves, lengths)
    return logits[:, 1] - logits[:, 0]


ADAPTER = Adapter(
    config=smoke,
    build=new_network,
    inputs=lambda count: [noise(0.5 + 0.23 * item, item) for item in range(count)],
    batch=lambda cfg: Batch(torch.stack([noise(1.0, seed) for seed in range(4)]), torch.tensor([1, 0, 1, 0])),
    step=lambda cfg, model, items: Step(cfg.train)(model, items),
    forward=forward,
    meta=lambda: Network(paper()),
    packages={"resemblyzer": "auricle models add ge2e"},
)
