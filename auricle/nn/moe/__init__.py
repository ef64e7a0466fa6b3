"""Mixtures of experts: a top-k router, experts as grouped matrix products, balance losses, adapters in four layouts."""

from __future__ import annotations

from auricle.nn.moe.adapter import LAYOUTS, Adapted, Budget, DenseAdapter, MoEAdapter, budget, dense_like
from auricle.nn.moe.experts import Experts, loop_over_experts
from auricle.nn.moe.losses import LOSSES, balance, clip_counts, importance, load, routing_log, routing_losses
from auricle.nn.moe.router import ANY_GROUP, Router, Routing, ablated

__all__ = [
    "ANY_GROUP",
    "LAYOUTS",
    "LOSSES",
    "Adapted",
    "Budget",
    "DenseAdapter",
    "Experts",
    "MoEAdapter",
    "Router",
    "Routing",
    "ablated",
    "balance",
    "budget",
    "clip_counts",
    "dense_like",
    "importance",
    "load",
    "loop_over_experts",
    "routing_log",
    "routing_losses",
]
