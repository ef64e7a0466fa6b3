"""Vector quantisers behind one interface: SimVQ, VQ, EMA-VQ with reset, FSQ, LFQ and residual stacks of them."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.core.errors import ConfigError
from auricle.nn.quantize.codebook import VQ, EmaVQ, SimVQ
from auricle.nn.quantize.quantizer import Quantised, Quantizer, straight_through
from auricle.nn.quantize.residual import ResidualVQ
from auricle.nn.quantize.scalar import FSQ, LFQ

__all__ = [
    "FSQ",
    "KINDS",
    "LFQ",
    "VQ",
    "EmaVQ",
    "Quantised",
    "Quantizer",
    "ResidualVQ",
    "SimVQ",
    "make_quantizer",
    "straight_through",
]

KINDS = ("simvq", "vq", "ema", "fsq", "lfq")
# the level sets that the paper of FSQ (2309.15505, table 1) proposes for these codebook sizes
FSQ_LEVELS = {
    64: (8, 8),
    256: (8, 6, 5),
    512: (8, 8, 8),
    1024: (8, 5, 5, 5),
    2048: (8, 8, 6, 5),
    4096: (7, 5, 5, 5, 5),
    8192: (8, 8, 8, 6, 5),
    16384: (8, 8, 8, 8, 5),
    65536: (8, 8, 8, 5, 5, 5),
}


def make_quantizer(
    kind: str,
    dim: int,
    n_codes: int,
    *,
    beta: float = 0.25,
    levels: Sequence[int] | None = None,
    stages: int = 1,
) -> Quantizer:
    """Build a quantiser by name.

    Args:
        kind: one of `KINDS`.
        dim: width D of the vectors.
        n_codes: codebook size K; FSQ takes the level set that its paper gives for it, whose product may differ.
        beta: weight of the commitment loss.
        levels: FSQ's own level set.
        stages: above 1, a residual stack of this many.

    Raises:
        ConfigError: unknown name, or a size that this kind cannot have.
    """
    if stages > 1:
        return ResidualVQ([make_quantizer(kind, dim, n_codes, beta=beta, levels=levels) for _ in range(stages)])
    if kind == "simvq":
        return SimVQ(dim, n_codes, beta)
    if kind == "vq":
        return VQ(dim, n_codes, beta)
    if kind == "ema":
        return EmaVQ(dim, n_codes, beta)
    if kind == "lfq":
        return LFQ(dim, n_codes, beta)
    if kind == "fsq":
        if levels is None and n_codes not in FSQ_LEVELS:
            raise ConfigError(f"FSQ has no level set for {n_codes} codes; it has {sorted(FSQ_LEVELS)}, or give levels")
        return FSQ(dim, FSQ_LEVELS[n_codes] if levels is None else levels)
    raise ConfigError(f"there is no quantiser {kind!r}; it can be {', '.join(KINDS)}")
