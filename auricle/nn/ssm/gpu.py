"""Kernels for CUDA, used where their package is installed: flash-linear-attention (`fla`) and `mamba_ssm`.

They take the place of a scan, behind the same arguments; the layers and their parameters stay the same. Both packages
need Triton and a GPU to build or import, so they are looked for when a scan meets a CUDA tensor, never before.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_log = logging.getLogger(__name__)


@functools.cache
def kernel(module: str, name: str) -> Callable[..., Any] | None:
    """Give a function of a package, or None where it is not installed or does not import.

    Args:
        module: such as ``fla.ops.simple_gla``.
        name: of the function.
    """
    package = module.split(".")[0]
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        if error.name == package:
            return None
        reason: Exception = error
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        reason = error
    _log.warning(
        "%s is installed but %s cannot be used (%s); PyTorch operations are used instead", package, name, reason
    )
    return None


def on_gpu(x: Tensor) -> bool:
    """Say whether a kernel could work on this tensor: on CUDA, not in float64, which they do not keep."""
    return x.device.type == "cuda" and x.dtype != torch.float64


def ssd(x: Tensor, delta: Tensor, log_decay: Tensor, b: Tensor, c: Tensor) -> Tensor | None:
    """S_t = a_t S_{t-1} + delta_t b_t x_t^T;  y_t = S_t^T c_t, by fla's gated linear attention with a scalar gate.

    Args:
        x: (B, T, H, P).
        delta: (B, T, H).
        log_decay: (B, T, H).
        b: (B, T, N).
        c: (B, T, N).

    Returns:
        (B, T, H, P), or None where there is no kernel.
    """
    run = kernel("fla.ops.simple_gla", "chunk_simple_gla") if on_gpu(x) else None
    if run is None:
        return None
    queries, keys = (t.unsqueeze(2).expand(-1, -1, x.shape[2], -1).contiguous() for t in (c, b))
    y: Tensor = run(queries, keys, x * delta.unsqueeze(-1), g=log_decay, scale=1.0)[0]
    return y


def delta_rule(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_alpha: Tensor) -> Tensor | None:
    """Gated delta rule by fla; arguments as `auricle.nn.ssm.delta_rule`.

    Args:
        q: (B, T, H, K).
        k: (B, T, H, K).
        v: (B, T, H, V).
        beta: (B, T, H).
        log_alpha: (B, T, H).

    Returns:
        (B, T, H, V), or None where there is no kernel.
    """
    run = kernel("fla.ops.gated_delta_rule", "chunk_gated_delta_rule") if on_gpu(q) else None
    if run is None:
        return None
    out: Tensor = run(q, k, v, g=log_alpha, beta=beta, scale=1.0)[0]
    return out


def selective_scan(x: Tensor, delta: Tensor, A: Tensor, b: Tensor, c: Tensor) -> Tensor | None:
    """Selective scan by mamba_ssm, which has time last; arguments as `auricle.nn.ssm.selective_scan`.

    Args:
        x: (B, T, E).
        delta: (B, T, E).
        A: (E, N).
        b: (B, T, N).
        c: (B, T, N).

    Returns:
        (B, T, E), or None where there is no kernel.
    """
    run = kernel("mamba_ssm.ops.selective_scan_interface", "selective_scan_fn") if on_gpu(x) else None
    if run is None:
        return None
    time_last = (t.transpose(1, 2).contiguous() for t in (x, delta, b, c))
    u, steps, writing, reading = time_last
    y: Tensor = run(u, steps, A, writing, reading)
    return y.transpose(1, 2)
