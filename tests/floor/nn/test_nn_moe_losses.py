"""Balance, importance and load losses by hand; each of their settings moves the loss and the weights."""

import math

import pytest
import torch

from auricle.core.errors import ConfigError
from auricle.nn.moe import (
    MoEAdapter,
    Router,
    Routing,
    balance,
    clip_counts,
    importance,
    load,
    routing_log,
    routing_losses,
)


def routing_of(logits, top_k, noise=0.0, noisy=None):
    logits = torch.tensor(logits, dtype=torch.float64)
    noisy = logits if noisy is None else torch.tensor(noisy, dtype=torch.float64)
    chosen = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, noisy.topk(top_k).indices, True)
    gates = noisy.masked_fill(~chosen, float("-inf")).softmax(-1)
    return Routing(logits, noisy, chosen, chosen, gates, top_k, noise)


def test_uniform_routing_gives_one_and_collapse_gives_n_over_k():
    # eight tokens, each with another favourite and the three experts after it
    rows = [[3.0 if (expert - token) % 8 < 4 else 0.0 for expert in range(8)] for token in range(8)]
    assert balance(routing_of(rows, 4)).item() == pytest.approx(1.0)
    assert balance(routing_of(rows, 4), shares="k").item() == pytest.approx(4.0)
    collapsed = [[50.0] * 4 + [0.0] * 4] * 8
    assert balance(routing_of(collapsed, 4)).item() == pytest.approx(8 / 4)
    assert balance(routing_of(collapsed, 4), "chosen").item() == pytest.approx(8 / 4)
    assert importance(routing_of(rows, 4)).item() == pytest.approx(0.0, abs=1e-9)
    # sums 2, 2, 2, 2, 0, 0, 0, 0: mean 1, variance 1
    assert importance(routing_of(collapsed, 4)).item() == pytest.approx(1.0)


def test_balance_by_hand():
    routing = routing_of([[math.log(3.0), 0.0], [math.log(3.0), 0.0], [0.0, math.log(3.0)]], 1)
    # f = 2/3, 1/3; P = (0.75 + 0.75 + 0.25) / 3, (0.25 + 0.25 + 0.75) / 3
    assert balance(routing).item() == pytest.approx(2 * (2 / 3 * 1.75 / 3 + 1 / 3 * 1.25 / 3))
    assert balance(routing, "chosen").item() == pytest.approx(2 * (4 / 9 + 1 / 9))


def test_load_is_the_chance_of_being_chosen_again():
    logits, noisy = [[1.0, 0.2, 0.0]], [[1.3, 0.1, 0.4]]
    # top 1 is expert 0: its threshold is the best of the others (0.4), that of the others is 1.3
    expected = [0.5 * math.erfc(-(one - at) / 0.5 / math.sqrt(2)) for one, at in ((1.0, 0.4), (0.2, 1.3), (0.0, 1.3))]
    mean = sum(expected) / 3
    variance = sum((one - mean) ** 2 for one in expected) / 3
    assert load(routing_of(logits, 1, 0.5, noisy)).item() == pytest.approx(variance / mean**2)


def test_load_counts_what_noise_would_choose():
    torch.manual_seed(0)
    x, router = torch.randn(1, 4), Router(4, 6, 2, noise=0.7)
    drawn = torch.stack([router(x).chosen[0] for _ in range(4000)]).double().mean(0)
    # the mean over draws of Phi((logit - threshold) / sigma) is the chance of being chosen
    chances = []
    for _ in range(4000):
        routing = router(x)
        best = routing.noisy.topk(3).values
        threshold = torch.where(routing.chosen, best[:, 2:], best[:, 1:2])
        chances.append(torch.special.ndtr((routing.logits - threshold) / 0.7)[0])
    torch.testing.assert_close(torch.stack(chances).mean(0).double(), drawn, atol=0.03, rtol=0.0)


def test_importance_and_load_are_not_the_same():
    # expert 0 and 1 get a token each, but expert 0 shares nothing
    logits = [[4.0, 0.0, -9.0], [-9.0, 0.0, 0.1]]
    routing = routing_of(logits, 2, 0.1)
    assert importance(routing).item() != pytest.approx(load(routing).item(), rel=0.1)


