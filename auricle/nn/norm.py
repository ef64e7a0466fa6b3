"""Root-mean-square normalisation, plain and gated. Per frame, so padding and batch mates never matter."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn.masking import wide


class RMSNorm(nn.Module):
    """Scale each vector to unit root mean square, then by a learned gain.

    Args:
        dim: width D.
        eps: added to the mean square.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis.

        Args:
            x: (..., D).

        Returns:
            (..., D); half precision is promoted to float32.
        """
        x = wide(x)
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


class GatedRMSNorm(RMSNorm):
    """RMSNorm together with a SiLU gate, in either order.

    `gate_first`: RMSNorm(x * SiLU(gate)), as Mamba2 (Dao and Gu 2024). `norm_first`: RMSNorm(x) * SiLU(gate), as
    Hydra (Hwang et al. 2024) and Gated DeltaNet (Yang et al. 2024).

    Args:
        dim: width D.
        order: what comes first.
        eps: added to the mean square.

    Raises:
        ConfigError: unknown order.
    """

    def __init__(self, dim: int, order: Literal["gate_first", "norm_first"], eps: float = 1e-5) -> None:
        super().__init__(dim, eps)
        if order not in ("gate_first", "norm_first"):
            raise ConfigError(f"gated norm order is 'gate_first' or 'norm_first', got {order!r}")
        self.order = order

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Normalise and gate.

        Args:
            x: (..., D).
            gate: (..., D) before its SiLU; None normalises only.

        Returns:
            (..., D).
        """
        if gate is None:
            return super().forward(x)
        opened = F.silu(wide(gate))
        if self.order == "gate_first":
            return super().forward(wide(x) * opened)
        return super().forward(x) * opened
