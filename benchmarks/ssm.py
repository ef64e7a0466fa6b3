"""State-space mixers, forward and backward, beside the torch path a user of Transformers gets on a CPU.

python benchmarks/ssm.py [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from auricle.nn.ssm.mamba import Mamba
from auricle.nn.ssm.mamba2 import Mamba2

D_MODEL, LENGTHS = 128, (128, 256, 1024)


def peer(name: str) -> nn.Module:
    """Build Transformers' mixer of the same sizes; without its optional kernels it takes the torch path."""
    logging.getLogger("transformers").setLevel(logging.ERROR)  # it warns about the missing kernels at every build
    if name == "mamba":
        from transformers import MambaConfig
        from transformers.models.mamba.modeling_mamba import MambaMixer

        return MambaMixer(MambaConfig(hidden_size=D_MODEL, num_hidden_layers=1), 0)
    from transformers import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    config = Mamba2Config(hidden_size=D_MODEL, state_size=64, num_heads=4, head_dim=64, n_groups=1, num_hidden_layers=1)
    return Mamba2Mixer(config, 0)


def once(module: nn.Module, u: torch.Tensor) -> float:
    """Seconds of one forward and backward pass."""
    module.zero_grad(set_to_none=True)
    begin = time.perf_counter()
    module(u).sum().backward()
    return time.perf_counter() - begin


def compare(
    case: str, ours: Callable[[], float], theirs: Callable[[], float], repeats: int, budget_s: float
) -> dict[str, object]:
    """Interleave the two and report medians; the ratio is theirs over ours, its range that of the pairs.

    At least two pairs, at most `repeats`, no new pair once the budget is spent: the peer takes seconds on long clips.
    """
    begin = time.perf_counter()
    ours()
    pairs: list[tuple[float, float]] = []
    while len(pairs) < 2 or (len(pairs) < repeats and time.perf_counter() - begin < budget_s):
        pairs.append((ours(), theirs()))
    ratios = [b / a for a, b in pairs]
    return {
        "case": case,
        "ours": 1e3 * statistics.median(a for a, _ in pairs),
        "peer": 1e3 * statistics.median(b for _, b in pairs),
        "peer_name": "transformers torch path",
        "unit": "ms",
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "n": len(pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats, under two minutes")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    args = parser.parse_args()
    repeats, budget_s, batch = (5, 6.0, 1) if args.quick else (15, 120.0, 4)
    torch.manual_seed(0)
    for name, make in (("mamba", Mamba), ("mamba2", Mamba2)):
        mine: nn.Module = make(D_MODEL)
        other = peer(name)
        for frames in LENGTHS:
            u = torch.randn(batch, frames, D_MODEL, requires_grad=True)
            row = compare(
                f"{name} fwdbwd B{batch} T{frames} D{D_MODEL}",
                partial(once, mine, u),
                partial(once, other, u),
                repeats,
                budget_s,
            )
            if args.json:
                print(json.dumps(row), flush=True)
            else:
                print(
                    f"{row['case']:32} {row['ours']:9.1f} ms  peer {row['peer']:9.1f} ms  "
                    f"ratio {row['ratio']:.2f} ({row['ratio_min']:.2f}-{row['ratio_max']:.2f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
