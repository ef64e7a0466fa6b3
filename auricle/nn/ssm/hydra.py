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
from auricle.nn.ssm.mamba2 import DUAL_FRAMES
from auricle.nn.ssm.mixer import Mixer, inner_heads, per_head, project, time_step_bias, undecayed
from auricle.nn.ssm.ssd import late, scan_both_ways, ssd_recurrent


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
        z, x, bc, dt = project(self.in_proj, u, [self.inner, self.inner, 4 * n, 2 * self.heads])
        x = wide(self.conv(x, silu=True))
        b_f, c_f, b_b, c_b = wide(self.conv(bc, self.inner, silu=True)).chunk(4, dim=-1)
        # Padded frames take no step, so the backward scan may start among them.
        delta = zero_masked(F.softplus(wide(dt) + self.dt_bias.repeat(2)), mask)
        log_decay = -torch.exp(wide(self.A_log)).repeat(2) * delta
        steps, decays = _pair(delta), _pair(log_decay)  # (B, T, H) each way
        free = self.diagonal(x) + self.D  # (B, T, H)
        x = per_head(x, self.heads)
        with torch.autocast(u.device.type, enabled=False):
            if form == "recurrent":
                y = _recurrent(x, steps, decays, (b_f, b_b), (c_f, c_b)) + x * free.unsqueeze(-1)
            else:
                chunk = self.chunk if form == "chunked" else x.shape[1]
                y = scan_both_ways(x, steps, decays, (b_f, b_b), (c_f, c_b), chunk, wide(free))
        out: Tensor = self.out_proj(self.norm(y.flatten(2), z))
        return out


Pair = tuple[Tensor, Tensor]


def _pair(x: Tensor) -> Pair:
    forward, backward = x.chunk(2, dim=-1)
    return forward, backward


def _recurrent(x: Tensor, delta: Pair, log_decay: Pair, b: Pair, c: Pair) -> Tensor:
    """Both scans frame by frame, as the equation is written; each pair is the way forward and the way back."""
    forward = ssd_recurrent(x * delta[0].unsqueeze(-1), log_decay[0], b[0], c[0])
    reversed_ = (t.flip(1) for t in (x * delta[1].unsqueeze(-1), log_decay[1], b[1], c[1]))
    return late(forward) + late(ssd_recurrent(*reversed_)).flip(1)
