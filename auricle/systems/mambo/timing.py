"""Claim M6, and what M2 measures of time: layers and models against the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Claim, Measured, Part, Verdict
from auricle.claims.clock import crossover, interleaved_seconds, peak_bytes
from auricle.nn.attention import MultiHeadAttention
from auricle.nn.ssm.gated_delta import GatedDeltaNet
from auricle.nn.ssm.hydra import Hydra
from auricle.nn.ssm.mamba2 import Mamba2
from auricle.systems.mambo.config import ModelConfig
from auricle.systems.mambo.model import build
from auricle.train.seed import seed_everything

PAPER_FRAMES = 208  # of a 4.175 s clip through XLS-R
M6_D = 128
M6_ARMS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], str]] = {
    "mha": (lambda: MultiHeadAttention(M6_D, 4), {}, "multi-head attention"),
    "ssd_dual": (lambda: Mamba2(M6_D), {"form": "dual"}, "Mamba2, quadratic form"),
    "ssd_chunked": (lambda: Mamba2(M6_D), {"form": "chunked"}, "Mamba2, chunked form"),
    "hydra": (lambda: Hydra(M6_D), {"form": "chunked"}, "Hydra, chunked form"),
    "gdn": (lambda: GatedDeltaNet(M6_D), {"form": "chunked"}, "Gated DeltaNet, chunked form"),
}


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
        steps[arm] = partial(_forward_backward, build(model), features)
    seconds = interleaved_seconds(steps, repeats)
    return {f"{arm}_step_s": seconds[arm] for arm in steps} | {
        f"{arm}_peak_mb": peak_bytes(step) / 1e6 for arm, step in steps.items()
    }


def _forward_backward(module: nn.Module, x: torch.Tensor, **how: Any) -> None:
    out = module(x, **how)
    (out if isinstance(out, torch.Tensor) else out.logits).square().mean().backward()
    module.zero_grad(set_to_none=True)  # afterwards, so that no step begins with the last one's gradients held


def _m6_lengths(budget: Budget) -> tuple[int, ...]:
    return (100, PAPER_FRAMES, 400, 800, 1600, 3200) if budget == "full" else (50, PAPER_FRAMES)


def _m6_run(arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
    make, how, _ = M6_ARMS[arm]
    seed_everything(seed)
    module = make()
    numbers: dict[str, Any] = {"threads": torch.get_num_threads()}
    for frames in _m6_lengths(budget):
        x = torch.randn(1, frames, M6_D, requires_grad=True)
        step = partial(_forward_backward, module, x, **how)
        repeats = 3 if budget == "quick" else 20 if frames <= 800 else 5
        numbers[f"s_{frames}"] = interleaved_seconds({arm: step}, repeats)[arm]
        numbers[f"mb_{frames}"] = peak_bytes(step) / 1e6
    return numbers


def _m6_decide(measured: Measured) -> Verdict:
    cell = measured.cells["mha"][measured.seeds[0]]
    lengths = tuple(sorted(int(name[2:]) for name in cell if name.startswith("s_")))
    seconds = {
        arm: np.array([np.exp(np.log(measured.values(arm, f"s_{frames}")).mean()) for frames in lengths])
        for arm in M6_ARMS
    }
    name = f"s_{PAPER_FRAMES}"
    parts, notes = [], []
    for arm in M6_ARMS:
        if arm != "mha":
            ratio = stats.paired_ratio(measured.values(arm, name), measured.values("mha", name))
            parts.append(Part(f"time at {PAPER_FRAMES} frames, {arm} over attention", ratio.value, ratio.ci95))
    pairs = [(arm, "mha") for arm in M6_ARMS if arm != "mha"] + [("ssd_chunked", "ssd_dual")]
    for fast, slow in pairs:
        at = crossover(lengths, seconds[fast], seconds[slow])
        where = f"from {at:.0f} frames on" if at is not None else f"at no length up to {lengths[-1]}"
        notes.append(f"{fast} is faster than {slow} {where}")
    main = stats.paired_ratio(measured.values("ssd_chunked", name), measured.values("mha", name))
    outcome = stats.side(main.ci95, 1.0, "below")
    return Verdict(outcome, main.value, main.ci95, tuple(notes), main.minimum_detectable, tuple(parts))


def m6() -> Claim:
    """Give claim M6: is a linear-time layer faster than attention at the paper's length?"""

    def settings(arm: str, seed: int, budget: Budget) -> dict[str, Any]:
        return {"lengths": list(_m6_lengths(budget)), "d_model": M6_D, "batch": 1}

    return Claim(
        id="M6",
        statement=f"Linear complexity matters: at the paper's {PAPER_FRAMES} frames it is faster than attention.",
        rule=f"Forward and backward pass of one layer on a CPU. Confirmed if the whole 95 % interval of the time of "
        f"chunked Mamba2 over that of attention at {PAPER_FRAMES} frames (paired t on logarithms over blocks) lies "
        "below 1, refuted if it lies above 1, otherwise not resolved. Crossover lengths are reported.",
        metric=f"time at {PAPER_FRAMES} frames, chunked Mamba2 over attention; below 1 favours the claim",
        arms={arm: told for arm, (_, _, told) in M6_ARMS.items()},
        seeds_quick=2,
        seeds_full=5,
        run=_m6_run,
        decide=_m6_decide,
        settings=settings,
        cuts=("layers of the published sizes (D = 128), batch 1, not of equal parameters; no fused kernels, CPU only",),
    )
