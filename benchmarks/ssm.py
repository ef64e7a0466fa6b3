"""State-space mixers beside what runs without a GPU kernel today: whole layers, forward and with the backward pass.

python benchmarks/ssm.py [--quick] [--json] [--only mamba2-T1024]

Batch 4, float32, torch's own threads; cases are named mixer-length-width-pass. Peers are the torch paths of
Transformers (Mamba, Mamba2, the gated delta rule of Qwen3-Next), mambapy (pip install mambapy), and the naive gated
delta rule of fla (pip install fla-core einops; its package does not import without Triton, so the one file is loaded),
which takes the place of the scan in Auricle's own layer. Attention (scaled_dot_product_attention) is a yardstick, not
the same job. "matmul floor" is the time of one large matrix product with as many operations as the layer's products
need: the ratio is the share of it that is reached. Rows that end in -memory give the most memory that torch held during
one call, in MB. A peer that is predicted to take over 30 s a call is skipped, and printed as skipped.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from contract import Case, Skipped, run, seconds
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.claims.clock import peak_bytes
from auricle.nn.ssm import gated_delta
from auricle.nn.ssm.gated_delta import GatedDeltaNet
from auricle.nn.ssm.hydra import Hydra
from auricle.nn.ssm.mamba import Mamba
from auricle.nn.ssm.mamba2 import Mamba2

BATCH, LONGEST_S = 4, 30.0
WIDTHS, LENGTHS = (128, 256), (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
OURS: dict[str, Callable[[int], nn.Module]] = {
    "mamba": Mamba,
    "mamba2": Mamba2,
    "gdn": GatedDeltaNet,
    "hydra": Hydra,
}


class Attention(nn.Module):
    """The yardstick: multi-head attention of the same width, causal, with torch's fused kernel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // 64
        self.into, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """Attend."""
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in self.into(u).chunk(3, dim=-1))
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


