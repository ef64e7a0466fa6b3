"""Claim M6, and what M2 measures of time: layers and models against the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Cell, Claim, Measured, Verdict
from auricle.claims.clock import crossover, interleaved_seconds, peak_bytes
from auricle.claims.verdict import compare, verdict
from auricle.nn.attention import MultiHeadAttention
from auricle.nn.ssm.gated_delta import GatedDeltaNet
from auricle.nn.ssm.hydra import Hydra
from auricle.nn.ssm.mamba2 import Mamba2
from auricle.systems.mambo.config import ModelConfig
from auricle.systems.mambo.model import MamBo
from auricle.train.seed import seed_everything

PAPER_FRAMES = 208  # of a 4.175 s clip through XLS-R
WIDTH = 128


def training_steps(models: Mapping[str, ModelConfig], budget: Budget, seed: int) -> dict[str, Any]:
    """Time training steps of models in turns, and take the peak memory of one step of each.

    Args:
        models: by arm.
        budget: the quick one takes fewer and shorter clips.
        seed: of weights and input.

    Returns:
        ``<arm>_step_s`` and ``<arm>_peak_mb``.
    """
    frames, size, repeats = (100, 16, 15) if budget == "full" else (20, 2, 2)
    steps = {}
    for arm, model in models.items():
        seed_everything(seed)
        features = torch.randn(size, 2 * frames, model.frontend_dim)
        steps[arm] = partial(_forward_backward, MamBo(model), features)
    seconds = interleaved_seconds(steps, repeats)
    return {f"{arm}_step_s": seconds[arm] for arm in steps} | {
        f"{arm}_peak_mb": peak_bytes(step) / 1e6 for arm, step in steps.items()
    }


def _forward_backward(module: nn.Module, x: torch.Tensor, **options: Any) -> None:
    out = module(x, **options)
    (out if isinstance(out, torch.Tensor) else out.logits).square().mean().backward()
    module.zero_grad(set_to_none=True)  # afterwards, so that no step begins with the last one's gradients held


@dataclass(frozen=True)
class Layer:
    """An arm of M6.

    Attributes:
        title: what it is.
        make: builds it with fresh weights.
        options: of its forward pass.
    """

    title: str
    make: Callable[[], nn.Module]
    options: Mapping[str, str]


M6_ARMS = {
    "mha": Layer("multi-head attention", lambda: MultiHeadAttention(WIDTH, 4), {}),
    "ssd_dual": Layer("Mamba2, quadratic form", lambda: Mamba2(WIDTH), {"form": "dual"}),
    "ssd_chunked": Layer("Mamba2, chunked form", lambda: Mamba2(WIDTH), {"form": "chunked"}),
    "hydra": Layer("Hydra, chunked form", lambda: Hydra(WIDTH), {"form": "chunked"}),
    "gdn": Layer("Gated DeltaNet, chunked form", lambda: GatedDeltaNet(WIDTH), {"form": "chunked"}),
}


def _m6_lengths(budget: Budget) -> tuple[int, ...]:
    return (100, PAPER_FRAMES, 400, 800, 1600, 3200) if budget == "full" else (50, PAPER_FRAMES)


def _m6_settings(cell: Cell) -> dict[str, Any]:
    return {"lengths": list(_m6_lengths(cell.budget)), "d_model": WIDTH, "batch": 1}


def _m6_run(cell: Cell) -> dict[str, Any]:
    layer = M6_ARMS[cell.arm]
    seed_everything(cell.seed)
    module = layer.make()
    numbers: dict[str, Any] = {"threads": torch.get_num_threads()}
    for frames in _m6_lengths(cell.budget):
        x = torch.randn(1, frames, WIDTH, requires_grad=True)
        step = partial(_forward_backward, module, x, **layer.options)
        repeats = 20 if frames <= 800 else 5
        if cell.budget == "quick":
            repeats = 3
        numbers[f"s_{frames}"] = interleaved_seconds({cell.arm: step}, repeats)[cell.arm]
        numbers[f"mb_{frames}"] = peak_bytes(step) / 1e6
    return numbers


def m6_decide(measured: Measured) -> Verdict:
    """Apply the rule of M6."""
    first = measured.cells["mha"][measured.seeds[0]]
    lengths = tuple(sorted(int(name[2:]) for name in first if name.startswith("s_")))
    seconds = {
        arm: np.array([np.exp(np.log(measured.values(arm, f"s_{frames}")).mean()) for frames in lengths])
        for arm in M6_ARMS
    }
    name = f"s_{PAPER_FRAMES}"
    linear = [arm for arm in M6_ARMS if arm != "mha"]
    ratios = {arm: stats.paired_ratio(measured.values(arm, name), measured.values("mha", name)) for arm in linear}
    parts = [compare(f"time at {PAPER_FRAMES} frames, {arm} over attention", ratio) for arm, ratio in ratios.items()]
    notes = []
    for fast, slow in [*((arm, "mha") for arm in linear), ("ssd_chunked", "ssd_dual")]:
        at = crossover(lengths, seconds[fast], seconds[slow])
        where = f"from {at:.0f} frames on" if at is not None else f"at no length up to {lengths[-1]}"
        notes.append(f"{fast} is faster than {slow} {where}")
    main = ratios["ssd_chunked"]
    return verdict(main, parts, stats.side(main.ci95, 1.0, "below"), notes)


M6 = Claim(
    id="M6",
    statement=f"Linear complexity matters: at the paper's {PAPER_FRAMES} frames it is faster than attention.",
    rule=f"Forward and backward pass of one layer on a CPU. Confirmed if the whole 95 % interval of the time of "
    f"chunked Mamba2 over that of attention at {PAPER_FRAMES} frames (paired t on logarithms over blocks) lies "
    "below 1, refuted if it lies above 1, otherwise not resolved. Crossover lengths are reported.",
    metric=f"time at {PAPER_FRAMES} frames, chunked Mamba2 over attention; below 1 favours the claim",
    arms={arm: layer.title for arm, layer in M6_ARMS.items()},
    seeds_full=5,
    run=_m6_run,
    decide=m6_decide,
    settings=_m6_settings,
    cuts=("layers of the published sizes (D = 128), batch 1, not of equal parameters; no fused kernels, CPU only",),
)
