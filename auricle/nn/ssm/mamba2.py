"""Mamba2: one decay per head, so that the scan is also a masked matrix product (Dao and Gu 2024, arXiv 2405.21060)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn.conv import DepthwiseConv
from auricle.nn.masking import wide, zero_masked
from auricle.nn.norm import GatedRMSNorm
from auricle.nn.ssm.mixer import Mixer, Stream, inner_heads, per_head, project, split, time_step_bias, undecayed
from auricle.nn.ssm.ssd import scan, ssd_recurrent

# Up to here the quadratic form is no slower on a CPU than chunks of 64 frames, by the loops in C or without: measured
# with both passes at 64 to 320 frames (batch 4, 8 heads of 64), it was ahead at 200 and behind at 256.
DUAL_FRAMES = 224


class Mamba2(Mixer):
    """Causal mixer out = W_out RMSNorm( SSD(x) * SiLU(z) ) with [z, x, B, C, dt] = W_in u.

    Args:
        d_model: width D.
        d_state: states N per head.
        head_dim: head width P; divides expand x D.
        expand: inner width E = expand x D.
        conv: taps of the causal convolution.
        chunk: frames per chunk of the chunked form.

    Raises:
        ConfigError: sizes that do not fit.
    """

    forms: ClassVar[tuple[str, ...]] = ("recurrent", "dual", "chunked")

    def __init__(
        self, d_model: int, d_state: int = 64, head_dim: int = 64, expand: int = 2, conv: int = 4, chunk: int = 64
    ) -> None:
        super().__init__(d_model)
        inner = expand * d_model
        if d_state < 1 or chunk < 1:
            raise ConfigError(f"Mamba2 needs d_state >= 1 and chunk >= 1, got d_state={d_state}, chunk={chunk}")
        self.heads = inner_heads("Mamba2", inner, head_dim)
        self.inner, self.d_state, self.chunk = inner, d_state, chunk
        self.in_proj = nn.Linear(d_model, 2 * inner + 2 * d_state + self.heads, bias=False)
        self.conv = DepthwiseConv(inner + 2 * d_state, conv)
        self.dt_bias = undecayed(time_step_bias(self.heads))
        self.A_log = undecayed(torch.log(torch.empty(self.heads).uniform_(1.0, 16.0)))
        self.D = undecayed(torch.ones(self.heads))
        self.norm = GatedRMSNorm(inner, "gate_first")
        self.out_proj = nn.Linear(inner, d_model, bias=False)

    def auto_form(self, frames: int) -> str:
        """Dual for short clips, chunked for long ones."""
        return "dual" if frames <= DUAL_FRAMES else "chunked"

    def begin(self, batch: int) -> Stream:
        """Give what the mixer remembers before the first frame; see `Mixer.begin`."""
        weight = self.in_proj.weight
        past = weight.new_zeros(batch, self.conv.left, self.inner + 2 * self.d_state)
        return Stream(past, weight.new_zeros(batch, self.heads, self.d_state, self.inner // self.heads))

    def step(self, u: Tensor, stream: Stream) -> tuple[Tensor, Stream]:
        """Mix one more frame; see `Mixer.step`."""
        z, xbc, dt = split(self.in_proj(u), [self.inner, self.inner + 2 * self.d_state, self.heads])
        xbc, past = self.conv.step(xbc, stream.past)
        x, b, c = split(F.silu(xbc), [self.inner, self.d_state, self.d_state])
        x, delta = per_head(x, self.heads), F.softplus(dt + self.dt_bias)  # (B, H, P), (B, H)
        decay = torch.exp(-torch.exp(self.A_log) * delta)
        memory = decay[..., None, None] * stream.memory + torch.einsum("bh,bn,bhp->bhnp", delta, b, x)
        y = torch.einsum("bn,bhnp->bhp", c, memory)
        out: Tensor = self.out_proj(self.norm((y + x * self.D.unsqueeze(-1)).flatten(1), z))
        return out, Stream(past, memory)

    def mix(self, u: Tensor, mask: Tensor | None, form: str) -> Tensor:
        """Compute the layer; see `Mixer.forward`."""
        n = self.d_state
        z, x, bc, dt = project(self.in_proj, u, [self.inner, self.inner, 2 * n, self.heads])
        x = per_head(wide(self.conv(x, silu=True)), self.heads)
        b, c = wide(self.conv(bc, self.inner, silu=True)).chunk(2, dim=-1)
        delta = zero_masked(F.softplus(wide(dt) + self.dt_bias), mask)  # (B, T, H)
        log_decay = -torch.exp(wide(self.A_log)) * delta
        with torch.autocast(u.device.type, enabled=False):
            if form == "recurrent":
                y = ssd_recurrent(x * delta.unsqueeze(-1), log_decay, b, c) + x * self.D.unsqueeze(-1)
            else:
                chunk = self.chunk if form == "chunked" else x.shape[1]
                y = scan(x, delta, log_decay, b, c, chunk, wide(self.D).expand_as(delta))
        out: Tensor = self.out_proj(self.norm(y.flatten(2), z))
        return out