def transformers_layer(mixer: str, width: int) -> nn.Module:
    """Build Transformers' layer of the same sizes; without its optional kernels it takes the torch path."""
    logging.getLogger("transformers").setLevel(logging.ERROR)  # it warns about the missing kernels at every build
    if mixer == "mamba":
        from transformers import MambaConfig
        from transformers.models.mamba.modeling_mamba import MambaMixer

        return MambaMixer(MambaConfig(hidden_size=width, num_hidden_layers=1), 0)
    if mixer == "mamba2":
        from transformers import Mamba2Config
        from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

        sizes = {"state_size": 64, "num_heads": width // 32, "head_dim": 64, "n_groups": 1}
        return Mamba2Mixer(Mamba2Config(hidden_size=width, num_hidden_layers=1, **sizes), 0)
    from transformers import Qwen3NextConfig
    from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet

    sizes = {"linear_num_key_heads": 4, "linear_num_value_heads": 4, "linear_conv_kernel_dim": 4}
    sizes |= {"linear_key_head_dim": width // 4, "linear_value_head_dim": width // 2}
    return Qwen3NextGatedDeltaNet(Qwen3NextConfig(hidden_size=width, **sizes), 0)


def mambapy_layer(width: int) -> nn.Module:
    from mambapy.mamba import MambaBlock, MambaConfig

    return MambaBlock(MambaConfig(d_model=width, n_layers=1))


def fla_naive() -> ModuleType:
    """Load fla's plain PyTorch file of the gated delta rule, without its package."""
    package = importlib.util.find_spec("fla")
    if package is None or package.origin is None:
        raise ImportError("fla-core is not installed")
    path = Path(package.origin).parent / "ops" / "gated_delta_rule" / "naive.py"
    spec = importlib.util.spec_from_file_location("fla_naive", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class WithNaiveScan(nn.Module):
    """Auricle's Gated DeltaNet with fla's naive chunked scan in the place of its own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer, self.naive = GatedDeltaNet(width), fla_naive().naive_chunk_gated_delta_rule

    def scan(self, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_alpha: Tensor, chunk: int) -> Tensor:
        """Take the arguments of Auricle's scan."""
        return self.naive(q, k, v, log_alpha, beta, chunk_size=64, scale=1.0)[0]

    def forward(self, u: Tensor) -> Tensor:
        """Run the layer around the naive scan."""
        own, gated_delta.delta_rule_chunked = gated_delta.delta_rule_chunked, self.scan
        try:
            return self.layer(u)
        finally:
            gated_delta.delta_rule_chunked = own


def peers(mixer: str, width: int) -> Iterator[tuple[str, nn.Module | str]]:
    """Give each peer by name: its layer, or why there is none."""
    makers: dict[str, Callable[[], nn.Module]] = {"scaled-dot-product attention": partial(Attention, width)}
    if mixer != "hydra":
        makers["transformers torch path"] = partial(transformers_layer, mixer, width)
    if mixer == "mamba":
        makers["mambapy"] = partial(mambapy_layer, width)
    if mixer == "gdn":
        makers["fla naive"] = partial(WithNaiveScan, width)
    if mixer == "hydra":
        makers["Auricle's Mamba2"] = partial(Mamba2, width)
    for name, make in makers.items():
        try:
            yield name, make()
        except ImportError as error:
            yield name, f"not installed: {error}"


def products(layer: nn.Module, frames: int) -> float:
    """Count the operations of the matrix products of a forward pass, batch and projections included."""
    tokens = BATCH * frames
    linear = sum(module.weight.numel() for module in layer.modules() if isinstance(module, nn.Linear))
    inside = 0
    if isinstance(layer, Mamba2 | Hydra):
        sides = 2 if isinstance(layer, Hydra) else 1
        chunk = frames if layer.auto_form(frames) == "dual" else layer.chunk
        # scores once, matrix times values once; states written and read by each side unless all is one chunk
        inside = sides * chunk * layer.d_state + chunk * layer.inner
        inside += 0 if chunk == frames else 2 * sides * layer.d_state * layer.inner
    if isinstance(layer, GatedDeltaNet):
        chunk, key, value = min(layer.chunk, frames), layer.key_dim, layer.value_dim
        # two Gram matrices, the solve (half), the product inside; states written, and read twice
        inside = layer.heads * (2 * chunk * key + chunk * (key + value) // 2 + chunk * value + 3 * key * value)
    if isinstance(layer, Mamba):
        inside = 3 * layer.d_state * layer.out_proj.in_features  # not products, but what the scan multiplies
    return 2.0 * tokens * (linear + inside)


class Floor:
    """One matrix product of `operations`, over rows of 2048."""

    def __init__(self, operations: float) -> None:
        rows = max(1, round(operations / (2 * 2048 * 2048)))
        self.a, self.b = torch.randn(rows, 2048), torch.randn(2048, 2048)

    def __call__(self) -> Tensor:
        """Multiply."""
        return self.a @ self.b


def forward(layer: Callable[[Tensor], Tensor], u: Tensor) -> None:
    with torch.no_grad():
        layer(u)


def backward(layer: nn.Module, u: Tensor) -> None:
    layer.zero_grad(set_to_none=True)
    u.grad = None
    layer(u).sum().backward()


class Timed:
    """A job that remembers how long it last took, so that a longer one can be predicted."""

    def __init__(self, job: Callable[[], object]) -> None:
        self.job, self.last_s = job, 0.0

    def __call__(self) -> None:
        """Do the job."""
        self.last_s = seconds(self.job)


def cases(quick: bool) -> Iterator[Case | Skipped]:
    torch.manual_seed(0)
    for width in (256,) if quick else WIDTHS:
        for mixer, make in OURS.items():
            ours = make(width)
            others = dict(peers(mixer, width))
            if quick and mixer == "mamba":
                del others["transformers torch path"]  # a Python loop over frames: one call takes all the time there is
            for way, job in (("fwdbwd", backward),) if quick else (("fwd", forward), ("fwdbwd", backward)):
                growth = {name: 2.0 if "attention" in name else 1.2 for name in others}
                known: dict[str, tuple[int, float]] = {}
                for frames in (256, 1024) if quick else LENGTHS:
                    u = torch.randn(BATCH, frames, width, requires_grad=way == "fwdbwd")
                    title = f"{mixer}-T{frames}-D{width}-{way}"
                    mine = partial(job, ours, u)
                    for name, other in others.items():
                        if isinstance(other, str):
                            yield Skipped(title, name, other)
                            continue
                        before, last_s = known.get(name, (frames, 0.0))
                        predicted = last_s * (frames / before) ** growth[name]
                        if predicted > LONGEST_S:
                            yield Skipped(title, name, f"predicted to take {predicted:.0f} s a call")
                            continue
                        theirs = Timed(partial(job, other, u))
                        yield Case(title, mine, theirs, name, "ms")
                        known[name] = (frames, theirs.last_s)
                        if not quick and way == "fwdbwd" and theirs.last_s:
                            yield Case(f"{title}-memory", mine, partial(job, other, u), name, "MB", peak_bytes)
                    passes = 3.0 if way == "fwdbwd" else 1.0
                    yield Case(title, mine, Floor(passes * products(ours, frames)), "matmul floor", "ms")


if __name__ == "__main__":
    run(__doc__ or "", cases, quick_s=3.0, full_s=6.0)
