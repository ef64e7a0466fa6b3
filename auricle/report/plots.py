"""Plots in one style, as SVG text: DET curves, score histograms, training curves."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from auricle.core.errors import DataError
from auricle.metrics.detection import det_curve as det_points
from auricle.metrics.detection import eer
from auricle.metrics.trials import check_scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito: told apart with any colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A7A00")
BONAFIDE, SPOOF, THRESHOLD = "#0072B2", "#D55E00", "#333333"
_LINES = ("-", "--", "-.", ":")
_PROBIT_TICKS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98)
# matplotlib types its settings only in some releases, hence Any
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "svg.fonttype": "path",
    "svg.hashsalt": "auricle",
}


@dataclass(frozen=True)
class Curve:
    """One DET curve: the scores of one group.

    Attributes:
        label: name of the group.
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of spoof trials, shape (M,).
    """

    label: str
    bonafide: npt.ArrayLike
    spoof: npt.ArrayLike


@dataclass(frozen=True)
class Histogram:
    """Scores of bona fide clips against one spoof family.

    Attributes:
        title: name of the family.
        bonafide: scores of bona fide trials, shape (N,).
        spoof: scores of the family's trials, shape (M,).
        threshold: the decision threshold, or None for no line.
    """

    title: str
    bonafide: npt.ArrayLike
    spoof: npt.ArrayLike
    threshold: float | None = None


@dataclass(frozen=True)
class Plot:
    """A finished plot.

    Attributes:
        svg: the drawing, one SVG document.
        alt: what it shows, in words.
        width_px: the width it is drawn for.
    """

    svg: str
    alt: str
    width_px: int


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure in the house style, without touching matplotlib's global state."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # a file's name may be in a script that the font lacks: its letters are boxes then, and nobody needs to be told
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Figure) -> str:
    """Draw a figure; the same figure gives the same text."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _legend_label(text: str) -> str:
    """Shorten a name, and keep matplotlib from hiding one that starts with an underscore."""
    text = text if len(text) <= 40 else text[:39] + "…"
    return f" {text}" if text.startswith("_") else text


