"""Adapters between an audio encoder and a language model: routed experts in four layouts, and the dense baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError, DataError
from auricle.nn.masking import check_frames, wide
from auricle.nn.moe.experts import Experts, Form
from auricle.nn.moe.losses import check_weights, routing_losses
from auricle.nn.moe.router import Router, Routing

Layout = Literal["sequential", "parallel", "most", "linear"]
LAYOUTS = ("sequential", "parallel", "most", "linear")


class Adapted(NamedTuple):
    """What an adapter makes of a batch.

    Attributes:
        frames: (B, T, O), zero where padded; float32 or wider.
        losses: weighted scalars by name, to be added to the training loss; none of a dense adapter.
        routing: of the valid tokens in order; None of a dense adapter.
    """

    frames: Tensor
    losses: dict[str, Tensor]
    routing: Routing | None


class Budget(NamedTuple):
    """Weights of an adapter's matrices, counted as the papers do.

    Attributes:
        total: all of them.
        active: those that one token meets.
        norms: gains and offsets of the norms, which are in neither.
    """

    total: int
    active: int
    norms: int


class WideNorm(nn.LayerNorm):
    """LayerNorm in float32 or wider, under autocast too, whose gain starts at a given value."""

    def __init__(self, dim: int, gain: float = 1.0) -> None:
        super().__init__(dim)
        nn.init.constant_(self.weight, gain)

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (..., D)."""
        x = wide(input)
        return F.layer_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


class FeedForward(nn.Module):
    """Two linear layers with SiLU between, without biases.

    Args:
        dim: width of the input.
        hidden: inner width.
        out: width of the output.
    """

    def __init__(self, dim: int, hidden: int, out: int) -> None:
        super().__init__()
        if min(dim, hidden, out) < 1:
            raise ConfigError(f"widths {dim}, {hidden}, {out} of a feed-forward block; all must be at least 1")
        self.into, self.back = nn.Linear(dim, hidden, bias=False), nn.Linear(hidden, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., dim) to (..., out)."""
        out: Tensor = self.back(F.silu(self.into(x)))
        return out


class _Adapter(nn.Module):
    """What dense and routed adapters share: the norms at both ends, and that padded frames are not seen at all.

    The last norm's gain starts at the root mean square of the language model's text embeddings: frames of another size
    than the words around them are not attended to as words are.
    """

    def __init__(self, dim: int, out: int, rms: float) -> None:
        super().__init__()
        if not (rms > 0 and math.isfinite(rms)):
            raise ConfigError(f"rms {rms} of the adapter's output; give that of the text embeddings, above 0")
        self.dim, self.out, self.rms = dim, out, rms
        self.norm_in, self.norm_out = WideNorm(dim), WideNorm(out, rms)

    def _valid(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Give the valid frames of a batch, (V, D)."""
        check_frames(x, self.dim, mask, "an adapter")
        return x.flatten(0, 1) if mask is None else x[mask]

    def _filled(self, y: Tensor, x: Tensor, mask: Tensor | None) -> Tensor:
        """Normalise the results (V, O) and put them back into their places."""
        y = self.norm_out(y)
        if mask is None:
            return y.view(*x.shape[:2], self.out)
        return y.new_zeros(*x.shape[:2], self.out).masked_scatter(mask[..., None], y)


class DenseAdapter(_Adapter):
    """LayerNorm, linear, SiLU, linear, LayerNorm: the baseline of 2601.02967.

    Args:
        dim: width D of the encoder's frames.
        out: width O of the language model.
        hidden: inner width.
        rms: root mean square of the text embeddings, at which the output starts.
    """

    def __init__(self, dim: int, out: int, hidden: int, *, rms: float = 1.0) -> None:
        super().__init__(dim, out, rms)
        self.shared = FeedForward(dim, hidden, out)

    def forward(self, x: Tensor, mask: Tensor | None = None, group: Tensor | None = None) -> Adapted:
        """Adapt frames.

        Args:
            x: (B, T, D).
            mask: (B, T) bool, True where valid.
            group: taken so that every adapter is called alike.
        """
        return Adapted(self._filled(self.shared(self.norm_in(self._valid(x, mask))), x, mask), {}, None)


