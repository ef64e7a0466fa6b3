"""`infer`: from a run folder to answers about files: real or fake, where the evidence is said to be, and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from auricle.alm.sft import Policy
from auricle.audio.arrays import as_wave
from auricle.audio.check import MIN_DURATION_S, shown
from auricle.audio.level import rms_db
from auricle.audio.resample import resample
from auricle.core.answers import Detection, Output, Refused, Segment
from auricle.core.errors import AudioError, CheckpointError, ConfigError, DataError
from auricle.core.request import Request
from auricle.core.run import open_trained
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import BIN_S, CLIP_S, RATE_HZ
from auricle.metrics.calibration import Calibration, Label
from auricle.report.spectrogram import Spectrogram, save_png
from auricle.systems.batching import Decoded, score_files
from auricle.systems.ft_grpo.boxes import HIGH_HZ, claimed_boxes
from auricle.systems.ft_grpo.config import FtGrpoConfig
from auricle.systems.ft_grpo.features import MADE_AT_ONCE, SAMPLES, features_of, heard
from auricle.systems.ft_grpo.generate import Generations, generate
from auricle.systems.ft_grpo.model import load_checkpoint
from auricle.systems.ft_grpo.rationale import Evidence, read

TITLE = 60  # characters of a file's name that a picture has room for
BATCH = 8  # files answered for at once by each thread
LONGEST_S = 300.0
SHORT_S = 1.0
QUIET_DB = -40.0  # a window so far below the file's level holds nothing to judge
PADDING = 1e-3  # of the peak; what stays below it at both ends of a file is padding, with or without an inaudible floor
WORDS: dict[str, str] = {"bonafide": "real", "spoof": "fake", "undecided": "undecided"}
LAPTOP = (
    "laptop-model: a million parameters trained in minutes on eight artefacts that were put into clips; other fakes "
    "look otherwise, and clean recordings of sources that it was not trained on are called spoof in up to 45 %; so it "
    "shows the method and must not decide about anybody"
)


@dataclass(frozen=True)
class Window(Segment):
    """A window of an input.

    Attributes:
        text: what the model wrote of it.
        label: by its score, as of a file.
    """

    text: str
    label: Label

    @cached_property
    def parsed(self) -> Evidence:
        """What the text says, strictly read."""
        return read(self.text)

    def evidence(self) -> dict[str, Any]:
        """Give what the text claims, in hertz of the signal and seconds of the file.

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
            # a shorter clip was repeated
            start = self.start_s + claim.bin_s[0] % min(CLIP_S, self.end_s - self.start_s)
            end = min(start + BIN_S, self.end_s)
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
    def agreeing(self) -> tuple[Window, ...]:
        """The windows whose text says what the label says; all of them where it is undecided."""
        said = WORDS[self.label]
        return tuple(window for window in self.segments if self.label == "undecided" or window.parsed.label == said)

    @property
    def shown(self) -> Window:
        """The window that carries the label: the surest of those whose text agrees with it, or of all if none does.

        Of an undecided file it is the one that is most likely fake.
        """
        surest = max if self.label == "bonafide" else min
        return surest(self.agreeing or self.segments, key=lambda window: window.score)

    def more(self) -> dict[str, Any]:
        """Give the answer, which is the label's, and what the text of the window that carries it says.

        ``plot`` is null until a picture is written, see `outputs`.
        """
        none = {"frequency": None, "time": None}
        return {
            "answer": WORDS[self.label],
            "evidence": self.shown.evidence() if self.agreeing else none,
            "rationale": self.shown.text,
            "plot": None,
        }

    def as_dict(self) -> dict[str, Any]:
        """Give the result as plain JSON values, each window with its answer, by its score, and its text's evidence."""
        plain = super().as_dict()
        for row, window in zip(plain["segments"], self.segments, strict=True):
            row |= {"answer": WORDS[window.label], **window.evidence()}
        return plain

    def outputs(self) -> Mapping[str, Output]:
        """Give the annotated spectrogram, which is drawn when it is written."""
        return {} if self.clip is None else {"plot": Output(".png", self._draw)}

    def _draw(self, path: Path) -> None:
        """Draw the window that the rationale is of, with what it claims.

        Raises:
            DataError: it cannot be drawn, which costs the picture and not the answer.
        """
        if self.clip is None:
            return
        window, rate_hz = self.shown, self.clip.rate_hz
        start, stop = (round(second * rate_hz) for second in (window.start_s, window.end_s))
        where = f", {window.start_s:.2f} to {window.end_s:.2f} s" if len(self.segments) > 1 else ""
        name = shown(Path(self.input).name)
        title = (
            f"{name if len(name) <= TITLE else name[:TITLE] + '...'}{where}: {WORDS[self.label]}; "
            f"score {self.score:.2f}, "
            f"threshold {self.threshold:.2f}"
        )
        try:
            wave = np.asarray(resample(self.clip.wave[start:stop], rate_hz, RATE_HZ), np.float32)
            boxes = claimed_boxes(window.parsed) if self.agreeing else []
            save_png(Spectrogram(title, wave, RATE_HZ, boxes, HIGH_HZ, window.start_s), path)
        except (AudioError, ValueError, ArithmeticError) as error:
            raise DataError(f"it cannot be drawn: {error}") from error


