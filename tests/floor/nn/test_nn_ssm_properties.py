"""What the papers say about the mixers: matrices, ranks, reversal, causality; and the house's rules on padding."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from auricle.nn.ssm.bidirectional import Bidirectional
from auricle.nn.ssm.gated_delta import GatedDeltaNet
from auricle.nn.ssm.hydra import Hydra
from auricle.nn.ssm.mamba import Mamba
from auricle.nn.ssm.mamba2 import Mamba2

MIXERS = {
    "mamba": lambda: Mamba(16),
    "mamba2": lambda: Mamba2(16, d_state=8, head_dim=8, chunk=8),
    "hydra": lambda: Hydra(16, d_state=8, head_dim=8, chunk=8),
    "gdn": lambda: GatedDeltaNet(16, chunk=8),
    "bimamba_add": lambda: Bidirectional(16, lambda: Mamba(16), "add"),
    "bimamba_concat": lambda: Bidirectional(16, lambda: Mamba(16), "concat"),
    "bimamba2_add": lambda: Bidirectional(16, lambda: Mamba2(16, head_dim=8), "add"),
    "bimamba2_concat": lambda: Bidirectional(16, lambda: Mamba2(16, head_dim=8), "concat"),
}


def forms_of(mixer):
    return getattr(mixer, "ahead", mixer).forms


def hydra_parts(mixer: Hydra, u: torch.Tensor) -> dict[str, torch.Tensor]:
    """Quantities of section 4.3 of the paper notes, from the weights alone, for one clip."""
    n, heads, inner = mixer.d_state, mixer.heads, mixer.inner
    z, rest, dt = torch.split(F.linear(u, mixer.in_proj.weight), [inner, inner + 4 * n, 2 * heads], dim=-1)
    padded = F.pad(rest, (0, 0, 3, 3))
    rest = sum(padded[:, j : j + u.shape[1]] * mixer.conv.weight[:, j] for j in range(7)) + mixer.conv.bias
    x, b_f, c_f, b_b, c_b = torch.split(F.silu(rest)[0], [inner, n, n, n, n], dim=-1)
    delta = F.softplus(dt[0] + mixer.dt_bias.repeat(2))
    parts = {"x": x, "b_f": b_f, "c_f": c_f, "b_b": b_b, "c_b": c_b, "z": z[0]}
    parts["delta_f"], parts["delta_b"] = delta[:, :heads], delta[:, heads:]
    parts["diagonal"] = F.linear(x, mixer.diagonal.weight) + mixer.D
    return parts


def hydra_matrix(mixer: Hydra, parts: dict[str, torch.Tensor], head: int) -> torch.Tensor:
    """The matrix M of one head, entry by entry."""
    frames, A = parts["x"].shape[0], -torch.exp(mixer.A_log[head])
    d_f, d_b = parts["delta_f"][:, head], parts["delta_b"][:, head]
    M = torch.zeros(frames, frames, dtype=torch.float64)
    for i in range(frames):
        for j in range(frames):
            if i > j:
                M[i, j] = parts["c_f"][i - 1] @ parts["b_f"][j] * d_f[j] * torch.exp(A * d_f[j + 1 : i].sum())
            elif i < j:
                M[i, j] = parts["c_b"][i + 1] @ parts["b_b"][j] * d_b[j] * torch.exp(A * d_b[i + 1 : j].sum())
            else:
                M[i, i] = parts["diagonal"][i, head]
    return M


@pytest.fixture
def hydra():
    torch.manual_seed(0)
    mixer = Hydra(4, d_state=2, head_dim=4).double()
    with torch.no_grad():
        mixer.A_log.copy_(torch.tensor([0.3, -0.4]))
        mixer.D.copy_(torch.tensor([0.7, 1.9]))
        mixer.dt_bias.copy_(torch.tensor([-0.5, 0.2]))
    return mixer


@pytest.mark.parametrize("form", ["recurrent", "dual", "chunked"])
def test_hydra_is_its_matrix(hydra, form, agree):
    u = torch.randn(1, 11, 4, dtype=torch.float64)
    with torch.no_grad():
        parts = hydra_parts(hydra, u)
        x = parts["x"].view(11, 2, 4)
        y = torch.stack([hydra_matrix(hydra, parts, head) @ x[:, head] for head in range(2)], dim=1).flatten(1)
        normed = y / torch.sqrt(y.square().mean(-1, keepdim=True) + 1e-5) * hydra.norm.weight
        expected = F.linear(normed * F.silu(parts["z"]), hydra.out_proj.weight)
        agree(hydra(u, form=form)[0], expected)


def test_hydra_matrix_is_quasiseparable(hydra):
    with torch.no_grad():
        M = hydra_matrix(hydra, hydra_parts(hydra, torch.randn(1, 11, 4, dtype=torch.float64)), 0)
    ranks = set()
    for cut in range(1, 11):
        ranks.add(int(torch.linalg.matrix_rank(M[cut:, :cut], rtol=1e-9)))
        ranks.add(int(torch.linalg.matrix_rank(M[:cut, cut:], rtol=1e-9)))
    assert max(ranks) == hydra.d_state == 2
    assert int(torch.linalg.matrix_rank(M)) > 2  # the diagonal is free


def test_hydra_reversed_in_time_is_hydra_with_directions_swapped(hydra, agree):
    n, heads, inner = 2, 2, 8
    swapped = copy.deepcopy(hydra)
    cuts = [inner, inner, 2 * n, 2 * n, heads, heads]
    with torch.no_grad():
        z, x, f, b, dt_f, dt_b = hydra.in_proj.weight.split(cuts)
        swapped.in_proj.weight.copy_(torch.cat([z, x, b, f, dt_b, dt_f]))
        for name in ("weight", "bias"):
            x, f, b = getattr(hydra.conv, name).split([inner, 2 * n, 2 * n])
            value = torch.cat([x, b, f])
            getattr(swapped.conv, name).copy_(value.flip(-1) if name == "weight" else value)
        u = torch.randn(2, 13, 4, dtype=torch.float64)
        for form in hydra.forms:
            agree(swapped(u.flip(1), form=form), hydra(u, form=form).flip(1))
        assert (hydra(u.flip(1)) - hydra(u).flip(1)).abs().max() > 1e-3  # the swap was needed


@pytest.mark.parametrize("name", MIXERS)
def test_causal_mixers_do_not_see_the_future_and_the_others_do(name):
    torch.manual_seed(0)
    mixer = MIXERS[name]().double()
    u = torch.randn(1, 21, 16, dtype=torch.float64)
    later = u.clone()
    later[:, 13:] += 1.0
    for form in forms_of(mixer):
        change = (mixer(u, form=form) - mixer(later, form=form))[0].abs().amax(-1).detach()
        assert change[13:].min() > 1e-8
        if name in ("mamba", "mamba2", "gdn"):
            assert change[:13].max() < 1e-12
        else:
            assert change[:13].min() > 1e-10


@pytest.mark.parametrize("name", MIXERS)
def test_padding_never_changes_a_result(name, agree, run):
    torch.manual_seed(0)
    mixer = MIXERS[name]()
    u = torch.randn(1, 13, 16)
    for form in forms_of(mixer):
        alone, *grads = run(mixer, u, form=form)
        for before, after in ((0, 9), (5, 0), (3, 4)):
            garbage = torch.full((1, before + 13 + after, 16), float("nan"))
            garbage[:, before : before + 13] = u
            mask = torch.zeros(garbage.shape[:2], dtype=torch.bool)
            mask[:, before : before + 13] = True
            padded = mixer(garbage, mask, form=form).detach()
            agree(padded[:, before : before + 13], alone)
            assert (padded[~mask] == 0).all()
        # Gradients too: of the parameters, with the upstream gradient of the padded frames ignored.
        wide = torch.cat([u, torch.randn(1, 6, 16)], dim=1)
        mask = torch.arange(19)[None] < 13
        out = mixer(wide, mask, form=form)
        upstream = torch.randn(alone.shape, generator=torch.Generator().manual_seed(7))
        upstream = torch.cat([upstream, torch.ones(1, 6, 16)], dim=1)
        agree(list(torch.autograd.grad(out, list(mixer.parameters()), upstream)), grads[1:])


@pytest.mark.parametrize("name", MIXERS)
def test_batch_mates_never_change_a_result(name, agree):
    torch.manual_seed(0)
    mixer = MIXERS[name]()
    u = torch.randn(5, 17, 16)
    mask = torch.arange(17)[None] < torch.tensor([17, 3, 9, 1, 16])[:, None]
    together = mixer(u, mask).detach()
    for row in range(5):
        length = int(mask[row].sum())
        agree(together[row : row + 1, :length], mixer(u[row : row + 1, :length]).detach())


@pytest.mark.parametrize(
    ("make", "count"), [(Mamba, 116_480), (Mamba2, 117_388), (Hydra, 137_484), (GatedDeltaNet, 134_216)]
)
def test_published_parameter_counts(make, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in make(128).parameters()) == count


@pytest.mark.parametrize("name", MIXERS)
def test_decays_and_skips_are_marked_against_weight_decay(name):
    spared = {"A_log", "D", "dt_bias", "dt_proj.bias"}
    for parameter_name, parameter in MIXERS[name]().named_parameters():
        short = parameter_name.removeprefix("ahead.").removeprefix("behind.")
        assert getattr(parameter, "_no_weight_decay", False) == (short in spared), parameter_name


def test_initial_values():
    torch.manual_seed(0)
    mamba, mamba2, hydra, gdn = Mamba(512), Mamba2(1024, head_dim=1), Hydra(64), GatedDeltaNet(2048, heads=1024)
    assert torch.allclose(mamba.A_log.exp(), torch.arange(1.0, 17.0).expand(1024, 16))
    assert mamba.dt_proj.weight.abs().max() <= 32**-0.5
    assert mamba.dt_proj.weight.std().item() == pytest.approx(32**-0.5 / math.sqrt(3), rel=0.02)
    for bias in (mamba.dt_proj.bias, mamba2.dt_bias, gdn.dt_bias):
        step = F.softplus(bias)
        assert step.min() >= 0.999e-3
        assert step.max() <= 1.001e-1
        # Log-uniform: the mean logarithm is the middle of the range.
        assert step.log().mean().item() == pytest.approx(math.log(1e-2), abs=0.15)
    A = mamba2.A_log.exp()
    assert 1 <= A.min() < 1.2
    assert 15.8 < A.max() <= 16.001
    assert A.mean().item() == pytest.approx(8.5, abs=0.4)
    A = gdn.A_log.exp()
    assert 0 < A.min() < 0.2
    assert A.mean().item() == pytest.approx(8.0, abs=0.5)
    assert (hydra.A_log == 0).all()
    assert all((m.D == 1).all() for m in (mamba, mamba2, hydra))
    assert gdn.conv.bias is None
