"""The bandwidth screen: which files of a folder really reach the top of the band."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.audio.level import bandwidth_hz
from auricle.core.answers import Refused
from auricle.core.errors import ConfigError
from auricle.core.files import write_text
from auricle.core.names import Spec
from auricle.report.plots import ScoreClasses, class_histogram
from auricle.systems.batching import decoded
from auricle.systems.requests import requests

SPEC = Spec("screen", "how far up a file has content", (), "bandwidth_hz", "screening")  # takes audio
LONGEST_S = 60.0  # of a longer file the first minute is judged


@dataclass(frozen=True)
class Screened:
    """What the screen measured of a file.

    Attributes:
        input: the path as given or found.
        rate_hz: its sampling rate.
        duration_s: its length in seconds.
        bandwidth_hz: highest frequency within the range of the strongest band.
        passes: whether that reaches the wanted band.
    """

    input: str
    rate_hz: int
    duration_s: float
    bandwidth_hz: float
    passes: bool


def screen(
    inputs: Iterable[str | Path],
    band_hz: float = 20_000.0,
    below_db: float = 60.0,
    unread: list[Path] | None = None,
) -> Iterator[Screened | Refused]:
    """Judge files and folders, in order; what is not audio is refused and the rest goes on.

    The paper keeps files whose content stays above -60 dB up to 22.05 kHz and leaves the statistic open. Here it is the
    mean power spectrum in bands of 100 Hz: the highest band within `below_db` of the strongest must reach `band_hz`.

    Args:
        inputs: audio files, and folders of them.
        band_hz: frequency that content must reach, in Hz.
        below_db: how far under the strongest band still counts, in dB.
        unread: gets the files of folders that look like audio and are left out.

    Raises:
        ConfigError: a frequency or a range that is not above 0.
    """
    if not (band_hz > 0 and below_db > 0):
        raise ConfigError(f"a band of {band_hz} Hz and a range of {below_db} dB; both must be above 0")
    for asked in requests(SPEC, inputs, unread=unread):
        if isinstance(asked, Refused):
            yield asked
            continue
        clip = decoded(asked, LONGEST_S)
        if clip.error is not None:
            yield Refused(clip.input, clip.error)
            continue
        reach_hz = bandwidth_hz(clip.wave, clip.rate_hz, below_db)
        yield Screened(clip.input, clip.rate_hz, clip.duration_s, reach_hz, reach_hz >= band_hz)


def save_plot(rows: Sequence[Screened], band_hz: float, path: str | Path) -> None:
    """Draw the bandwidths of all judged files into an SVG file, atomically.

    Raises:
        DataError: no file could be judged.
    """
    classes = {
        name: [row.bandwidth_hz / 1000 for row in rows if row.passes == wanted]
        for name, wanted in (("pass", True), ("fail", False))
    }
    filled = {name: values for name, values in classes.items() if values}
    lines = {f"{band_hz / 1000:g} kHz": band_hz / 1000}
    write_text(path, class_histogram(ScoreClasses("Bandwidth of the files", filled, lines, "bandwidth (kHz)")).svg)