@dataclass(frozen=True)
class Detector:
    """A trained run.

    Attributes:
        network: in eval mode.
        cfg: the run's config.
        preset: the run's preset.
        calibration: probability, threshold and undecided band, set on dev.
    """

    network: Policy
    cfg: FtGrpoConfig
    preset: str
    calibration: Calibration

    def __repr__(self) -> str:
        size = sum(weight.numel() for weight in self.network.parameters())
        return (
            f"<ft_grpo detector, preset {self.preset}, {size:,} parameters, threshold {self.calibration.threshold:.3f}>"
        )

    @property
    def toy(self) -> bool:
        """Whether its answers are toy answers: every preset but ``paper``."""
        return self.preset != "paper"

    def score(self, wave: Any, rate_hz: int) -> float:
        """Score one waveform, higher for bona fide.

        Args:
            wave: array, tensor or list, (T,), (C, T) or (T, C); see `auricle.audio.arrays.as_wave`.
            rate_hz: its rate.

        Raises:
            AudioError: not usable audio.
            ConfigError: a rate that is no number.
        """
        return self.scores([wave], [rate_hz])[0]

    def scores(self, waves: Iterable[Any], rates_hz: Iterable[int]) -> list[float]:
        """Score several waveforms; each as `score` does, whatever its mates.

        Raises:
            AudioError: not usable audio.
            ConfigError: not one rate a waveform, or a rate that is no number.
        """
        given = list(waves)
        rates = list(rates_hz) if isinstance(rates_hz, Iterable) and not isinstance(rates_hz, str) else []
        if len(rates) != len(given) or not all(map(_is_whole, rates)):
            raise ConfigError(
                f"rates {rates_hz!r} for {len(given)} waveform(s); give one whole number of hertz a waveform, such as "
                "16000"
            )
        checked = [(as_wave(wave, int(rate))[0], int(rate)) for wave, rate in zip(given, rates, strict=True)]
        return [mean_score(windows) for windows in self.windows(checked)]

    def windows(self, clips: Sequence[tuple[np.ndarray, int]]) -> list[tuple[Window, ...]]:
        """Answer for the windows of waveforms (T,) with their rates; those with next to no sound are left out.

        Windows of all clips are put before the model together, and each is answered for as if it were alone.
        """
        pieces = [(place, *piece) for place, (wave, rate_hz) in enumerate(clips) for piece in _pieces(wave, rate_hz)]
        found: list[list[Window]] = [[] for _ in clips]
        for start in range(0, len(pieces), MADE_AT_ONCE):
            part = pieces[start : start + MADE_AT_ONCE]
            made = self.generate([heard(piece) for *_, piece in part])
            for (place, start_s, end_s, _), text, value in zip(part, made.texts, made.scores, strict=True):
                score = float(value)
                found[place].append(Window(start_s, end_s, score, text, self.calibration.label(score)))
        return [tuple(windows) for windows in found]

    def generate(self, waves: Sequence[np.ndarray]) -> Generations:
        """Write about clips of 1.5 s, int16 at 16 kHz and in the world's band."""
        features = features_of(waves, self.cfg.model.backbone)
        return generate(self.network, features, self.cfg.eval, derive(self.cfg.seed, "answers"))

    def detections(self, clips: Sequence[Decoded]) -> list[ExplainedDetection]:
        """Answer for decoded files; each as if it were alone."""
        found = self.windows([(clip.wave, clip.rate_hz) for clip in clips])
        return [self._detection(clip, windows) for clip, windows in zip(clips, found, strict=True)]

    def _detection(self, clip: Decoded, windows: tuple[Window, ...]) -> ExplainedDetection:
        score = mean_score(windows)
        made = ExplainedDetection(
            input=clip.input,
            score=score,
            p_bonafide=float(self.calibration.probability([score])[0]),
            label=self.calibration.label(score),
            threshold=self.calibration.threshold,
            duration_s=clip.duration_s,
            segments=windows,
            clip=clip,
        )
        return replace(made, warnings=tuple(self._warnings(clip, made)))

    def _warnings(self, clip: Decoded, made: ExplainedDetection) -> Iterator[str]:
        windows = made.segments
        if self.toy:
            yield LAPTOP
        yield from clip.warnings
        if clip.duration_s < SHORT_S:
            yield f"short: {clip.duration_s:.2f} s, repeated to {CLIP_S:g} s; below {SHORT_S:g} s times are unsure"
        if clip.duration_s > LONGEST_S:
            yield f"beginning-only: only the first {LONGEST_S:g} s were used"
        counts = {label: sum(window.label == label for window in windows) for label in ("spoof", "bonafide")}
        if all(counts.values()):
            yield (
                f"windows-differ: of {len(windows)} windows {counts['spoof']} are called spoof by themselves and "
                f"{counts['bonafide']} bonafide; the label is that of their mean score"
            )
        if not made.agreeing:
            yield (
                f"text-differs: no window's text says {WORDS[made.label]}; the label is by the score, which averages "
                "over several rationales, and no evidence is given"
            )
        unread = sum(not window.parsed.complete for window in windows)
        if unread:
            yield f"unreadable: {unread} of {len(windows)} texts are not in the form that was asked for"


