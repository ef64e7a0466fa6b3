"""AASIST as it was released, clip by clip and in float64, under its own names: what an import must score the same as.

Written from the published arithmetic (2110.01200, 2202.12233, and the released configurations), with nothing of
Auricle. The released block's norm before the first convolution is computed by nobody: it changes nothing there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, TAPS, RATE_HZ = 64_600, 129, 16_000
KERNELS = (10, 3, 3, 3, 3, 2, 2)  # of the encoder's convolutions
ENCODER = "ssl_model.model."


@dataclass(frozen=True)
class Sizes:
    """Of a release; small ones, with the rules of the real ones."""

    narrow: int = 4
    wide: int = 8
    plain: int = 6
    hetero: int = 4
    filters: int = 9
    keep: tuple[float, float, float] = (0.5, 0.7, 0.5)  # over frequency, over time, between heterogeneous layers


@dataclass(frozen=True)
class Encoder:
    """Of the speech encoder under XLS-R + AASIST."""

    hidden: int = 64
    inside: int = 48
    layers: int = 2
    channels: int = 8
    positions: int = 16
    groups: int = 4


SMALL, FULL = Sizes(), Sizes(32, 64, 64, 32, 70)
LIGHT = Sizes(32, 24, 24, 32, 70, (0.4, 0.5, 0.7))


def shapes(sizes: Sizes, width: int | None = None) -> dict[str, tuple[int, ...]]:
    """Give the names and shapes of a released file; with the `width` of a projection, of XLS-R + AASIST's back end."""
    found: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        found.update({f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")})
        found[f"{name}.num_batches_tracked"] = ()

    def layer(name: str, *shape: int) -> None:
        found.update({f"{name}.weight": shape, f"{name}.bias": shape[:1]})

    narrow, wide, plain, hetero = sizes.narrow, sizes.wide, sizes.plain, sizes.hetero
    found["pos_S"] = (1, (sizes.filters if width is None else width) // 3, wide)
    found["master1"] = found["master2"] = (1, 1, plain)
    norm("first_bn", 1)
    channels = [1, narrow, narrow, wide, wide, wide, wide]
    for index, (before, after) in enumerate(itertools.pairwise(channels)):
        block = f"encoder.{index}.0."
        if index:
            norm(f"{block}bn1", before)
        layer(f"{block}conv1", after, before, 2, 3)
        norm(f"{block}bn2", after)
        layer(f"{block}conv2", after, after, 2, 3)
        if before != after:
            layer(f"{block}conv_downsample", after, before, 1, 3)
    for axis in "ST":
        graph = f"GAT_layer_{axis}."
        for part in ("att_proj", "proj_with_att", "proj_without_att"):
            layer(graph + part, plain, wide)
        found[f"{graph}att_weight"] = (plain, 1)
        norm(f"{graph}bn", plain)
        for name, columns in ((f"pool_{axis}", plain), (f"pool_h{axis}1", hetero), (f"pool_h{axis}2", hetero)):
            layer(f"{name}.proj", 1, columns)
    for way in "12":
        for depth, inward in (("1", plain), ("2", hetero)):
            graph = f"HtrgGAT_layer_ST{way}{depth}."
            for part in ("proj_type1", "proj_type2"):
                layer(graph + part, inward, inward)
            for part in ("att_proj", "att_projM", "proj_with_att", "proj_without_att", "proj_with_attM"):
                layer(graph + part, hetero, inward)
            layer(f"{graph}proj_without_attM", hetero, inward)
            found.update({f"{graph}att_weight{one}": (hetero, 1) for one in ("11", "22", "12", "M")})
            norm(f"{graph}bn", hetero)
    layer("out_layer", 2, 5 * hetero)
    if width is not None:
        norm("first_bn1", wide)
        layer("attention.0", 2 * wide, wide, 1, 1)
        norm("attention.2", 2 * wide)
        layer("attention.3", wide, 2 * wide, 1, 1)
    return found


def encoder_shapes(sizes: Encoder, width: int) -> dict[str, tuple[int, ...]]:
    """Give the names and shapes that fairseq's encoder and the projection behind it have, pre-training included."""
    hidden, found = sizes.hidden, {"mask_emb": (sizes.hidden,)}
    pairs: dict[str, tuple[int, ...]] = {"post_extract_proj": (hidden, sizes.channels), "layer_norm": (sizes.channels,)}
    for index, kernel in enumerate(KERNELS):
        conv = f"feature_extractor.conv_layers.{index}."
        pairs[f"{conv}0"] = (sizes.channels, sizes.channels if index else 1, kernel)
        pairs[f"{conv}2.1"] = (sizes.channels,)
    for index in range(sizes.layers):
        layer = f"encoder.layers.{index}."
        pairs |= {f"{layer}self_attn.{one}_proj": (hidden, hidden) for one in ("k", "v", "q", "out")}
        pairs |= {f"{layer}{one}": (hidden,) for one in ("self_attn_layer_norm", "final_layer_norm")}
        pairs |= {f"{layer}fc1": (sizes.inside, hidden), f"{layer}fc2": (hidden, sizes.inside)}
    pairs |= {"encoder.layer_norm": (hidden,), "final_proj": (8, hidden), "project_q": (8, 8)}
    for name, shape in pairs.items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    found["encoder.pos_conv.0.bias"] = (hidden,)
    found["encoder.pos_conv.0.weight_g"] = (1, 1, sizes.positions)
    found["encoder.pos_conv.0.weight_v"] = (hidden, hidden // sizes.groups, sizes.positions)
    found["quantizer.vars"] = (1, 4, 8)
    whole = {ENCODER + name: shape for name, shape in found.items()}
    return whole | {"LL.weight": (width, hidden), "LL.bias": (width,)}


def random_state(names: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, Tensor]:
    """Draw a state; norms have statistics of their own, and the ones that are not used are as they began."""
    draws = np.random.default_rng(seed)
    state = {}
    for name, shape in names.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
            continue
        values = draws.standard_normal(shape) / math.sqrt(max(1, math.prod(shape[1:])))
        if name.endswith(("running_var", "weight_g")) or (name.endswith(".weight") and len(shape) == 1):
            values = 0.6 + 0.8 * draws.random(shape)
        if name.startswith("pool_"):
            values = 0.05 * values  # or scores of nodes would be 1 in float32, and their order an accident
        if ".bn1." in name:
            values = np.full(shape, float(name.endswith((".weight", "running_var"))))
        state[name] = torch.from_numpy(np.asarray(values)).float()
    return state


def heard(wave: np.ndarray) -> Tensor:
    """Give the samples that the release hears of a file at 16 kHz: its first 64,600, repeated where there are fewer."""
    repeats = -(-WINDOW // len(wave))
    return torch.from_numpy(np.concatenate([wave] * repeats)[:WINDOW]).double()


def bands(wave: Tensor, filters: int) -> Tensor:
    """Give the magnitudes (F, N) of samples (N,) in bands that are equally wide in mel."""
    top = 2595 * math.log10(1 + RATE_HZ / 2 / 700)
    edges = [700 * (10 ** (top * index / filters / 2595) - 1) for index in range(filters + 1)]

    def tap(edge_hz: float, place: int) -> float:
        return (
            2 * edge_hz / RATE_HZ if place == 0 else math.sin(2 * math.pi * edge_hz * place / RATE_HZ) / math.pi / place
        )

    window = [0.54 - 0.46 * math.cos(2 * math.pi * k / (TAPS - 1)) for k in range(TAPS)]
    rows = [
        [window[k] * (tap(high, k - TAPS // 2) - tap(low, k - TAPS // 2)) for k in range(TAPS)]
        for low, high in itertools.pairwise(edges)
    ]
    return F.conv1d(wave[None, None], torch.tensor(rows, dtype=torch.float64)[:, None])[0].abs()


class Release:
    """The arithmetic of a released state, for one clip at a time."""

    def __init__(self, state: Mapping[str, Tensor], sizes: Sizes) -> None:
        self.state = {name: tensor.double() for name, tensor in state.items()}
        self.sizes = sizes

    def logits(self, wave: np.ndarray) -> list[float]:
        """Score samples (T,) at 16 kHz; spoof and bona fide."""
        image = F.max_pool2d(bands(heard(wave), self.sizes.filters)[None], 3)
        x = self._encoded(F.selu(self._norm(image, "first_bn")), pool=3)
        sizes = x.abs()
        return self._read(sizes.amax(2).T + self.state["pos_S"][0], sizes.amax(1).T)

    def logits_of_frames(self, frames: Tensor) -> list[float]:
        """Score the encoder's frames (T, D) as XLS-R + AASIST does."""
        image = F.max_pool2d(self._linear(frames.double(), "LL").T[None], 3)
        x = self._encoded(F.selu(self._norm(image, "first_bn")), pool=1)
        x = F.selu(self._norm(x, "first_bn1"))
        scores = self._conv(self._norm(F.selu(self._conv(x, "attention.0")), "attention.2"), "attention.3")
        over_time = (x * torch.softmax(scores, 2)).sum(2).T
        return self._read(over_time + self.state["pos_S"][0], (x * torch.softmax(scores, 1)).sum(1).T)

    def _encoded(self, x: Tensor, pool: int) -> Tensor:
        for index in range(6):
            block = f"encoder.{index}.0."
            y = F.selu(self._norm(self._conv(x, f"{block}conv1", 1), f"{block}bn2"))
            y = self._conv(y, f"{block}conv2")
            beside = f"{block}conv_downsample"
            y = y + (self._conv(x, beside) if f"{beside}.weight" in self.state else x)
            x = F.max_pool2d(y, (1, pool))
        return x

    def _read(self, spectral: Tensor, temporal: Tensor) -> list[float]:
        keep = self.sizes.keep
        spectral = self._best(self._graph(spectral, "GAT_layer_S"), "pool_S", keep[0])
        temporal = self._best(self._graph(temporal, "GAT_layer_T"), "pool_T", keep[1])
        ways = []
        for way in "12":
            time, freq, master = self._pair(temporal, spectral, self.state[f"master{way}"][0], f"ST{way}1")
            freq = self._best(freq, f"pool_hS{way}", keep[2])
            time = self._best(time, f"pool_hT{way}", keep[2])
            more = self._pair(time, freq, master, f"ST{way}2")
            ways.append([one + other for one, other in zip((time, freq, master), more, strict=True)])
        time, freq, master = (torch.maximum(one, other) for one, other in zip(*ways, strict=True))
        hidden = torch.cat([time.abs().amax(0), time.mean(0), freq.abs().amax(0), freq.mean(0), master[0]])
        found: list[float] = self._linear(hidden, "out_layer").tolist()
        return found

    def _graph(self, x: Tensor, name: str) -> Tensor:
        rows = []
        for node in x:
            scores = torch.tanh(self._linear(node * x, f"{name}.att_proj")) @ self.state[f"{name}.att_weight"]
            rows.append(torch.softmax(scores[:, 0] / 2.0, 0) @ x)
        mixed = self._linear(torch.stack(rows), f"{name}.proj_with_att") + self._linear(x, f"{name}.proj_without_att")
        return F.selu(self._norm(mixed.T, f"{name}.bn").T)

    def _pair(self, time: Tensor, freq: Tensor, master: Tensor, layer: str) -> tuple[Tensor, Tensor, Tensor]:
        name, n = f"HtrgGAT_layer_{layer}", len(time)
        x = torch.cat([self._linear(time, f"{name}.proj_type1"), self._linear(freq, f"{name}.proj_type2")])
        rows = []
        for index, node in enumerate(x):
            seen = torch.tanh(self._linear(node * x, f"{name}.att_proj"))
            kinds = [
                "11" if max(index, other) < n else "22" if min(index, other) >= n else "12" for other in range(len(x))
            ]
            scores = [row @ self.state[f"{name}.att_weight{kind}"][:, 0] for row, kind in zip(seen, kinds, strict=True)]
            rows.append(torch.softmax(torch.stack(scores) / 100.0, 0) @ x)
        scored = torch.tanh(self._linear(x * master, f"{name}.att_projM")) @ self.state[f"{name}.att_weightM"]
        share = torch.softmax(scored[:, 0] / 100.0, 0)[None] @ x
        master = self._linear(share, f"{name}.proj_with_attM") + self._linear(master, f"{name}.proj_without_attM")
        mixed = self._linear(torch.stack(rows), f"{name}.proj_with_att") + self._linear(x, f"{name}.proj_without_att")
        x = F.selu(self._norm(mixed.T, f"{name}.bn").T)
        return x[:n], x[n:], master

    def _best(self, x: Tensor, name: str, keep: float) -> Tensor:
        scores = torch.sigmoid(self._linear(x, f"{name}.proj"))[:, 0]
        order = sorted(range(len(x)), key=lambda index: -float(scores[index]))[: max(1, int(len(x) * keep))]
        return torch.stack([x[index] * scores[index] for index in order])

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def _conv(self, x: Tensor, name: str, rows: int = 0) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x[None], weight, self.state[f"{name}.bias"], padding=(rows, weight.shape[3] // 2))[0]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        """Normalise channels, the first axis, by the statistics that were kept."""
        mean, var, weight, bias = (
            self.state[f"{name}.{part}"].view(-1, *[1] * (x.ndim - 1))
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias
