"""Quantisers: one interface, exact round trips, the gradients they promise, and the two traps of SimVQ."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.metrics.codes import code_use
from auricle.nn.quantize import KINDS, VQ, EmaVQ, ResidualVQ, SimVQ, make_quantizer
from auricle.nn.quantize.codebook import k_means

K = 64


def built(kind, dim=6, stages=1, seed=0):
    torch.manual_seed(seed)
    return make_quantizer(kind, dim, K, stages=stages).eval()


@pytest.mark.parametrize("stages", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-3, 1.0, 30.0]), rows=st.integers(1, 40))
def test_decode_gives_the_forward_latent_to_the_bit(kind, stages, seed, scale, rows):
    quantizer = built(kind, stages=stages, seed=seed % 7)
    z = scale * torch.randn(2, rows, 6, generator=torch.Generator().manual_seed(seed))
    found = quantizer(z)
    assert found.latent.shape == z.shape
    assert found.indices.shape == (2, rows, stages) if stages > 1 else (2, rows)
    assert torch.equal(quantizer.decode(found.indices), found.latent)
    assert all(value.ndim == 0 and torch.isfinite(value) for value in found.losses.values())


@pytest.mark.parametrize("kind", ["simvq", "vq", "ema"])
def test_the_straight_through_gradient_is_the_identity(kind):
    z = torch.randn(50, 6, requires_grad=True)
    weight = torch.randn(50, 6)
    (built(kind)(z).latent * weight).sum().backward()
    assert torch.equal(z.grad, weight)


def test_rounding_passes_the_gradient_of_what_it_rounds():
    lfq = make_quantizer("lfq", 6, K)  # log2 64 = 6: no maps
    z = torch.randn(50, 6, requires_grad=True)
    (grad,) = torch.autograd.grad(lfq(z).latent.sum(), z)
    assert torch.equal(grad, torch.ones_like(z))
    fsq = make_quantizer("fsq", 2, K)  # 8 x 8
    z = torch.randn(50, 2, requires_grad=True)
    (grad,) = torch.autograd.grad(fsq(z).latent.sum(), z)
    (wanted,) = torch.autograd.grad((fsq.bound(z) / 4).sum(), z)
    assert torch.equal(grad, wanted)


def test_a_residual_stack_passes_one_gradient_and_leaves_less_behind():
    torch.manual_seed(0)
    z = torch.randn(400, 6, requires_grad=True)
    stack = ResidualVQ([VQ(6, K) for _ in range(3)])
    for index, stage in enumerate(stack.quantizers):
        with torch.no_grad():  # k-means-like tables: vectors of the residual itself
            left = z - sum((s.decode(s(z).indices) for s in stack.quantizers[:index]), torch.zeros_like(z))
            stage.codes.copy_(left[K * index : K * (index + 1)])
    (grad,) = torch.autograd.grad(stack(z).latent.sum(), z)
    assert torch.equal(grad, torch.ones_like(z))
    one, all_three = stack.quantizers[0](z).latent, stack(z).latent
    assert (z - all_three).square().mean() < (z - one).square().mean()


def test_the_nearest_code_is_taken():
    vq = built("vq")
    z = torch.randn(100, 6)
    assert torch.equal(vq(z).indices, torch.cdist(z.double(), vq.codes.double()).argmin(dim=1))


def test_simvq_trains_its_map_and_never_its_table():
    simvq = SimVQ(6, K)
    assert [name for name, _ in simvq.named_parameters()] == ["map.weight", "map.bias"]
    found = simvq(torch.randn(20, 6))
    sum(found.losses.values()).backward()
    assert simvq.frozen.grad is None
    assert simvq.map.weight.grad.abs().sum() > 0


def test_simvq_weighs_the_encoder_term_by_beta_and_decodes_from_the_mapped_table():
    simvq = SimVQ(4, 8, beta=0.25)
    z = torch.randn(30, 4, requires_grad=True)
    found = simvq(z)
    gap = (z - found.latent.detach()).square().mean()
    assert torch.isclose(found.losses["commit"], 0.25 * gap)
    assert torch.isclose(found.losses["codebook"], gap)
    (to_encoder,) = torch.autograd.grad(sum(found.losses.values()), z)
    assert torch.allclose(to_encoder, 0.25 * 2 * (z - found.latent).detach() / z.numel())
    index = torch.arange(8)
    assert torch.equal(simvq.decode(index), simvq.map(simvq.frozen))
    assert not torch.allclose(simvq.decode(index), simvq.frozen)


def test_ema_moves_codes_to_their_means_and_revives_dead_ones():
    torch.manual_seed(0)
    centres = torch.tensor([[5.0, 5.0], [-5.0, 5.0], [5.0, -5.0], [-5.0, -5.0]])
    ema = EmaVQ(2, 5, decay=0.5)
    ema.codes.copy_(torch.cat([0.2 * centres, torch.tensor([[99.0, 99.0]])]))
    ema.sums.copy_(ema.codes)
    ema.train()
    for _ in range(40):
        ema(centres[torch.randint(4, (64,))] + 0.1 * torch.randn(64, 2))
    ema.eval()
    assert (ema(centres).latent - centres).abs().max() < 0.3
    assert ema.codes.abs().max() < 6  # the far one lives among the data now
    before = ema.codes.clone()
    ema(torch.randn(10, 2))
    assert torch.equal(ema.codes, before)  # eval learns nothing
    assert not list(ema.parameters())


def test_training_with_ema_keeps_the_gradient_and_repeats():
    torch.manual_seed(0)
    ema = EmaVQ(3, 8).train()
    z = torch.randn(20, 3, requires_grad=True)
    ema(z).latent.sum().backward()
    assert torch.equal(z.grad, torch.ones_like(z))


@pytest.mark.parametrize("kind", ["simvq", "vq", "ema"])
@pytest.mark.parametrize("stages", [1, 2])
def test_a_table_begins_where_the_vectors_are(kind, stages):
    torch.manual_seed(0)
    z = 20 + torch.randn(2000, 6) @ torch.randn(6, 6) * 3
    fresh = make_quantizer(kind, 6, K, stages=stages).eval()
    before = code_use(fresh(z).indices[..., 0] if stages > 1 else fresh(z).indices, K)
    fresh.begin_with(z)
    found = fresh(z)
    after = code_use(found.indices[..., 0] if stages > 1 else found.indices, K)
    assert before.perplexity < 10 < 30 < after.perplexity
    assert (z - found.latent).square().mean() < 0.5 * z.var(dim=0).mean()


def test_simvq_begins_with_the_mean_and_covariance_of_the_vectors():
    torch.manual_seed(0)
    z = 5 + torch.randn(4000, 3) @ torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.1]])
    simvq = SimVQ(3, 4096)
    frozen = simvq.frozen.clone()
    simvq.begin_with(z)
    table = simvq.table().detach()
    assert torch.equal(simvq.frozen, frozen)
    assert torch.allclose(table.mean(dim=0), z.mean(dim=0), atol=0.15)
    assert torch.allclose(torch.cov(table.T), torch.cov(z.T), atol=0.35)
    with pytest.raises(DataError, match="at least two"):
        simvq.begin_with(z[:1])


@pytest.mark.parametrize("kind", ["simvq", "vq", "ema"])
def test_a_table_may_begin_with_the_centres_of_the_vectors(kind):
    torch.manual_seed(0)
    middles = 10 * torch.randn(8, 6)
    z = middles.repeat(50, 1) + 0.01 * torch.randn(400, 6)
    quantizer = make_quantizer(kind, 6, 64).eval()
    quantizer.begin_with(z, centres=True)
    assert (z - quantizer(z).latent).abs().max() < 0.1


def test_k_means_by_hand():
    points = torch.tensor([[0.0], [1.0], [10.0], [12.0]])
    assert torch.equal(k_means(points, torch.tensor([[0.0], [10.0], [99.0]])), torch.tensor([[0.5], [11.0], [99.0]]))


def test_lfq_entropy_is_low_for_sure_and_spread_codes():
    lfq = make_quantizer("lfq", 3, 8).train()
    corners = torch.tensor([[a, b, c] for a in (-1.0, 1.0) for b in (-1.0, 1.0) for c in (-1.0, 1.0)])
    spread = lfq(corners).losses["entropy"]
    assert spread == pytest.approx(-0.1 * math.log(8), abs=1e-4)
    assert lfq(corners[:1].expand(8, 3)).losses["entropy"] == pytest.approx(0.0, abs=1e-4)


def test_wrong_sizes_and_indices_are_refused():
    for call in (
        lambda: make_quantizer("tree", 4, 8),
        lambda: make_quantizer("lfq", 4, 10),
        lambda: make_quantizer("vq", 4, 1),
        lambda: make_quantizer("fsq", 4, 77),
        lambda: ResidualVQ([VQ(4, 8), VQ(4, 16)]),
        lambda: make_quantizer("fsq", 4, 8, levels=(8, 1)),
    ):
        with pytest.raises(ConfigError):
            call()
    for kind in KINDS:
        with pytest.raises(DataError, match="codes 0 to 63"):
            built(kind).decode(torch.tensor([0, 64]))
        with pytest.raises(DataError, match="wide"):
            built(kind)(torch.zeros(3, 5))
    with pytest.raises(DataError, match="stages"):
        built("vq", stages=2).decode(torch.zeros(3, 3, dtype=torch.long))


@given(st.lists(st.integers(0, 31), min_size=1, max_size=300))
def test_code_use_counts(indices):
    found = code_use(indices, 32)
    assert found.used == len(set(indices))
    assert 1 - 1e-9 <= found.perplexity <= min(32, len(indices)) + 1e-9
    assert found.possible <= min(32, len(indices)) + 1e-9


def test_code_use_by_hand():
    found = code_use([0, 0, 1, 1], 4)
    assert found.perplexity == pytest.approx(2.0)
    assert found.possible == pytest.approx(4 * (1 - 0.75**4))
    assert code_use(np.arange(4), 4).perplexity == pytest.approx(4.0)
    with pytest.raises(DataError):
        code_use([], 4)
    with pytest.raises(DataError):
        code_use([4], 4)


@pytest.mark.parametrize("stages", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("maps", [False, True])
def test_autocast_changes_no_code(kind, stages, maps):
    """Vectors that autocast made bfloat16 are quantised in float32, and decode gives the latent inside and outside."""
    inner = {"fsq": 2, "lfq": 6}.get(kind, 6)
    quantizer = built(kind, dim=inner + maps, stages=stages).train()
    z = torch.randn(300, inner + maps, generator=torch.Generator().manual_seed(1)).bfloat16().requires_grad_()
    state = {name: value.clone() for name, value in quantizer.state_dict().items()}
    torch.manual_seed(0)
    plain = quantizer(z.detach().float())
    after = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer.load_state_dict(state)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = quantizer(z)
        inside = quantizer.eval().decode(found.indices)
    assert torch.equal(found.indices, plain.indices)
    assert found.latent.dtype == torch.float32
    assert torch.equal(found.latent, plain.latent)
    assert torch.equal(inside, quantizer.decode(found.indices))
    for name, value in plain.losses.items():
        assert torch.equal(found.losses[name], value)
    for name, value in quantizer.state_dict().items():
        assert torch.equal(value, after[name])
        assert value.dtype == after[name].dtype
    (found.latent.sum() + sum(found.losses.values())).backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("kind", ["simvq", "vq", "ema"])
def test_a_table_begins_under_autocast_as_without(kind):
    z = torch.randn(200, 6).bfloat16()
    tables = []
    for cast in (False, True):
        quantizer = built(kind)
        for centres in (False, True):
            torch.manual_seed(1)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cast):
                quantizer.begin_with(z, centres)
            tables.append(quantizer.table().detach().clone())
    assert torch.equal(tables[0], tables[2])
    assert torch.equal(tables[1], tables[3])


def test_ema_counts_beyond_what_bfloat16_can():
    ema = EmaVQ(2, 2, decay=0.5, dead_below=0).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ema(torch.ones(1001, 2, dtype=torch.bfloat16))
    assert ema.counts.sum() == 0.5 * 2 + 0.5 * 1001  # bfloat16 knows 1000 and 1004


def test_running_means_in_bfloat16_are_refused():
    ema = EmaVQ(2, 4).to(torch.bfloat16)
    with pytest.raises(ConfigError, match="running means need float32"):
        ema.train()(torch.randn(5, 2).bfloat16())
    assert torch.isfinite(ema.eval()(torch.randn(5, 2).bfloat16()).latent).all()


@pytest.mark.parametrize("levels", [(2,), (8, 2), (2, 2, 2), (1, 5), ()])
def test_fsq_refuses_two_levels(levels):
    with pytest.raises(ConfigError, match="needs at least 3"):
        make_quantizer("fsq", 4, 64, levels=levels)


@pytest.mark.parametrize("levels", [(3,), (4,), (3, 4), (8, 5)])
def test_fsq_uses_all_of_its_levels_and_keeps_nothing_at_the_middle(levels):
    fsq = make_quantizer("fsq", len(levels), 64, levels=levels).eval()
    z = torch.cartesian_prod(*[torch.linspace(-6, 6, 400)] * len(levels)).reshape(-1, len(levels))
    found = fsq(z)
    assert torch.isfinite(found.latent).all()
    assert sorted(set(found.indices.tolist())) == list(range(math.prod(levels)))
    assert torch.equal(fsq(torch.zeros(1, len(levels))).latent, torch.zeros(1, len(levels)))


@pytest.mark.parametrize("kind", ["simvq", "vq", "fsq", "lfq"])
def test_shapes_are_known_on_the_meta_device(kind):
    with torch.device("meta"):
        quantizer = make_quantizer(kind, 5, K)
        found = quantizer(torch.zeros(2, 3, 5))
    assert (found.latent.shape, found.indices.shape) == ((2, 3, 5), (2, 3))


def test_released_simvq_names_give_the_mapped_table():
    draws = torch.Generator().manual_seed(5)
    shapes = {"embedding.weight": (12, 3), "embedding_proj.weight": (3, 3), "embedding_proj.bias": (3,)}
    state = {f"quantize.{name}": torch.randn(shape, generator=draws) for name, shape in shapes.items()}
    whole = {**state, "encoder.conv.weight": torch.zeros(1)}
    made = SimVQ.from_published(whole, prefix="quantize.").eval()
    weight, bias = state["quantize.embedding_proj.weight"], state["quantize.embedding_proj.bias"]
    codes = torch.stack([weight @ row + bias for row in state["quantize.embedding.weight"]])
    z = torch.randn(40, 3, generator=draws)
    nearest = [int(((codes - one) ** 2).sum(1).argmin()) for one in z]
    assert made(z).indices.tolist() == nearest
    assert torch.allclose(made.decode(torch.arange(12)), codes, atol=1e-6)

    def refused(match, prefix="quantize.", **changes):
        with pytest.raises(CheckpointError, match=match):
            SimVQ.from_published({**whole, **changes}, prefix=prefix)

    refused(r"missing: embedding\.weight.*unexpected: quantize\.embedding\.weight", prefix="")
    refused("unexpected: quantize.other", **{"quantize.other": torch.zeros(1)})
    refused(r"shapes \(12, 4\), \(3, 3\), \(3,\) are not", **{"quantize.embedding.weight": torch.zeros(12, 4)})
    with pytest.raises(CheckpointError, match=r"missing: quantize\.embedding_proj\.bias"):
        SimVQ.from_published({k: v for k, v in state.items() if not k.endswith("bias")}, prefix="quantize.")
