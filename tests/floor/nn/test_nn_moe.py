"""Router, experts and adapters: equal to the equations, blind to padding, with the published sizes."""

import math

import pytest
import torch
from torch import nn

from auricle.core.errors import ConfigError, DataError
from auricle.nn import native
from auricle.nn.moe import (
    ANY_GROUP,
    LAYOUTS,
    DenseAdapter,
    Experts,
    MoEAdapter,
    Router,
    ablated,
    budget,
    dense_like,
    loop_over_experts,
)

LAYOUT_SIZES = {
    "sequential": {"shared_hidden": 20, "inner": 10},
    "parallel": {"shared_hidden": 20},
    "most": {"shared_hidden": 20, "groups": 2},
    "linear": {"inner": 10},
}


def adapter(layout="parallel", form="auto", **changes):
    torch.manual_seed(1)
    settings = {"experts": 8, "top_k": 3, "hidden": 6, "form": form, **LAYOUT_SIZES[layout], **changes}
    return MoEAdapter(16, 12, layout, **settings)


def batch(dtype=torch.float32):
    torch.manual_seed(2)
    return torch.randn(3, 7, 16, dtype=dtype), torch.arange(7) < torch.tensor([[7], [3], [5]])


def groups(layout):
    return torch.tensor([0, 1, ANY_GROUP]) if layout == "most" else None


def test_gates_are_a_softmax_over_the_chosen():
    router = Router(2, 4, 2)
    with torch.no_grad():
        router.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [-1.0, -1.0]]))
    routing = router(torch.tensor([[1.0, 0.5]]))  # logits 1, 0.5, 2, -1.5
    odds = math.exp(1.0) / (math.exp(1.0) + math.exp(2.0))
    torch.testing.assert_close(routing.gates, torch.tensor([[odds, 0.0, 1 - odds, 0.0]]))
    assert routing.chosen.tolist() == [[True, False, True, False]]


def test_noise_only_while_training_and_by_the_seed():
    router, x = Router(4, 8, 2, noise=2.0), torch.randn(50, 4)
    torch.manual_seed(3)
    first, other = router(x), router(x)
    torch.manual_seed(3)
    assert torch.equal(router(x).gates, first.gates)
    assert not torch.equal(first.chosen, other.chosen)
    assert torch.equal(first.logits, other.logits)
    assert (first.noisy - first.logits).std().item() == pytest.approx(2.0, rel=0.2)
    router.eval()
    assert torch.equal(router(x).noisy, router(x).logits)


def test_capacity_keeps_first_choices_and_early_tokens():
    router = Router(1, 2, 1, capacity=1.0)
    with torch.no_grad():
        router.weight.copy_(torch.tensor([[1.0], [0.0]]))
    routing = router(torch.ones(4, 1))  # all four want expert 0, which has room for ceil(4 / 2)
    assert routing.kept.tolist() == [[True, False], [True, False], [False, False], [False, False]]
    assert routing.gates.sum(1).tolist() == [1.0, 1.0, 0.0, 0.0]
    assert bool(router.eval()(torch.ones(4, 1)).kept[:, 0].all())
    two = Router(1, 3, 2, capacity=0.75)  # room for ceil(0.75 * 4 * 2 / 3) = 2
    with torch.no_grad():
        two.weight.copy_(torch.tensor([[2.0], [1.0], [0.0]]))
    kept = two(torch.tensor([[1.0], [-1.0], [1.0], [1.0]])).kept  # token 1 ranks expert 2, then 1; the others 0, then 1
    assert kept.tolist() == [[True, True, False], [False, True, True], [True, False, False], [False, False, False]]


def test_experts_are_the_equation_with_gradients(agree):
    x, router = torch.randn(40, 16, dtype=torch.float64), Router(16, 8, 3).double()
    for form in ("grouped", "all", "auto"):
        torch.manual_seed(4)
        experts = Experts(16, 6, 12, 8, form).double()
        results = []
        for plain_loop in (False, True):
            given = x.clone().requires_grad_()
            routing = router(given)
            out = (
                loop_over_experts(given, experts.into, experts.back, routing.gates)
                if plain_loop
                else experts(given, routing)
            )
            upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(5), dtype=out.dtype)
            wanted = [given, router.weight, experts.into, experts.back]
            results.append([out.detach(), *torch.autograd.grad(out, wanted, upstream)])
        agree(*results)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_against_finite_differences(layout):
    model = adapter(layout, "grouped").double()
    (x, mask), names = batch(torch.float64), [name for name, _ in model.named_parameters()]

    def run(x, *weights):
        found = torch.func.functional_call(model, dict(zip(names, weights, strict=True)), (x, mask, groups(layout)))
        return found.frames, found.losses["balance"]

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), *model.parameters()), fast_mode=True)


