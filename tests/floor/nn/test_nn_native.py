"""The loops in C and the PyTorch forms are one computation, and nobody notices where there is no compiler."""

import ctypes
import logging

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.nn import native
from auricle.nn.conv import DepthwiseConv
from auricle.nn.norm import GatedRMSNorm
from auricle.nn.ssm.delta_rule import delta_rule_chunked, delta_rule_recurrent
from auricle.nn.ssm.gated_delta import GatedDeltaNet
from auricle.nn.ssm.hydra import Hydra, _recurrent
from auricle.nn.ssm.mamba import Mamba
from auricle.nn.ssm.mamba2 import Mamba2
from auricle.nn.ssm.selective_scan import selective_scan_chunked, selective_scan_recurrent
from auricle.nn.ssm.ssd import scan, scan_both_ways, ssd_recurrent

compiled = pytest.mark.skipif(native.compiler() is None, reason="there is no C compiler here")
CHUNK = 16
MIXERS = {
    "mamba": lambda: Mamba(16, d_state=5, chunk=CHUNK),
    "mamba2": lambda: Mamba2(32, d_state=16, head_dim=16, chunk=CHUNK),
    "hydra": lambda: Hydra(32, d_state=16, head_dim=16, chunk=CHUNK),
    "gdn": lambda: GatedDeltaNet(32, heads=2, chunk=CHUNK),
}
FORMS = [(name, form) for name in MIXERS for form in MIXERS[name]().forms if form != "recurrent"]
FRAMES = (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 13, 37, 101)


@pytest.fixture
def fresh():
    """Forget what was compiled, before and after."""
    native._library.cache_clear()
    yield
    native._library.cache_clear()


@compiled
def test_they_compile_here():
    assert native.state() == "compiled and in use"
    assert native.usable(torch.ones(2), None)


@compiled
@pytest.mark.parametrize(("name", "form"), FORMS)
def test_each_mixer_is_the_same_without_them(name, form, agree, run):
    torch.manual_seed(0)
    mixer = MIXERS[name]()
    exact = MIXERS[name]().double()
    exact.load_state_dict(mixer.state_dict())
    for frames in FRAMES:
        u = torch.randn(2, frames, mixer.d_model)
        mask = torch.ones(2, frames, dtype=torch.bool)
        mask[1, frames // 2 :] = frames == 1
        ours = run(mixer, u, form=form, mask=mask)
        with native.disabled():
            agree(ours, run(mixer, u, form=form, mask=mask))
        truth = run(exact, u.double(), form="recurrent", mask=mask)
        agree(ours, [t.float() for t in truth])


def _drawn(draws, *shapes):
    return [torch.randn(shape, generator=draws).requires_grad_() for shape in shapes]


def _both(function, reference, inputs, agree):
    """Outputs and gradients of the loops against the recurrence in float64."""
    results = []
    for form, dtype in ((function, torch.float32), (reference, torch.float64)):
        given = [x.detach().to(dtype).requires_grad_() for x in inputs]
        out = form(*given)
        upstream = torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)
        results.append([out.detach().float(), *(g.float() for g in torch.autograd.grad(out, given, upstream))])
    agree(*results)


SIZES = {
    "batch": st.integers(1, 3),
    "frames": st.integers(1, 70),
    "heads": st.integers(1, 3),
    "width": st.sampled_from([16, 32, 48, 64, 80]),
    "states": st.sampled_from([16, 32, 64]),
    "chunk": st.integers(1, 70),
    "seed": st.integers(0, 2**31),
}


@compiled
@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_ssd_of_any_shape_is_the_recurrence(batch, frames, heads, width, states, chunk, seed, agree):
    draws = torch.Generator().manual_seed(seed)
    x, b, c = _drawn(draws, (batch, frames, heads, width), (batch, frames, states), (batch, frames, states))
    delta, log_decay = (torch.rand(batch, frames, heads, generator=draws) for _ in range(2))
    skip = torch.randn(batch, frames, heads, generator=draws)

    def reference(x, delta, log_decay, b, c, skip):
        return ssd_recurrent(x * delta.unsqueeze(-1), -3 * log_decay, b, c) + skip.unsqueeze(-1) * x

    ours = lambda x, delta, log_decay, b, c, skip: scan(x, delta, -3 * log_decay, b, c, chunk, skip)  # noqa: E731
    _both(ours, reference, [x, delta + 0.01, log_decay, b / 8, c, skip], agree)


@compiled
@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_hydra_of_any_shape_is_two_recurrences(batch, frames, heads, width, states, chunk, seed, agree):
    draws = torch.Generator().manual_seed(seed)
    x, *vectors = _drawn(draws, (batch, frames, heads, width), *[(batch, frames, states)] * 4)
    steps = [torch.rand(batch, frames, heads, generator=draws) + 0.01 for _ in range(2)]
    decays = [torch.rand(batch, frames, heads, generator=draws) for _ in range(2)]

    def arranged(form, *last):
        def apply(x, d_f, d_b, l_f, l_b, b_f, b_b, c_f, c_b):
            return form(x, (d_f, d_b), (-3 * l_f, -3 * l_b), (b_f / 8, b_b / 8), (c_f, c_b), *last)

        return apply

    _both(arranged(scan_both_ways, chunk), arranged(_recurrent), [x, *steps, *decays, *vectors], agree)


