"""`infer`: from a run folder to answers about audio, and nothing but the folder is needed."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from auricle.audio.arrays import as_wave
from auricle.audio.blocks import Scan
from auricle.audio.files import blocks, probe, read, scan
from auricle.audio.hearing import Envelope, Sound, beginning, part
from auricle.audio.resample import resample
from auricle.backbones.vad import RATE_HZ as VAD_HZ
from auricle.backbones.vad import SPEECH, Vad, speech_share
from auricle.backbones.whisper_front import WhisperFront
from auricle.core.answers import Detection, Refused
from auricle.core.errors import AudioError, CheckpointError, ConfigError, DataError
from auricle.core.request import Request
from auricle.core.run import open_trained
from auricle.metrics.calibration import Calibration, Decision, decide
from auricle.metrics.novelty import Known
from auricle.systems.batching import AHEAD, DECODERS, map_ahead
from auricle.systems.mambo.config import DataConfig, MamboConfig
from auricle.systems.mambo.domain import domain_warnings, known_domain, speech_warnings
from auricle.systems.mambo.network import Network
from auricle.systems.mambo.scoring import (
    Results,
    Window,
    cut_results,
    score_stream,
    scored_part,
    scores_of,
    wave_results,
)
from auricle.train.checkpoint import load_model

SHORT_S = 1.0
WHOLE_S = 60.0  # up to here a file is decoded whole, in one pass; a longer one is streamed
CHUNK_S = 10.0  # of a file that is streamed
JUDGED_EVERY = 4  # of its chunks one in so many is searched for speech
SMALLEST_ENCODER = 768  # width of wav2vec 2.0, WavLM and HuBERT base; what is narrower is a build for tests
LAPTOP = (
    "laptop-model: trained in minutes on a few voices and classical fakes; "
    "it shows the method and must not decide about anybody"
)
UNCHECKED = "unchecked: this run has no check of whether an input is like the clips that it knows"


@dataclass(frozen=True, repr=False)
class Detector:
    """A trained detector.

    Attributes:
        network: in eval mode.
        cfg: the run's config.
        preset: the run's preset.
        calibration: probability, threshold and undecided band, set on dev; None where there were no labelled clips.
        domain: of what it knows; None where nobody has measured that.
    """

    network: Network
    cfg: MamboConfig
    preset: str
    calibration: Calibration | None
    domain: Known | None

    @property
    def toy(self) -> bool:
        """Whether its answers are toy answers: every preset but ``paper``, and ``paper`` without a real encoder."""
        width = (self.cfg.model.encoder_config or {}).get("hidden_size") or 0
        return self.preset != "paper" or width < SMALLEST_ENCODER

    def __repr__(self) -> str:
        """Say in one line what it is."""
        model, size = self.cfg.model, sum(parameter.numel() for parameter in self.network.parameters())
        return (
            f"Detector({model.topology} {model.mixer} on {model.frontend}, {size} parameters, preset {self.preset}, "
            f"{self.cfg.data.rate_hz} Hz)"
        )

    def score(self, wave: Any, rate_hz: int) -> float:
        """Score one waveform, higher for bona fide.

        Args:
            wave: an array, tensor or list, (T,), (C, T) or (T, C); see `auricle.audio.arrays.as_wave`.
            rate_hz: its rate in Hz.

        Raises:
            AudioError: not usable audio; see `auricle.audio.arrays` and `auricle.audio.check`.
        """
        return self.scores([wave], [rate_hz])[0]

    def scores(self, waves: Iterable[Any], rates_hz: Iterable[int]) -> list[float]:
        """Score several waveforms; each as `score` does, whatever its mates.

        Args:
            waves: N of them.
            rates_hz: their N rates in Hz.

        Raises:
            AudioError: one is not usable audio.
            ConfigError: not one rate a waveform.
        """
        target = self.cfg.data.rate_hz
        results = wave_results(self.network, self.cfg.data, _paired(waves, rates_hz, target))
        return [float(score) for score in scores_of(results)]

    def cut_scores(self, cuts: Iterable[Any]) -> np.ndarray:
        """Score the audio of a manifest's cuts, (N,): the samples that `infer` scores in their files."""
        return scores_of(cut_results(self.network, self.cfg.data, cuts))

    def cut_decisions(self, cuts: Iterable[Any]) -> tuple[np.ndarray, list[Decision]]:
        """Give the scores (N,) of a manifest's cuts, and what `infer` would decide about each."""
        results = cut_results(self.network, self.cfg.data, cuts, described=True)
        return scores_of(results), [self.decided(one)[0] for one in results]

    def decided(self, results: Results) -> tuple[Decision, list[str]]:
        """Decide about an input whose windows are scored, and give the warnings that it is none of those it knows."""
        unlike = speech_warnings(results.speech)
        if not unlike and self.domain is not None and results.descriptions:
            described = np.mean(results.descriptions, axis=0)
            unlike = domain_warnings(self.domain, described, results.described_s)
        return decide(self.calibration, results.score, next(iter(unlike), None)), unlike

    def scored(self, stream: Iterable[Window], threads: int) -> Iterator[Window]:
        """Give windows as they are scored, `threads` batches side by side."""
        return score_stream(self.network, stream, self.cfg.data.rate_hz, self.cfg.data.band_hz, threads)


