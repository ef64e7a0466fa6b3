"""Seeds: one number per run, and independent streams derived from it by name."""

from __future__ import annotations

import hashlib
import random

import numpy as np


def derive(seed: int, *names: str | int) -> int:
    """Derive a stable 63-bit seed from a seed and names, the same on every machine and in every process.

    Args:
        seed: the run's seed.
        names: what the stream is for, such as ``"train", 3`` or a clip's id.
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def rng(seed: int, *names: str | int) -> np.random.Generator:
    """Give a NumPy generator of its own for `names` under `seed`."""
    return np.random.default_rng(derive(seed, *names))


def seed_numpy_and_python(seed: int) -> None:
    """Seed Python's and NumPy's global generators, for libraries that draw from them."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