def det_curve(curves: Sequence[Curve]) -> Plot:
    """Draw DET curves on probit axes, with each EER marked.

    Args:
        curves: one per group.

    Raises:
        DataError: no curve; or a group without bona fide or spoof scores.
    """
    if not curves:
        raise DataError("a DET plot needs at least one curve")
    rows = (len(curves) + 2) // 2
    said: list[str] = []
    with _figure(6.4, 5.2 + 0.19 * rows) as figure:
        axes = figure.subplots()
        rates = [det_points(curve.bonafide, curve.spoof) for curve in curves]
        # a rate below half a trial cannot be seen; draw it at the edge of the plot
        lowest = float(np.clip(0.5 / max(rate.frr.size for rate in rates), 0.001, 0.01))
        ends = (lowest, 0.98)
        for index, (curve, rate) in enumerate(zip(curves, rates, strict=True)):
            value = eer(curve.bonafide, curve.spoof).eer
            points = np.stack([ndtri(np.clip(rate.far, *ends)), ndtri(np.clip(rate.frr, *ends))]).round(3)
            keep = np.append(True, np.any(np.diff(points) != 0, axis=0))
            colour = COLOURS[index % len(COLOURS)]
            label = f"{_legend_label(curve.label)}: EER {100 * value:.1f} %"
            style = _LINES[index // len(COLOURS) % len(_LINES)]
            axes.plot(*points[:, keep], color=colour, linestyle=style, label=label)
            at = ndtri(np.clip(value, *ends))
            axes.plot(at, at, "o", color=colour, markersize=5)
            said.append(f"{curve.label} {100 * value:.1f} %")
        span = ndtri(np.array(ends))
        axes.plot(span, span, color="#999999", linestyle=":", linewidth=1, label="FAR = FRR")
        ticks = [tick for tick in _PROBIT_TICKS if ends[0] <= tick <= ends[1]]
        names = [f"{100 * tick:g}" for tick in ticks]
        axes.set(xlim=span, ylim=span, aspect="equal")
        axes.set_xticks(ndtri(ticks), names)
        axes.set_yticks(ndtri(ticks), names)
        axes.set_xlabel("spoofs accepted, FAR (%)")
        axes.set_ylabel("bona fide rejected, FRR (%)")
        figure.legend(loc="outside lower center", ncols=2)
        return Plot(_svg(figure), "DET curves, lower left is better. EER: " + "; ".join(said), 614)


def score_range(histograms: Sequence[Histogram]) -> tuple[float, float]:
    """Give one range for several histograms: from the 0.5 to the 99.5 % quantile, thresholds included.

    Raises:
        DataError: no histogram, or scores that are empty or not finite.
    """
    if not histograms:
        raise DataError("a range of scores needs at least one histogram")
    edges: list[float] = [h.threshold for h in histograms if h.threshold is not None]
    for histogram in histograms:
        for scores in (histogram.bonafide, histogram.spoof):
            edges.extend(np.quantile(check_scores(scores, histogram.title), (0.005, 0.995)).tolist())
    low, high = min(edges), max(edges)
    margin = 0.02 * (high - low) or 0.5
    return low - margin, high + margin


def score_histogram(histogram: Histogram, limits: tuple[float, float] | None = None, bins: int = 40) -> Plot:
    """Draw the scores of bona fide clips and of one spoof family, with the threshold.

    Args:
        histogram: what to draw.
        limits: range of scores (low, high); scores outside are counted in the outermost bars. None for the scores' own.
        bins: number of bars.

    Raises:
        DataError: scores that are empty or not finite.
    """
    low, high = limits or score_range([histogram])
    real = check_scores(histogram.bonafide, "bona fide")
    fake = check_scores(histogram.spoof, histogram.title)
    edges = np.linspace(low, high, bins + 1)
    said = f"Scores of {real.size} bona fide and {fake.size} {histogram.title} clips"
    with _figure(4.2, 2.9) as figure:
        axes = figure.subplots()
        for scores, colour, name in ((real, BONAFIDE, "bona fide"), (fake, SPOOF, "spoof")):
            counts, _ = np.histogram(np.clip(scores, low, high), edges)
            axes.stairs(100 * counts / scores.size, edges, fill=True, alpha=0.35, color=colour)
            axes.stairs(100 * counts / scores.size, edges, color=colour, linewidth=1.4, label=f"{name} ({scores.size})")
        if histogram.threshold is not None:
            axes.axvline(histogram.threshold, color=THRESHOLD, linestyle="--", linewidth=1.2, label="threshold")
            wrong = (
                100 * float(np.mean(real <= histogram.threshold)),
                100 * float(np.mean(fake > histogram.threshold)),
            )
            said += (
                f"; at the threshold {wrong[0]:.1f} % of bona fide are rejected, {wrong[1]:.1f} % of spoofs accepted"
            )
        axes.set(xlim=(low, high), xlabel="score (higher: more bona fide)", ylabel="clips (%)")
        axes.set_title(_legend_label(histogram.title))
        figure.legend(loc="outside lower center", ncols=3)
        return Plot(_svg(figure), said, 403)


def _series(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give steps and values of one column, where it is a finite number."""
    pairs = [
        (float(row["step"]), float(row[key]))
        for row in rows
        if isinstance(row.get("step"), int | float) and isinstance(row.get(key), int | float)
    ]
    points = np.array([pair for pair in pairs if np.isfinite(pair).all()], dtype=np.float64).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def _smooth(values: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Average over the last `width` values, fewer at the start."""
    total = np.cumsum(np.append(0.0, values))
    end = np.arange(1, values.size + 1)
    start = np.maximum(0, end - width)
    return np.asarray((total[end] - total[start]) / (end - start))


def training_curves(rows: Sequence[Mapping[str, Any]]) -> list[Plot]:
    """Draw the loss, and every dev metric on its own, against the step.

    Args:
        rows: the lines of `metrics.jsonl`: ``step`` and ``loss``, and on some rows ``dev_...`` numbers.

    Returns:
        One plot with training and dev loss, one for each other dev metric.

    Raises:
        DataError: no row has a step and a loss or a dev metric.
    """
    keys = list(dict.fromkeys(key for row in rows for key in row))
    losses = [key for key in ("loss", "dev_loss") if _series(rows, key)[0].size]
    others = [key for key in keys if key.startswith("dev_") and key != "dev_loss" and _series(rows, key)[0].size]
    panels: list[list[str]] = ([losses] if losses else []) + [[key] for key in others]
    if not panels:
        raise DataError("training curves need rows with 'step' and 'loss' or a 'dev_...' metric")
    plots: list[Plot] = []
    for panel in panels:
        with _figure(4.2, 2.9) as figure:
            axes = figure.subplots()
            said = [_draw_series(axes, rows, key, COLOURS[index]) for index, key in enumerate(panel)]
            axes.set(xlabel="step")
            axes.set_title("loss" if panel is losses else panel[0].replace("_", " ").replace("eer", "EER"))
            if len(panel) > 1:
                axes.legend()
            plots.append(Plot(_svg(figure), "Training curve: " + "; ".join(said), 403))
    return plots


def _draw_series(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, colour: str) -> str:
    """Draw one column and say in words where it starts, ends and is lowest."""
    steps, values = _series(rows, key)
    name = "train" if key == "loss" else "dev" if key == "dev_loss" else key.replace("_", " ")
    if key == "loss" and values.size > 50:
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(steps, _smooth(values, max(5, values.size // 40)), color=colour, label=f"{name} (smoothed)")
    else:
        axes.plot(steps, values, color=colour, marker="o" if values.size < 60 else None, markersize=3.5, label=name)
    return f"{key} from {values[0]:.3g} to {values[-1]:.3g} over {steps[-1]:.0f} steps, lowest {values.min():.3g}"


@dataclass(frozen=True)
class ScoreClasses:
    """Scores of several classes on one axis, such as own users, strangers and attacks.

    Attributes:
        title: heading of the plot.
        scores: name of a class -> its scores; drawn in this order.
        thresholds: label of a line -> where it stands.
        axis: what the scores are.
    """

    title: str
    scores: Mapping[str, npt.ArrayLike]
    thresholds: Mapping[str, float]
    axis: str = "score"


def class_histogram(classes: ScoreClasses, bins: int = 50) -> Plot:
    """Draw the score distributions of several classes, each summing to 100 %, with threshold lines.

    Args:
        classes: what to draw, at least one class.
        bins: number of bars.

    Raises:
        DataError: no class, or scores that are empty or not finite.
    """
    if not classes.scores:
        raise DataError("a plot of score distributions needs at least one class")
    values = {name: check_scores(scores, name) for name, scores in classes.scores.items()}
    ends = [float(end) for scores in values.values() for end in np.quantile(scores, (0.001, 0.999))]
    ends += list(classes.thresholds.values())
    margin = 0.02 * (max(ends) - min(ends)) or 0.5
    edges = np.linspace(min(ends) - margin, max(ends) + margin, bins + 1)
    said = []
    with _figure(6.4, 3.6) as figure:
        axes = figure.subplots()
        for index, (name, scores) in enumerate(values.items()):
            counts, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)
            colour, line = COLOURS[index % len(COLOURS)], _LINES[index // len(COLOURS) % len(_LINES)]
            shares = 100 * counts / scores.size
            axes.stairs(shares, edges, fill=True, alpha=0.15, color=colour)
            label = f"{_legend_label(name)} ({scores.size})"
            axes.stairs(shares, edges, color=colour, linewidth=1.6, linestyle=line, label=label)
            passes = ", ".join(
                f"{100 * float(np.mean(scores >= at)):.1f} % at {text}" for text, at in classes.thresholds.items()
            )
            said.append(
                f"{name}, {scores.size} scores, mean {scores.mean():.3g}" + (f", passing {passes}" if passes else "")
            )
        for index, (text, at) in enumerate(classes.thresholds.items()):
            axes.axvline(at, color=THRESHOLD, linestyle=_LINES[(index + 1) % len(_LINES)], linewidth=1.2, label=text)
        axes.set(xlim=(edges[0], edges[-1]), xlabel=classes.axis, ylabel="trials of the class (%)")
        axes.set_title(_legend_label(classes.title))
        figure.legend(loc="outside lower center", ncols=3)
        return Plot(_svg(figure), f"{classes.title}: " + "; ".join(said), 614)
