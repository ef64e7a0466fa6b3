"""A spectrogram with boxes: where a model says that something is, and where it really is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.core.files import atomic_path
from auricle.report.plots import Plot, _figure, _svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW_S, HOP_S = 0.032, 0.008
RANGE_DB = 70.0
CLAIMED, TRUE = "#FF6D00", "#FFFFFF"  # both stand out from every colour of the map
_MOST_FRAMES = 1200  # more cannot be seen


@dataclass(frozen=True)
class Box:
    """A part of a spectrogram.

    Attributes:
        text: written into it.
        low_hz: lower edge.
        high_hz: upper edge.
        start_s: beginning.
        end_s: end.
        claimed: drawn as what a model claims, else as the truth.
    """

    text: str
    low_hz: float
    high_hz: float
    start_s: float
    end_s: float
    claimed: bool = True


@dataclass(frozen=True)
class Spectrogram:
    """What is drawn.

    Attributes:
        title: heading.
        wave: samples (T,).
        rate_hz: their rate.
        boxes: what is marked.
        high_hz: upper end of the frequency axis; None for half the rate.
        start_s: where in its file the wave begins; the axis counts from there, boxes from the wave's beginning.
    """

    title: str
    wave: npt.NDArray[np.floating]
    rate_hz: int
    boxes: Sequence[Box] = ()
    high_hz: float | None = None
    start_s: float = 0.0


def draw(spectrogram: Spectrogram) -> Plot:
    """Draw a spectrogram with its boxes, claimed ones solid and true ones dashed.

    Raises:
        DataError: no samples, or some that are not finite.
    """
    with _figure(6.4, 3.0) as figure:
        said = _draw(figure, spectrogram)
        return Plot(_svg(figure), said, 614)


def save_png(spectrogram: Spectrogram, path: str | Path) -> Path:
    """Draw into a PNG file, atomically; its folder is made.

    Raises:
        DataError: as `draw`.
    """
    out = io.BytesIO()
    with _figure(8.0, 3.6) as figure:
        _draw(figure, spectrogram)
        figure.savefig(out, format="png", dpi=110, metadata={"Software": None})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        Path(part).write_bytes(out.getvalue())
    return path


def _draw(figure: Figure, spectrogram: Spectrogram) -> str:
    """Draw, and say in words what is to be seen."""
    wave = np.asarray(spectrogram.wave, np.float64)
    if wave.ndim != 1 or not wave.size or not np.isfinite(wave).all():
        raise DataError(f"the spectrogram {spectrogram.title!r} needs finite samples (T,), got shape {wave.shape}")
    rate, high = spectrogram.rate_hz, spectrogram.high_hz or spectrogram.rate_hz / 2
    axes = figure.subplots()
    axes.grid(False)
    start, length = spectrogram.start_s, wave.size / rate
    image = _levels(wave, rate, high)
    top = float(image.max())
    axes.imshow(
        image,
        origin="lower",
        aspect="auto",
        extent=(start, start + length, 0.0, high / 1000),
        cmap="viridis",
        vmin=top - RANGE_DB,
        vmax=top,
        interpolation="nearest",
    )
    boxes = [replace(box, start_s=start + box.start_s, end_s=start + box.end_s) for box in spectrogram.boxes]
    for box in boxes:
        _box(axes, box, high)
    axes.set(xlim=(start, start + length), ylim=(0, high / 1000), xlabel="time (s)", ylabel="frequency (kHz)")
    axes.set_title(spectrogram.title, parse_math=False)  # a file's name may hold dollar signs
    said = [
        f"{'claimed' if box.claimed else 'true'}: {box.text}, {box.low_hz:.0f} to {box.high_hz:.0f} Hz, "
        f"{box.start_s:.2f} to {box.end_s:.2f} s"
        for box in boxes
    ]
    return f"Spectrogram of {length:.2f} s: {spectrogram.title}. " + ("; ".join(said) or "nothing is marked")


def _levels(wave: npt.NDArray[np.float64], rate_hz: int, high_hz: float) -> npt.NDArray[np.float64]:
    """Give levels in dB, (bins up to `high_hz`, frames)."""
    size = max(16, round(WINDOW_S * rate_hz))
    hop = max(round(HOP_S * rate_hz), -(-wave.size // _MOST_FRAMES))
    padded = np.pad(wave, size // 2)
    count = 1 + (padded.size - size) // hop if padded.size >= size else 1
    padded = np.pad(padded, (0, max(0, size - padded.size)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:count] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    kept = max(2, round(high_hz * size / rate_hz) + 1)
    levels: npt.NDArray[np.float64] = 10 * np.log10(power[:, :kept] + 1e-12).T
    return levels


def _box(axes: Axes, box: Box, high_hz: float) -> None:
    from matplotlib.patches import Rectangle

    colour = CLAIMED if box.claimed else TRUE
    low, high = box.low_hz / 1000, min(box.high_hz, high_hz) / 1000
    # what is shorter than a line is wide would not be seen
    width = max(box.end_s - box.start_s, 0.012)
    axes.add_patch(
        Rectangle(
            (box.start_s, low),
            width,
            high - low,
            fill=False,
            edgecolor=colour,
            linewidth=2.0 if box.claimed else 1.6,
            linestyle="-" if box.claimed else (0, (4, 2)),
        )
    )
    place, side = (high, "top") if box.claimed else (low, "bottom")
    axes.text(
        box.start_s + 0.01,
        place,
        f"{'claimed' if box.claimed else 'true'}: {box.text}",
        color=colour,
        fontsize=8,
        va=side,
        ha="left",
        clip_on=True,
        bbox={"facecolor": "#000000", "alpha": 0.55, "pad": 1.5, "edgecolor": "none"},
    )
