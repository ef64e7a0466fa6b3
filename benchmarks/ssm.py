"""State-space mixers, forward and backward, beside the torch path a user of Transformers gets on a CPU.

python benchmarks/ssm.py [--quick] [--json]
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

from contract import Case, run  # isort: skip  (first: it sets the wait policy before torch loads)

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


def once(module: nn.Module, u: torch.Tensor) -> None:
    """Run one forward and backward pass."""
    module.zero_grad(set_to_none=True)
    module(u).sum().backward()


def cases(quick: bool) -> Iterator[Case]:
    batch = 1 if quick else 4
    torch.manual_seed(0)
    for name, make in (("mamba", Mamba), ("mamba2", Mamba2)):
        mine: nn.Module = make(D_MODEL)
        other = peer(name)
        for frames in LENGTHS:
            u = torch.randn(batch, frames, D_MODEL, requires_grad=True)
            title = f"{name} fwdbwd B{batch} T{frames} D{D_MODEL}"
            yield Case(title, partial(once, mine, u), partial(once, other, u), "transformers torch path", "ms")


if __name__ == "__main__":
    run(__doc__ or "", cases, quick_s=6.0)
