"""Losses on two logits with class weights; a detector of spoofs has them in column 0, bona fide in column 1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def focal(logits: Tensor, labels: Tensor, weights: tuple[float, float], gamma: float = 2.0) -> Tensor:
    """Focal loss, -w_y (1 - p_y)^gamma log p_y, averaged over the items (Lin et al., ICCV 2017).

    Args:
        logits: (..., 2).
        labels: (...) int, 0 spoof and 1 bona fide.
        weights: of spoof and bona fide.
        gamma: how much the easy items are discounted; 0 gives plain cross-entropy with these weights.

    Returns:
        A scalar. The released code averages over the (B, 2) matrix instead, which halves it.
    """
    # log_softmax, not log(softmax): the latter gives 0 * -inf = NaN once a probability underflows
    logp = F.log_softmax(logits, dim=-1).gather(-1, labels[..., None]).squeeze(-1)
    return (-_weights(weights, labels, logp) * (1 - logp.exp()) ** gamma * logp).mean()


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: tuple[float, float]) -> Tensor:
    """Cross-entropy with class weights, divided by the sum of the items' weights as PyTorch's is.

    Args:
        logits: (..., 2).
        labels: (...) int, 0 spoof and 1 bona fide.
        weights: of spoof and bona fide.

    Returns:
        A scalar.
    """
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), weight=logits.new_tensor(weights))


def _weights(weights: tuple[float, float], labels: Tensor, like: Tensor) -> Tensor:
    return torch.tensor(weights, dtype=like.dtype, device=like.device)[labels]
