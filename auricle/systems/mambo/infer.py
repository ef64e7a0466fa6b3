"""`infer`: from a run folder to answers about files, and nothing but the folder is needed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.check import check
from auricle.audio.files import blocks, find_audio, scan
from auricle.audio.resample import resample
from auricle.core.config import parse
from auricle.core.errors import AudioError, CheckpointError, DataError
from auricle.core.run import RunFolder
from auricle.metrics.calibration import Calibration
from auricle.systems.mambo.clips import windows
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.domain import Domain, describe
from auricle.systems.mambo.network import Network
from auricle.systems.mambo.scoring import score_windows

FINAL = "final"  # the checkpoint that answers: the average of the best, calibrated on dev
CELL_S = 0.5  # length of a segment in the answer
SHORT_S = 1.0
BATCH = 32
LAPTOP = (
    "laptop-model: trained in minutes on a few voices and classical fakes; "
    "it shows the method and must not decide about anybody"
)


@dataclass(frozen=True)
class Segment:
    """Half a second of an input and its score; the last one may be shorter."""

    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class Detection:
    """The answer for one input: either `error`, or everything else.

    Attributes:
        input: the path as given or found.
        score: higher is more bona fide.
        p_bonafide: probability of bona fide at prior 0.5, by Platt scaling on dev.
        label: bonafide, spoof or undecided.
        threshold: score at the dev EER.
        duration_s: length in seconds.
        segments: scores over time.
        warnings: what to know before using the answer.
        error: why there is no answer.
    """

    input: str
    score: float = 0.0
    p_bonafide: float = 0.5
    label: str = "undecided"
    threshold: float = 0.0
    duration_s: float = 0.0
    segments: tuple[Segment, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give the result as plain JSON values; a refused input has only ``input`` and ``error``."""
        if self.error is not None:
            return {"input": self.input, "error": self.error}
        return {
            "input": self.input,
            "score": round(self.score, 6),
            "p_bonafide": round(self.p_bonafide, 6),
            "label": self.label,
            "threshold": round(self.threshold, 6),
            "duration_s": round(self.duration_s, 3),
            "segments": [
                {"start_s": round(one.start_s, 3), "end_s": round(one.end_s, 3), "score": round(one.score, 4)}
                for one in self.segments
            ],
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Detector:
    """A trained detector.

    Attributes:
        network: in eval mode.
        cfg: the run's config.
        preset: the run's preset.
        calibration: probability, threshold and undecided band, set on dev.
        domain: checks of the input.
    """

    network: Network
    cfg: MamboConfig
    preset: str
    calibration: Calibration
    domain: Domain | None

    @property
    def length(self) -> int:
        """Samples of a window."""
        return round(self.cfg.data.segment_s * self.cfg.data.rate_hz)

    def score(self, wave: np.ndarray, rate_hz: int) -> float:
        """Score one waveform, higher for bona fide.

        Args:
            wave: (T,), nominally within -1 and 1.
            rate_hz: its rate in Hz.

        Raises:
            AudioError: not usable audio; see `auricle.audio.check`.
        """
        return self.scores([wave], [rate_hz])[0]

    def scores(self, waves: Iterable[np.ndarray], rates_hz: Iterable[int]) -> list[float]:
        """Score several waveforms; each as `score` does, whatever its mates."""
        found = []
        for wave, rate_hz in zip(waves, rates_hz, strict=True):
            wave = np.asarray(wave, dtype=np.float32)
            check(wave, rate_hz)
            tally = _Tally(self)
            tally.add_all(windows(resample(wave, rate_hz, self.cfg.data.rate_hz), self.length))
            found.append(tally.clip_score())
        return found

    def detect(self, path: str | Path) -> Detection:
        """Answer for one file, in constant memory however long it is.

        Raises:
            AudioError: not usable audio.
        """
        found = scan(path)
        tally = _Tally(self)
        for start_s, piece in self._windows(path):
            tally.add(piece, start_s, found.duration_s)
        score = tally.clip_score()
        warnings = [*found.warnings]
        if self.preset != "paper":
            warnings.append(LAPTOP)
        if found.duration_s < SHORT_S:
            warnings.append(f"short: {found.duration_s:.2f} s; below {SHORT_S} s there is little to go by")
        if self.domain is not None:
            warnings += self.domain.warnings(tally.description())
        return Detection(
            input=str(path),
            score=score,
            p_bonafide=float(self.calibration.probability([score])[0]),
            label=self.calibration.label(score),
            threshold=self.calibration.threshold,
            duration_s=found.duration_s,
            segments=tally.segments(found.duration_s),
            warnings=tuple(warnings),
        )

    def _windows(self, path: str | Path) -> Iterator[tuple[float, np.ndarray]]:
        """Give the windows of a file as `clips.windows` cuts them, without holding the file."""
        rate_hz, seconds = self.cfg.data.rate_hz, self.cfg.data.segment_s
        before: np.ndarray | None = None
        for start_s, piece in blocks(path, seconds, self.length // 2 / rate_hz, rate_hz):
            if len(piece) < self.length and before is not None:
                # the last window ends where the file ends
                joined = np.concatenate([before, piece[self.length - self.length // 2 :]])
                piece, start_s = joined[-self.length :], start_s + (len(piece) - self.length) / rate_hz
            before = piece
            yield start_s, windows(piece, self.length)[0]


@dataclass
class _Tally:
    """What is known of an input so far: window scores, cell scores, a few windows for the domain checks."""

    detector: Detector
    waiting: list[tuple[np.ndarray, float, float]] = field(default_factory=list)
    total: float = 0.0
    count: int = 0
    cells: dict[int, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))
    descriptions: list[np.ndarray] = field(default_factory=list)

    def add(self, piece: np.ndarray, start_s: float, duration_s: float) -> None:
        self.waiting.append((piece, start_s, duration_s))
        if len(self.waiting) >= BATCH:
            self._flush()

    def add_all(self, pieces: np.ndarray) -> None:
        for piece in pieces:
            self.add(piece, 0.0, float("inf"))

    def _flush(self) -> None:
        if not self.waiting:
            return
        pieces = [piece for piece, _, _ in self.waiting]
        scores, frames = score_windows(self.detector.network, pieces, BATCH)
        self.total += float(scores.astype(np.float64).sum())
        self.count += len(scores)
        step_s = self.detector.cfg.data.segment_s / frames.shape[1]
        for (piece, start_s, duration_s), values in zip(self.waiting, frames, strict=True):
            times = start_s + (np.arange(len(values)) + 0.5) * step_s
            if duration_s < self.detector.cfg.data.segment_s:
                times = times % duration_s  # a tiled clip: later frames say the same seconds again
            for cell, value in zip((times / CELL_S).astype(int), values, strict=True):
                self.cells[int(cell)][0] += float(value)
                self.cells[int(cell)][1] += 1
            if len(self.descriptions) < 64 and self.detector.domain is not None:
                data = self.detector.cfg.data
                self.descriptions.append(describe(piece, data.rate_hz, data.band_hz))
        self.waiting.clear()

    def clip_score(self) -> float:
        self._flush()
        return self.total / self.count

    def description(self) -> np.ndarray:
        self._flush()
        return np.asarray(np.mean(self.descriptions, axis=0))

    def segments(self, duration_s: float) -> tuple[Segment, ...]:
        self._flush()
        return tuple(
            Segment(cell * CELL_S, min((cell + 1) * CELL_S, duration_s), total / count)
            for cell, (total, count) in sorted(self.cells.items())
            if cell * CELL_S < duration_s
        )


def load(folder: str | Path) -> Detector:
    """Load the detector of a run.

    Raises:
        CheckpointError: not a run, not trained, or damaged.
    """
    from auricle.train.checkpoint import load_model

    run = RunFolder(Path(folder))
    saved = run.saved_config()
    if saved["system"] != "mambo":
        raise CheckpointError(f"{folder} is a run of '{saved['system']}', not of 'mambo'")
    final = run.checkpoints / FINAL
    if not final.is_dir():
        raise CheckpointError(f"{folder} is not trained yet; train it with: auricle train mambo --run {folder}")
    cfg = parse(MamboConfig, saved["config"])
    network = Network(cfg)
    meta = load_model(final, network)
    try:
        calibration = Calibration.from_dict(meta["calibration"])
        domain = Domain.from_dict(meta["domain"]) if meta["domain"] is not None else None
    except (KeyError, TypeError, DataError) as error:
        raise CheckpointError(f"{final}/meta.json is damaged: {error}") from None
    network.eval()
    return Detector(network, cfg, str(saved["preset"]), calibration, domain)


def infer(model: Detector, inputs: Iterable[str | Path]) -> Iterator[Detection]:
    """Answer for files and folders, in order; a bad one gives an answer with `error` and the rest goes on.

    Args:
        model: from `load`.
        inputs: files, or folders whose audio files are taken in sorted order.
    """
    for given in inputs:
        try:
            paths = find_audio([given])
        except AudioError as error:
            yield Detection(str(given), error=str(error))
            continue
        for path in paths:
            try:
                yield model.detect(path)
            except AudioError as error:
                yield Detection(str(path), error=str(error))
