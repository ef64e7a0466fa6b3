"""`infer`: from a run folder to answers about files: real or fake, where the evidence is said to be, and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.check import check
from auricle.audio.level import rms_db
from auricle.audio.resample import resample
from auricle.core.answers import Detection, Output, Refused, Segment
from auricle.core.errors import CheckpointError, DataError
from auricle.core.request import Request
from auricle.core.run import open_trained
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import BIN_S, CLIP_S, RATE_HZ
from auricle.metrics.calibration import Calibration
from auricle.report.spectrogram import Spectrogram, save_png
from auricle.systems.batching import Decoded, score_files
from auricle.systems.ft_grpo.boxes import HIGH_HZ, claimed_boxes
from auricle.systems.ft_grpo.config import FtGrpoConfig
from auricle.systems.ft_grpo.features import SAMPLES, as_int16, features_of, middle
from auricle.systems.ft_grpo.generate import Generations, generate
from auricle.systems.ft_grpo.model import Network, load_checkpoint
from auricle.systems.ft_grpo.rationale import Evidence, read

BATCH = 16  # files answered for at once
LONGEST_S = 300.0
SHORT_S = 1.0
QUIET_DB = -40.0  # a window so far below the file's level holds nothing to judge
LAPTOP = (
    "laptop-model: a million parameters trained in minutes on eight artefacts that were put into clips; other fakes "
    "look otherwise, so it shows the method and must not decide about anybody"
)


@dataclass(frozen=True)
class Window(Segment):
    """A window of an input; `text` is what the model wrote of it."""

    text: str

    @cached_property
    def parsed(self) -> Evidence:
        """What the text says, strictly read."""
        return read(self.text)

    def evidence(self, duration_s: float) -> dict[str, Any]:
        """Give what the text claims, in hertz of the signal and seconds of the file.

        Args:
            duration_s: of the file; a window over a shorter one is tiled.

        Returns:
            ``frequency``: kind, band, low_hz and high_hz; ``time``: kind, bin, start_s and end_s. Null where the text
            says "none" or cannot be read; which of the two it was, the rationale shows.
        """
        claim = self.parsed
        frequency: dict[str, Any] | None = None
        time: dict[str, Any] | None = None
        if claim.band_hz is not None:
            low, high = claim.band_hz
            frequency = {"kind": claim.frequency, "band": claim.band, "low_hz": low, "high_hz": high}
        if claim.bin_s is not None:
            start = self.start_s + claim.bin_s[0]
            if duration_s < CLIP_S:
                start %= duration_s
            end = min(start + BIN_S, duration_s)
            time = {"kind": claim.time, "bin": claim.bin, "start_s": round(start, 4), "end_s": round(end, 4)}
        return {"frequency": frequency, "time": time}


@dataclass(frozen=True)
class ExplainedDetection(Detection):
    """The answer for one input, by the score; `segments` are windows of 1.5 s that overlap by half.

    Attributes:
        segments: the windows with their texts.
        clip: what the picture is drawn of.
    """

    segments: tuple[Window, ...] = ()
    clip: Decoded | None = field(default=None, repr=False, compare=False)

    @property
    def worst(self) -> Window:
        """The window that is most likely fake: the one whose rationale is given."""
        return min(self.segments, key=lambda window: window.score)

    def more(self) -> dict[str, Any]:
        """Give what the worst window's text says; ``plot`` is null until a picture is written, see `outputs`."""
        return {
            "answer": self.worst.parsed.label,
            "evidence": self.worst.evidence(self.duration_s),
            "rationale": self.worst.text,
            "plot": None,
        }

    def as_dict(self) -> dict[str, Any]:
        """Give the result as plain JSON values, each window with its answer and evidence."""
        plain = super().as_dict()
        for row, window in zip(plain["segments"], self.segments, strict=True):
            row |= {"answer": window.parsed.label, **window.evidence(self.duration_s)}
        return plain

    def outputs(self) -> Mapping[str, Output]:
        """Give the annotated spectrogram, which is drawn when it is written."""
        return {} if self.clip is None else {"plot": Output(".png", self._draw)}

    def _draw(self, path: Path) -> None:
        """Draw the window that the rationale is of, with what it claims."""
        if self.clip is None:
            return
        worst, rate_hz = self.worst, self.clip.rate_hz
        start, stop = (round(second * rate_hz) for second in (worst.start_s, worst.end_s))
        wave = np.asarray(resample(self.clip.wave[start:stop], rate_hz, RATE_HZ), np.float32)
        where = f", {worst.start_s:.2f} to {worst.end_s:.2f} s" if len(self.segments) > 1 else ""
        title = (
            f"{Path(self.input).name}{where}: {worst.parsed.label or 'unreadable'}; score {worst.score:.2f}, "
            f"threshold {self.threshold:.2f}"
        )
        save_png(Spectrogram(title, wave, RATE_HZ, claimed_boxes(worst.parsed), HIGH_HZ, worst.start_s), path)


