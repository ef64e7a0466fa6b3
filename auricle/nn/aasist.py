"""AASIST: spectro-temporal graph attention over a map of features, of frames or of samples (2110.01200, 2202.12233)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError, DataError
from auricle.nn.graph import GraphAttention, GraphPool, HeteroGraphAttention


class ResidualBlock(nn.Module):
    """Two convolutions of 2 x 3 on a map (B, C, S, T), with a 1 x 3 one beside them where the channels change.

    Args:
        in_channels: of the map.
        out_channels: of the result.
        first: leave out norm and activation before the first convolution: the input has them behind it.
        dead_norm: have them and do not use them, as the released code does: it computes them and then gives the first
            convolution the block's own input. The parameters stand in released files, and no training changes them.
        pool: maximum of so many columns over time, behind everything.
    """

    def __init__(
        self, in_channels: int, out_channels: int, first: bool = False, dead_norm: bool = False, pool: int = 1
    ) -> None:
        super().__init__()
        self.dead_norm, self.pool = dead_norm, pool
        self.before = nn.Identity() if first else nn.Sequential(nn.BatchNorm2d(in_channels), nn.SELU())
        self.before.requires_grad_(not dead_norm)
        # one row of padding in the first, none in the second: together they keep the height
        self.first = nn.Conv2d(in_channels, out_channels, (2, 3), padding=(1, 1))
        self.norm = nn.BatchNorm2d(out_channels)
        self.second = nn.Conv2d(out_channels, out_channels, (2, 3), padding=(0, 1))
        same = in_channels == out_channels
        self.beside = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, (1, 3), padding=(0, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Give a map (B, C', S, T // pool) of the same height."""
        y = self.second(F.selu(self.norm(self.first(x if self.dead_norm else self.before(x)))))
        joined: Tensor = y + self.beside(x)
        return F.max_pool2d(joined, (1, self.pool)) if self.pool > 1 else joined


class Branch(nn.Module):
    """One of the two parallel ways through the heterogeneous layers, with a master node of its own."""

    def __init__(self, width: int, out: int, temperature: float, keep: float, nodes: float, pools: float) -> None:
        super().__init__()
        self.master = nn.Parameter(torch.randn(1, 1, width))
        self.first = HeteroGraphAttention(width, out, temperature, nodes)
        self.pool_time, self.pool_bands = GraphPool(out, keep, pools), GraphPool(out, keep, pools)
        self.second = HeteroGraphAttention(out, out, temperature, nodes)

    def forward(self, time: Tensor, bands: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give temporal nodes, spectral nodes and the master."""
        time, bands, master = self.first(time, bands, self.master.expand(time.shape[0], -1, -1))
        time, bands = self.pool_time(time), self.pool_bands(bands)
        more_time, more_bands, more_master = self.second(time, bands, master)
        return time + more_time, bands + more_bands, master + more_master


class AASIST(nn.Module):
    """Features of frames to two logits, spoof and bona fide.

    Projection to `width`, max-pooling 3 x 3, a residual encoder of six blocks, an attention map that turns the result
    into a graph over frequency and one over time, graph attention on each, two heterogeneous branches whose maximum
    is read out. The sizes by default are those of the released XLS-R + AASIST; with `dead_norm` it is that network.
    With `dead_norm` and `maxima`, without `width`, and on `auricle.nn.sinc.SincBands`, it is the released AASIST.

    Args:
        in_dim: width of the features, 1024 for XLS-R.
        width: of the projection, a third of which are the spectral nodes; None leaves it out, for features that are a
            spectrum by themselves.
        channels: of the residual encoder, narrow and wide.
        graph: widths of the graph layers, plain and heterogeneous.
        temperatures: of the plain and the heterogeneous attention.
        keep: shares of nodes kept by the poolings: over frequency, over time, between the heterogeneous layers.
        dropouts: of nodes, before pooling scores, of the branches, before the logits.
        dead_norm: see `ResidualBlock`.
        maxima: for one feature vector a sample: every block keeps the maximum of three columns, and nodes are the
            largest magnitudes of the map instead of its sums under an attention map.

    Raises:
        ConfigError: a width below 6, of which pooling leaves no two nodes.
    """

    def __init__(
        self,
        in_dim: int = 1024,
        width: int | None = 128,
        channels: tuple[int, int] = (32, 64),
        graph: tuple[int, int] = (64, 32),
        temperatures: tuple[float, float] = (2.0, 100.0),
        keep: tuple[float, float, float] = (0.5, 0.5, 0.5),
        dropouts: tuple[float, float, float, float] = (0.2, 0.3, 0.2, 0.5),
        dead_norm: bool = False,
        maxima: bool = False,
    ) -> None:
        super().__init__()
        rows = in_dim if width is None else width
        if rows < 6:
            raise ConfigError(f"AASIST needs a map of at least 6 rows, of which pooling leaves 2 nodes; got {rows}")
        narrow, wide = channels
        self.in_dim, self.bands, self.maxima = in_dim, rows // 3, maxima
        self.project = nn.Identity() if width is None else nn.Linear(in_dim, rows)
        self.norm = nn.BatchNorm2d(1)
        sizes = [(1, narrow), (narrow, narrow), (narrow, wide), (wide, wide), (wide, wide), (wide, wide)]
        self.pool = 3 if maxima else 1
        self.encoder = nn.Sequential(
            *[ResidualBlock(a, b, i == 0, dead_norm, self.pool) for i, (a, b) in enumerate(sizes)]
        )
        if not maxima:
            self.encoder_norm = nn.BatchNorm2d(wide)
            self.attention = nn.Sequential(
                nn.Conv2d(wide, 2 * wide, 1), nn.SELU(), nn.BatchNorm2d(2 * wide), nn.Conv2d(2 * wide, wide, 1)
            )
        self.position = nn.Parameter(torch.randn(1, self.bands, wide))
        plain, hetero = graph
        nodes, pools, branches, last = dropouts
        self.graph_bands = GraphAttention(wide, plain, temperatures[0], nodes)
        self.graph_time = GraphAttention(wide, plain, temperatures[0], nodes)
        self.pool_bands, self.pool_time = GraphPool(plain, keep[0], pools), GraphPool(plain, keep[1], pools)
        self.branches = nn.ModuleList([Branch(plain, hetero, temperatures[1], keep[2], nodes, pools) for _ in range(2)])
        self.branch_dropout = nn.Dropout(branches)
        self.dropout = nn.Dropout(last)
        self.head = nn.Linear(5 * hetero, 2)

    def encode(self, features: Tensor) -> Tensor:
        """Turn features (B, T, F) into a map (B, C, S, T // 3) with S = width // 3; of samples (B, C, S, T // 3^7)."""
        least = 3 * self.pool ** len(self.encoder) if self.maxima else 6
        if features.ndim != 3 or features.shape[2] != self.in_dim or features.shape[1] < least:
            shape = f"(B, T, {self.in_dim}) with T of {least} or more"
            raise DataError(f"AASIST takes {shape}, got {tuple(features.shape)}")
        x = self.project(features).transpose(1, 2).unsqueeze(1)  # (B, 1, width, T)
        x = F.selu(self.norm(F.max_pool2d(x, 3)))
        # channels last in memory: on a CPU these small convolutions take three quarters of the time
        x = self.encoder[0](x).contiguous(memory_format=torch.channels_last)
        encoded: Tensor = self.encoder[1:](x)
        return encoded if self.maxima else F.selu(self.encoder_norm(encoded))

    def nodes(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Turn a map (B, C, S, T) into spectral nodes (B, S, C) and temporal nodes (B, T, C)."""
        if self.maxima:
            sizes = encoded.abs()
            return sizes.amax(dim=3).transpose(1, 2) + self.position, sizes.amax(dim=2).transpose(1, 2)
        scores = self.attention(encoded)
        bands = (encoded * torch.softmax(scores, dim=3)).sum(dim=3).transpose(1, 2) + self.position
        time = (encoded * torch.softmax(scores, dim=2)).sum(dim=2).transpose(1, 2)
        return bands, time

    def embed(self, features: Tensor) -> Tensor:
        """Give the read-out under the logits, (B, 5 x the heterogeneous width)."""
        bands, time = self.nodes(self.encode(features))
        bands, time = self.pool_bands(self.graph_bands(bands)), self.pool_time(self.graph_time(time))
        ways = [branch(time, bands) for branch in self.branches]
        time, bands, master = (
            torch.maximum(self.branch_dropout(one), self.branch_dropout(other))
            for one, other in zip(*ways, strict=True)
        )
        parts = [time.abs().amax(dim=1), time.mean(dim=1), bands.abs().amax(dim=1), bands.mean(dim=1), master[:, 0]]
        return torch.cat(parts, dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Score clips.

        Args:
            features: (B, T, F), no padding: tile shorter clips.

        Returns:
            (B, 2), columns spoof and bona fide.

        Raises:
            DataError: another shape.
        """
        logits: Tensor = self.head(self.dropout(self.embed(features)))
        return logits
