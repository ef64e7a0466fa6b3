"""Scores of clips: every window through the network, and their mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from auricle.systems.mambo.clips import Clips, batched, windows
from auricle.systems.mambo.model import score


@torch.no_grad()
def score_windows(network: nn.Module, pieces: Sequence[np.ndarray], batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Score windows of one length.

    Args:
        network: takes (B, N) waves.
        pieces: windows (N,).
        batch: windows at once; it does not change a score.

    Returns:
        Scores (W,) and frame scores (W, T'), both higher for bona fide.
    """
    network.eval()
    scores, frames = [], []
    for waves in batched(pieces, batch):
        output = network(waves)
        scores.append(score(output).float().numpy())
        frames.append((output.frame_logits[..., 1] - output.frame_logits[..., 0]).float().numpy())
    return np.concatenate(scores), np.concatenate(frames)


def score_clips(network: nn.Module, clips: Clips, length: int, batch: int) -> np.ndarray:
    """Score every clip: the mean over its windows.

    Returns:
        (N,) float64, higher for bona fide.
    """
    cut = [windows(clips.wave(index), length) for index in range(len(clips))]
    scores, _ = score_windows(network, [piece for pieces in cut for piece in pieces], batch)
    ends = np.cumsum([len(pieces) for pieces in cut])
    return np.array([part.mean() for part in np.split(scores.astype(np.float64), ends[:-1])])
