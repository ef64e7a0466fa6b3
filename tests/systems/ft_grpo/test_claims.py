"""The rules of the claims, on numbers made up for each outcome."""

from __future__ import annotations

import pytest

from auricle.claims.claim import Cell, Measured
from auricle.systems.ft_grpo.claims import CLAIMS, arms
from auricle.systems.ft_grpo.claims.arms import config, settings
from auricle.systems.ft_grpo.config import laptop
from tests.made_up import decided

BY_ID = {claim.id: claim for claim in CLAIMS}


@pytest.mark.parametrize(("gain", "verdict"), [(5.0, "confirmed"), (-5.0, "refuted"), (0.1, "not resolved")])
def test_c1_asks_for_a_gain_on_weak_artefacts(gain, verdict) -> None:
    base = {"weak_balanced_accuracy": 60.0, "test_balanced_accuracy": 80.0, "train_seconds": 60.0}
    assert (
        decided(BY_ID["C1"], {"grpo": {**base, "weak_balanced_accuracy": 60.0 + gain}, "sft": base}).verdict == verdict
    )


@pytest.mark.parametrize(("hits", "verdict"), [(20.0, "confirmed"), (60.0, "refuted")])
def test_c3_asks_for_reward_without_grounding(hits, verdict) -> None:
    own = {
        "reward_first": 0.5,
        "reward_last": 5.0,
        "entropy_first": 5.0,
        "entropy_last": 1.0,
        "hit_frequency": hits,
        "hit_time": hits,
        "majority_frequency": 30.0,
        "majority_time": 30.0,
        "distinct_texts": 0.01,
    }
    assert decided(BY_ID["C3"], {"vanilla": own, "cold_start": own}).verdict == verdict


@pytest.mark.parametrize(("gain", "verdict"), [(8.0, "confirmed"), (0.0, "refuted"), (1.9, "confirmed")])
def test_c4_refutes_a_gain_that_is_not_worth_having(gain, verdict) -> None:
    base = {"hit_frequency": 60.0, "hit_time": 50.0, "tags": 100.0, "test_balanced_accuracy": 80.0}
    base["zero_variance_first"] = 0.4
    with_tags = {**base, "hit_frequency": 60.0 + gain, "hit_time": 50.0 + gain}
    assert decided(BY_ID["C4"], {"tags": with_tags, "none": base}).verdict == verdict


@pytest.mark.parametrize(
    ("follows", "accuracy", "verdict"), [(9.0, 0.0, "confirmed"), (9.0, -9.0, "refuted"), (-9.0, 0.0, "refuted")]
)
def test_c8_asks_for_faithfulness_at_equal_accuracy(follows, accuracy, verdict) -> None:
    base = {"follows": 40.0, "test_balanced_accuracy": 80.0, "flips": 50.0, "hit_frequency": 60.0, "hit_time": 50.0}
    other = {**base, "follows": 40.0 + follows, "test_balanced_accuracy": 80.0 + accuracy}
    assert decided(BY_ID["C8"], {"ground": other, "tags": base}).verdict == verdict


def _c10(skewed: float, balanced: float):
    own = {
        "lead_test": 30.0,
        "lead_skewed": skewed,
        "balanced_lead_test": balanced - 50,
        "balanced_lead_skewed": balanced - 51,
        "test_accuracy": 80.0,
        "skewed_accuracy": skewed + 85,
        "test_balanced_accuracy": balanced,
        "skewed_balanced_accuracy": balanced - 1,
    }
    return decided(BY_ID["C10"], {"model": own})


@pytest.mark.parametrize(("skewed", "verdict"), [(-5.0, "confirmed"), (28.0, "refuted")])
def test_c10_asks_what_the_skew_takes(skewed, verdict) -> None:
    assert _c10(skewed, balanced=60.0).verdict == verdict


@pytest.mark.parametrize(("skewed", "verdict"), [(-5.0, "not resolved"), (28.0, "refuted")])
def test_c10_is_not_confirmed_where_its_rule_could_not_have_failed(skewed, verdict) -> None:
    """At 80 % balanced accuracy the model's own accuracy can rise by 14 points; a loss below 10 would take 25."""
    found = _c10(skewed, balanced=80.0)
    assert found.verdict == verdict
    assert any("could not have failed" in note for note in found.notes) == (verdict == "not resolved")


@pytest.mark.parametrize(("over", "verdict"), [(1.0, "confirmed"), (2.1, "not resolved"), (9.0, "refuted")])
def test_c3_asks_whether_hits_are_those_of_a_constant_place(over, verdict) -> None:
    own = {
        "reward_first": 0.5,
        "reward_last": 5.0,
        "entropy_first": 5.0,
        "entropy_last": 1.0,
        "hit_frequency": 30.0 + over,
        "hit_time": 20.0,
        "majority_frequency": 30.0,
        "majority_time": 30.0,
        "distinct_texts": 0.01,
    }
    spread = {0: -0.2, 1: 0.1, 2: 0.1}
    cells = {seed: {**own, "hit_frequency": own["hit_frequency"] + more} for seed, more in spread.items()}
    verdict_of = BY_ID["C3"].decide(Measured({"vanilla": cells, "cold_start": cells}, tuple(spread)))
    (band,) = (part for part in verdict_of.parts if part.name.startswith("band hits less"))
    assert band.verdict == verdict


def test_seeds_and_budgets(tmp_path) -> None:
    seeds = {name: len(claim.seeds("full")) for name, claim in BY_ID.items()}
    assert seeds == {"C1": 3, "C3": 3, "C4": 5, "C8": 5, "C10": 3}
    full = config("full", 3)
    assert (full.seed, full.data.seed) == (3, 0)
    assert full.model == laptop().model
    assert full.data.weak_strength[1] <= full.data.strength[0]  # C1's strengths are held out
    one, other = (Cell("tags", seed, "full", tmp_path, tmp_path) for seed in (1, 2))
    assert settings(one) != settings(other)


def test_a_training_is_named_by_what_differs_and_kept_apart_by_its_config(tmp_path, monkeypatch) -> None:
    """The name is part of the seeds: a setting that a later version adds must not change the draws."""
    folders = []
    monkeypatch.setattr(arms, "once", lambda path, make: folders.append(path.parent))
    for seed, more in ((0, ()), (1, ()), (0, ("train.grpo.structure=0",)), (0, ("train.grpo.accumulate=2",))):
        arms.trained(Cell("tags", seed, "quick", tmp_path, tmp_path), "grpo", "sft", *more)
    names = [folder.name for folder in folders]
    assert names[:3] == ["grpo-sft-0", "grpo-sft-1", "grpo-sft-0-train.grpo.structure=0"]
    assert len({folder.parent for folder in folders}) == 4