class MoEAdapter(_Adapter):
    """Routed experts between encoder and language model (2601.02967); the reports leave the layout open.

    With E = sum over the chosen experts of gate times expert, and u = LN(x):

    - ``sequential``: LN(FFN(LN(E(u)))), experts of width `inner`, then an aggregation block.
    - ``parallel``: LN(E(u) + FFN(u)), an always-on block beside the experts.
    - ``most``: as ``parallel``, with the experts split into groups of which a token uses its own, after MoST.
    - ``linear``: LN(W E(u)), as the follow-up Eureka-Audio (2602.13954, equation 1).

    Args:
        dim: width D of the encoder's frames.
        out: width O of the language model.
        layout: one of `LAYOUTS`.
        experts: number of experts N.
        top_k: experts k of a token.
        hidden: inner width of an expert.
        shared_hidden: inner width of the block that every token goes through; unused in ``linear``.
        inner: width between experts and aggregation in ``sequential`` and ``linear``; None takes D.
        groups: of experts, in ``most``; there `forward` needs the group of each clip or frame.
        noise: see `auricle.nn.moe.router.Router`.
        capacity: see `auricle.nn.moe.router.Router`.
        losses: weights by name, see `auricle.nn.moe.losses`; None for ``balance`` with 0.01.
        balance_probabilities: see `auricle.nn.moe.losses.balance`.
        balance_shares: see `auricle.nn.moe.losses.balance`.
        rms: root mean square of the text embeddings, at which the output starts.
        form: of the experts, see `auricle.nn.moe.experts.Experts`.

    Raises:
        ConfigError: settings that do not fit together.
    """

    def __init__(
        self,
        dim: int,
        out: int,
        layout: Layout = "sequential",
        *,
        experts: int = 8,
        top_k: int = 4,
        hidden: int,
        shared_hidden: int = 0,
        inner: int | None = None,
        groups: int = 1,
        noise: float = 0.0,
        capacity: float | None = None,
        losses: Mapping[str, float] | None = None,
        balance_probabilities: Literal["full", "chosen"] = "full",
        balance_shares: Literal["one", "k"] = "one",
        rms: float = 1.0,
        form: Form = "auto",
    ) -> None:
        super().__init__(dim, out, rms)
        beside = layout in ("parallel", "most")
        self.layout, self.weights = layout, {"balance": 0.01} if losses is None else dict(losses)
        self.balance_probabilities, self.balance_shares = balance_probabilities, balance_shares
        self._check(inner, groups, shared_hidden)
        if self.weights.get("load") and not noise:
            raise ConfigError("the load loss needs noise on the router's logits; give noise above 0")
        between = out if beside else dim if inner is None else inner
        self.router = Router(dim, experts, top_k, groups=groups, noise=noise, capacity=capacity)
        self.experts = Experts(dim, hidden, between, experts, form)
        if layout == "linear":
            self.project = nn.Linear(between, out, bias=False)
        else:
            self.shared = FeedForward(dim if beside else between, shared_hidden, out)
        if layout == "sequential":
            self.norm_between = WideNorm(between)

    def _check(self, inner: int | None, groups: int, shared_hidden: int) -> None:
        check_weights(self.weights)
        if self.layout not in LAYOUTS:
            raise ConfigError(f"there is no layout {self.layout!r}; it can be {', '.join(LAYOUTS)}")
        if inner is not None and self.layout in ("parallel", "most"):
            raise ConfigError(f"the layout {self.layout!r} has no width between its blocks; leave inner out")
        if (groups > 1) != (self.layout == "most"):
            raise ConfigError(f"{groups} groups in the layout {self.layout!r}; 'most' takes 2+, others 1")
        if (shared_hidden == 0) != (self.layout == "linear"):
            raise ConfigError(f"shared_hidden {shared_hidden} in layout {self.layout!r}; 'linear' takes 0, others 1+")
        for name, value, allowed in (
            ("balance_probabilities", self.balance_probabilities, ("full", "chosen")),
            ("balance_shares", self.balance_shares, ("one", "k")),
        ):
            if value not in allowed:
                raise ConfigError(f"{name} is {value!r}; it can be {' or '.join(allowed)}")

    def forward(self, x: Tensor, mask: Tensor | None = None, group: Tensor | None = None) -> Adapted:
        """Adapt frames.

        Args:
            x: (B, T, D).
            mask: (B, T) bool, True where valid; other frames take no expert and have no loss.
            group: (B,) or (B, T) group of each clip or frame in ``most``, `auricle.nn.moe.router.ANY_GROUP` where
                unknown; the other layouts do not look at it.

        Raises:
            DataError: shapes that do not fit, or groups that are missing or unknown.
        """
        u = self.norm_in(self._valid(x, mask))
        routing = self.router(u, self._groups(x, mask, group))
        mixed = self.experts(u, routing)
        if self.layout == "linear":
            y = self.project(mixed)
        elif self.layout == "sequential":
            y = self.shared(self.norm_between(mixed))
        else:
            y = mixed + self.shared(u)
        losses = routing_losses(routing, self.weights, self.balance_probabilities, self.balance_shares)
        return Adapted(self._filled(y, x, mask), losses, routing)

    def _groups(self, x: Tensor, mask: Tensor | None, group: Tensor | None) -> Tensor | None:
        if self.layout != "most" or group is None:
            return None
        if group.shape not in (x.shape[:1], x.shape[:2]):
            raise DataError(f"groups of shape {tuple(group.shape)} for {tuple(x.shape)}; give one a clip or frame")
        every = group if group.ndim == 2 else group[:, None].expand(x.shape[:2])
        return every.flatten() if mask is None else every[mask]


def budget(adapter: DenseAdapter | MoEAdapter) -> Budget:
    """Count an adapter's weights; it may be on the meta device.

    Args:
        adapter: of either kind.
    """
    norms = sum(p.numel() for module in adapter.modules() if isinstance(module, WideNorm) for p in module.parameters())
    total = sum(p.numel() for p in adapter.parameters()) - norms
    if isinstance(adapter, DenseAdapter):
        return Budget(total, total, norms)
    routed = sum(p.numel() for p in adapter.experts.parameters())
    return Budget(total, total - routed + routed * adapter.router.top_k // adapter.router.experts, norms)


def dense_like(adapter: MoEAdapter, match: Literal["total", "active"] = "total") -> DenseAdapter:
    """Build the dense baseline whose weights come nearest to those of a routed adapter, the router's included.

    Args:
        adapter: the routed one; its device, type and output size at the start are taken over.
        match: its ``total`` weights or its ``active`` ones.

    Raises:
        ConfigError: unknown `match`.
    """
    if match not in ("total", "active"):
        raise ConfigError(f"a dense adapter matches 'total' or 'active' weights, got {match!r}")
    hidden = max(1, round(getattr(budget(adapter), match) / (adapter.dim + adapter.out)))
    weight = adapter.router.weight
    with weight.device:
        return DenseAdapter(adapter.dim, adapter.out, hidden, rms=adapter.rms).to(weight.dtype)
