"""Graph attention over a few dozen nodes: plain, between two kinds of nodes with a master node, and top-k pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError


def _weight(width: int) -> nn.Parameter:
    """Give a column (width, 1) that scores a vector, with Xavier's spread."""
    column = torch.empty(width, 1)
    return nn.Parameter(nn.init.xavier_normal_(column))


class NodeNorm(nn.BatchNorm1d):
    """Batch norm over all nodes of all items: (B, N, D) with statistics for each of D."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, N, D)."""
        normed: Tensor = super().forward(x.reshape(-1, x.shape[-1]))
        return normed.view_as(x)


class GraphAttention(nn.Module):
    """Attention among nodes of one kind (AASIST, 2110.01200, after 2104.03654).

    a_ij = softmax_j(w^T tanh(W (x_i * x_j)) / temperature); out = SELU(BN(W1 (A x) + W2 x)).

    Args:
        in_dim: width of the nodes.
        out_dim: width of the result.
        temperature: above 1 flattens the attention.
        dropout: of the incoming nodes.
    """

    def __init__(self, in_dim: int, out_dim: int, temperature: float = 2.0, dropout: float = 0.2) -> None:
        super().__init__()
        self.temperature = temperature
        self.dropout = nn.Dropout(dropout)
        self.pair = nn.Linear(in_dim, out_dim)
        self.score = _weight(out_dim)
        self.with_attention = nn.Linear(in_dim, out_dim)
        self.without_attention = nn.Linear(in_dim, out_dim)
        self.norm = NodeNorm(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Let every node look at every other.

        Args:
            x: (B, N, in_dim).

        Returns:
            (B, N, out_dim).
        """
        x = self.dropout(x)
        pairs = torch.tanh(self.pair(x.unsqueeze(2) * x.unsqueeze(1)))  # (B, N, N, out)
        weights = torch.softmax((pairs @ self.score).squeeze(-1) / self.temperature, dim=-1)
        mixed = self.with_attention(weights @ x) + self.without_attention(x)
        return F.selu(self.norm(mixed))


class HeteroGraphAttention(nn.Module):
    """Attention among two kinds of nodes at once, and a master node that looks at all of them and is not looked at.

    Pairs are scored as in `GraphAttention`, with one w for pairs within each kind and one for pairs across. The
    master is m <- W1 (sum_i b_i x_i) + W2 m with b = softmax_i(w_m^T tanh(W_m (x_i * m)) / temperature).

    Args:
        in_dim: width of the nodes.
        out_dim: width of the result.
        temperature: above 1 flattens the attention.
        dropout: of the incoming nodes.
    """

    def __init__(self, in_dim: int, out_dim: int, temperature: float = 100.0, dropout: float = 0.2) -> None:
        super().__init__()
        self.temperature = temperature
        self.dropout = nn.Dropout(dropout)
        self.kinds = nn.ModuleList([nn.Linear(in_dim, in_dim) for _ in range(2)])
        self.pair = nn.Linear(in_dim, out_dim)
        self.pair_master = nn.Linear(in_dim, out_dim)
        self.score_first, self.score_second, self.score_across, self.score_master = (_weight(out_dim) for _ in range(4))
        self.with_attention = nn.Linear(in_dim, out_dim)
        self.without_attention = nn.Linear(in_dim, out_dim)
        self.master_with = nn.Linear(in_dim, out_dim)
        self.master_without = nn.Linear(in_dim, out_dim)
        self.norm = NodeNorm(out_dim)

    def forward(self, first: Tensor, second: Tensor, master: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Let all nodes look at each other.

        Args:
            first: (B, N, in_dim).
            second: (B, M, in_dim).
            master: (B, 1, in_dim).

        Returns:
            Nodes of both kinds and the master, each out_dim wide.
        """
        n = first.shape[1]
        x = self.dropout(torch.cat([self.kinds[0](first), self.kinds[1](second)], dim=1))  # (B, N + M, in)
        pairs = torch.tanh(self.pair(x.unsqueeze(2) * x.unsqueeze(1)))
        across = pairs @ self.score_across
        top = torch.cat([pairs[:, :n, :n] @ self.score_first, across[:, :n, n:]], dim=2)
        bottom = torch.cat([across[:, n:, :n], pairs[:, n:, n:] @ self.score_second], dim=2)
        weights = torch.softmax(torch.cat([top, bottom], dim=1).squeeze(-1) / self.temperature, dim=-1)
        heard = torch.tanh(self.pair_master(x * master)) @ self.score_master  # (B, N + M, 1)
        share = torch.softmax(heard / self.temperature, dim=1)
        master = self.master_with(share.transpose(1, 2) @ x) + self.master_without(master)
        x = F.selu(self.norm(self.with_attention(weights @ x) + self.without_attention(x)))
        return x[:, :n], x[:, n:], master


class GraphPool(nn.Module):
    """Keep the better half of the nodes: each is multiplied by a learned sigmoid score, and the highest stay.

    Args:
        width: of the nodes.
        keep: share of the nodes that stay, rounded down, at least one.
        dropout: before the score.

    Raises:
        ConfigError: a share outside (0, 1].
    """

    def __init__(self, width: int, keep: float = 0.5, dropout: float = 0.3) -> None:
        super().__init__()
        if not 0 < keep <= 1:
            raise ConfigError(f"a graph pooling keeps a share in (0, 1] of its nodes, got {keep}")
        self.keep = keep
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (B, N, D) to (B, max(1, floor(keep N)), D), best node first."""
        scores = torch.sigmoid(self.score(self.dropout(x)))  # (B, N, 1)
        count = max(1, int(self.keep * x.shape[1]))
        index = scores.topk(count, dim=1).indices.expand(-1, -1, x.shape[2])
        return (x * scores).gather(1, index)
