import pytest

from auricle.claims.claim import Measured, Part
from auricle.claims.statistics import Estimate, paired_t
from auricle.claims.verdict import compare, decided, difference, verdict, within
from auricle.core.errors import ConfigError

ABOVE = Estimate(2.0, (1.0, 3.0), 5, 0.8)
ACROSS = Estimate(0.5, (-1.0, 2.0), 5, 1.9)


@pytest.mark.parametrize(
    ("found", "bounds", "outcome"),
    [
        (ABOVE, {"above": 0.0}, "confirmed"),
        (ABOVE, {"below": 0.0}, "refuted"),
        (ABOVE, {"above": 1.0}, "not resolved"),
        (ACROSS, {"below": 0.0}, "not resolved"),
        (ACROSS, {}, None),
    ],
)
def test_a_comparison_is_decided_by_where_its_interval_lies(found, bounds, outcome):
    assert compare("points", found, **bounds) == Part("points", found.value, found.ci95, outcome)


def test_two_bounds_are_refused():
    with pytest.raises(ConfigError, match="give one bound"):
        compare("points", ABOVE, below=1.0, above=0.0)


def test_all_parts_that_decide_must_hold_unless_the_rule_says_otherwise():
    parts = [compare("a", ABOVE, above=0.0), compare("b", ACROSS), decided("c", ACROSS, "not resolved")]
    found = verdict(ABOVE, parts)
    assert (found.verdict, found.effect, found.ci95, found.minimum_detectable) == ("not resolved", 2.0, (1.0, 3.0), 0.8)
    assert verdict(ABOVE, parts[:2]).verdict == "confirmed"
    assert verdict(ABOVE, parts, "refuted", ["why"]).notes == ("why",)
    assert verdict(ABOVE, parts, "refuted").verdict == "refuted"


def test_differences_between_and_within_arms_are_paired_over_seeds():
    cells = {"a": {0: {"x": 3.0, "y": 1.0}, 1: {"x": 5.0, "y": 1.0}}, "b": {0: {"x": 1.0}, 1: {"x": 4.0}}}
    measured = Measured(cells, (0, 1))
    assert difference(measured, "x", "a", "b") == paired_t([3.0, 5.0], [1.0, 4.0])
    assert within(measured, "a", "x", "y") == paired_t([3.0, 5.0], [1.0, 1.0])
