"""The detector under audit: the network trained here, any run that scores audio, or a file of scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from auricle.audio.level import sounding
from auricle.audio.resample import resample
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.files import read_json
from auricle.data.clips import Clips, as_int16
from auricle.data.cut_audio import mono_cut
from auricle.metrics.scores import read_scores
from auricle.systems import load
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.network import Network, score_items

PART = 64  # clips handed over at once


class Detector(Protocol):
    """What the audit asks of a detector."""

    def scores(self, waves: Iterable[np.ndarray], rates_hz: Iterable[int]) -> Sequence[float]:
        """Score waveforms (T,), higher for bona fide."""
        ...


@dataclass(frozen=True)
class TrainedDetector:
    """The detector that is trained here: `network`, the `rate_hz` it takes, and windows at once."""

    network: Network = field(repr=False)
    rate_hz: int
    batch: int

    def scores(self, waves: Iterable[np.ndarray], rates_hz: Iterable[int]) -> list[float]:
        """Score waveforms (T,) of any rate; without silence at the ends and at the common level, as in training.

        A network that is used as it was released hears them as they are.
        """
        items = []
        for wave, rate_hz in zip(waves, rates_hz, strict=True):
            at_rate = np.asarray(resample(np.asarray(wave, np.float32), rate_hz, self.rate_hz), np.float32)
            if not self.network.released:
                at_rate = as_int16(sounding(at_rate, self.rate_hz)).astype(np.float32) / 32768.0
            items.append(self.network.item(at_rate))
        return [float(score) for score in score_items(self.network, items, self.batch)] if items else []


def external_detector(folder: str | Path) -> Detector:
    """Load any run whose model scores audio, as ``auricle.load`` does.

    Raises:
        CheckpointError: no run, or one whose model does not score audio.
        ConfigError: a run of this system, which would have to audit itself.
    """
    config = Path(folder) / "config.json"
    if config.is_file() and read_json(config).get("system") == "voice_auth":
        raise ConfigError(f"detector.run={folder} is a run of voice_auth; give a run of a detection system")
    detector = load(folder)
    if not callable(getattr(detector, "scores", None)):
        raise CheckpointError(f"detector.run={folder}: its model has no scores(waves, rates); give a detection run")
    external: Detector = detector
    return external


def detector_of(cfg: VoiceAuthConfig, network: Network) -> Detector | None:
    """Give the detector that a config names; None where it names a file of scores.

    Args:
        cfg: of a run.
        network: the run's own.
    """
    if cfg.detector.scores is not None:
        return None
    if cfg.detector.run is not None:
        return external_detector(cfg.detector.run)
    return TrainedDetector(network, cfg.data.rate_hz, cfg.eval.batch)


def clip_scores(detector: Detector, clips: Clips) -> np.ndarray:
    """Score clips, (N,), higher for bona fide: the very samples of their files, as `infer` has them."""
    scores: list[float] = []
    for start in range(0, len(clips), PART):
        part = range(start, min(start + PART, len(clips)))
        cuts = clips.cuts
        waves = [clips.wave(i) if cuts is None else mono_cut(cuts[i], clips.rate_hz)[0] for i in part]
        scores += detector.scores(waves, [clips.rate_hz] * len(waves))
    return np.array(scores)


def file_scores(path: str, clips: Clips) -> np.ndarray:
    """Read the scores of clips from a file, see `auricle.metrics.scores.read_scores`, (N,).

    Raises:
        DataError: what `read_scores` refuses, or a clip without a score.
    """
    scores = read_scores(path)
    names = clips.values("id")
    missing = [name for name in names if name not in scores]
    if missing:
        raise DataError(f"{path} has no score for {len(missing)} of {len(names)} clips, such as {missing[0]}")
    return np.array([scores[name][0] for name in names])


def scores_of(cfg: VoiceAuthConfig, detector: Detector | None, clips: Clips) -> np.ndarray:
    """Score clips with the detector of a config, from `detector_of`, or read their scores from its file, (N,)."""
    if detector is not None:
        return clip_scores(detector, clips)
    return file_scores(str(cfg.detector.scores), clips)
