"""The optimiser's parameter groups and the learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from auricle.core.errors import ConfigError


def optimizer_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters into one group with weight decay and one without.

    Without decay go biases, everything with at most one dimension (norms, gains, gates) and parameters that carry a
    true attribute ``_no_weight_decay`` (the state matrices of SSMs do). Frozen parameters are in no group.

    Args:
        model: the module to train.
        weight_decay: the decay of the first group.

    Returns:
        Two groups in the form `torch.optim` takes: decayed first, then the rest.

    Raises:
        ConfigError: no parameter of the model is trainable.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        spared = parameter.ndim <= 1 or name.rpartition(".")[2] == "bias"
        (plain if spared or getattr(parameter, "_no_weight_decay", False) else decayed).append(parameter)
    if not decayed and not plain:
        raise ConfigError("the model has no parameter with requires_grad=True; unfreeze at least one before training")
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def adamw(
    model: nn.Module, *, lr: float, betas: tuple[float, float], weight_decay: float, device: torch.device
) -> torch.optim.AdamW:
    """Build AdamW over `optimizer_groups`, fused where the device has the kernel (one pass instead of a dozen)."""
    fused = device.type in {"cpu", "cuda"}
    return torch.optim.AdamW(optimizer_groups(model, weight_decay), lr=lr, betas=betas, fused=fused)


def learning_rate(
    step: int, *, max_steps: int, lr: float, warmup_fraction: float = 0.1, final_lr_fraction: float = 0.1
) -> float:
    """Give the learning rate of one update: a linear warm-up, then half a cosine down to a fraction of the peak.

    With ``w = round(warmup_fraction * max_steps)`` the rate is ``lr * (step + 1) / w`` below ``w`` and
    ``lr * (f + (1 - f) * (1 + cos(pi * p)) / 2)`` with ``p = (step + 1 - w) / (max_steps - w)`` from there on. The
    update ``w - 1`` has the peak and the last one exactly ``f * lr``. (Cosine: Loshchilov and Hutter, 1608.03983.)

    Args:
        step: which update, counted from 0.
        max_steps: number of updates of the whole run.
        lr: the peak.
        warmup_fraction: part of the run that warms up, in [0, 1).
        final_lr_fraction: ``f``, the rate of the last update as a part of the peak.
    """
    warmup = round(warmup_fraction * max_steps)
    if step < warmup:
        return lr * (step + 1) / warmup
    progress = min(1.0, (step + 1 - warmup) / max(1, max_steps - warmup))
    return lr * (final_lr_fraction + (1.0 - final_lr_fraction) * 0.5 * (1.0 + math.cos(math.pi * progress)))
