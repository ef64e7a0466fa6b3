"""`infer`: from a run folder to answers about audio, and nothing but the folder is needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from auricle.audio.check import check
from auricle.audio.files import blocks, probe, read, scan
from auricle.audio.resample import resample
from auricle.core.answers import Detection, Refused
from auricle.core.errors import AudioError, CheckpointError, DataError
from auricle.core.request import Request
from auricle.core.run import open_trained
from auricle.data.clips import windows
from auricle.metrics.calibration import Calibration
from auricle.systems.batching import AHEAD, DECODERS, map_ahead
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.domain import Domain
from auricle.systems.mambo.network import Network
from auricle.systems.mambo.scoring import Results, Window, score_stream
from auricle.train.checkpoint import load_model

SHORT_S = 1.0
WHOLE_S = 60.0  # up to here a file is decoded whole, in one pass; a longer one is streamed
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
        inputs: list[Results] = []

        def pieces() -> Iterator[Window]:
            for wave, rate_hz in zip(waves, rates_hz, strict=True):
                wave = np.asarray(wave, dtype=np.float32)
                check(wave, rate_hz)
                inputs.append(Results(self.cfg.data.segment_s))
                for start_s, piece in self.cut(resample(wave, rate_hz, self.cfg.data.rate_hz)):
                    yield inputs[-1].window(start_s, piece)

        deque(self.scored(pieces(), 1), maxlen=0)
        return [results.score for results in inputs]

    def scored(self, stream: Iterable[Window], threads: int) -> Iterator[Window]:
        """Give windows as they are scored, `threads` batches side by side."""
        return score_stream(self.network, stream, self.cfg.data.rate_hz, self.cfg.data.band_hz, threads)

    def cut(self, wave: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
        """Give the windows of a waveform (T,) at the network's rate, each with the second it begins at."""
        length = self.cfg.data.window
        last = max(0, len(wave) - length)
        for index, piece in enumerate(windows(wave, length)):
            yield min(index * (length // 2), last) / self.cfg.data.rate_hz, piece

    def stream(self, path: Path) -> Iterator[tuple[float, np.ndarray]]:
        """Give the windows of a file as `cut` does, without holding the file."""
        length, rate_hz = self.cfg.data.window, self.cfg.data.rate_hz
        before: np.ndarray | None = None
        for start_s, piece in blocks(path, self.cfg.data.segment_s, length // 2 / rate_hz, rate_hz):
            if len(piece) < length and before is not None:
                # the last window ends where the file ends
                joined = np.concatenate([before, piece[length - length // 2 :]])
                piece, start_s = joined[-length:], start_s + (len(piece) - length) / rate_hz
            before = piece
            yield start_s, windows(piece, length)[0]


@dataclass
class _Input:
    """The audio of a request on its way to an answer: judged, and decoded unless it is long.

    Attributes:
        detector: who answers.
        request: the request.
        results: of its windows.
        warnings: of the audio.
        wave: (T,) at the network's rate; None where the file is streamed.
        error: why there is no answer.
        sent: whether all windows are on their way.
    """

    detector: Detector
    request: Request
    results: Results
    warnings: tuple[str, ...] = ()
    wave: np.ndarray | None = None
    error: str | None = None
    sent: bool = False

    @property
    def done(self) -> bool:
        return self.error is not None or (self.sent and self.results.count == self.results.sent)

    def windows(self) -> Iterator[Window]:
        if self.error is not None or self.request.audio is None:
            return
        wave, self.wave = self.wave, None
        pieces = self.detector.stream(self.request.audio) if wave is None else self.detector.cut(wave)
        try:
            for start_s, piece in pieces:
                yield self.results.window(start_s, piece)
        except AudioError as error:  # it was there when it was judged
            self.error = str(error)
        self.sent = True

    def answer(self) -> Detection | Refused:
        if self.error is not None:
            return Refused(self.request.input, self.error)
        detector, duration_s, score = self.detector, self.results.duration_s, self.results.score
        warnings = list(self.warnings)
        if detector.toy:
            warnings.append(LAPTOP)
        if duration_s < SHORT_S:
            warnings.append(f"short: {duration_s:.2f} s; below {SHORT_S} s there is little to go by")
        if detector.domain is not None and self.results.descriptions:
            warnings += detector.domain.warnings(np.mean(self.results.descriptions, axis=0))
        return Detection(
            input=self.request.input,
            score=score,
            p_bonafide=float(detector.calibration.probability([score])[0]),
            label=detector.calibration.label(score),
            threshold=detector.calibration.threshold,
            duration_s=duration_s,
            segments=self.results.segments(),
            warnings=tuple(warnings),
        )


def _opened(detector: Detector, request: Request) -> _Input:
    """Judge the audio of a request, and decode it in the same pass unless it is long."""
    results = Results(detector.cfg.data.segment_s, described=detector.domain is not None)
    opened = _Input(detector, request, results)
    try:
        if request.audio is None:
            raise AudioError("the request has no audio")
        if probe(request.audio).duration_s > WHOLE_S:
            facts = scan(request.audio)
            opened.warnings, results.duration_s = facts.warnings, facts.duration_s
        else:
            audio = read(request.audio)
            opened.wave = resample(audio.mono(), audio.rate_hz, detector.cfg.data.rate_hz)
            opened.warnings, results.duration_s = audio.warnings, audio.duration_s
    except AudioError as error:
        opened.error = str(error)
    return opened


def load(folder: str | Path) -> Detector:
    """Load the detector of a run.

    Raises:
        CheckpointError: not a run, not trained, or damaged.
    """
    trained = open_trained(folder, "mambo", MamboConfig)
    network = Network(trained.cfg)
    meta = load_model(trained.final, network)
    try:
        calibration = Calibration.from_dict(meta["calibration"])
        domain = Domain.from_dict(meta["domain"]) if meta["domain"] is not None else None
    except (KeyError, TypeError, DataError) as error:
        raise CheckpointError(f"{trained.final}/meta.json is damaged: {error}") from None
    network.eval()
    return Detector(network, trained.cfg, trained.preset, calibration, domain)


def infer(model: Detector, requests: Iterable[Request]) -> Iterator[Detection | Refused]:
    """Answer requests, in order; audio that cannot be used gives `Refused`, and the rest goes on.

    Audio is decoded ahead in threads, and the windows of many requests share a batch; as many batches run at once as
    torch has threads (``torch.set_num_threads``).

    Args:
        model: from `load`.
        requests: each has audio.
    """
    waiting: deque[_Input] = deque()

    def stream() -> Iterator[Window]:
        with ThreadPoolExecutor(DECODERS, "decode") as pool:
            for opened in map_ahead(pool, partial(_opened, model), requests, AHEAD):
                waiting.append(opened)
                yield from opened.windows()

    for _ in model.scored(stream(), torch.get_num_threads()):
        while waiting and waiting[0].done:
            yield waiting.popleft().answer()
    yield from (opened.answer() for opened in waiting)
