"""How the contract suite exercises the dummy."""

from __future__ import annotations

import torch
from auricle.systems.dummy.config import paper, smoke
from auricle.systems.dummy.model import Network
from auricle.systems.dummy.train import new_network, step

from tests.contract.adapter import Adapter


def noise(samples, seed):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


ADAPTER = Adapter(
    config=smoke,
    build=new_network,
    inputs=lambda count: [noise(3000 + 500 * item, item) for item in range(count)],
    batch=lambda cfg: (noise(8000, 0).view(2, 4000), torch.tensor([4000, 3000]), torch.tensor([0, 1])),
    step=lambda cfg, model, batch: step(model, batch),
    forward=lambda model, waves, lengths: model(waves, lengths),
    meta=lambda: Network(paper()),
)
