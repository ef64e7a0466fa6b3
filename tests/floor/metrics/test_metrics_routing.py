"""Routing histograms and mutual information with its permutation null, against known values."""

import math

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.metrics.routing import mutual_information, routing_histogram

DOMAINS = ["speech"] * 10 + ["music"] * 10


def test_histogram_by_domain():
    found = routing_histogram([[3, 1, 0], [1, 3, 0], [0, 0, 4]], ["a", "a", "b"])
    assert list(found) == ["a", "b"]
    np.testing.assert_allclose(found["a"], [0.5, 0.5, 0.0])
    np.testing.assert_allclose(found["b"], [0.0, 0.0, 1.0])


def test_experts_that_give_the_domain_away():
    found = mutual_information([[5, 0]] * 10 + [[0, 5]] * 10, DOMAINS, seed=0, n=200)
    assert found.nats == pytest.approx(math.log(2))
    assert found.share == pytest.approx(1.0)
    assert found.p == pytest.approx(1 / 201)
    assert found.excess == pytest.approx(found.nats - found.null_mean)


def test_information_by_hand():
    # p(domain, expert) = 3/8, 1/8 and 1/8, 3/8
    found = mutual_information([[3, 1]] * 10 + [[1, 3]] * 10, DOMAINS, seed=0, n=50)
    expected = 0.75 * math.log(0.375 / 0.25) + 0.25 * math.log(0.125 / 0.25)
    assert found.nats == pytest.approx(expected)
    assert found.share == pytest.approx(expected / math.log(2))


def test_alike_domains_have_none():
    found = mutual_information([[4, 2]] * 20, DOMAINS, seed=0, n=50)
    assert found.nats == pytest.approx(0.0, abs=1e-12)
    assert found.p == 1.0


def test_clips_are_permuted_and_not_tokens():
    """Clips that each have a favourite at random look informative over tokens, and are not."""
    ps = []
    for seed in range(60):
        favourite = np.random.default_rng(seed).integers(0, 4, 20)
        counts = 100 * np.eye(4)[favourite] + 1
        ps.append(mutual_information(counts, DOMAINS, seed=seed, n=99).p)
    assert np.mean(np.array(ps) <= 0.05) < 0.15
    assert 0.3 < np.mean(ps) < 0.75


def test_the_seed_decides():
    counts = np.random.default_rng(0).integers(0, 9, (20, 4))
    one = mutual_information(counts, DOMAINS, seed=1, n=50)
    assert one == mutual_information(counts, DOMAINS, seed=1, n=50)
    assert one.null_mean != mutual_information(counts, DOMAINS, seed=2, n=50).null_mean


@pytest.mark.parametrize(
    ("counts", "domains", "said"),
    [
        ([[1, 2]], ["a", "b"], "shape"),
        ([1, 2], ["a", "b"], "shape"),
        ([[1, -1], [1, 1]], ["a", "b"], "0 or more"),
        ([[1, 2], [1, 1]], ["a", "a"], "two or more domains"),
        ([[0, 0], [0, 0]], ["a", "b"], "no token"),
    ],
)
def test_what_cannot_be_counted_is_refused(counts, domains, said):
    with pytest.raises(DataError, match=said):
        mutual_information(counts, domains, seed=0)


def test_a_domain_without_tokens_has_no_histogram():
    with pytest.raises(DataError, match="'b'"):
        routing_histogram([[1, 2], [0, 0]], ["a", "b"])
