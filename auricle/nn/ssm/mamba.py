"""Mamba: selective state space with a diagonal state matrix per channel (Gu and Dao 2023, arXiv 2312.00752)."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn.conv import DepthwiseConv
from auricle.nn.masking import wide, zero_masked
from auricle.nn.ssm.mixer import Mixer, Stream, split, time_step_bias, undecayed
from auricle.nn.ssm.selective_scan import selective_scan_chunked, selective_scan_recurrent


class Mamba(Mixer):
    """Causal mixer out = W_out( scan(x) * SiLU(z) ) with [x, z] = W_in u.

    Args:
        d_model: width D.
        d_state: states N per channel.
        expand: inner width E = expand x D.
        conv: taps of the causal convolution.
        chunk: frames per chunk of the chunked form, a power of two.

    Raises:
        ConfigError: a size below 1, or a chunk that is not a power of two.
    """

    forms: ClassVar[tuple[str, ...]] = ("recurrent", "chunked")

    def __init__(self, d_model: int, d_state: int = 16, expand: int = 2, conv: int = 4, chunk: int = 16) -> None:
        super().__init__(d_model)
        if d_state < 1 or expand < 1 or chunk < 1 or chunk & (chunk - 1):
            raise ConfigError(
                f"Mamba needs d_state >= 1, expand >= 1 and a chunk that is a power of two, "
                f"got d_state={d_state}, expand={expand}, chunk={chunk}"
            )
        inner, rank = expand * d_model, math.ceil(d_model / 16)
        self.d_state, self.rank, self.chunk = d_state, rank, chunk
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=False)
        self.conv = DepthwiseConv(inner, conv)
        self.x_proj = nn.Linear(inner, rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        self.dt_proj.bias = undecayed(time_step_bias(inner))
        steps = torch.arange(1, d_state + 1, dtype=torch.get_default_dtype())
        self.A_log = undecayed(torch.log(steps).repeat(inner, 1))
        self.D = undecayed(torch.ones(inner))
        self.out_proj = nn.Linear(inner, d_model, bias=False)

    def auto_form(self, frames: int) -> str:
        """Chunked, except for a single frame, where the recurrence has nothing to loop over."""
        return "recurrent" if frames == 1 else "chunked"

    def begin(self, batch: int) -> Stream:
        """Give what the mixer remembers before the first frame; see `Mixer.begin`."""
        weight, inner = self.in_proj.weight, self.out_proj.in_features
        return Stream(weight.new_zeros(batch, self.conv.left, inner), weight.new_zeros(batch, inner, self.d_state))

    def step(self, u: Tensor, stream: Stream) -> tuple[Tensor, Stream]:
        """Mix one more frame; see `Mixer.step`."""
        x, z = self.in_proj(u).chunk(2, dim=-1)
        x, past = self.conv.step(x, stream.past)
        x = F.silu(x)
        low, b, c = split(self.x_proj(x), [self.rank, self.d_state, self.d_state])
        delta = F.softplus(self.dt_proj(low))  # (B, E)
        decay = torch.exp(delta.unsqueeze(-1) * -torch.exp(self.A_log))
        memory = decay * stream.memory + (delta * x).unsqueeze(-1) * b.unsqueeze(1)
        y = (memory @ c.unsqueeze(-1)).squeeze(-1)
        out: Tensor = self.out_proj(torch.addcmul(y, x, self.D) * F.silu(z))
        return out, Stream(past, memory)

    def mix(self, u: Tensor, mask: Tensor | None, form: str) -> Tensor:
        """Compute the layer; see `Mixer.forward`."""
        x, z = self.in_proj(u).chunk(2, dim=-1)
        x = wide(self.conv(x, silu=True))
        low, b, c = split(self.x_proj(x), [self.rank, self.d_state, self.d_state])
        delta = F.softplus(wide(F.linear(low, self.dt_proj.weight)) + self.dt_proj.bias)
        delta = zero_masked(delta, mask)  # a zero step neither decays the state nor writes to it
        with torch.autocast(u.device.type, enabled=False):
            A = -torch.exp(wide(self.A_log))
            if form == "recurrent":
                y = selective_scan_recurrent(x, delta, A, wide(b), wide(c))
            else:
                y = selective_scan_chunked(x, delta, A, wide(b), wide(c), self.chunk)
            y = torch.addcmul(y, x, self.D) * F.silu(wide(z))
        out: Tensor = self.out_proj(y)
        return out
