"""Position-wise feed-forward layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError


class SwiGLU(nn.Module):
    """Gated feed-forward layer W_out(SiLU(W_gate x) * W_up x) without biases (Shazeer 2020).

    Args:
        d_model: width D.
        hidden: inner width; None takes int(8 D / 3).
        dropout: dropout on the output.

    Raises:
        ConfigError: a width below 1.
    """

    def __init__(self, d_model: int, hidden: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = int(8 * d_model / 3) if hidden is None else hidden
        if d_model < 1 or hidden < 1:
            raise ConfigError(f"SwiGLU widths must be at least 1, got d_model={d_model}, hidden={hidden}")
        # Gate and up share one matrix product: the first half of the rows is the gate.
        self.in_proj = nn.Linear(d_model, 2 * hidden, bias=False)
        self.out_proj = nn.Linear(hidden, d_model, bias=False)
        self.dropout = nn.Dropout(dropout)
        # Kaiming as the released XLSR-MamBo code; the gain (1) is our choice.
        for layer in (self.in_proj, self.out_proj):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Transform each frame on its own.

        Args:
            x: (B, T, D).
            mask: taken so that every block is called alike; frames do not see each other here.

        Returns:
            (B, T, D).
        """
        gate, up = self.in_proj(x).chunk(2, dim=-1)
        out: Tensor = self.dropout(self.out_proj(F.silu(gate) * up))
        return out
