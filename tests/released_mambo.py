"""The XLSR-MamBo release in plain loops, float64, under its own names: what an import must score the same as.

Written from the published arithmetic (torchaudio's wav2vec 2.0; mamba-ssm, hydra and fla for the mixers), one clip at
a time, and with nothing of Auricle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 66_800
ENCODER, BLOCKS = "feature_extractor.model.model.", "stacked_mamba2.layers.layers."
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
UNITS = {"mambo1": "sN f", "mambo2": "sN a", "mambo3": "sN f a f", "mambo4": "sN f sN a"}
MIXERS = ("mamba", "mamba2", "hydra", "gdn", "bimamba_add", "bimamba2_add")


@dataclass(frozen=True)
class Sizes:
    """Of a release; small ones, with the rules of the real one."""

    topology: str = "mambo3"
    mixer: str = "hydra"
    n: int = 1
    layers: int = 1
    hidden: int = 128  # of the encoder
    inside: int = 48
    encoder_layers: int = 2
    channels: int = 8
    positions: int = 16
    groups: int = 4
    d: int = 16
    state: int = 8
    head: int = 8

    @property
    def kinds(self) -> list[str]:
        unit = UNITS[self.topology].replace("sN", " ".join("s" * self.n)).split()
        return unit * self.layers


def random_release(sizes: Sizes, seed: int | None = 0) -> dict[str, Tensor]:
    """Draw a state of the release's names; without a seed its tensors have shapes and no memory."""
    rng = np.random.default_rng(seed or 0)
    state: dict[str, Tensor] = {}

    def draw(name: str, *shape: int, scale: float | None = None, around: float = 0.0) -> None:
        if seed is None:
            state[name] = torch.empty(shape, device="meta")
            return
        scale = 1 / math.sqrt(shape[-1] if len(shape) < 3 else shape[1] * shape[2]) if scale is None else scale
        state[name] = torch.from_numpy(around + scale * rng.standard_normal(shape)).float()

    def linear(name: str, rows: int, columns: int, bias: bool = True) -> None:
        draw(f"{name}.weight", rows, columns)
        if bias:
            draw(f"{name}.bias", rows, scale=0.1)

    def norm(name: str, width: int, bias: bool = False) -> None:
        draw(f"{name}.weight", width, scale=0.1, around=1.0)
        if bias:
            draw(f"{name}.bias", width, scale=0.1)

    _draw_encoder(sizes, draw, linear, norm)
    linear("input_proj.input_proj", sizes.d, sizes.hidden, bias=False)
    norm("input_proj.norm", sizes.d)
    for index, kind in enumerate(sizes.kinds):
        block = f"{BLOCKS}{index}."
        norm(f"{block}norm", sizes.d)
        if kind == "f":
            linear(f"{block}mlp.w1_w3_combined", 2 * int(8 * sizes.d / 3), sizes.d, bias=False)
            linear(f"{block}mlp.w2_out", sizes.d, int(8 * sizes.d / 3), bias=False)
        elif kind == "a":
            linear(f"{block}mha.in_proj", 3 * sizes.d, sizes.d)
            draw(f"{block}mha.conv1d.weight", 3 * sizes.d, 1, 4)
            draw(f"{block}mha.conv1d.bias", 3 * sizes.d, scale=0.1)
            linear(f"{block}mha.out_proj", sizes.d, sizes.d)
        else:
            _draw_mixer(sizes, block, draw, linear, norm)
    norm("stacked_mamba2.layers.norm", sizes.d)
    linear("attention_pool.gate_value_proj", 2 * (8 * sizes.d // 3), sizes.d, bias=False)
    linear("attention_pool.to_score", 1, 8 * sizes.d // 3, bias=False)
    linear("classifier", 2, sizes.d)
    return state


def _draw_encoder(sizes, draw, linear, norm) -> None:
    before = 1
    for index, kernel in enumerate(KERNELS):
        name = f"{ENCODER}feature_extractor.conv_layers.{index}"
        draw(f"{name}.conv.weight", sizes.channels, before, kernel, scale=2 / math.sqrt(before * kernel))
        draw(f"{name}.conv.bias", sizes.channels, scale=0.1)
        norm(f"{name}.layer_norm", sizes.channels, bias=True)
        before = sizes.channels
    norm(f"{ENCODER}encoder.feature_projection.layer_norm", sizes.channels, bias=True)
    linear(f"{ENCODER}encoder.feature_projection.projection", sizes.hidden, sizes.channels)
    position = f"{ENCODER}encoder.transformer.pos_conv_embed.conv."
    draw(f"{position}bias", sizes.hidden, scale=0.1)
    draw(f"{position}parametrizations.weight.original0", 1, 1, sizes.positions, scale=0.2, around=2.0)
    draw(f"{position}parametrizations.weight.original1", sizes.hidden, sizes.hidden // sizes.groups, sizes.positions)
    for index in range(sizes.encoder_layers):
        layer = f"{ENCODER}encoder.transformer.layers.{index}."
        for part in "qkv":
            linear(f"{layer}attention.{part}_proj", sizes.hidden, sizes.hidden)
        linear(f"{layer}attention.out_proj", sizes.hidden, sizes.hidden)
        norm(f"{layer}layer_norm", sizes.hidden, bias=True)
        linear(f"{layer}feed_forward.intermediate_dense", sizes.inside, sizes.hidden)
        linear(f"{layer}feed_forward.output_dense", sizes.hidden, sizes.inside)
        norm(f"{layer}final_layer_norm", sizes.hidden, bias=True)
    norm(f"{ENCODER}encoder.transformer.layer_norm", sizes.hidden, bias=True)


def _draw_mixer(sizes, block, draw, linear, norm) -> None:
    d, inner, n = sizes.d, 2 * sizes.d, sizes.state
    heads = inner // sizes.head

    def mamba(name: str) -> None:
        rank = math.ceil(d / 16)
        linear(f"{name}.in_proj", 2 * inner, d, bias=False)
        draw(f"{name}.conv1d.weight", inner, 1, 4)
        draw(f"{name}.conv1d.bias", inner, scale=0.1)
        linear(f"{name}.x_proj", rank + 2 * n, inner, bias=False)
        linear(f"{name}.dt_proj", inner, rank)
        draw(f"{name}.A_log", inner, n, scale=0.5)
        draw(f"{name}.D", inner, scale=0.5, around=1.0)
        linear(f"{name}.out_proj", d, inner, bias=False)

    def mamba2(name: str, both: int = 1, taps: int = 4) -> None:
        linear(f"{name}.in_proj", 2 * inner + both * (2 * n + heads), d, bias=False)
        draw(f"{name}.conv1d.weight", inner + both * 2 * n, 1, taps)
        draw(f"{name}.conv1d.bias", inner + both * 2 * n, scale=0.1)
        for one in ("A_log", "D", "dt_bias"):
            draw(f"{name}.{one}", heads, scale=0.5)
        norm(f"{name}.norm", inner)
        linear(f"{name}.out_proj", d, inner, bias=False)

    if sizes.mixer == "mamba":
        mamba(f"{block}mamba")
    elif sizes.mixer == "mamba2":
        mamba2(f"{block}mamba")
    elif sizes.mixer == "hydra":
        mamba2(f"{block}mamba", both=2, taps=7)
        linear(f"{block}mamba.fc_D", heads, inner, bias=False)
    elif sizes.mixer == "bimamba_add":
        mamba(f"{block}mamba_f")
        mamba(f"{block}mamba_b")
    elif sizes.mixer == "bimamba2_add":
        mamba2(f"{block}mamba2_f")
        mamba2(f"{block}mamba2_b")
    else:
        gdn, value = f"{block}gdn", 2 * d
        for part, width in (("q", d), ("k", d), ("v", value), ("g", value), ("b", 4), ("a", 4)):
            linear(f"{gdn}.{part}_proj", width, d, bias=False)
        for part, width in (("q", d), ("k", d), ("v", value)):
            draw(f"{gdn}.{part}_conv1d.weight", width, 1, 4)
        draw(f"{gdn}.A_log", 4, scale=0.5)
        draw(f"{gdn}.dt_bias", 4, scale=0.5)
        norm(f"{gdn}.o_norm", value // 4)
        linear(f"{gdn}.o_proj", d, value, bias=False)


def released_score(state: Mapping[str, Tensor], sizes: Sizes, wave: np.ndarray) -> float:
    """Score a clip at 16 kHz as the release does: its first 66,800 samples, or itself again and again."""
    weights = {name: tensor.double() for name, tensor in state.items()}
    window = torch.from_numpy(np.tile(wave, -(-WINDOW // len(wave)))[:WINDOW].copy()).double()
    x = _frames(weights, sizes, window)  # (T, hidden)
    x = F.silu(_rms(x @ weights["input_proj.input_proj.weight"].T, weights["input_proj.norm.weight"]))
    residual = torch.zeros_like(x)
    for index, kind in enumerate(sizes.kinds):
        block = f"{BLOCKS}{index}."
        residual = residual + x
        own = {name.removeprefix(block): tensor for name, tensor in weights.items() if name.startswith(block)}
        mixer = {"f": _feed_forward, "a": _attention}.get(kind, globals()[f"_{sizes.mixer}"])
        x = mixer(own, sizes, _rms(residual, own["norm.weight"]))
    x = _rms(residual + x, weights["stacked_mamba2.layers.norm.weight"])
    gate, value = (x @ weights["attention_pool.gate_value_proj.weight"].T).chunk(2, dim=-1)
    shares = torch.softmax((F.silu(gate) * value) @ weights["attention_pool.to_score.weight"][0], dim=0)
    spoof, bonafide = weights["classifier.weight"] @ (shares @ x) + weights["classifier.bias"]
    return float(bonafide - spoof)


def _rms(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight


def _frames(weights: Mapping[str, Tensor], sizes: Sizes, window: Tensor) -> Tensor:
    """Go through torchaudio's encoder."""

    def of(name: str) -> tuple[Tensor, Tensor]:
        return weights[f"{ENCODER}{name}.weight"], weights[f"{ENCODER}{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], *of(name), eps=1e-5)

    x = (window - window.mean()) / (window.var(correction=0) + 1e-5).sqrt()
    x = x[None]
    for index, stride in enumerate(STRIDES):
        name = f"feature_extractor.conv_layers.{index}"
        x = F.conv1d(x[None], *of(f"{name}.conv"), stride=stride)[0]
        x = F.gelu(norm(x.T, f"{name}.layer_norm").T)
    x = F.linear(norm(x.T, "encoder.feature_projection.layer_norm"), *of("encoder.feature_projection.projection"))
    place = f"{ENCODER}encoder.transformer.pos_conv_embed.conv."
    gain, direction = (weights[f"{place}parametrizations.weight.original{index}"] for index in (0, 1))
    kernel = gain * direction / direction.norm(dim=(0, 1), keepdim=True)
    position = F.conv1d(x.T[None], kernel, weights[f"{place}bias"], padding=sizes.positions // 2, groups=sizes.groups)
    x = x + F.gelu(position[0, :, : len(x)]).T
    for index in range(sizes.encoder_layers):
        layer = f"encoder.transformer.layers.{index}."
        inner = norm(x, f"{layer}layer_norm")
        q, k, v = (F.linear(inner, *of(f"{layer}attention.{part}_proj")) for part in ("q", "k", "v"))
        heads = sizes.hidden // 64
        mixed = [
            torch.softmax(a @ b.T / math.sqrt(a.shape[1]), dim=-1) @ c
            for a, b, c in zip(*(t.chunk(heads, dim=-1) for t in (q, k, v)), strict=True)
        ]
        x = x + F.linear(torch.cat(mixed, dim=-1), *of(f"{layer}attention.out_proj"))
        inner = norm(x, f"{layer}final_layer_norm")
        inner = F.gelu(F.linear(inner, *of(f"{layer}feed_forward.intermediate_dense")))
        x = x + F.linear(inner, *of(f"{layer}feed_forward.output_dense"))
    return norm(x, "encoder.transformer.layer_norm")


def _feed_forward(own: Mapping[str, Tensor], sizes: Sizes, u: Tensor) -> Tensor:
    gate, value = (u @ own["mlp.w1_w3_combined.weight"].T).chunk(2, dim=-1)
    return (F.silu(gate) * value) @ own["mlp.w2_out.weight"].T


def _convolved(x: Tensor, weight: Tensor, bias: Tensor | None = None, centred: bool = False) -> Tensor:
    taps = weight.shape[-1]
    sides = (taps // 2, taps // 2) if centred else (taps - 1, 0)
    return F.conv1d(F.pad(x.T, sides)[None], weight, bias, groups=len(weight))[0].T


def _attention(own: Mapping[str, Tensor], sizes: Sizes, u: Tensor) -> Tensor:
    qkv = F.linear(u, own["mha.in_proj.weight"], own["mha.in_proj.bias"])
    qkv = _convolved(qkv, own["mha.conv1d.weight"], own["mha.conv1d.bias"])
    heads = [part.chunk(4, dim=-1) for part in qkv.chunk(3, dim=-1)]
    mixed = [torch.softmax(q @ k.T / math.sqrt(q.shape[1]), dim=-1) @ v for q, k, v in zip(*heads, strict=True)]
    return F.linear(torch.cat(mixed, dim=-1), own["mha.out_proj.weight"], own["mha.out_proj.bias"])


def _one_mamba(own: Mapping[str, Tensor], name: str, sizes: Sizes, u: Tensor) -> Tensor:
    x, z = (u @ own[f"{name}.in_proj.weight"].T).chunk(2, dim=-1)
    x = F.silu(_convolved(x, own[f"{name}.conv1d.weight"], own[f"{name}.conv1d.bias"]))
    low, b, c = (x @ own[f"{name}.x_proj.weight"].T).split([math.ceil(sizes.d / 16), sizes.state, sizes.state], dim=-1)
    delta = F.softplus(F.linear(low, own[f"{name}.dt_proj.weight"], own[f"{name}.dt_proj.bias"]))
    decay = -torch.exp(own[f"{name}.A_log"])
    memory, out = torch.zeros_like(decay), []
    for t in range(len(x)):
        memory = torch.exp(delta[t, :, None] * decay) * memory + (delta[t] * x[t])[:, None] * b[t]
        out.append(memory @ c[t] + own[f"{name}.D"] * x[t])
    return (torch.stack(out) * F.silu(z)) @ own[f"{name}.out_proj.weight"].T


def _scan(x: Tensor, delta: Tensor, decay: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Scan heads (T, H, P) with steps (T, H) and one negative rate a head."""
    memory, out = x.new_zeros(*x.shape[1:], b.shape[1]), []
    for t in range(len(x)):
        memory = torch.exp(delta[t] * decay)[:, None, None] * memory
        memory = memory + delta[t][:, None, None] * x[t][:, :, None] * b[t]
        out.append(memory @ c[t])
    return torch.stack(out)


def _one_mamba2(own: Mapping[str, Tensor], name: str, sizes: Sizes, u: Tensor) -> Tensor:
    inner, n = 2 * sizes.d, sizes.state
    z, xbc, dt = (u @ own[f"{name}.in_proj.weight"].T).split([inner, inner + 2 * n, inner // sizes.head], dim=-1)
    xbc = F.silu(_convolved(xbc, own[f"{name}.conv1d.weight"], own[f"{name}.conv1d.bias"]))
    x, b, c = xbc.split([inner, n, n], dim=-1)
    x = x.view(len(x), -1, sizes.head)
    delta = F.softplus(dt + own[f"{name}.dt_bias"])
    y = _scan(x, delta, -torch.exp(own[f"{name}.A_log"]), b, c) + own[f"{name}.D"][:, None] * x
    y = _rms(y.flatten(1) * F.silu(z), own[f"{name}.norm.weight"])
    return y @ own[f"{name}.out_proj.weight"].T


def _mamba(own: Mapping[str, Tensor], sizes: Sizes, u: Tensor) -> Tensor:
    return _one_mamba(own, "mamba", sizes, u)


def _mamba2(own: Mapping[str, Tensor], sizes: Sizes, u: Tensor) -> Tensor:
    return _one_mamba2(own, "mamba", sizes, u)


def _bimamba_add(own: Mapping[str, Tensor], sizes: Sizes, u: Tensor) -> Tensor:
    return _one_mamba(own, "mamba_f", sizes, u) + _one_mamba(own, "mamba_b", sizes, u.flip(0)).flip(0)


def _bimamba2_add(own: Mapping[str, Tensor], sizes: Sizes, u: Tensor) -> Tensor:
    return _one_mamba2(own, "mamba2_f", sizes, u) + _one_mamba2(own, "mamba2_b", sizes, u.flip(0)).flip(0)


def _hydra(own: Mapping[str, Tensor], sizes: Sizes, u: Tensor) -> Tensor:
    inner, n = 2 * sizes.d, sizes.state
    heads = inner // sizes.head
    z, xbc, dt = (u @ own["mamba.in_proj.weight"].T).split([inner, inner + 4 * n, 2 * heads], dim=-1)
    xbc = F.silu(_convolved(xbc, own["mamba.conv1d.weight"], own["mamba.conv1d.bias"], centred=True))
    flat, ahead, behind = xbc.split([inner, 2 * n, 2 * n], dim=-1)
    x, decay = flat.view(len(flat), heads, -1), -torch.exp(own["mamba.A_log"])
    steps = [F.softplus(part + own["mamba.dt_bias"]) for part in dt.chunk(2, dim=-1)]

    def late(y: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(y[:1]), y[:-1]])

    y = late(_scan(x, steps[0], decay, *ahead.chunk(2, dim=-1)))
    turned = [part.flip(0) for part in (x, steps[1], *behind.chunk(2, dim=-1))]
    y = y + late(_scan(turned[0], turned[1], decay, *turned[2:])).flip(0)
    y = y + (flat @ own["mamba.fc_D.weight"].T + own["mamba.D"])[:, :, None] * x
    return (_rms(y.flatten(1), own["mamba.norm.weight"]) * F.silu(z)) @ own["mamba.out_proj.weight"].T


def _gdn(own: Mapping[str, Tensor], sizes: Sizes, u: Tensor) -> Tensor:
    def part(name: str) -> Tensor:
        return u @ own[f"gdn.{name}_proj.weight"].T

    def heads(x: Tensor) -> Tensor:
        return x.view(len(x), 4, -1)

    q, k, v = (heads(F.silu(_convolved(part(name), own[f"gdn.{name}_conv1d.weight"]))) for name in "qkv")
    q, k = (x / (x.square().sum(-1, keepdim=True) + 1e-6).sqrt() for x in (q, k))
    q = q / math.sqrt(q.shape[-1])
    write = torch.sigmoid(part("b"))
    keep = torch.exp(-torch.exp(own["gdn.A_log"]) * F.softplus(part("a") + own["gdn.dt_bias"]))
    memory, out = u.new_zeros(4, k.shape[-1], v.shape[-1]), []
    for t in range(len(u)):
        memory = keep[t][:, None, None] * memory
        held = torch.einsum("hk,hkv->hv", k[t], memory)
        memory = memory + torch.einsum("h,hk,hv->hkv", write[t], k[t], v[t] - held)
        out.append(torch.einsum("hk,hkv->hv", q[t], memory))
    y = _rms(torch.stack(out), own["gdn.o_norm.weight"]) * F.silu(heads(part("g")))
    return y.flatten(1) @ own["gdn.o_proj.weight"].T
