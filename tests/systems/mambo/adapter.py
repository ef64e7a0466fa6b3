"""How the contract suite exercises mambo."""

from __future__ import annotations

import torch
from torch import Tensor

from auricle.core.config import override
from auricle.systems.mambo.claims.timing import M6_ARMS
from auricle.systems.mambo.config import MamboConfig, paper, smoke
from auricle.systems.mambo.model import score
from auricle.systems.mambo.network import Network
from auricle.systems.mambo.train import Step, new_network
from auricle.train.pairs import Batch
from tests.contract.adapter import Adapter


def noise(seconds: float, seed: int) -> Tensor:
    return 0.1 * torch.randn(round(seconds * 16000), generator=torch.Generator().manual_seed(seed))


def batch(cfg: MamboConfig) -> Batch:
    truth = torch.tensor([1, 0, 1, 0])
    return Batch(
        torch.stack([noise(1.0, seed) for seed in range(4)]), truth, truth[:, None].expand(4, 100).contiguous()
    )


ADAPTER = Adapter(
    config=lambda: override(smoke(), ["model.d_model=16", "model.frontend_dim=12"]),
    build=new_network,
    inputs=lambda count: [noise(0.5 + 0.23 * item, item) for item in range(count)],
    batch=batch,
    step=lambda cfg, model, items: Step(cfg.train)(model, items),
    forward=lambda model, waves, lengths: score(model(waves, lengths)),
    meta=lambda: Network(paper()),
    clocks=frozenset({"M2 clock", *(f"M6 {arm}" for arm in M6_ARMS)}),
)
