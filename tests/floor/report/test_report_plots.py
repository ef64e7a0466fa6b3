"""Plots: what their alternative texts say is what the scores say; odd scores do not break them."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.report.plots import Curve, Histogram, det_curve, score_histogram, score_range, training_curves


def test_det_curve_says_each_eer():
    plot = det_curve([Curve("world", [2, 4, 5, 6], [0, 1, 1.5, 3]), Curve("tts", [1, 2], [1, 2])])
    assert "world 25.0 %" in plot.alt
    assert "tts 50.0 %" in plot.alt
    assert ElementTree.fromstring(plot.svg).tag.endswith("svg")


def test_extreme_scores_can_be_drawn():
    curves = [Curve("perfect", [1], [0]), Curve("reversed", [0], [1]), Curve("equal", [0, 0], [0])]
    assert "reversed 100.0 %" in det_curve(curves).alt
    many = [Curve(f"family {i}", [1, 2, 3], [0, 2]) for i in range(20)]
    assert det_curve(many).alt.count("family") == 20
    assert "1 bona fide and 1 x clips" in score_histogram(Histogram("x", [0.0], [0.0])).alt
    with pytest.raises(DataError, match="at least one curve"):
        det_curve([])


def test_histogram_says_the_errors_at_the_threshold():
    plot = score_histogram(Histogram("world", [0.0, 1.0, 2.0, 3.0], [-1.0, 0.5], threshold=0.0))
    assert "25.0 % of bona fide are rejected, 50.0 % of spoofs accepted" in plot.alt


def test_histograms_share_a_range_that_holds_the_threshold():
    low, high = score_range([Histogram("a", [0, 1], [0, 1], threshold=9.0), Histogram("b", [-5, 1], [0, 1])])
    assert low < -4.9
    assert high > 9.0


def test_names_are_drawn_as_they_are():
    """A dollar sign starts no formula and an underscore hides no entry."""
    label = "_a$x^$ & <b>"
    assert label in det_curve([Curve(label, [1, 2], [0, 1])]).alt
    shown = det_curve([Curve("_x", [1, 2], [0, 1])]).svg
    assert len(shown) > len(det_curve([Curve("", [1, 2], [0, 1])]).svg)


def test_training_curves_take_what_is_there():
    rows = [{"step": i, "loss": 1.0 / i, "note": "text"} for i in range(1, 101)]
    rows += [{"step": 100, "dev_loss": 0.5, "dev_eer": 0.2}, {"step": 50, "dev_eer": float("nan")}]
    loss, dev_eer = training_curves(rows)
    assert "loss from 1 to 0.01 over 100 steps" in loss.alt
    assert "dev_loss from 0.5 to 0.5" in loss.alt
    assert "dev_eer from 0.2 to 0.2" in dev_eer.alt
    with pytest.raises(DataError, match="training curves need"):
        training_curves([{"step": 1, "loss": float("nan")}])


def test_plots_leave_matplotlib_as_it_was():
    import matplotlib

    before = dict(matplotlib.rcParams)
    training_curves([{"step": 1, "loss": np.float64(1.0)}])
    assert dict(matplotlib.rcParams) == before
