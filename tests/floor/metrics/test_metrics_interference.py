"""Gradient cosines with intervals and nulls, on gradients whose truth is known."""

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.metrics.interference import gradient_cosines, zero_padded

DOMAINS = ["a"] * 20 + ["b"] * 20


def gradients(cosine, noise, seed=0, size=200, batches=20):
    """Draw gradients of two domains whose means have the length 1 and a given cosine."""
    draw = np.random.default_rng(seed)
    first, second = np.zeros(size), np.zeros(size)
    first[0], second[0], second[1] = 1.0, cosine, np.sqrt(1 - cosine**2)
    rows = np.concatenate([np.tile(first, (batches, 1)), np.tile(second, (batches, 1))])
    return rows + noise * draw.normal(size=rows.shape) / np.sqrt(size)


def compare(rows, domains=DOMAINS, n=200):
    return next(iter(gradient_cosines(rows @ rows.T, domains, seed=0, n=n).values()))


@pytest.mark.parametrize("cosine", [-0.5, 0.0, 0.8])
def test_without_noise_the_cosine_is_exact(cosine):
    found = compare(gradients(cosine, 0.0), n=20)
    assert found.value == pytest.approx(cosine)
    assert found.ci95 == pytest.approx((cosine, cosine))
    assert found.at_half == pytest.approx(cosine)
    assert found.halves == pytest.approx(1.0)
    assert found.batches == (20, 20)


def test_it_is_the_cosine_of_the_means():
    rows = gradients(0.3, 2.0)
    a, b = rows[:20].mean(0), rows[20:].mean(0)
    assert compare(rows, n=5).value == pytest.approx(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_conflict_is_beyond_both_nulls():
    found = compare(gradients(-0.6, 1.0))
    assert found.ci95[1] < 0
    assert found.value < found.shuffled95[0]
    assert found.at_half < found.halves95[0]
    assert found.p < 0.02


def test_domains_that_are_one_lie_within_the_nulls():
    found = [compare(gradients(1.0, 3.0, seed), n=99) for seed in range(40)]
    assert np.mean([one.p < 0.05 for one in found]) < 0.15
    assert np.mean([one.shuffled95[0] <= one.value <= one.shuffled95[1] for one in found]) > 0.85
    assert np.mean([one.at_half - one.halves for one in found]) == pytest.approx(0.0, abs=0.02)


def test_noise_alone_pulls_the_halves_towards_zero():
    quiet, loud = (compare(gradients(1.0, noise)) for noise in (0.5, 20.0))
    assert quiet.halves > 0.9
    assert loud.halves < 0.5


def test_intervals_hold_the_truth_nineteen_times_of_twenty():
    hits = [
        low <= 0.4 <= high
        for low, high in (compare(gradients(0.4, 1.0, seed, size=20), n=1).ci95 for seed in range(200))
    ]
    assert 0.88 <= np.mean(hits) <= 1.0
    widths = [high - low for low, high in (compare(gradients(0.4, 1.0, seed), n=1).ci95 for seed in range(5))]
    assert max(widths) < 0.4


def test_order_and_seed():
    rows = gradients(0.1, 2.0)
    mixed = np.random.default_rng(3).permutation(40)
    one, other = compare(rows), compare(rows[mixed], [DOMAINS[i] for i in mixed])
    assert one == compare(rows)
    assert other.value == pytest.approx(one.value)
    assert other.ci95 == pytest.approx(one.ci95)


def test_every_pair_of_domains():
    rows = gradients(0.2, 1.0, batches=20)
    found = gradient_cosines(rows @ rows.T, ["a"] * 10 + ["c"] * 10 + ["b"] * 20, seed=0, n=20)
    assert list(found) == [("a", "c"), ("a", "b"), ("c", "b")]
    assert found["a", "c"].value > 0.8


def test_a_domain_without_gradient_has_no_cosine():
    rows = gradients(0.2, 1.0)
    rows[:20] = 0
    found = compare(rows, n=20)
    assert np.isnan([found.value, *found.ci95, found.p]).all()


def test_disjoint_experts_are_at_right_angles_by_construction():
    draw = np.random.default_rng(0)
    per_expert = {expert: np.abs(draw.normal(size=(40, 30))) + 1 for expert in range(4)}
    products = {expert: rows @ rows.T for expert, rows in per_expert.items()}
    both = zero_padded(products, DOMAINS, {"a": range(4), "b": range(4)})
    np.testing.assert_allclose(both, sum(products.values()))
    apart = zero_padded(products, DOMAINS, {"a": [0, 1], "b": [2, 3]})
    assert gradient_cosines(both, DOMAINS, seed=0, n=5)["a", "b"].value > 0.9
    assert gradient_cosines(apart, DOMAINS, seed=0, n=5)["a", "b"].value == 0.0
    shared = np.ones((40, 40)) * 1000
    with_rest = zero_padded(products, DOMAINS, {"a": [0, 1], "b": [2, 3]}, rest=shared)
    np.testing.assert_allclose(with_rest - apart, shared)
    # one expert in common: only its products are left between the domains
    common = zero_padded(products, DOMAINS, {"a": [0, 1], "b": [1, 3]})
    np.testing.assert_allclose(common[:20, 20:], products[1][:20, 20:])


@pytest.mark.parametrize(
    ("products", "domains", "said"),
    [
        (np.eye(3), ["a"] * 4, "shape"),
        (np.full((8, 8), np.nan), ["a"] * 4 + ["b"] * 4, "finite"),
        (np.eye(8), ["a"] * 8, "two or more domains"),
        (np.eye(7), ["a"] * 4 + ["b"] * 3, "four batches"),
    ],
)
def test_what_cannot_be_compared_is_refused(products, domains, said):
    with pytest.raises(DataError, match=said):
        gradient_cosines(products, domains, seed=0)


def test_unknown_domains_and_experts_are_refused():
    with pytest.raises(DataError, match="'b'"):
        zero_padded({0: np.eye(40)}, DOMAINS, {"a": [0]})
    with pytest.raises(DataError, match="expert 5"):
        zero_padded({0: np.eye(40)}, DOMAINS, {"a": [0], "b": [5]})
