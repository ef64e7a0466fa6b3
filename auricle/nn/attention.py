"""Multi-head self-attention over frames."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn.conv import DepthwiseConv
from auricle.nn.masking import check_frames, zero_masked


class MultiHeadAttention(nn.Module):
    """Bidirectional self-attention with biases and an optional causal depthwise convolution on q, k and v.

    Args:
        d_model: width D.
        heads: number of heads; divides D.
        conv: taps of the convolution, 0 for none.
        dropout: dropout on the attention weights.

    Raises:
        ConfigError: D is not a multiple of `heads`.
    """

    def __init__(self, d_model: int, heads: int = 4, conv: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        if heads < 1 or d_model % heads:
            raise ConfigError(f"d_model must be a multiple of heads, got d_model={d_model}, heads={heads}")
        self.d_model, self.heads, self.dropout = d_model, heads, dropout
        self.in_proj = nn.Linear(d_model, 3 * d_model)
        self.conv = DepthwiseConv(3 * d_model, conv) if conv else None
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend among the valid frames.

        Args:
            x: (B, T, D).
            mask: (B, T) bool, True where valid.

        Returns:
            (B, T, D), zero at padded frames.

        Raises:
            DataError: shapes do not fit.
        """
        check_frames(x, self.d_model, mask, "attention")
        batch, frames, _ = x.shape
        # The projection has a bias, so padding is cleared after it and before the convolution can smear it.
        qkv = zero_masked(self.in_proj(zero_masked(x, mask)), mask)
        if self.conv is not None:
            qkv = self.conv(qkv)
        q, k, v = qkv.view(batch, frames, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, T, D / H)
        keys = None if mask is None else mask[:, None, None, :]
        rate = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=keys, dropout_p=rate)
        return zero_masked(self.out_proj(out.transpose(1, 2).reshape(batch, frames, -1)), mask)
