"""How the contract suite exercises unisrcodec: the codec with its discriminator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.core.config import override
from auricle.systems.unisrcodec.config import paper, smoke
from auricle.systems.unisrcodec.data import log_mel
from auricle.systems.unisrcodec.train import Training, step
from tests.contract.adapter import Adapter


def noise(samples: int, seed: int) -> Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def forward(model: nn.Module, waves: Tensor, lengths: Tensor) -> Tensor:
    """A clip's mean latent and mean decoded picture; each clip is coded alone, from its own samples."""
    rows = []
    for wave, length in zip(waves, lengths, strict=True):
        mel = log_mel(model.codec.mel, wave[:length].numpy(), model.codec.step)
        found = model.codec(mel[None])
        rows.append(torch.cat([found.mel[0].mean(dim=0), found.quantised.latent[0].mean(dim=0).ravel()]))
    return torch.stack(rows)


ADAPTER = Adapter(
    config=lambda: override(smoke(), ["train.adversarial_after=0"]),
    build=Training,
    inputs=lambda count: [noise(9000 + 5000 * item, item) for item in range(count)],
    batch=lambda cfg: torch.randn(2, 32, 128, generator=torch.Generator().manual_seed(0)) - 4,
    step=lambda cfg, model, items: step(model, items),
    forward=forward,
    meta=lambda: Training(paper()),
)
