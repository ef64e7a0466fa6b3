"""Recurrent, dual and chunked forms are one computation: outputs and gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.core.errors import ConfigError, DataError
from auricle.nn.ssm.bidirectional import Bidirectional
from auricle.nn.ssm.decay import decay_matrix
from auricle.nn.ssm.delta_rule import delta_rule_chunked, delta_rule_recurrent
from auricle.nn.ssm.gated_delta import GatedDeltaNet
from auricle.nn.ssm.hydra import Hydra
from auricle.nn.ssm.mamba import Mamba
from auricle.nn.ssm.mamba2 import Mamba2
from auricle.nn.ssm.selective_scan import selective_scan_chunked, selective_scan_recurrent
from auricle.nn.ssm.ssd import ssd_chunked, ssd_dual, ssd_recurrent

CHUNK = 8
MIXERS = {
    "mamba": lambda: Mamba(8, d_state=4, chunk=CHUNK),
    "mamba2": lambda: Mamba2(8, d_state=6, head_dim=8, chunk=CHUNK),
    "hydra": lambda: Hydra(8, d_state=6, head_dim=8, chunk=CHUNK),
    "gdn": lambda: GatedDeltaNet(8, heads=2, chunk=CHUNK),
    "bimamba_add": lambda: Bidirectional(8, lambda: Mamba(8, d_state=4, chunk=CHUNK), "add"),
    "bimamba2_concat": lambda: Bidirectional(8, lambda: Mamba2(8, d_state=6, head_dim=8, chunk=CHUNK), "concat"),
}
OTHER_FORMS = [
    (name, form)
    for name, make in MIXERS.items()
    for form in ("dual", "chunked", "auto")
    if form in (*getattr(make(), "ahead", make()).forms, "auto")
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize(("name", "form"), OTHER_FORMS)
def test_forms_agree_with_the_recurrence(name, form, dtype, agree, run):
    torch.manual_seed(0)
    mixer = MIXERS[name]().to(dtype)
    for frames in (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 13, 37):
        u = torch.randn(2, frames, 8, dtype=dtype)
        agree(run(mixer, u, form=form), run(mixer, u, form="recurrent"))


@pytest.mark.parametrize("make", [Mamba, Mamba2, Hydra, GatedDeltaNet])
def test_forms_agree_at_published_sizes_over_a_long_clip(make, agree, run):
    torch.manual_seed(0)
    mixer = make(64)
    u = torch.randn(1, 211, 64)
    reference = run(mixer, u, form="recurrent")
    for form in mixer.forms[1:]:
        agree(run(mixer, u, form=form), reference)


@pytest.mark.parametrize(("name", "form"), [*OTHER_FORMS, *((name, "recurrent") for name in MIXERS)])
def test_gradients_against_finite_differences(name, form):
    torch.manual_seed(0)
    mixer = MIXERS[name]().double()
    u = torch.randn(1, 11, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: mixer(x, form=form), (u,), fast_mode=True)


@pytest.mark.parametrize("form", ["dual", "chunked"])
@pytest.mark.parametrize("name", ["mamba", "mamba2", "hydra", "gdn"])
def test_compiled_whole_it_is_the_same(name, form, agree):
    torch.manual_seed(0)
    torch._dynamo.reset()
    mixer = MIXERS[name]()
    if form not in mixer.forms:
        pytest.skip(f"{name} has no {form} form")
    results = []
    for run in (mixer, torch.compile(mixer, backend="aot_eager", fullgraph=True)):
        u = torch.linspace(-1, 1, 2 * 9 * 8).view(2, 9, 8).requires_grad_()
        out = run(u, form=form)
        out.square().sum().backward()
        results.append((out.detach(), u.grad))
    for ours, compiled in zip(*results, strict=True):
        agree(compiled, ours)


def test_selective_scan_by_hand():
    # One channel, one state: h1 = 0.5 * 1 * 2 = 1; h2 = exp(-0.3) h1 + 0.3 * 4 * 1; y = c h.
    one = {"x": [2.0, 1.0], "delta": [0.5, 0.3], "b": [1.0, 4.0], "c": [3.0, -1.0]}
    x, delta, b, c = (torch.tensor(one[k], dtype=torch.float64).view(1, 2, 1) for k in ("x", "delta", "b", "c"))
    A = torch.tensor([[-1.0]], dtype=torch.float64)
    expected = torch.tensor([3.0, -(math.exp(-0.3) + 1.2)], dtype=torch.float64)
    for scan in (selective_scan_recurrent, selective_scan_chunked):
        torch.testing.assert_close(scan(x, delta, A, b, c).flatten(), expected)


def test_ssd_by_hand():
    x, b, c = (torch.tensor(v, dtype=torch.float64) for v in ([2.0, 5.0], [1.0, 3.0], [1.0, 0.5]))
    log_decay = torch.tensor([-9.0, math.log(0.25)], dtype=torch.float64)
    # S1 = 2; S2 = 0.25 * 2 + 15 = 15.5; the first decay meets an empty state.
    expected = torch.tensor([2.0, 7.75], dtype=torch.float64)
    for form in (ssd_recurrent, ssd_dual, lambda *a: ssd_chunked(*a, chunk=1)):
        got = form(x.view(1, 2, 1, 1), log_decay.view(1, 2, 1), b.view(1, 2, 1), c.view(1, 2, 1))
        torch.testing.assert_close(got.flatten(), expected)


def test_delta_rule_overwrites_what_a_key_held():
    # beta 1, no decay, the same key twice: the second value replaces the first; an orthogonal key leaves it.
    k = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64).view(1, 3, 1, 2)
    q = torch.tensor([[1.0, 0.0]] * 3, dtype=torch.float64).view(1, 3, 1, 2)
    v = torch.tensor([3.0, 7.0, 11.0], dtype=torch.float64).view(1, 3, 1, 1)
    beta, log_alpha = torch.ones(1, 3, 1, dtype=torch.float64), torch.zeros(1, 3, 1, dtype=torch.float64)
    for form in (delta_rule_recurrent, delta_rule_chunked, lambda *a: delta_rule_chunked(*a, chunk=2)):
        assert form(q, k, v, beta, log_alpha).flatten().tolist() == pytest.approx([3.0, 7.0, 7.0])


def test_decay_matrix_by_hand_and_where_float32_sums_fail():
    matrix = decay_matrix(torch.tensor([-5.0, -1.0, -2.0]))
    expected = torch.tensor([[0, 0, 0], [-1, 0, 0], [-3, -2, 0]]).float().exp().tril()
    torch.testing.assert_close(matrix, expected)
    # A cumulative sum of thousands in float32 would leave an error of 1e-4 here.
    far = decay_matrix(torch.full((4001,), -1.7))
    assert far[4000, 3999].item() == pytest.approx(math.exp(-1.7), rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 40), log_chunk=st.integers(0, 5), strength=st.sampled_from([0.01, 1.0, 50.0]))
def test_scan_any_length_any_chunk_any_decay(frames, log_chunk, strength):
    generator = torch.Generator().manual_seed(frames)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    x, delta, A = draw(2, frames, 3) - 0.5, strength * draw(2, frames, 3), -8 * draw(3, 2)
    b, c = draw(2, frames, 2) - 0.5, draw(2, frames, 2)
    got = selective_scan_chunked(x, delta, A, b, c, 1 << log_chunk)
    expected = selective_scan_recurrent(x, delta, A, b, c)
    assert torch.isfinite(got).all()
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", [Mamba, Mamba2, Hydra, GatedDeltaNet])
def test_extreme_decay_stays_finite(make, run):
    torch.manual_seed(0)
    mixer = make(64)
    with torch.no_grad():
        mixer.A_log.fill_(8.0)  # every state is forgotten at once
    for form in mixer.forms:
        assert all(torch.isfinite(t).all() for t in run(mixer, 30 * torch.randn(1, 40, 64), form=form))


@pytest.mark.parametrize("make", [Mamba, Mamba2, Hydra, GatedDeltaNet])
def test_bfloat16_autocast_keeps_the_scan_in_float32(make, agree):
    torch.manual_seed(0)
    mixer, u = make(64), torch.randn(2, 50, 64)
    expected = mixer(u).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = mixer(u)
    assert got.dtype == torch.bfloat16
    agree(got.detach().float(), expected, 2e-2)


def test_wrong_use_is_refused():
    with pytest.raises(ConfigError, match="'recurrent', 'chunked'"):
        Mamba(8)(torch.zeros(1, 3, 8), form="dual")
    with pytest.raises(ConfigError, match="Mamba has the forms"):
        Bidirectional(8, lambda: Mamba(8))(torch.zeros(1, 3, 8), form="dual")
    with pytest.raises(ConfigError, match="head_dim"):
        Mamba2(24, head_dim=64)
    with pytest.raises(ConfigError, match="power of two"):
        Mamba(8, chunk=12)
    with pytest.raises(ConfigError, match="multiple of heads"):
        GatedDeltaNet(9)
    with pytest.raises(DataError, match="Hydra"):
        Hydra(64)(torch.zeros(1, 0, 64))
