"""Strict verdicts and grounding, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from auricle.core.errors import ConfigError, DataError
from auricle.metrics.bootstrap import weighted_bootstrap
from auricle.metrics.evidence import Finding, best_constant, diversity, grounding, share, verdicts

TRUTH = ["real", "real", "fake", "fake", "fake"]
SAID = ["real", None, "fake", "real", None]


def test_verdicts_by_hand():
    found = {name: one.value for name, one in verdicts(SAID, TRUTH, n=100, seed=0).items()}
    assert found == pytest.approx(
        {
            "accuracy": 2 / 5,
            "recall_real": 1 / 2,
            "recall_fake": 1 / 3,
            "balanced_accuracy": 5 / 12,
            # real: 1 right of 2 said and 2 true; fake: 1 right of 1 said and 3 true
            "macro_f1": (2 / 4 + 2 / 4) / 2,
            "parse_failure_rate": 2 / 5,
        }
    )
    sizes = {name: one.n for name, one in verdicts(SAID, TRUTH, n=100, seed=0).items()}
    assert (sizes["accuracy"], sizes["recall_real"], sizes["recall_fake"]) == (5, 2, 3)


def test_verdicts_are_sklearns_where_all_is_read():
    rng = np.random.default_rng(0)
    truth = rng.choice(["real", "fake"], 200, p=[0.15, 0.85]).tolist()
    said = rng.choice(["real", "fake"], 200).tolist()
    found = verdicts(said, truth, n=100, seed=0)
    assert found["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(truth, said))
    assert found["macro_f1"].value == pytest.approx(f1_score(truth, said, average="macro"))


def test_an_unread_answer_never_helps():
    """The released scorer leaves unread rows out; here they are wrong, so silence cannot raise a score."""
    truth = ["real", "fake"] * 20
    said = ["real", "real"] * 20
    silent = ["real", None] * 20
    with_words, without = verdicts(said, truth, n=100, seed=0), verdicts(silent, truth, n=100, seed=0)
    assert without["accuracy"].value == with_words["accuracy"].value == 0.5
    assert without["parse_failure_rate"].value == 0.5


def test_a_constant_answer_has_the_accuracy_of_its_class_and_no_balance():
    truth = ["fake"] * 85 + ["real"] * 15
    found = verdicts(["fake"] * 100, truth, n=100, seed=0)
    assert found["accuracy"].value == pytest.approx(0.85)
    assert found["balanced_accuracy"].value == 0.5
    assert found["macro_f1"].value == pytest.approx(2 * 85 / 185 / 2)


@pytest.mark.parametrize(
    ("said", "truth"),
    [(["real"], ["real"]), (["real"], ["real", "fake"]), (["spoof", "real"], ["real", "fake"]), ([], [])],
)
def test_verdicts_refuse_what_does_not_fit(said, truth):
    with pytest.raises(DataError, match="give one answer a clip"):
        verdicts(said, truth, n=100, seed=0)


NONE = Finding("none")
TRUE = [Finding("click", 1), Finding("click", 5), Finding("gain", 7), NONE, NONE, Finding(None)]
CLAIMED = [
    Finding("click", 1),
    Finding("gain", 4),
    Finding(None),
    Finding("gain", 0),
    Finding(None),
    Finding("click", 2),
]


def test_grounding_by_hand():
    found = grounding(CLAIMED, TRUE, (1, 6), n=100, seed=0)
    values = {name: one.value for name, one in found.items()}
    assert values == pytest.approx(
        {
            "hit": 1 / 3,
            "near": 2 / 3,
            "majority_hit": 1 / 3,
            "majority_near": 2 / 3,
            "hit_over_majority": 0,
            "near_over_majority": 0,
            "kind_f1": (2 / 3 + 0) / 2,  # click: 1 right, 1 said, 2 true; gain: said once, of a click
            "false_alarm": 1 / 2,
        }
    )
    assert found["hit"].n == 3
    assert found["false_alarm"].n == 2


def test_grounding_refuses_what_has_no_truth():
    with pytest.raises(DataError, match="nothing to hit"):
        grounding([NONE], [NONE], (0, 0), n=100, seed=0)
    with pytest.raises(DataError, match="one of each"):
        grounding([NONE], TRUE, (0, 0), n=100, seed=0)


def test_the_best_constant_is_the_one_that_hits_most():
    places = [0, 0, 0, 4, 5, 5, 6]
    assert best_constant(places, 8) == 0
    assert best_constant(places, 8, reach=1) == 5
    with pytest.raises(DataError, match="training set"):
        best_constant([], 8)


def test_intervals_cover_and_shrink_and_go_by_group():
    rng = np.random.default_rng(1)
    covered = 0
    for trial in range(60):
        low, high = share(rng.random(80) < 0.6, n=200, seed=trial).ci95
        covered += low <= 0.6 <= high
    assert covered >= 50
    same = np.repeat(rng.random(8) < 0.5, 20)  # items of a group are all alike
    groups = np.repeat(np.arange(8), 20)
    by_item, by_group = share(same, n=500, seed=0).ci95, share(same, groups.tolist(), n=500, seed=0).ci95
    assert by_group[1] - by_group[0] > 2 * (by_item[1] - by_item[0])
    assert share([True, False], ["a", "a"], n=100, seed=0).ci95 is None


def test_the_weighted_bootstrap_refuses_what_it_cannot_resample():
    with pytest.raises(DataError, match="no items"):
        weighted_bootstrap(lambda w: w.sum(1).astype(float), 0, n=100, seed=0)
    with pytest.raises(DataError, match="at least 2 groups"):
        weighted_bootstrap(lambda w: w.sum(1).astype(float), 3, ["a"] * 3, n=100, seed=0)
    with pytest.raises(ConfigError, match="100 replicates"):
        weighted_bootstrap(lambda w: w.sum(1).astype(float), 3, n=10, seed=0)


def test_diversity_by_hand():
    assert diversity(["a", "a", "b", "b"]) == (0.5, 1.0)
    assert diversity(["a"] * 8) == (1 / 8, 0.0)
    with pytest.raises(DataError, match="no texts"):
        diversity([])
