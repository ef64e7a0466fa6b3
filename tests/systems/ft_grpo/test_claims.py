"""The rules of the claims, on numbers made up for each outcome."""

from __future__ import annotations

import pytest

from auricle.systems.ft_grpo.arms import config, settings_of
from auricle.systems.ft_grpo.claims import claims
from auricle.systems.ft_grpo.config import laptop
from tests.made_up import decided


@pytest.fixture
def by_id(tmp_path):
    return {claim.id: claim for claim in claims(tmp_path)}


@pytest.mark.parametrize(("gain", "verdict"), [(5.0, "confirmed"), (-5.0, "refuted"), (0.1, "not resolved")])
def test_c1_asks_for_a_gain_on_weak_artefacts(by_id, gain, verdict) -> None:
    base = {"weak_balanced_accuracy": 60.0, "test_balanced_accuracy": 80.0, "train_seconds": 60.0}
    better = {**base, "weak_balanced_accuracy": 60.0 + gain}
    assert decided(by_id["C1"], {"grpo": better, "sft": base}).verdict == verdict


@pytest.mark.parametrize(("hits", "verdict"), [(20.0, "confirmed"), (60.0, "refuted")])
def test_c3_asks_for_reward_without_grounding(by_id, hits, verdict) -> None:
    own = {
        "reward_first": 0.5, "reward_last": 5.0, "entropy_first": 5.0, "entropy_last": 1.0, "hit_frequency": hits,
        "hit_time": hits, "majority_frequency": 30.0, "majority_time": 30.0, "distinct_texts": 0.01,
    }  # fmt: skip
    assert decided(by_id["C3"], {"vanilla": own, "cold_start": own}).verdict == verdict


@pytest.mark.parametrize(("gain", "verdict"), [(8.0, "confirmed"), (0.0, "refuted"), (1.9, "confirmed")])
def test_c4_refutes_a_gain_that_is_not_worth_having(by_id, gain, verdict) -> None:
    base = {"hit_frequency": 60.0, "hit_time": 50.0, "tags": 100.0, "test_balanced_accuracy": 80.0}
    base["zero_variance_first"] = 0.4
    with_tags = {**base, "hit_frequency": 60.0 + gain, "hit_time": 50.0 + gain}
    assert decided(by_id["C4"], {"tags": with_tags, "none": base}).verdict == verdict


@pytest.mark.parametrize(
    ("follows", "accuracy", "verdict"), [(9.0, 0.0, "confirmed"), (9.0, -9.0, "refuted"), (-9.0, 0.0, "refuted")]
)
def test_c8_asks_for_faithfulness_at_equal_accuracy(by_id, follows, accuracy, verdict) -> None:
    base = {"follows": 40.0, "test_balanced_accuracy": 80.0, "flips": 50.0, "hit_frequency": 60.0, "hit_time": 50.0}
    other = {**base, "follows": 40.0 + follows, "test_balanced_accuracy": 80.0 + accuracy}
    assert decided(by_id["C8"], {"ground": other, "tags": base}).verdict == verdict


@pytest.mark.parametrize(("skewed", "verdict"), [(-5.0, "confirmed"), (28.0, "refuted")])
def test_c10_asks_what_the_skew_takes(by_id, skewed, verdict) -> None:
    own = {
        "lead_test": 30.0, "lead_skewed": skewed, "balanced_lead_test": 30.0, "balanced_lead_skewed": 29.0,
        "test_accuracy": 80.0, "skewed_accuracy": 80.0, "test_balanced_accuracy": 80.0,
        "skewed_balanced_accuracy": 79.0,
    }  # fmt: skip
    assert decided(by_id["C10"], {"model": own}).verdict == verdict


def test_seeds_and_budgets(by_id) -> None:
    assert {name: claim.seeds_full for name, claim in by_id.items()} == {"C1": 3, "C3": 3, "C4": 5, "C8": 5, "C10": 3}
    full = config("full", 3)
    assert (full.seed, full.data.seed) == (3, 0)
    assert full.model == laptop().model
    assert full.data.weak_strength[1] <= full.data.strength[0]  # C1's strengths are held out
    assert settings_of("tags", 1, "full") != settings_of("tags", 2, "full")
