"""From mel bands back to a magnitude spectrum."""

from __future__ import annotations

import torch
from torch import Tensor

INVERSE_STEPS = 10


def magnitude_from_mel(mel: Tensor, filters: Tensor, steps: int = INVERSE_STEPS) -> Tensor:
    """Find a non-negative spectrum whose mel bands are the given ones.

    The multiplicative update of Lee and Seung (2001) for non-negative least squares. Bins that no filter reaches
    stay 0.

    Args:
        mel: magnitudes, (..., frames, n_mels).
        filters: the filters, (n_mels, bins).
        steps: updates.

    Returns:
        (..., frames, bins).
    """
    wanted = mel @ filters
    # a start of the right size: filters that overlap would otherwise count a bin twice
    magnitude = wanted / (filters.sum(dim=0) * filters.sum(dim=1).mean()).clamp_min(1e-8)
    for _ in range(steps):
        magnitude = magnitude * wanted / ((magnitude @ filters.T) @ filters).clamp_min(1e-10)
    return torch.where(filters.sum(dim=0) > 0, magnitude, torch.zeros_like(magnitude))
