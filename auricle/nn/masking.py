"""Frame masks: True where a frame is real, False where it only fills up the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from auricle.core.errors import DataError


def mask_from_lengths(lengths: Tensor, frames: int) -> Tensor:
    """Turn lengths into a frame mask.

    Args:
        lengths: valid frames per clip, integers (B,).
        frames: frames T of the padded batch.

    Returns:
        Bool mask (B, T), True where valid.

    Raises:
        DataError: a length is negative or longer than `frames`.
    """
    if bool(((lengths < 0) | (lengths > frames)).any()):
        raise DataError(f"lengths must lie between 0 and {frames} frames, got {lengths.tolist()}")
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


def check_frames(x: Tensor, dim: int, mask: Tensor | None, where: str) -> None:
    """Refuse features or masks of the wrong shape.

    Args:
        x: features that should be (B, T, dim) with T >= 1.
        dim: expected width.
        mask: bool mask that should be (B, T), or None.
        where: name of the caller for the message.

    Raises:
        DataError: shape or type does not fit.
    """
    if x.dim() != 3 or x.shape[-1] != dim or x.shape[1] < 1:
        raise DataError(f"{where} takes features (batch, frames >= 1, {dim}), got shape {tuple(x.shape)}")
    if mask is not None and (mask.dtype != torch.bool or mask.shape != x.shape[:2]):
        raise DataError(
            f"{where} takes a bool mask of shape {tuple(x.shape[:2])}, got {mask.dtype} of shape {tuple(mask.shape)}"
        )


def zero_masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Set padded frames to zero, whatever they held (NaN included).

    Args:
        x: (B, T, ...) features.
        mask: (B, T) bool, True where valid, or None for all valid.

    Returns:
        Tensor of the shape of `x`.
    """
    if mask is None:
        return x
    return x.masked_fill(~mask.view(*mask.shape, *([1] * (x.dim() - 2))), 0.0)


def wide(x: Tensor) -> Tensor:
    """Promote half precision to float32; float32 and float64 pass unchanged."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