@pytest.mark.parametrize(
    ("tokens", "dim", "hidden", "out"),
    [(1, 1, 1, 1), (7, 16, 4, 3), (13, 33, 17, 5), (300, 5, 70, 130), (26, 64, 96, 8)],
)
def test_the_loops_in_c_give_the_same(tokens, dim, hidden, out, agree, run):
    torch.manual_seed(0)
    experts, x = Experts(dim, hidden, out, 5, "grouped"), torch.randn(tokens, dim)
    routing = Router(dim, 5, 2)(x)
    compiled = run(experts, x, routing=routing)
    with torch.no_grad():
        agree(experts(x, routing), compiled[0])
        agree(experts(torch.stack([x, x], dim=-1)[..., 0], routing), compiled[0])  # with gaps between numbers
    with native.disabled():
        agree(run(experts, x, routing=routing), compiled)
        with torch.no_grad():
            agree(experts(x, routing), compiled[0])


def test_threads_change_nothing():
    torch.manual_seed(0)
    experts, router, x = Experts(128, 96, 80, 6, "grouped"), Router(128, 6, 3), torch.randn(90, 128)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with torch.no_grad():
                found.append(experts(x, router(x)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_an_expert_without_tokens_has_zero_gradients_and_one_token_works():
    experts, x = Experts(4, 3, 5, 4, "grouped"), torch.randn(1, 4)
    routing = Router(4, 4, 1)(x)
    experts(x, routing).sum().backward()
    for grad in (experts.into.grad, experts.back.grad):
        assert [bool(one.abs().max() > 0) for one in grad] == routing.chosen[0].tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("form", ["grouped", "all"])
def test_padding_and_batch_mates_change_nothing(layout, form, agree):
    model, (x, mask), group = adapter(layout, form).eval(), batch(), groups(layout)
    filled = x.masked_fill(~mask[..., None], float("nan"))
    whole = model(filled, mask, group)
    assert whole.routing.chosen.shape == (15, 8)
    assert not bool(whole.frames[~mask].any())
    for clip, frames in enumerate(mask.sum(1).tolist()):
        alone = model(x[clip : clip + 1, :frames], None, None if group is None else group[clip : clip + 1])
        agree(alone.frames[0], whole.frames[clip, :frames])
    other = model(x.masked_fill(~mask[..., None], 9.0), mask, group)
    assert torch.equal(other.losses["balance"], whole.losses["balance"])
    grad = torch.autograd.grad(whole.frames.sum() + whole.losses["balance"], model.experts.into)[0]
    assert bool(grad.isfinite().all())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_their_equations(layout, agree):
    model, (x, _), group = adapter(layout).eval(), batch(), groups(layout)
    u = model.norm_in(x).flatten(0, 1)
    routing = model.router(u, None if group is None else group[:, None].expand(3, 7).flatten())
    mixed = loop_over_experts(u, model.experts.into, model.experts.back, routing.gates)
    if layout == "linear":
        y = model.project(mixed)
    elif layout == "sequential":
        y = model.shared(nn.functional.layer_norm(mixed, mixed.shape[-1:]))
    else:
        y = mixed + model.shared(u)
    agree(model(x, None, group).frames, nn.functional.layer_norm(y, y.shape[-1:]).view(3, 7, 12))


def test_groups_keep_tokens_to_their_experts():
    model, (x, mask) = adapter("most"), batch()
    chosen = model(x, mask, groups("most")).routing.chosen
    assert not chosen[:7, 4:].any()
    assert not chosen[7:10, :4].any()
    assert chosen[10:, :4].any()
    assert chosen[10:, 4:].any()
    by_frame = groups("most")[:, None].expand(3, 7)
    assert torch.equal(model(x, mask, by_frame).routing.chosen, chosen)
    for wrong in (None, torch.tensor([0, 1, 2]), torch.tensor([0, 1])):
        with pytest.raises(DataError, match="group"):
            model(x, mask, wrong)


@pytest.mark.parametrize("form", ["grouped", "all"])
def test_bfloat16_autocast(form, agree):
    model, (x, mask) = adapter(form=form), batch()
    plain = model(x, mask)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(x, mask)
    assert half.frames.dtype == half.routing.logits.dtype == torch.float32
    assert torch.equal(half.routing.chosen, plain.routing.chosen)
    assert not torch.equal(half.frames, plain.frames)
    agree(half.frames, plain.frames, 3e-2)
    agree(
        torch.autograd.grad(half.frames.square().sum(), model.experts.into)[0],
        torch.autograd.grad(plain.frames.square().sum(), model.experts.into)[0],
        6e-2,
    )


@pytest.mark.parametrize("rms", [0.02, 1.0])
def test_output_starts_at_the_size_of_the_embeddings(rms):
    x, _ = batch()
    for model in (adapter(rms=rms), DenseAdapter(16, 12, 30, rms=rms), dense_like(adapter(rms=rms))):
        frames = model(1000 * x).frames
        torch.testing.assert_close(frames.square().mean(-1).sqrt(), torch.full((3, 7), rms), rtol=5e-3, atol=0.0)


def test_published_sizes():
    with torch.device("meta"):
        parallel = MoEAdapter(2560, 2048, "parallel", hidden=1280, shared_hidden=10_240)
        sequential = MoEAdapter(2048, 2048, "sequential", hidden=1280, inner=2560, shared_hidden=10_240)
        dense = DenseAdapter(2560, 2048, 20_480)

    def millions(model):
        return [round(count / 1e6, 2) for count in budget(model)[:2]]

    assert millions(dense) == [94.37, 94.37]
    assert millions(parallel) == millions(sequential) == [94.39, 70.80]
    assert parallel(torch.empty(2, 5, 2560, device="meta")).frames.shape == (2, 5, 2048)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_dense_baselines_have_the_same_size(layout):
    model = adapter(layout)
    every = sum(p.numel() for p in model.parameters())
    counted = budget(model)
    assert counted.total + counted.norms == every
    one = model.experts.into[0].numel() + model.experts.back[0].numel()
    assert counted.total - counted.active == 5 * one
    for match in ("total", "active"):
        dense = budget(dense_like(model, match))
        assert abs(dense.total - getattr(counted, match)) <= (16 + 12) / 2
    with pytest.raises(ConfigError, match="match"):
        dense_like(model, "half")


def test_ablation_silences_or_reroutes_and_comes_back():
    model, (x, mask) = adapter().eval(), batch()
    before = model(x, mask)
    top = int(before.routing.chosen.sum(0).argmax())
    with ablated(model, [top]):
        off = model(x, mask)
        gates = before.routing.gates.clone()
        gates[:, top] = 0
        assert torch.equal(off.routing.gates, gates)
        assert torch.equal(off.routing.chosen, before.routing.chosen)
    with ablated(model, [top], "reroute"):
        around = model(x, mask).routing
        assert not around.chosen[:, top].any()
        torch.testing.assert_close(around.gates.sum(1), torch.ones(15))
    assert torch.equal(model(x, mask).frames, before.frames)
    assert not torch.equal(off.frames, before.frames)
    with pytest.raises(RuntimeError, match="stop"), ablated(model, [0]):
        raise RuntimeError("stop")
    assert torch.equal(model(x, mask).frames, before.frames)


def test_without_a_gate_a_silenced_expert_gets_no_gradient():
    model, (x, mask) = adapter(form="grouped"), batch()
    with ablated(model, [2]):
        grad = torch.autograd.grad(model(x, mask).frames.square().sum(), model.experts.into)[0]
    assert grad[2].abs().max() == 0
    assert grad[[0, 1, 3]].abs().amax((1, 2)).min() > 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: adapter(top_k=9), "top_k 9"),
        (lambda: adapter("most", top_k=5), "top_k 5"),
        (lambda: adapter("most", groups=3), "3 groups"),
        (lambda: adapter(groups=2), "most"),
        (lambda: adapter(inner=4), "inner"),
        (lambda: adapter(shared_hidden=0), "shared_hidden"),
        (lambda: adapter("linear", shared_hidden=3), "shared_hidden"),
        (lambda: adapter(losses={"z": 1.0}), "no routing loss 'z'"),
        (lambda: adapter(losses={"load": 1.0}), "noise"),
        (lambda: adapter(losses={"balance": -1.0}), "0 or more"),
        (lambda: adapter(balance_shares="two"), "balance_shares"),
        (lambda: adapter(noise=-1.0), "noise"),
        (lambda: adapter(rms=0.0), "rms"),
        (lambda: adapter(form="fast"), "form"),
        (lambda: MoEAdapter(16, 12, "serial", hidden=3, shared_hidden=3), "layout"),
        (lambda: ablated(adapter(), [8]).__enter__(), "no expert 8"),
        (lambda: ablated(adapter(), range(6), "reroute").__enter__(), "2 experts would be left"),
        (lambda: ablated(nn.Linear(2, 2), [0]).__enter__(), "no router"),
        (lambda: ablated(adapter(), [0], "drop").__enter__(), "drop"),
    ],
)
def test_settings_that_cannot_be(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


def test_wrong_shapes_are_refused():
    model, (x, mask) = adapter(), batch()
    with pytest.raises(DataError, match="16"):
        model(x[..., :5], mask)
    with pytest.raises(DataError, match="mask"):
        model(x, mask.float())
    with pytest.raises(DataError, match="gates"):
        model.experts(torch.randn(3, 16), model(x, mask).routing)
