"""How long the adapters of the paper's widths take, in turns."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from auricle.claims.claim import Budget
from auricle.claims.clock import interleaved_seconds
from auricle.nn.moe import MoEAdapter, budget, dense_like

WIDTHS = {"dim": 2560, "out": 2048, "hidden": 1280, "shared_hidden": 10_240}
FRAMES = 25
BATCHES = (1, 32)
REPEATS = {"quick": 1, "full": 15}
SETTINGS: dict[str, Any] = {"widths": WIDTHS, "frames": FRAMES, "batches": list(BATCHES), "repeats": REPEATS}


def clock(seed: int, size: Budget) -> dict[str, float]:
    """Give median seconds of a forward pass: dense, experts in groups, all experts on all tokens.

    Args:
        seed: of weights and frames.
        size: the quick budget has an eighth of the widths.
    """
    torch.manual_seed(seed)
    widths = WIDTHS if size == "full" else {name: value // 8 for name, value in WIDTHS.items()}
    forms = {form: MoEAdapter(layout="parallel", form=form, losses={}, **widths).eval() for form in ("grouped", "all")}  # type: ignore[arg-type]
    forms["all"].load_state_dict(forms["grouped"].state_dict())
    adapters: dict[str, nn.Module] = {"dense": dense_like(forms["grouped"]).eval(), **forms}
    numbers: dict[str, float] = {}
    for clips in BATCHES:
        frames = torch.randn(clips, FRAMES, widths["dim"])
        work = {name: partial(_run, one, frames) for name, one in adapters.items()}
        numbers |= {
            f"{name} batch {clips}": seconds for name, seconds in interleaved_seconds(work, REPEATS[size]).items()
        }
    counted = budget(forms["grouped"])
    return {**numbers, "active_share": counted.active / counted.total}


@torch.no_grad()
def _run(adapter: nn.Module, frames: torch.Tensor) -> None:
    adapter(frames)
