"""The detector under audit: the network trained here, any run that scores audio, or a file of scores."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from auricle.audio.resample import resample
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.files import read_json
from auricle.data.clips import Clips, as_int16
from auricle.systems.voice_auth.network import Network, score_items

PART = 64  # clips handed over at once


class Detector(Protocol):
    """What the audit asks of a detector."""

    def scores(self, waves: Iterable[np.ndarray], rates_hz: Iterable[int]) -> Sequence[float]:
        """Score waveforms (T,), higher for bona fide."""
        ...


@dataclass(frozen=True)
class Own:
    """The detector that is trained here: `network`, the `rate_hz` it takes, and windows at once."""

    network: Network
    rate_hz: int
    batch: int

    def scores(self, waves: Iterable[np.ndarray], rates_hz: Iterable[int]) -> list[float]:
        """Score waveforms (T,) of any rate; at the common level, as in training."""
        items = []
        for wave, rate_hz in zip(waves, rates_hz, strict=True):
            levelled = as_int16(np.asarray(resample(np.asarray(wave, np.float32), rate_hz, self.rate_hz), np.float32))
            items.append(self.network.item(levelled.astype(np.float32) / 32768.0))
        return [float(score) for score in score_items(self.network, items, self.batch)] if items else []


def handed_in(folder: str | Path) -> Detector:
    """Load any run whose model scores audio, as ``auricle.load`` does.

    A system does not know the others: the package's root builds a run by name from its table.

    Raises:
        CheckpointError: no run, or one whose model does not score audio.
        ConfigError: a run of this system, which would have to audit itself.
    """
    config = Path(folder) / "config.json"
    if config.is_file() and read_json(config).get("system") == "voice_auth":
        raise ConfigError(f"detector.run={folder} is a run of voice_auth; give a run of a detection system")
    found = importlib.import_module("auricle").load(folder)
    if not callable(getattr(found, "scores", None)):
        raise CheckpointError(f"detector.run={folder}: its model has no scores(waves, rates); give a detection run")
    detector: Detector = found
    return detector


def clip_scores(detector: Detector, clips: Clips) -> np.ndarray:
    """Score clips, (N,), higher for bona fide."""
    found: list[float] = []
    for start in range(0, len(clips), PART):
        waves = [clips.wave(index) for index in range(start, min(start + PART, len(clips)))]
        found += detector.scores(waves, [clips.rate_hz] * len(waves))
    return np.array(found)


def file_scores(path: str | Path, clips: Clips) -> np.ndarray:
    """Read the scores of clips from a file of ``clip score`` lines, (N,).

    Raises:
        DataError: no file, a line that is not a name and a number, a name twice, or a clip without score.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"detector.scores={path} does not exist; give a file of `clip score` lines")
    known: dict[str, float] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        name, _, text = line.strip().rpartition(" ")
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not name or not np.isfinite(value):
            raise DataError(f"{path}, line {number}: {line.strip()!r}; expected `clip score`")
        if name.strip() in known:
            raise DataError(f"{path}, line {number}: clip {name.strip()!r} has a score already")
        known[name.strip()] = value
    names = clips.values("id")
    missing = [name for name in names if name not in known]
    if missing:
        raise DataError(f"{path} has no score for {len(missing)} of {len(names)} clips, such as {missing[0]}")
    return np.array([known[name] for name in names])
