"""What the contract suite needs to know of a system: a tiny model, a batch, how to call it, how to pad it.

A new system adds one adapter here; `test_contract.py` then holds it to everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Adapter:
    """How to exercise one system.

    Attributes:
        config: a tiny config.
        build: config -> model, with the weights that the config's seed gives.
        inputs: number of items -> valid inputs, one tensor (T, ...) an item, of different lengths.
        batch: a training batch.
        step: (config, model, batch) -> losses.
        forward: (model, padded inputs (B, T, ...), lengths (B,)) -> outputs that must not depend on padding.
        meta: builds the model of `paper()`; called under the meta device.
        settings: settings that a tiny build of another variant takes, by name.
    """

    config: Callable[[], Any]
    build: Callable[[Any], nn.Module]
    inputs: Callable[[int], list[Tensor]]
    batch: Callable[[Any], Any]
    step: Callable[[Any, nn.Module, Any], Mapping[str, Tensor]]
    forward: Callable[[nn.Module, Tensor, Tensor], Tensor]
    meta: Callable[[], nn.Module]


def _mambo() -> Adapter:
    from auricle.systems.mambo.clips import Batch
    from auricle.systems.mambo.config import paper, smoke
    from auricle.systems.mambo.model import score
    from auricle.systems.mambo.network import Network
    from auricle.systems.mambo.train import Step, new_network

    def config() -> Any:
        base = smoke()
        return base.model_copy(update={"model": base.model.model_copy(update={"d_model": 16, "frontend_dim": 12})})

    def noise(seconds: float, seed: int) -> Tensor:
        return 0.1 * torch.randn(round(seconds * 16000), generator=torch.Generator().manual_seed(seed))

    def batch(cfg: Any) -> Batch:
        waves = torch.stack([noise(1.0, seed) for seed in range(4)])
        truth = torch.tensor([1, 0, 1, 0])
        return Batch(waves, truth, truth[:, None].expand(4, 100).contiguous())

    return Adapter(
        config=config,
        build=new_network,
        inputs=lambda count: [noise(0.5 + 0.23 * item, item) for item in range(count)],
        batch=batch,
        step=lambda cfg, model, items: Step(cfg.train)(model, items),
        forward=lambda model, waves, lengths: score(model(waves, lengths)),
        meta=lambda: Network(paper()),
    )


def _voice_auth() -> Adapter:
    from auricle.systems.voice_auth.batches import Batch
    from auricle.systems.voice_auth.config import paper, smoke
    from auricle.systems.voice_auth.network import Network
    from auricle.systems.voice_auth.train import Step, new_network

    def noise(seconds: float, seed: int) -> Tensor:
        return 0.1 * torch.randn(round(seconds * 16000), generator=torch.Generator().manual_seed(seed))

    def batch(cfg: Any) -> Batch:
        return Batch(torch.stack([noise(1.0, seed) for seed in range(4)]), torch.tensor([1, 0, 1, 0]))

    def forward(model: nn.Module, waves: Tensor, lengths: Tensor) -> Tensor:
        logits: Tensor = model(waves, lengths)
        return logits[:, 1] - logits[:, 0]

    return Adapter(
        config=smoke,
        build=new_network,
        inputs=lambda count: [noise(0.5 + 0.23 * item, item) for item in range(count)],
        batch=batch,
        step=lambda cfg, model, items: Step(cfg.train)(model, items),
        forward=forward,
        meta=lambda: Network(paper()),
    )


def _ft_grpo() -> Adapter:
    from auricle.systems.ft_grpo.config import paper, smoke
    from auricle.systems.ft_grpo.data import Item
    from auricle.systems.ft_grpo.items import Batch, batch, ready
    from auricle.systems.ft_grpo.model import bare, build
    from auricle.systems.ft_grpo.train import SftStep

    def config() -> Any:
        base = smoke()
        return base.model_copy(update={"model": base.model.model_copy(update={"dim": 16, "channels": (4, 4)})})

    def mel(frames: int, seed: int) -> Tensor:
        return torch.randn(frames, 64, generator=torch.Generator().manual_seed(seed))

    def clips(cfg: Any) -> Any:
        waves = (3000 * torch.randn(4, 24_000, generator=torch.Generator().manual_seed(0))).short().numpy()
        rows = [Item(str(n), "sound", "real", (), wave, "group", str(n), "") for n, wave in enumerate(waves)]
        return ready(rows, cfg.model)

    def forward(model: nn.Module, mels: Tensor, lengths: Tensor) -> Tensor:
        odds: Tensor = model.log_odds(mels, lengths, ["<think>\n"] * len(mels))
        return odds

    def step(cfg: Any, model: nn.Module, items: Batch) -> Mapping[str, Tensor]:
        return SftStep(model, clips(cfg), cfg.train.head_weight)(model, items)

    return Adapter(
        config=config,
        build=build,
        inputs=lambda count: [mel(60 + 23 * item, item) for item in range(count)],
        batch=lambda cfg: batch(clips(cfg), range(4)),
        step=step,
        forward=forward,
        meta=lambda: bare(paper()),
    )


def _unisrcodec() -> Adapter:
    from auricle.systems.unisrcodec.config import paper, smoke
    from auricle.systems.unisrcodec.data import log_mel
    from auricle.systems.unisrcodec.train import Training, new_training, step

    def config() -> Any:
        base = smoke()
        return base.model_copy(update={"train": base.train.model_copy(update={"adversarial_after": 0})})

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

    return Adapter(
        config=config,
        build=new_training,
        inputs=lambda count: [noise(9000 + 5000 * item, item) for item in range(count)],
        batch=lambda cfg: torch.randn(2, 32, 128, generator=torch.Generator().manual_seed(0)) - 4,
        step=lambda cfg, model, items: step(model, items),
        forward=forward,
        meta=lambda: Training(paper()),
    )


ADAPTERS: dict[str, Callable[[], Adapter]] = {
    "mambo": _mambo, "voice_auth": _voice_auth, "ft_grpo": _ft_grpo, "unisrcodec": _unisrcodec,
}  # fmt: skip