def test_load_without_noise_or_choice_is_refused():
    with pytest.raises(ConfigError, match="noise"):
        load(routing_of([[1.0, 0.0]], 1))
    with pytest.raises(ConfigError, match="all experts"):
        load(routing_of([[1.0, 0.0]], 2, 0.5))


def adapted(**settings):
    torch.manual_seed(0)
    options = {"experts": 6, "top_k": 2, "hidden": 5, "shared_hidden": 7, "noise": 0.5, **settings}
    model = MoEAdapter(8, 6, "parallel", **options)
    torch.manual_seed(1)
    found = model(torch.randn(2, 9, 8))
    total = sum(found.losses.values(), torch.zeros(()))
    grad = torch.autograd.grad(total, model.router.weight)[0] if total.requires_grad else torch.zeros(6, 8)
    return found.losses, total.item(), grad


BASE = {"losses": {"balance": 0.01, "importance": 0.01, "load": 0.01}}


@pytest.mark.parametrize(
    "change",
    [
        {"losses": BASE["losses"] | {"balance": 0.02}},
        {"losses": BASE["losses"] | {"importance": 0.02}},
        {"losses": BASE["losses"] | {"load": 0.02}},
        {"losses": BASE["losses"] | {"balance": 0.0}},
        {"losses": BASE["losses"] | {"importance": 0.0}},
        {"losses": BASE["losses"] | {"load": 0.0}},
        {"balance_probabilities": "chosen"},
        {"balance_shares": "k"},
        {"noise": 0.3},
        {"capacity": 0.5},
    ],
)
def test_every_setting_changes_the_loss_and_its_gradient(change):
    _, before, grad_before = adapted(**BASE)
    _, after, grad_after = adapted(**BASE | change)
    assert abs(before - after) > 1e-5
    assert (grad_before - grad_after).abs().max() > 1e-6


def test_losses_stand_under_their_names():
    losses, total, _ = adapted(**BASE)
    assert list(losses) == ["balance", "importance", "load"]
    assert total == pytest.approx(sum(loss.item() for loss in losses.values()))
    assert list(adapted(losses={"balance": 0.1, "load": 0.0})[0]) == ["balance"]
    assert adapted(losses={})[0] == {}
    assert list(adapted()[0]) == ["balance"]


@pytest.mark.parametrize("name", ["balance", "importance", "load"])
def test_each_loss_spreads_the_tokens(name):
    torch.manual_seed(0)
    router, x = Router(8, 6, 2, noise=0.5), torch.randn(200, 8) + 1.0
    with torch.no_grad():
        router.weight[:2] += 1.0  # two favourites
    first = routing_log(router(x))
    optimiser = torch.optim.SGD(router.parameters(), 0.3)
    for _ in range(60):
        optimiser.zero_grad()
        sum(routing_losses(router(x), {name: 1.0}).values()).backward()
        optimiser.step()
    after = routing_log(router(x))
    if name == "importance":  # it evens the gates of the chosen out, and cannot reach the others
        assert after["importance"] < first["importance"] - 0.1
    else:
        assert after["usage_entropy"] > first["usage_entropy"] + 0.3


def test_log_by_hand():
    rows = [[50.0] * 2 + [0.0] * 2] * 4
    found = routing_log(routing_of(rows, 2))
    assert found["dead_experts"] == 2.0
    assert found["dropped"] == 0.0
    assert found["router_entropy"] == pytest.approx(math.log(2))
    assert found["usage_entropy"] == pytest.approx(math.log(2))
    assert [found[f"usage_{expert}"] for expert in range(4)] == [1.0, 1.0, 0.0, 0.0]
    assert found["balance"] == pytest.approx(2.0)
    assert found["importance"] == pytest.approx(1.0)
    assert "load" not in found
    assert routing_log(routing_of(rows, 2, 0.5))["load"] == pytest.approx(1.0)


def test_log_counts_what_was_dropped():
    router = Router(1, 2, 1, capacity=1.0)
    with torch.no_grad():
        router.weight.copy_(torch.tensor([[1.0], [0.0]]))
    assert routing_log(router(torch.ones(4, 1)))["dropped"] == pytest.approx(0.5)


def test_clips_are_counted_apart():
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    routing = routing_of([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], 1)
    assert clip_counts(routing, mask).tolist() == [[2, 0], [0, 1], [0, 0]]
