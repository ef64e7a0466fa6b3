"""The detector under audit: the network trained here, any run that scores audio, or a file of scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from auricle.audio.level import sounding
from auricle.audio.resample import resample
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.run import open_trained
from auricle.data.clips import Clips, as_int16, scores_in
from auricle.systems import load
from auricle.systems.detections import Detector, clip_scores
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.network import Network, score_items
from auricle.train.checkpoint import load_model


def built(cfg: VoiceAuthConfig) -> Network:
    """Build the network that is trained here: with fresh weights, or with those of ``detector.start``.

    Raises:
        CheckpointError: no such run, or weights that do not fit.
        ConfigError: that run works at another rate.
    """
    network, start = Network(cfg), cfg.detector.start
    if start is None:
        return network
    trained = open_trained(start, "voice_auth", VoiceAuthConfig)
    if trained.cfg.data.rate_hz != cfg.data.rate_hz:
        raise ConfigError(f"detector.start={start} works at {trained.cfg.data.rate_hz} Hz; set data.rate_hz to that")
    load_model(trained.final, network)
    return network


@dataclass(frozen=True)
class TrainedDetector:
    """The detector that is trained here: `network`, the `rate_hz` it takes, and windows at once."""

    network: Network = field(repr=False)
    rate_hz: int
    batch: int

    def scores(self, waves: Iterable[np.ndarray], rates_hz: Iterable[int]) -> list[float]:
        """Score waveforms (T,) of any rate; but for a release without silence at the ends and at the common level."""
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
        ConfigError: a login of this system, which would have to audit itself; a detector alone is none.
    """
    detector = load(folder)
    if hasattr(detector, "match"):
        raise ConfigError(f"detector.run={folder} is a run of voice_auth; give a run of a detection system")
    if not callable(getattr(detector, "scores", None)):
        raise CheckpointError(f"detector.run={folder}: its model has no scores(waves, rates); give a detection run")
    return cast(Detector, detector)


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


def scores_of(cfg: VoiceAuthConfig, detector: Detector | None, clips: Clips) -> np.ndarray:
    """Score clips with the detector of a config, from `detector_of`, or read their scores from its file, (N,)."""
    if detector is not None:
        return clip_scores(detector, clips)
    return scores_in(str(cfg.detector.scores), clips)
