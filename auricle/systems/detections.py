"""What detectors share, whatever the system: they score waveforms, and one that stands alone answers for files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from auricle.audio.arrays import as_waves
from auricle.core.answers import Detection
from auricle.core.errors import CheckpointError
from auricle.data.clips import Clips
from auricle.data.cut_audio import mono_cut
from auricle.metrics.calibration import Calibration, decide
from auricle.systems.batching import Decoded

SHORT_S = 1.0
PART = 64  # clips handed over at once


class Detector(Protocol):
    """What is asked of a detector."""

    def scores(self, waves: Iterable[np.ndarray], rates_hz: Iterable[int]) -> Sequence[float]:
        """Score waveforms (T,), higher for bona fide."""
        ...


def clip_scores(detector: Detector, clips: Clips) -> np.ndarray:
    """Score clips, (N,), higher for bona fide: the very samples of their files, as `infer` has them."""
    scores: list[float] = []
    for start in range(0, len(clips), PART):
        part = range(start, min(start + PART, len(clips)))
        cuts = clips.cuts
        waves = [clips.wave(i) if cuts is None else mono_cut(cuts[i], clips.rate_hz)[0] for i in part]
        scores += detector.scores(waves, [clips.rate_hz] * len(waves))
    return np.array(scores)


def cut_scores(detector: Detector, cuts: Iterable[Any]) -> np.ndarray:
    """Score the audio of a manifest's cuts, (N,), higher for bona fide: the samples that `infer` has of their files.

    Raises:
        DataError: a cut cannot be read; see `auricle.data.cut_audio.mono_cut`.
    """
    return np.array([detector.scores([wave], [rate_hz])[0] for wave, rate_hz, _ in map(mono_cut, cuts)])


class Hearing:
    """A loaded run that scores what a user has in memory."""

    detector: Any  # a `Detector`; None where the run has scores of its own clips only

    def score(self, wave: Any, rate_hz: int) -> float:
        """Score one waveform with the detector, higher for bona fide.

        Args:
            wave: an array, a tensor or a list, (T,), (C, T) or (T, C); see `auricle.audio.arrays.as_wave`.
            rate_hz: its rate in Hz.

        Raises:
            AudioError: not usable audio.
            CheckpointError: the run has a score file and no detector.
        """
        return self.scores([wave], [rate_hz])[0]

    def scores(self, waves: Iterable[Any], rates_hz: Iterable[int]) -> list[float]:
        """Score several waveforms; each as `score` does, whatever its mates.

        Raises:
            ConfigError: not one rate for each waveform.
            AudioError, CheckpointError: as `score`.
        """
        if self.detector is None:
            raise CheckpointError("this run was made with detector.scores: it has no detector that could hear a file")
        return [float(score) for score in self.detector.scores(*as_waves(waves, rates_hz))]


@dataclass(frozen=True)
class LoneDetector(Hearing):
    """A run that is a detector and nothing else, such as a released one.

    Attributes:
        detector: scores waveforms.
        calibration: set on labelled clips; None where there were none, and then there is no label.
        heard_s: how much of a file is heard, from its beginning, in seconds.
    """

    detector: Detector
    calibration: Calibration | None
    heard_s: float

    def answers(self, clips: Sequence[Decoded]) -> list[Detection]:
        """Answer for decoded files; each as if it were alone."""
        scores = self.detector.scores([clip.wave for clip in clips], [clip.rate_hz for clip in clips])
        return [self._answer(*each) for each in zip(clips, scores, strict=True)]

    def _answer(self, clip: Decoded, score: float) -> Detection:
        said = decide(self.calibration, score)
        return Detection(
            input=clip.input,
            score=score,
            p_bonafide=said.p_bonafide,
            label=said.label,
            threshold=said.threshold,
            duration_s=clip.duration_s,
            warnings=tuple(file_warnings(clip, self.heard_s, "there is little to go by")),
            reason=said.reason,
        )


def file_warnings(clip: Decoded, heard_s: float, short: str) -> Iterator[str]:
    """Say what to know of a file before its answer is used.

    Args:
        clip: the file.
        heard_s: how much of it is heard, in seconds.
        short: what a file of under a second is to be told.
    """
    yield from clip.warnings
    if clip.duration_s < SHORT_S:
        yield f"too-short: {clip.duration_s:.2f} s; below {SHORT_S:g} s {short}"
    if clip.duration_s > heard_s:
        name = "first-minute" if heard_s == 60 else "first-window"
        yield f"{name}: only the first {heard_s:.3g} s were used"
