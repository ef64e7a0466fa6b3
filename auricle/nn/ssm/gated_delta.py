"""Gated DeltaNet: a fast-weight memory that decays and is corrected (Yang et al. 2024, arXiv 2412.06464)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn.conv import DepthwiseConv
from auricle.nn.masking import wide, zero_masked
from auricle.nn.norm import GatedRMSNorm
from auricle.nn.ssm.delta_rule import delta_rule_chunked, delta_rule_recurrent
from auricle.nn.ssm.mixer import Mixer, Stream, per_head, project, split, time_step_bias, undecayed


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        root = torch.rsqrt(torch.linalg.vecdot(x, x).unsqueeze(-1) + 1e-6)
        unit = x * root
        ctx.save_for_backward(unit, root)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        unit, root = ctx.saved_tensors
        along = torch.linalg.vecdot(grads[0], unit).unsqueeze(-1)
        back: Tensor = torch.addcmul(grads[0], unit, along, value=-1).mul_(root)
        return back


# scales the last axis to length one; a zero vector stays zero
_unit: Callable[[Tensor], Tensor] = _Unit.apply


class GatedDeltaNet(Mixer):
    """Causal mixer out = W_o( RMSNorm_head(o) * SiLU(W_g u) ) with o from the gated delta rule.

    Args:
        d_model: width D.
        heads: number of heads H.
        key_dim: key width per head; None takes D / H.
        value_expand: value width per head over key width.
        conv: taps of the causal convolutions on q, k and v (no bias).
        chunk: frames per chunk of the chunked form.

    Raises:
        ConfigError: sizes that do not fit.
    """

    forms: ClassVar[tuple[str, ...]] = ("recurrent", "chunked")

    def __init__(
        self,
        d_model: int,
        heads: int = 4,
        key_dim: int | None = None,
        value_expand: int = 2,
        conv: int = 4,
        chunk: int = 32,
    ) -> None:
        super().__init__(d_model)
        if heads < 1 or (key_dim is None and d_model % heads):
            raise ConfigError(
                f"GatedDeltaNet: d_model must be a multiple of heads unless key_dim is given, "
                f"got d_model={d_model}, heads={heads}"
            )
        key = d_model // heads if key_dim is None else key_dim
        if min(key, value_expand, chunk) < 1:
            raise ConfigError(
                f"GatedDeltaNet needs key_dim, value_expand and chunk >= 1, "
                f"got key_dim={key}, value_expand={value_expand}, chunk={chunk}"
            )
        value = key * value_expand
        self.heads, self.key_dim, self.value_dim, self.chunk = heads, key, value, chunk
        # Rows: q, k, v (which go through the convolution), output gate, beta, decay.
        self.in_proj = nn.Linear(d_model, 2 * heads * (key + value + 1), bias=False)
        self.conv = DepthwiseConv(heads * (2 * key + value), conv, bias=False)
        # Uniform in [0, 16]; an exact zero would make its logarithm infinite.
        self.A_log = undecayed(torch.log(torch.empty(heads).uniform_(0.0, 16.0).clamp(min=1e-6)))
        self.dt_bias = undecayed(time_step_bias(heads))
        self.norm = GatedRMSNorm(value, "norm_first")
        self.out_proj = nn.Linear(heads * value, d_model, bias=False)

    def auto_form(self, frames: int) -> str:
        """Chunked, except for a single frame."""
        return "recurrent" if frames == 1 else "chunked"

    def begin(self, batch: int) -> Stream:
        """Give what the mixer remembers before the first frame; see `Mixer.begin`."""
        weight = self.in_proj.weight
        past = weight.new_zeros(batch, self.conv.left, self.heads * (2 * self.key_dim + self.value_dim))
        return Stream(past, weight.new_zeros(batch, self.heads, self.key_dim, self.value_dim))

    def step(self, u: Tensor, stream: Stream) -> tuple[Tensor, Stream]:
        """Mix one more frame; see `Mixer.step`."""
        keys, values = self.heads * self.key_dim, self.heads * self.value_dim
        qkv, gate, write, decay = split(self.in_proj(u), [2 * keys + values, values, self.heads, self.heads])
        qkv, past = self.conv.step(qkv, stream.past)
        q, k, v = (per_head(t, self.heads) for t in split(F.silu(qkv), [keys, keys, values]))
        q, k = _unit(q) * self.key_dim**-0.5, _unit(k)
        alpha = torch.exp(-torch.exp(self.A_log) * F.softplus(decay + self.dt_bias))
        memory = alpha[..., None, None] * stream.memory
        held = torch.einsum("bhk,bhkv->bhv", k, memory)
        memory = memory + torch.einsum("bh,bhk,bhv->bhkv", torch.sigmoid(write), k, v - held)
        o = self.norm(torch.einsum("bhk,bhkv->bhv", q, memory), per_head(gate, self.heads))
        out: Tensor = self.out_proj(o.flatten(1))
        return out, Stream(past, memory)

    def mix(self, u: Tensor, mask: Tensor | None, form: str) -> Tensor:
        """Compute the layer; see `Mixer.forward`."""
        keys, values = self.heads * self.key_dim, self.heads * self.value_dim
        qk, v, gate, write, decay = project(self.in_proj, u, [2 * keys, values, values, self.heads, self.heads])
        q, k = (per_head(t, self.heads) for t in wide(self.conv(qk, silu=True)).chunk(2, dim=-1))
        v = per_head(wide(self.conv(v, 2 * keys, silu=True)), self.heads)
        q, k = _unit(q) * self.key_dim**-0.5, _unit(k)
        # Padded frames neither write to the memory nor let it decay.
        beta = zero_masked(torch.sigmoid(wide(write)), mask)
        log_alpha = zero_masked(-torch.exp(wide(self.A_log)) * F.softplus(wide(decay) + self.dt_bias), mask)
        with torch.autocast(u.device.type, enabled=False):
            if form == "recurrent":
                o = delta_rule_recurrent(q, k, v, beta, log_alpha)
            else:
                o = delta_rule_chunked(q, k, v, beta, log_alpha, self.chunk)
        o = self.norm(o, per_head(gate, self.heads))
        out: Tensor = self.out_proj(o.flatten(2))
        return out