def _is_whole(rate: object) -> bool:
    return isinstance(rate, Real) and not isinstance(rate, bool) and float(rate).is_integer()


def mean_score(windows: Sequence[Window]) -> float:
    """Give the mean score of windows."""
    return float(np.mean([window.score for window in windows]))


def _pieces(wave: np.ndarray, rate_hz: int) -> list[tuple[float, float, np.ndarray]]:
    """Cut a waveform (T,) into windows at 16 kHz, each with its beginning and end in seconds."""
    first, last = sounding(wave, rate_hz)
    sound = np.asarray(resample(wave[first:last], rate_hz, RATE_HZ), np.float32)
    quietest = rms_db(sound) + QUIET_DB
    return [
        (first / rate_hz + start / RATE_HZ, first / rate_hz + stop / RATE_HZ, sound[start:stop])
        for start, stop in window_edges(len(sound))
        if rms_db(sound[start:stop]) > quietest
    ]


def sounding(wave: np.ndarray, rate_hz: int) -> tuple[int, int]:
    """Find the first sample of a waveform (T,) that is more than padding, and the one after the last.

    Files are padded with digital silence, and what lies there is no evidence. To the sample, and before any filter
    smears the edge: a padded file has the very windows that it has without. Less than 0.1 s of sound stays whole.
    """
    size = np.abs(wave)
    loud = np.flatnonzero(size > size.max() * PADDING)
    first, last = (int(loud[0]), int(loud[-1]) + 1) if loud.size else (0, len(wave))
    return (first, last) if last - first >= MIN_DURATION_S * rate_hz else (0, len(wave))


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
    for clip, detection in score_files(model.detections, requests, BATCH, longest_s=LONGEST_S):
        yield Refused(clip.input, str(clip.error)) if detection is None else detection