def _paired(waves: Iterable[Any], rates_hz: Iterable[int], target_hz: int) -> Iterator[np.ndarray]:
    """Give each waveform with its rate, as (T,) at the network's."""
    if not isinstance(rates_hz, Iterable) or isinstance(rates_hz, str):
        raise ConfigError(f"rates_hz is {rates_hz!r}; give one rate in Hz for each waveform, such as [16000, 8000]")
    missing = object()
    for wave, rate_hz in itertools.zip_longest(waves, rates_hz, fillvalue=missing):
        if wave is missing or rate_hz is missing:
            raise ConfigError("there is not one rate for each waveform; give as many in rates_hz as in waves")
        given = cast(int, rate_hz)  # `as_wave` refuses what is no rate
        yield resample(as_wave(wave, given)[0], given, target_hz).astype(np.float32, copy=False)


def _chunks(path: Path, rate_hz: int, judged: Scan) -> Iterator[np.ndarray]:
    """Give the samples of a file at a rate, one stretch after the other."""
    for _, chunk in blocks(path, CHUNK_S, CHUNK_S, rate_hz, judged=judged):
        yield chunk


@dataclass
class _Input:
    """The audio of a request on its way to an answer: judged, and decoded unless it is long.

    Attributes:
        detector: who answers.
        request: the request.
        results: of its windows.
        warnings: of the audio.
        wave: (T,) at the network's rate; None where the file is streamed.
        judged: of a file that is streamed.
        sound: what of it is heard.
        error: why there is no answer.
        sent: whether all windows are on their way.
    """

    detector: Detector
    request: Request
    results: Results
    warnings: tuple[str, ...] = ()
    wave: np.ndarray | None = None
    judged: Scan | None = None
    sound: Sound | None = None
    error: str | None = None
    sent: bool = False

    @property
    def done(self) -> bool:
        return self.error is not None or (self.sent and self.results.count == self.results.sent)

    def windows(self) -> Iterator[Window]:
        if self.error is not None or self.request.audio is None or self.sound is None:
            return
        wave, self.wave = self.wave, None
        rate_hz = self.detector.cfg.data.rate_hz
        chunks: Iterable[np.ndarray] = [] if wave is None else [wave]
        if self.judged is not None:
            chunks = _chunks(self.request.audio, rate_hz, self.judged)
        try:
            yield from self.results.windows(chunks, self.sound)
        except AudioError as error:  # it was there when it was judged
            self.error = str(error)
        self.sent = True

    def answer(self) -> Detection | Refused:
        try:
            score = self.results.score if self.error is None else 0.0
        except AudioError as error:
            self.error = str(error)
        if self.error is not None:
            return Refused(self.request.input, self.error)
        detector, duration_s = self.detector, self.results.duration_s
        decision, unlike = detector.decided(self.results)
        warnings = [*unlike, *self.warnings]
        if detector.toy:
            warnings.append(LAPTOP)
        if duration_s < SHORT_S:
            warnings.append(f"short: {duration_s:.2f} s; below {SHORT_S} s there is little to go by")
        if detector.cfg.data.first_window and duration_s > self.results.segment_s:
            warnings.append(f"first-window: only the first {self.results.segment_s} s of {duration_s:.1f} s were heard")
        if detector.domain is None:
            warnings.append(UNCHECKED)
        return Detection(
            input=self.request.input,
            score=score,
            duration_s=duration_s,
            segments=self.results.segments(),
            warnings=tuple(warnings),
            **vars(decision),
        )


def _opened(detector: Detector, request: Request) -> _Input:
    """Judge the audio of a request, and decode it in the same pass unless it is long."""
    rate_hz = detector.cfg.data.rate_hz
    results = Results(detector.cfg.data.segment_s, rate_hz, described=detector.domain is not None)
    opened = _Input(detector, request, results)
    try:
        if request.audio is None:
            raise AudioError("the request has no audio")
        if probe(request.audio).duration_s > WHOLE_S:
            opened.judged = scan(request.audio)
            opened.warnings, results.duration_s = opened.judged.warnings, opened.judged.duration_s
            opened.sound, results.speech = _surveyed(_chunks(request.audio, rate_hz, opened.judged), detector.cfg.data)
        else:
            audio = read(request.audio, channels="loudest")
            wave = resample(audio.wave[0], audio.rate_hz, rate_hz).astype(np.float32, copy=False)
            opened.wave, opened.sound = wave, scored_part(detector.cfg.data, wave)
            opened.warnings, results.duration_s = audio.warnings, audio.duration_s
            results.speech = speech_share(part(wave, opened.sound), rate_hz)
    except AudioError as error:
        opened.error = str(error)
    return opened


def _surveyed(chunks: Iterable[np.ndarray], cfg: DataConfig) -> tuple[Sound, float]:
    """Find the part of a long file that is scored, and the share of speech in the stretches that are searched."""
    rate_hz = cfg.rate_hz
    if cfg.first_window:
        wave = np.concatenate(list(itertools.islice(chunks, math.ceil(cfg.segment_s / CHUNK_S))))[: cfg.window]
        return beginning(len(wave), cfg.window), speech_share(wave, rate_hz)
    envelope, found = Envelope(rate_hz), []
    for number, chunk in enumerate(chunks):
        envelope.add(chunk)
        if number % JUDGED_EVERY == 0:
            found.append(Vad().add(resample(chunk, rate_hz, VAD_HZ).astype(np.float32, copy=False)) > SPEECH)
    return envelope.sound(), float(np.concatenate(found).mean())


def load(folder: str | Path) -> Detector:
    """Load the detector of a run.

    Raises:
        CheckpointError: not a run, not trained, or damaged; or other weights of Whisper than it was trained on.
        MissingWeights: it stands on Whisper, whose weights are not installed.
    """
    trained = open_trained(folder, "mambo", MamboConfig)
    network = Network(trained.cfg)
    meta = load_model(trained.final, network)
    try:
        calibration = Calibration.from_dict(meta["calibration"]) if meta["calibration"] is not None else None
        domain = known_domain(meta["domain"])
    except (KeyError, TypeError, DataError) as error:
        raise CheckpointError(f"{trained.final}/meta.json is damaged: {error}") from None
    if isinstance(network.encoder, WhisperFront):
        network.encoder.fetch()  # its weights are no part of the run: where they are missing, say so before any audio
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
