"""Inner products of gradients by part, and influence, on models whose gradients are known."""

import numpy as np
import pytest
import torch
from torch import nn

from auricle.core.errors import ConfigError, DataError
from auricle.nn.moe import MoEAdapter
from auricle.train.gradients import expert_parts, gradient_products, influence


class Point(nn.Module):
    """Two weights and their squared distance to targets."""

    def __init__(self):
        super().__init__()
        self.at = nn.Parameter(torch.tensor([0.0, 0.0]))
        self.unused = nn.Parameter(torch.ones(3))

    def loss(self, target):
        return (self.at - torch.tensor(target)).square().sum() / 2


def test_products_by_hand():
    model = Point()
    model.at.grad = torch.tensor([5.0, 5.0])
    found = gradient_products(model, model.loss, [(1.0, 0.0), (1.0, 2.0), (-3.0, 0.0)])
    # the gradients are the targets, negative
    np.testing.assert_allclose(found["all"], [[1, 1, -3], [1, 5, -3], [-3, -3, 9]])
    assert model.at.grad.tolist() == [5.0, 5.0]
    assert model.unused.grad is None
    parts = {"second": lambda gradients: [gradients["at"][1:]]}
    np.testing.assert_allclose(
        gradient_products(model, model.loss, [(1.0, 0.0), (1.0, 2.0)], parts)["second"], [[0, 0], [0, 4]]
    )


def test_products_of_many_weights_are_those_of_float64():
    torch.manual_seed(0)
    model, rows = nn.Linear(1_100_000, 1, bias=False), torch.randn(3, 1_100_000)
    found = gradient_products(model, lambda row: model(row).sum(), rows)["all"]
    np.testing.assert_allclose(found, (rows.double() @ rows.double().T).numpy(), rtol=1e-10)


def test_parts_of_a_model_with_experts_add_up():
    torch.manual_seed(0)
    model = nn.Sequential(MoEAdapter(8, 6, "parallel", experts=4, top_k=2, hidden=5, shared_hidden=7))
    found = gradient_products(
        model, lambda x: model(x).frames.pow(3).mean(), torch.randn(5, 2, 9, 8), expert_parts(model[0])
    )
    assert not found["router"].any()  # the names are those of another model
    found = gradient_products(
        model, lambda x: model(x).frames.pow(3).mean(), torch.randn(5, 2, 9, 8), expert_parts(model)
    )
    assert list(found) == ["all", "router", "experts", "expert 0", "expert 1", "expert 2", "expert 3", "rest"]
    np.testing.assert_allclose(sum(found[f"expert {number}"] for number in range(4)), found["experts"])
    np.testing.assert_allclose(found["router"] + found["experts"] + found["rest"], found["all"])
    assert min(abs(table).max() for table in found.values()) > 0


def test_an_expert_that_a_batch_does_not_use_counts_as_zero():
    torch.manual_seed(0)
    model = MoEAdapter(8, 6, "most", experts=4, top_k=2, groups=2, hidden=5, shared_hidden=7, losses={})
    batches = [(torch.randn(2, 9, 8), torch.tensor([group, group])) for group in (0, 1)]
    found = gradient_products(
        model, lambda batch: model(batch[0], None, batch[1]).frames.pow(3).mean(), batches, expert_parts(model)
    )
    assert found["expert 0"][0, 0] > 0
    assert found["expert 0"][1, 1] == found["expert 3"][0, 0] == found["experts"][0, 1] == 0


def test_influence_by_hand():
    model = Point()
    targets = {"a": (1.0, 0.0), "b": (-2.0, 0.0), "c": (0.0, 1.0)}
    found = influence(model, {name: lambda at=at: model.loss(at) for name, at in targets.items()}, 0.01)
    assert found.domains == ("a", "b", "c")
    for i, one in enumerate(targets.values()):
        moved = 0.01 * np.array(one)
        falls = [
            0.5 * np.sum(np.square(at)) - 0.5 * np.sum(np.square(moved - at)) for at in map(np.array, targets.values())
        ]
        assert found.fall[i] == pytest.approx(falls[i], rel=1e-4)
        np.testing.assert_allclose(found.matrix[i], np.array(falls) / falls[i], rtol=1e-4, atol=1e-4)
    assert found.matrix[0, 1] < -1.9
    assert found.matrix[0, 2] == pytest.approx(0.0, abs=0.01)


def test_influence_of_small_steps_is_the_gradients():
    torch.manual_seed(0)
    model = MoEAdapter(8, 6, "linear", experts=4, top_k=2, hidden=5, inner=6).double()
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    losses = {name: lambda x=x: model(x).frames.pow(3).mean() for name, x in zip("ab", x, strict=True)}
    before = [weight.detach().clone() for weight in model.parameters()]
    found = influence(model, losses, 1e-6)
    products = gradient_products(model, lambda name: losses[name](), "ab")["all"]
    np.testing.assert_allclose(found.matrix, products / np.diag(products)[:, None], rtol=1e-4)
    assert all(torch.equal(now, old) for now, old in zip(model.parameters(), before, strict=True))


def test_what_has_no_gradient_is_refused():
    model = Point()
    with pytest.raises(DataError, match="gradient"):
        gradient_products(model, lambda batch: torch.tensor(1.0), [0])
    with pytest.raises(DataError, match="finite"):
        gradient_products(model, lambda batch: model.loss(batch) / 0, [(1.0, 1.0)])
    with pytest.raises(DataError, match="no batches"):
        gradient_products(model, model.loss, [])
    with pytest.raises(ConfigError, match="trainable"):
        gradient_products(nn.Identity(), model.loss, [(1.0, 1.0)])
    with pytest.raises(ConfigError, match="no router"):
        expert_parts(model)
    with pytest.raises(DataError, match="two or more domains"):
        influence(model, {"a": lambda: model.loss((1.0, 0.0))}, 0.1)
    both = {"a": lambda: model.loss((1.0, 0.0)), "b": lambda: model.loss((0.0, 1.0))}
    with pytest.raises(DataError, match="smaller"):
        influence(model, both, 3.0)
    with pytest.raises(ConfigError, match="above 0"):
        influence(model, both, 0.0)
    assert model.at.tolist() == [0.0, 0.0]