@compiled
@settings(max_examples=25, deadline=None)
@given(**SIZES)
def test_delta_rule_of_any_shape_is_the_recurrence(batch, frames, heads, width, states, chunk, seed, agree):
    draws = torch.Generator().manual_seed(seed)
    q, k = (
        torch.nn.functional.normalize(t.detach(), dim=-1) for t in _drawn(draws, *[(batch, frames, heads, states)] * 2)
    )
    (v,) = _drawn(draws, (batch, frames, heads, width))
    beta, decay = (torch.rand(batch, frames, heads, generator=draws) for _ in range(2))
    ours = lambda q, k, v, beta, decay: delta_rule_chunked(q, k, v, beta, -3 * decay, chunk)  # noqa: E731
    reference = lambda q, k, v, beta, decay: delta_rule_recurrent(q, k, v, beta, -3 * decay)  # noqa: E731
    _both(ours, reference, [q, k, v, beta, decay], agree)


@compiled
@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 50),
    channels=st.sampled_from([16, 48, 80]),
    states=st.integers(1, 20),
    seed=st.integers(0, 2**31),
)
def test_selective_scan_of_any_shape_is_the_recurrence(batch, frames, channels, states, seed, agree):
    draws = torch.Generator().manual_seed(seed)
    x, b, c = _drawn(draws, (batch, frames, channels), (batch, frames, states), (batch, frames, states))
    delta, A = torch.rand(batch, frames, channels, generator=draws), torch.rand(channels, states, generator=draws)
    ours = lambda x, d, A, b, c: selective_scan_chunked(x, d, -4 * A, b, c / 4)  # noqa: E731
    reference = lambda x, d, A, b, c: selective_scan_recurrent(x, d, -4 * A, b, c / 4)  # noqa: E731
    _both(ours, reference, [x, delta, A, b, c], agree)


@compiled
@settings(max_examples=40, deadline=None)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 40),
    channels=st.integers(1, 50),
    taps=st.integers(1, 17),
    silu=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_convolutions_of_any_shape(batch, frames, channels, taps, silu, seed, agree):
    draws = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    (u,) = _drawn(draws, (batch, frames, channels))
    for mode in ("causal", "centred") if taps % 2 else ("causal",):
        conv = DepthwiseConv(channels, taps, mode, bias=bool(seed % 2))
        results = []
        for off in (False, True):
            with native.disabled() if off else torch.enable_grad():
                out = conv(u, silu=silu)
                results.append([out, *torch.autograd.grad(out.square().sum(), [u, *conv.parameters()])])
        agree(*results)


@compiled
@pytest.mark.parametrize("order", ["gate_first", "norm_first"])
@pytest.mark.parametrize("shape", [(3, 64), (70, 20), (1, 5), (33, 48)])
def test_gated_norm_is_the_same_without_them(order, shape, agree):
    torch.manual_seed(0)
    norm = GatedRMSNorm(shape[1], order)
    norm.weight.data.normal_()
    x, gate = (torch.randn(shape, requires_grad=True) for _ in range(2))
    results = []
    for off in (False, True):
        with native.disabled() if off else torch.enable_grad():
            out = norm(x, gate)
            results.append([out, *torch.autograd.grad(out.pow(3).sum(), [x, gate, norm.weight])])
    agree(*results)


@compiled
@pytest.mark.parametrize("name", MIXERS)
def test_the_number_of_threads_changes_nothing(name, agree, run):
    torch.manual_seed(0)
    mixer, u, threads = MIXERS[name](), torch.randn(3, 50, MIXERS[name]().d_model), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(run(mixer, u))
    finally:
        torch.set_num_threads(threads)
    agree(results[1], results[0])
    agree(results[2], results[0])


@compiled
@pytest.mark.parametrize("name", MIXERS)
def test_what_is_not_a_number_stays_so(name):
    mixer = MIXERS[name]()
    u = torch.zeros(1, 20, mixer.d_model)
    u[0, 9, 0] = float("nan")
    assert mixer(u)[0, 9].isnan().all()


@compiled
def test_exponentials_reach_from_nothing_to_large():
    x = torch.tensor([[[-1e4, -200.0, -88.0, 0.0, 30.0, 200.0, 1e4] + [0.5] * 9]])
    conv = DepthwiseConv(16, 1, bias=False)
    conv.weight.data.fill_(1.0)
    torch.testing.assert_close(conv(x, silu=True), torch.nn.functional.silu(x), rtol=1e-6, atol=1e-30)


def test_a_tensor_with_gaps_is_refused(monkeypatch):
    monkeypatch.setattr(native, "_library", lambda: ctypes.CDLL(None))
    with pytest.raises(ValueError, match=r"gated_norm_forward was given a tensor with gaps, shape \(3, 2\)"):
        native.call("gated_norm_forward", torch.ones(2, 3).t())


def test_without_a_compiler_pytorch_does_the_work(monkeypatch, fresh):
    monkeypatch.setattr(native, "compiler", lambda: None)
    assert not native.usable(torch.ones(2))
    assert "install gcc or clang" in native.state()
    assert MIXERS["mamba2"]()(torch.ones(1, 3, 32)).isfinite().all()


def test_turned_off_by_the_environment(monkeypatch, fresh):
    monkeypatch.setenv("AURICLE_KERNELS", "off")
    assert not native.usable(torch.ones(2))
    assert native.state().startswith("off")


def test_a_compiler_that_fails_is_named_once_and_the_work_goes_on(monkeypatch, fresh, tmp_path, caplog):
    monkeypatch.setenv("CC", "false")
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert not native.usable(torch.ones(2))
    assert len(caplog.records) == 1
    assert "do not compile here" in caplog.text
    assert not list(tmp_path.rglob("*.so"))


def test_other_types_and_devices_are_left_to_pytorch():
    assert not native.usable(torch.ones(2, dtype=torch.float64))
    assert not native.usable(torch.ones(2, device="meta"))
    with native.disabled():
        assert not native.usable(torch.ones(2))
