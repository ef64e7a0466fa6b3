"""A table of numbers as a heat map: every cell coloured and written out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.report.plots import Plot, _figure, _svg

# even in lightness, and told apart with any colour vision
_COLOURS = "cividis"
_DARK = 0.55  # of the range; above it the writing is black


@dataclass(frozen=True)
class Matrix:
    """Numbers by row and column.

    Attributes:
        title: heading.
        rows: names of the R rows.
        columns: names of the C columns.
        values: (R, C); NaN where there is none.
        row_axis: what the rows are.
        column_axis: what the columns are.
        limits: the values at the ends of the colour scale; None for the smallest and largest.
        unit: written into the heading.
    """

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: npt.ArrayLike
    row_axis: str = ""
    column_axis: str = ""
    limits: tuple[float, float] | None = None
    unit: str = ""


def heat_map(matrix: Matrix) -> Plot:
    """Draw a matrix; a cell without a number stays white.

    Args:
        matrix: what to draw.

    Raises:
        DataError: names and numbers that do not fit together, infinity, or no number at all.
    """
    values = np.asarray(matrix.values, np.float64)
    if values.shape != (len(matrix.rows), len(matrix.columns)) or not values.size:
        raise DataError(
            f"a heat map of {len(matrix.rows)} rows and {len(matrix.columns)} columns was given numbers of shape "
            f"{values.shape}"
        )
    known = np.isfinite(values)
    if np.isinf(values).any() or not known.any():
        raise DataError(f"the heat map {matrix.title!r} needs finite numbers; NaN marks an empty cell")
    low, high = matrix.limits or (float(values[known].min()), float(values[known].max()))
    span = (high - low) or 1.0
    width = 2.4 + 0.78 * len(matrix.columns)
    title = f"{matrix.title} ({matrix.unit})" if matrix.unit else matrix.title
    # inches: the names of the rows stand left of the title, whose letters are some 0.09 wide
    room = (width - 0.45 - 0.075 * max(map(len, matrix.rows))) / 0.09
    lines = textwrap.wrap(title, max(8, int(room))) or [""]
    with _figure(width, 1.7 + 0.2 * len(lines) + 0.42 * len(matrix.rows)) as figure:
        axes = figure.subplots()
        axes.grid(False)
        axes.imshow(np.ma.masked_invalid(values), cmap=_COLOURS, vmin=low, vmax=low + span, aspect="auto")
        axes.set_xticks(range(len(matrix.columns)), list(matrix.columns), rotation=35, ha="right")
        axes.set_yticks(range(len(matrix.rows)), list(matrix.rows))
        axes.set(xlabel=matrix.column_axis, ylabel=matrix.row_axis)
        for row, column in np.argwhere(known):
            value = values[row, column]
            colour = "black" if (value - low) / span > _DARK else "white"
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=9, color=colour)
        axes.set_title("\n".join(lines))
        said = [
            f"{name}: " + ", ".join(f"{c} {v:.3g}" for c, v in zip(matrix.columns, line, strict=True) if np.isfinite(v))
            for name, line in zip(matrix.rows, values, strict=True)
        ]
        return Plot(_svg(figure), f"{matrix.title}. " + "; ".join(said), round(96 * width))
