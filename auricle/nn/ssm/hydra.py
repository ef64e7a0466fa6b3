"""Hydra: a bidirectional mixer whose matrix is quasiseparable (Hwang et al. 2024, arXiv 2407.09941)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn.conv import DepthwiseConv
from auricle.nn.masking import wide, zero_masked
from auricle.nn.norm import GatedRMSNorm
from auricle.nn.ssm.mamba2 import DUAL_FRAMES, ssd
from auricle.nn.ssm.mixer import Mixer, inner_heads, per_head, split, time_step_bias, undecayed


def _shift(y: Tensor) -> Tensor:
    """Delay by one frame along axis 1; the first frame becomes zero."""
    return F.pad(y[:, :-1], (0, 0, 0, 0, 1, 0))


class Hydra(Mixer):
    """Two scans that share projections, convolution and decay, and a diagonal of their own.

    y = shift(SSD_f(x)) + flip(shift(SSD_b(flip(x)))) + (W_D x + d) x;  out = W_out( RMSNorm(y) * SiLU(z) ).

    Args:
        d_model: width D.
        d_state: states N per head and direction.
        head_dim: head width P; divides expand x D.
        expand: inner width E = expand x D.
        conv: taps of the centred convolution, odd.
        chunk: frames per chunk of the chunked form.

    Raises:
        ConfigError: sizes that do not fit.
    """

    forms: ClassVar[tuple[str, ...]] = ("recurrent", "dual", "chunked")

    def __init__(
        self, d_model: int, d_state: int = 64, head_dim: int = 64, expand: int = 2, conv: int = 7, chunk: int = 64
    ) -> None:
        super().__init__(d_model)
        inner = expand * d_model
        if d_state < 1 or chunk < 1:
            raise ConfigError(f"Hydra needs d_state >= 1 and chunk >= 1, got d_state={d_state}, chunk={chunk}")
        self.heads = inner_heads("Hydra", inner, head_dim)
        self.inner, self.d_state, self.chunk = inner, d_state, chunk
        # Rows: z, x, (B, C) forward, (B, C) backward, dt forward, dt backward.
        self.in_proj = nn.Linear(d_model, 2 * inner + 4 * d_state + 2 * self.heads, bias=False)
        self.conv = DepthwiseConv(inner + 4 * d_state, conv, mode="centred")
        self.dt_bias = undecayed(time_step_bias(self.heads))
        self.A_log = undecayed(torch.zeros(self.heads))
        self.D = undecayed(torch.ones(self.heads))
        self.diagonal = nn.Linear(inner, self.heads, bias=False)
        self.norm = GatedRMSNorm(inner, "norm_first")
        self.out_proj = nn.Linear(inner, d_model, bias=False)

    def auto_form(self, frames: int) -> str:
        """Dual for short clips, chunked for long ones."""
        return "dual" if frames <= DUAL_FRAMES else "chunked"

    def mix(self, u: Tensor, mask: Tensor | None, form: str) -> Tensor:
        """Compute the layer; see `Mixer.forward`."""
        n = self.d_state
        z, rest, dt = split(self.in_proj(u), [self.inner, self.inner + 4 * n, 2 * self.heads])
        x, b_f, c_f, b_b, c_b = split(wide(F.silu(self.conv(rest))), [self.inner, n, n, n, n])
        bias = torch.cat([self.dt_bias, self.dt_bias])
        # Padded frames take no step, so the backward scan may start among them.
        delta_f, delta_b = zero_masked(F.softplus(wide(dt) + bias), mask).chunk(2, dim=-1)  # (B, T, H)
        free = (self.diagonal(x) + self.D).unsqueeze(-1)  # (B, T, H, 1)
        x = per_head(x, self.heads)
        # Both scans as one batch of 2 B, the second half in reversed time.
        delta = torch.cat([delta_f, delta_b.flip(1)])
        both = torch.cat([x * delta_f.unsqueeze(-1), (x * delta_b.unsqueeze(-1)).flip(1)])
        b, c = torch.cat([b_f, b_b.flip(1)]), torch.cat([c_f, c_b.flip(1)])
        y = ssd(both, -torch.exp(wide(self.A_log)) * delta, b, c, form, self.chunk)
        forward, backward = _shift(y).chunk(2)
        y = (forward + backward.flip(1) + free * x).flatten(2)
        out: Tensor = self.out_proj(self.norm(y, z))
        return out
