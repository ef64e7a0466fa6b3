"""Heat maps and distributions of several classes: what is drawn is also said."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.text import Text

from auricle.core.errors import DataError
from auricle.report import heatmap
from auricle.report.heatmap import Matrix, heat_map
from auricle.report.plots import ScoreClasses, class_histogram


def test_every_number_of_a_matrix_is_said_and_an_empty_cell_is_not():
    plot = heat_map(Matrix("EER", ["a", "b"], ["x", "y"], [[1.25, np.nan], [0.0, 50.0]], limits=(0, 50), unit="%"))
    assert plot.alt == "EER. a: x 1.25; b: x 0, y 50"
    assert plot.svg.startswith("<svg")
    assert heat_map(Matrix("one", ["a"], ["x"], [[3.0]])).svg  # no range at all


@pytest.mark.parametrize("columns", [2, 3, 8])
def test_a_title_stays_inside_the_picture(monkeypatch, columns):
    ends = []

    def drawn(figure):
        figure.draw_without_rendering()
        title = next(text for text in figure.axes[0].findobj(Text) if "generator" in text.get_text())
        box = title.get_window_extent()
        ends.append((box.x1 / figure.bbox.x1, box.y1 / figure.bbox.y1, title.get_text().replace("\n", " ")))
        return "<svg/>"

    monkeypatch.setattr(heatmap, "_svg", drawn)
    names = ["world_conversion", "griffin_lim", *"abcdef"][:columns]
    title = "Detector EER, each generator left out of training"
    heat_map(Matrix(title, names, names, np.eye(columns), "left out", "tested on", unit="%"))
    assert ends[0][0] <= 1.0
    assert ends[0][1] <= 1.0
    assert ends[0][2] == f"{title} (%)"


@pytest.mark.parametrize("values", [[[1.0]], [[1.0, np.inf], [0.0, 0.0]], np.full((2, 2), np.nan)])
def test_a_matrix_that_does_not_fit_is_refused(values):
    with pytest.raises(DataError):
        heat_map(Matrix("EER", ["a", "b"], ["x", "y"], values))


def test_classes_with_thresholds():
    classes = {"own users": [0.8, 0.9], "strangers": [0.1, 0.2, 0.6]}
    plot = class_histogram(ScoreClasses("verifier", classes, {"FAR 1 %": 0.5}))
    assert "own users, 2 scores, mean 0.85, passing 100.0 % at FAR 1 %" in plot.alt
    assert "strangers, 3 scores, mean 0.3, passing 33.3 % at FAR 1 %" in plot.alt
    assert class_histogram(ScoreClasses("verifier", classes, {})).alt.endswith("mean 0.3")
    for broken in ({}, {"a": []}, {"a": [np.nan]}):
        with pytest.raises(DataError):
            class_histogram(ScoreClasses("x", broken, {}))
