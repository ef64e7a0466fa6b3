"""`infer`: from a run folder to answers about files, and nothing but the folder is needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from auricle.audio.ahead import AHEAD, DECODERS, Decoded, found, map_ahead
from auricle.audio.check import check
from auricle.audio.files import blocks, probe, read, scan
from auricle.audio.resample import resample
from auricle.core.config import parse
from auricle.core.errors import AudioError, CheckpointError, DataError
from auricle.core.run import RunFolder
from auricle.data.clips import windows
from auricle.metrics.calibration import Calibration
from auricle.systems.detection import Detection, Segment
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.domain import Domain
from auricle.systems.mambo.network import Network
from auricle.systems.mambo.scoring import Scored, Window, WindowScorer

FINAL = "final"  # the checkpoint that answers: the average of the best, calibrated on dev
CELL_S = 0.5  # length of a segment in the answer
SHORT_S = 1.0
BATCH = 32
WHOLE_S = 60.0  # up to here a file is decoded whole, in one pass; a longer one is streamed
DESCRIBED = 64  # windows of an input that the domain checks look at
SMALLEST_ENCODER = 768  # width of wav2vec 2.0, WavLM and HuBERT base; what is narrower is a build for tests
LAPTOP = (
    "laptop-model: trained in minutes on a few voices and classical fakes; "
    "it shows the method and must not decide about anybody"
)


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

    @property
    def toy(self) -> bool:
        """Whether its answers are toy answers: every preset but ``paper``, and ``paper`` without a real encoder."""
        width = (self.cfg.model.encoder_config or {}).get("hidden_size") or 0
        return self.preset != "paper" or width < SMALLEST_ENCODER

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
        tallies: list[_Tally] = []
        with self._scorer(1) as scorer:
            for wave, rate_hz in zip(waves, rates_hz, strict=True):
                wave = np.asarray(wave, dtype=np.float32)
                check(wave, rate_hz)
                tallies.append(tally := _Tally(self, float("inf"), described=False))
                for start_s, piece in self._cut(resample(wave, rate_hz, self.cfg.data.rate_hz)):
                    _deliver(scorer.add(tally.window(piece, start_s)))
            _deliver(scorer.finish())
        return [tally.clip_score() for tally in tallies]

    def detect(self, path: str | Path) -> Detection:
        """Answer for one file, in constant memory however long it is.

        Raises:
            AudioError: not usable audio.
        """
        taken = _take(self, Path(path))
        if taken.error is not None:
            raise taken.error
        with self._scorer(1) as scorer:
            for window in taken.windows():
                _deliver(scorer.add(window))
            _deliver(scorer.finish())
        return taken.detection()

    def _scorer(self, threads: int) -> WindowScorer:
        return WindowScorer(self.network, self.cfg.data.rate_hz, self.cfg.data.band_hz, BATCH, threads)

    def _cut(self, wave: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
        """Give the windows of a waveform at the network's rate, each with the second it begins at."""
        last = max(0, len(wave) - self.length)
        for index, piece in enumerate(windows(wave, self.length)):
            yield min(index * (self.length // 2), last) / self.cfg.data.rate_hz, piece

    def _stream(self, path: Path) -> Iterator[tuple[float, np.ndarray]]:
        """Give the windows of a file as `_cut` does, without holding the file."""
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
    duration_s: float
    described: bool
    total: float = 0.0
    sent: int = 0
    count: int = 0
    cells: dict[int, list[float]] = field(default_factory=dict)
    descriptions: list[np.ndarray] = field(default_factory=list)

    def window(self, piece: np.ndarray, start_s: float) -> Window:
        """Make the next window of this input, to be scored."""
        self.sent += 1
        return Window(self, piece, start_s, self.described and self.sent <= DESCRIBED)

    def take(self, scored: Scored) -> None:
        """Add the results of one window; they come in the order of the windows."""
        self.total += scored.score
        self.count += 1
        if scored.description is not None:
            self.descriptions.append(scored.description)
        segment_s = self.detector.cfg.data.segment_s
        times = scored.window.start_s + (np.arange(len(scored.frames)) + 0.5) * segment_s / len(scored.frames)
        if self.duration_s < segment_s:
            times = times % self.duration_s  # a tiled clip: later frames say the same seconds again
        index = (times / CELL_S).astype(int)
        first = int(index.min())
        sums, counts = np.bincount(index - first, scored.frames), np.bincount(index - first)
        for cell in np.flatnonzero(counts):
            known = self.cells.setdefault(first + int(cell), [0.0, 0.0])
            known[0] += float(sums[cell])
            known[1] += float(counts[cell])

    def clip_score(self) -> float:
        return self.total / self.count

    def segments(self) -> tuple[Segment, ...]:
        return tuple(
            Segment(cell * CELL_S, min((cell + 1) * CELL_S, self.duration_s), total / count)
            for cell, (total, count) in sorted(self.cells.items())
            if cell * CELL_S < self.duration_s
        )


def _deliver(finished: Iterable[Scored]) -> None:
    for scored in finished:
        scored.window.owner.take(scored)


@dataclass
class _Taken:
    """A file on its way to an answer: judged, and decoded unless it is long.

    Attributes:
        detector: who answers.
        path: the file.
        warnings: of the audio.
        tally: its results; None where the file is refused.
        wave: (T,) at the network's rate; None where the file is streamed.
        error: why there is no answer.
        sent: whether all windows are on their way.
    """

    detector: Detector
    path: Path
    warnings: tuple[str, ...] = ()
    tally: _Tally | None = None
    wave: np.ndarray | None = None
    error: AudioError | None = None
    sent: bool = False

    @property
    def done(self) -> bool:
        return self.error is not None or (self.sent and self.tally is not None and self.tally.count == self.tally.sent)

    def windows(self) -> Iterator[Window]:
        if self.tally is None:
            return
        wave, self.wave = self.wave, None
        for start_s, piece in self.detector._stream(self.path) if wave is None else self.detector._cut(wave):
            yield self.tally.window(piece, start_s)
        self.sent = True

    def detection(self) -> Detection:
        if self.error is not None or self.tally is None:
            return Detection(str(self.path), error=str(self.error))
        detector, duration_s, score = self.detector, self.tally.duration_s, self.tally.clip_score()
        warnings = list(self.warnings)
        if detector.toy:
            warnings.append(LAPTOP)
        if duration_s < SHORT_S:
            warnings.append(f"short: {duration_s:.2f} s; below {SHORT_S} s there is little to go by")
        if detector.domain is not None and self.tally.descriptions:
            warnings += detector.domain.warnings(np.mean(self.tally.descriptions, axis=0))
        return Detection(
            input=str(self.path),
            score=score,
            p_bonafide=float(detector.calibration.probability([score])[0]),
            label=detector.calibration.label(score),
            threshold=detector.calibration.threshold,
            duration_s=duration_s,
            segments=self.tally.segments(),
            warnings=tuple(warnings),
        )


def _take(detector: Detector, path: Path | Decoded) -> _Taken:
    """Judge a file, and decode it in the same pass unless it is long; a refused one keeps its reason."""
    if isinstance(path, Decoded):
        return _Taken(detector, Path(path.path), error=AudioError(path.error or ""))
    try:
        if probe(path).duration_s > WHOLE_S:
            found = scan(path)
            return _Taken(detector, path, found.warnings, _Tally(detector, found.duration_s, _checks(detector)))
        audio = read(path)
        wave = resample(audio.mono(), audio.rate_hz, detector.cfg.data.rate_hz)
        return _Taken(detector, path, audio.warnings, _Tally(detector, audio.duration_s, _checks(detector)), wave)
    except AudioError as error:
        return _Taken(detector, path, error=error)


def _checks(detector: Detector) -> bool:
    return detector.domain is not None


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

    Files are decoded ahead in threads, and the windows of many files share a batch; as many batches run at once as
    torch has threads (``torch.set_num_threads``).

    Args:
        model: from `load`.
        inputs: files, or folders whose audio files are taken in sorted order.
    """
    waiting: deque[_Taken] = deque()
    with model._scorer(torch.get_num_threads()) as scorer:
        for taken in _decoded(model, inputs):
            waiting.append(taken)
            try:
                for window in taken.windows():
                    _deliver(scorer.add(window))
                    while waiting and waiting[0].done:
                        yield waiting.popleft().detection()
            except AudioError as error:  # it was there when it was judged
                taken.error = error
            while waiting and waiting[0].done:
                yield waiting.popleft().detection()
        _deliver(scorer.finish())
        while waiting:
            yield waiting.popleft().detection()


def _decoded(model: Detector, inputs: Iterable[str | Path]) -> Iterator[_Taken]:
    """Find, judge and decode files in order, a few ahead of the one that is asked for."""
    with ThreadPoolExecutor(DECODERS, "decode") as pool:
        yield from map_ahead(pool, partial(_take, model), found(inputs), AHEAD)
