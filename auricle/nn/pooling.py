"""Pooling over time: many frames in, one vector out."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn.masking import check_frames, zero_masked


class GatedAttentionPooling(nn.Module):
    """Weighted mean over time with weights softmax_t( w . (SiLU(W_g x_t) * W_v x_t) ), no biases.

    Gated attention after Ilse et al. 2018, with the SwiGLU gate of XLSR-MamBo (arXiv 2601.02944).

    Args:
        d_model: width D.
        hidden: inner width; None takes int(8 D / 3).

    Raises:
        ConfigError: a width below 1.
    """

    def __init__(self, d_model: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = int(8 * d_model / 3) if hidden is None else hidden
        if d_model < 1 or hidden < 1:
            raise ConfigError(f"pooling widths must be at least 1, got d_model={d_model}, hidden={hidden}")
        self.d_model = d_model
        self.in_proj = nn.Linear(d_model, 2 * hidden, bias=False)  # rows: gate, then value
        self.score = nn.Linear(hidden, 1, bias=False)

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention weights over time.

        Args:
            x: (B, T, D).
            mask: (B, T) bool, True where valid; every clip needs a valid frame.

        Returns:
            (B, T), zero at padded frames, summing to one.
        """
        gate, value = self.in_proj(x).chunk(2, dim=-1)
        scores = self.score(F.silu(gate) * value).squeeze(-1).float()
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return torch.softmax(scores, dim=-1).to(x.dtype)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Pool.

        Args:
            x: (B, T, D).
            mask: (B, T) bool, True where valid.

        Returns:
            (B, D).

        Raises:
            DataError: shapes do not fit.
        """
        check_frames(x, self.d_model, mask, "gated attention pooling")
        x = zero_masked(x, mask)
        return torch.einsum("bt,btd->bd", self.weights(x, mask), x)
