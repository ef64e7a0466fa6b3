"""Kernels of other packages are called with the shapes that they document; stand-ins follow those documents."""

import logging
import sys
import types

import pytest
import torch

from auricle.nn.ssm import gpu
from auricle.nn.ssm.delta_rule import delta_rule_chunked, delta_rule_recurrent
from auricle.nn.ssm.gated_delta import GatedDeltaNet
from auricle.nn.ssm.hydra import Hydra
from auricle.nn.ssm.mamba import Mamba
from auricle.nn.ssm.mamba2 import Mamba2
from auricle.nn.ssm.selective_scan import selective_scan_recurrent

CALLS = []


def chunk_simple_gla(q, k, v, g=None, g_gamma=None, scale=None):
    """fla's documented function: q, k (B, T, H, K), v (B, T, H, V), g (B, T, H) log gate; gives output and state."""
    CALLS.append("simple_gla")
    state, out = q.new_zeros(*q.shape[::2], q.shape[-1], v.shape[-1]), []
    for t in range(q.shape[1]):
        state = state * g[:, t, :, None, None].exp() + k[:, t, :, :, None] * v[:, t, :, None, :]
        out.append(torch.einsum("bhk,bhkv->bhv", q[:, t] * scale, state))
    return torch.stack(out, 1), None


def chunk_gated_delta_rule(q, k, v, g, beta, scale=None):
    CALLS.append("gated_delta_rule")
    return delta_rule_recurrent(q * scale, k, v, beta, g), None


def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    """mamba_ssm's documented function: u, delta (B, D, L), A (D, N), B, C (B, N, L)."""
    CALLS.append("selective_scan")
    assert u.shape[1] == A.shape[0]
    assert B.shape[1] == A.shape[1]
    return selective_scan_recurrent(
        *(t.transpose(1, 2) for t in (u, delta)), A, *(t.transpose(1, 2) for t in (B, C))
    ).transpose(1, 2)


@pytest.fixture
def gpu_here(monkeypatch):
    """Pretend that tensors lie on CUDA and that both packages are installed."""
    CALLS.clear()
    gpu.kernel.cache_clear()
    for name, function in (
        ("fla.ops.simple_gla", chunk_simple_gla),
        ("fla.ops.gated_delta_rule", chunk_gated_delta_rule),
        ("mamba_ssm.ops.selective_scan_interface", selective_scan_fn),
    ):
        parts = name.split(".")
        for size in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:size]), types.ModuleType(".".join(parts[:size])))
        setattr(sys.modules[name], function.__name__, function)
    monkeypatch.setattr(gpu, "on_gpu", lambda x: True)
    yield
    gpu.kernel.cache_clear()


@pytest.mark.parametrize(
    ("make", "calls"),
    [
        (lambda: Mamba(16), ["selective_scan"]),
        (lambda: Mamba2(32, d_state=8, head_dim=16), ["simple_gla"]),
        (lambda: Hydra(32, d_state=8, head_dim=16), ["simple_gla", "simple_gla"]),
        (lambda: GatedDeltaNet(16, heads=2), ["gated_delta_rule"]),
    ],
    ids=["mamba", "mamba2", "hydra", "gdn"],
)
def test_kernels_give_what_the_recurrence_gives(make, calls, gpu_here, agree, run):
    torch.manual_seed(0)
    mixer = make()
    u = torch.randn(2, 19, mixer.d_model)
    got = run(mixer, u)
    assert calls == CALLS
    agree(got, run(mixer, u, form="recurrent"))


def test_a_package_that_does_not_import_is_named_and_passed_over(monkeypatch, caplog, tmp_path):
    (tmp_path / "fla").mkdir()
    (tmp_path / "fla" / "__init__.py").write_text("import triton_is_not_here")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "fla"]:
        monkeypatch.delitem(sys.modules, name)
    gpu.kernel.cache_clear()
    monkeypatch.setattr(gpu, "on_gpu", lambda x: True)
    with caplog.at_level(logging.WARNING):
        q = torch.randn(1, 4, 1, 16)
        for _ in range(2):
            assert delta_rule_chunked(q, q, q, torch.rand(1, 4, 1), -torch.rand(1, 4, 1)).isfinite().all()
    gpu.kernel.cache_clear()
    assert len(caplog.records) == 1
    assert "fla is installed but chunk_gated_delta_rule cannot be used" in caplog.text


def test_on_a_processor_nothing_is_looked_for():
    gpu.kernel.cache_clear()
    Mamba2(32)(torch.ones(1, 3, 32))
    assert gpu.kernel.cache_info().misses == 0
