"""Seeds and generator states of Python, NumPy and torch together.

A seeded run repeats bit for bit on one machine with the same thread count: float sums depend on the order in which
threads add, so another number of threads, another CPU or another torch build may differ in the last bits. On a GPU
some kernels add in random order; `seed_everything(seed, deterministic=True)` forbids those (CUDA then also wants the
environment variable ``CUBLAS_WORKSPACE_CONFIG=:4096:8`` set before the process starts).
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from auricle.core.seed import seed_numpy_and_python


def seed_everything(seed: int, deterministic: bool = False) -> None:
    """Seed the global generators of Python, NumPy and torch on every device.

    Args:
        seed: any non-negative integer below 2**63; see `auricle.core.seed.derive` for independent streams.
        deterministic: also refuse kernels whose result depends on timing (a GPU matter; slower).
    """
    seed_numpy_and_python(seed)
    torch.manual_seed(seed)
    if deterministic:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False


def rng_state() -> dict[str, Any]:
    """Take the state of every global generator, as tensors, numbers and tuples that a weights-only load accepts."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    words = torch.from_numpy(np.asarray(keys, np.int64))  # as only newer versions of torch have unsigned 32 bits
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (str(name), words, int(position), int(has_gauss), float(cached)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Put back what `rng_state` took.

    Args:
        state: the value of an earlier `rng_state()`, possibly from another process.
    """
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