@dataclass(frozen=True)
class Detector:
    """A trained run.

    Attributes:
        network: in eval mode.
        cfg: the run's config.
        preset: the run's preset.
        calibration: probability, threshold and undecided band, set on dev.
    """

    network: Network
    cfg: FtGrpoConfig
    preset: str
    calibration: Calibration

    @property
    def toy(self) -> bool:
        """Whether its answers are toy answers: every preset but ``paper``."""
        return self.preset != "paper"

    def score(self, wave: np.ndarray, rate_hz: int) -> float:
        """Score one waveform (T,), higher for bona fide.

        Raises:
            AudioError: not usable audio.
        """
        given = np.asarray(wave, np.float32)
        check(given, rate_hz)
        return mean_score(self.windows(given, rate_hz))

    def scores(self, waves: Iterable[np.ndarray], rates_hz: Iterable[int]) -> list[float]:
        """Score several waveforms; each as `score` does, whatever its mates."""
        return [self.score(wave, rate_hz) for wave, rate_hz in zip(waves, rates_hz, strict=True)]

    def windows(self, wave: np.ndarray, rate_hz: int) -> tuple[Window, ...]:
        """Answer for the windows of one waveform (T,); those with next to no sound are left out."""
        at_rate = np.asarray(resample(wave, rate_hz, RATE_HZ), np.float32)
        quietest = rms_db(at_rate) + QUIET_DB
        kept = [(start, stop) for start, stop in window_edges(len(at_rate)) if rms_db(at_rate[start:stop]) > quietest]
        generations = self.generate([as_int16(middle(at_rate[start:stop])) for start, stop in kept])
        return tuple(
            Window(start / RATE_HZ, stop / RATE_HZ, float(score), text)
            for (start, stop), score, text in zip(kept, generations.scores, generations.texts, strict=True)
        )

    def generate(self, waves: Sequence[np.ndarray]) -> Generations:
        """Write about clips of 1.5 s, int16 at 16 kHz and in the world's band."""
        features = features_of(waves, self.cfg.model.backbone)
        return generate(self.network, features, self.cfg.eval, derive(self.cfg.seed, "answers"))

    def detections(self, clips: Sequence[Decoded]) -> list[ExplainedDetection]:
        """Answer for decoded files; each as if it were alone."""
        return [self._detection(clip) for clip in clips]

    def _detection(self, clip: Decoded) -> ExplainedDetection:
        windows = self.windows(clip.wave, clip.rate_hz)
        score = mean_score(windows)
        return ExplainedDetection(
            input=clip.input,
            score=score,
            p_bonafide=float(self.calibration.probability([score])[0]),
            label=self.calibration.label(score),
            threshold=self.calibration.threshold,
            duration_s=clip.duration_s,
            segments=windows,
            warnings=tuple(self._warnings(clip, windows)),
            clip=clip,
        )

    def _warnings(self, clip: Decoded, windows: Sequence[Window]) -> Iterator[str]:
        if self.toy:
            yield LAPTOP
        yield from clip.warnings
        if clip.duration_s < SHORT_S:
            yield f"short: {clip.duration_s:.2f} s, repeated to {CLIP_S:g} s; below {SHORT_S:g} s times are unsure"
        if clip.duration_s > LONGEST_S:
            yield f"beginning-only: only the first {LONGEST_S:g} s were used"
        fake = sum(window.score < self.calibration.threshold for window in windows)
        if 0 < fake < len(windows):
            yield f"windows-differ: {fake} of {len(windows)} windows look fake; the score is the mean over all"
        unread = sum(not window.parsed.complete for window in windows)
        if unread:
            yield f"unreadable: {unread} of {len(windows)} texts are not in the form that was asked for"


def mean_score(windows: Sequence[Window]) -> float:
    """Give the mean score of windows."""
    return float(np.mean([window.score for window in windows]))


def window_edges(length: int) -> list[tuple[int, int]]:
    """Give first and last sample of windows of 1.5 s that overlap by half; the last one ends where the clip ends."""
    if length <= SAMPLES:
        return [(0, length)]
    starts = list(range(0, length - SAMPLES, SAMPLES // 2))
    return [(start, start + SAMPLES) for start in [*starts, length - SAMPLES]]


def load(folder: str | Path) -> Detector:
    """Load a trained run from its folder.

    Raises:
        CheckpointError: not a run folder, an untrained or a damaged one.
    """
    trained = open_trained(folder, "ft_grpo", FtGrpoConfig)
    return open_checkpoint(trained.final, trained.cfg, trained.preset)


def open_checkpoint(folder: Path, cfg: FtGrpoConfig, preset: str) -> Detector:
    """Open one checkpoint of a run: the final one, or one that it is measured against.

    Raises:
        CheckpointError: it is not there, or damaged.
    """
    network, meta = load_checkpoint(folder, cfg)
    try:
        calibration = Calibration.from_dict(meta["calibration"])
    except (KeyError, TypeError, DataError) as error:
        raise CheckpointError(f"{folder}/meta.json is damaged: {error}") from None
    return Detector(network, cfg, preset, calibration)


def infer(model: Detector, requests: Iterable[Request]) -> Iterator[ExplainedDetection | Refused]:
    """Answer for the audio of requests, in order; a bad one is refused and the rest goes on.

    Args:
        model: from `load`.
        requests: questions that have audio.
    """
    for clip, detection in score_files(model.detections, requests, BATCH, threads=1, longest_s=LONGEST_S):
        yield Refused(clip.input, str(clip.error)) if detection is None else detection
