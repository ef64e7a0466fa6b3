"""A plain convolutional network over a map of frames: the control for everything that is cleverer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PlainCNN(nn.Module):
    """The control: three convolutions over time and frequency, mean and maximum over the map, two logits."""

    def __init__(self, channels: tuple[int, int], dropout: float) -> None:
        super().__init__()
        narrow, wide = channels
        sizes = [(1, narrow), (narrow, wide), (wide, wide)]
        self.layers = nn.Sequential(
            *[
                nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.SiLU(), nn.MaxPool2d(2))
                for a, b in sizes
            ]
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * wide, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Score features (B, T, F); (B, 2), columns spoof and bona fide."""
        maps = self.layers(features.unsqueeze(1)).flatten(2)  # (B, C, T' F')
        logits: Tensor = self.head(self.dropout(torch.cat([maps.mean(2), maps.amax(2)], dim=1)))
        return logits
