"""`infer`: from a run folder to answers about files: real or fake, where the evidence is said to be, and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auricle.audio.ahead import Decoded, score_files
from auricle.audio.check import check
from auricle.audio.level import rms_db
from auricle.audio.resample import resample
from auricle.core.config import parse
from auricle.core.errors import CheckpointError, DataError
from auricle.core.files import digest
from auricle.core.run import RunFolder
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import BAND_EDGES_HZ, BIN_S, CLIP_S, RATE_HZ
from auricle.metrics.calibration import Calibration
from auricle.report.spectrogram import Spectrogram, save_png
from auricle.systems.detection import Detection, Segment
from auricle.systems.ft_grpo import items as of
from auricle.systems.ft_grpo.answer import Answered, answer
from auricle.systems.ft_grpo.config import FtGrpoConfig
from auricle.systems.ft_grpo.data import middle
from auricle.systems.ft_grpo.model import Network
from auricle.systems.ft_grpo.page import boxes
from auricle.systems.ft_grpo.rationale import NONE, Evidence, read
from auricle.systems.ft_grpo.train import FINAL
from auricle.systems.ft_grpo.train import load as load_checkpoint
from auricle.systems.ft_grpo.world import as_int16

PLOTS = "plots"  # folder of the pictures, in the run's own
BATCH = 16  # files answered for at once
LONGEST_S = 300.0
SHORT_S = 1.0
QUIET_DB = -40.0  # a window so far below the file's level holds nothing to judge
LAPTOP = (
    "laptop-model: a million parameters trained in minutes on eight artefacts that were put into clips; other fakes "
    "look otherwise, so it shows the method and must not decide about anybody"
)


@dataclass(frozen=True)
class Heard(Segment):
    """A window of an input; `text` is what the model wrote of it."""

    text: str

    @property
    def said(self) -> Evidence:
        """What the text says, strictly read."""
        return read(self.text)


@dataclass(frozen=True)
class Verdict(Detection):
    """The answer for one input, by the score; `segments` are windows of 1.5 s that overlap by half.

    Attributes:
        segments: the windows with their texts.
        plot: the annotated spectrogram, if one was drawn.
    """

    segments: tuple[Heard, ...] = ()
    plot: str | None = None

    @property
    def worst(self) -> Heard:
        """The window that is most likely fake: the one whose rationale is given."""
        return min(self.segments, key=lambda one: one.score)

    def more(self) -> dict[str, Any]:
        """Give what the worst window's text says, and the picture."""
        worst = self.worst
        return {
            "answer": worst.said.label,
            "evidence": evidence_of(worst, self.duration_s),
            "rationale": worst.text,
            "plot": self.plot,
        }

    def as_dict(self) -> dict[str, Any]:
        """Give the result as plain JSON values, each window with its answer and evidence."""
        plain = super().as_dict()
        for row, one in zip(plain.get("segments", ()), self.segments, strict=True):
            row |= {"answer": one.said.label, **evidence_of(one, self.duration_s)}
        return plain


def evidence_of(segment: Heard, duration_s: float) -> dict[str, Any]:
    """Give what a window's text claims, in hertz of the signal and seconds of the file.

    Args:
        segment: the window.
        duration_s: of the file; a window over a shorter one is tiled.

    Returns:
        ``frequency``: kind, band, low_hz and high_hz; ``time``: kind, bin, start_s and end_s. Null where the text says
        "none" or cannot be read; which of the two it was, the rationale shows.
    """
    said = segment.said
    frequency: dict[str, Any] | None = None
    time: dict[str, Any] | None = None
    if said.frequency not in (None, NONE) and said.band is not None:
        high = BAND_EDGES_HZ[-1] if said.frequency == "cutoff" else BAND_EDGES_HZ[said.band + 1]
        frequency = {
            "kind": said.frequency, "band": said.band, "low_hz": BAND_EDGES_HZ[said.band], "high_hz": high
        }  # fmt: skip
    if said.time not in (None, NONE) and said.bin is not None:
        start = segment.start_s + said.bin * BIN_S
        if duration_s < CLIP_S:
            start %= duration_s
        end = min(start + BIN_S, duration_s)
        time = {"kind": said.time, "bin": said.bin, "start_s": round(start, 4), "end_s": round(end, 4)}
    return {"frequency": frequency, "time": time}


@dataclass(frozen=True)
class Detector:
    """A trained run.

    Attributes:
        network: in eval mode.
        cfg: the run's config.
        preset: the run's preset.
        calibration: probability, threshold and undecided band, set on dev.
        plots: folder for annotated spectrograms; None draws none.
    """

    network: Network
    cfg: FtGrpoConfig
    preset: str
    calibration: Calibration
    plots: Path | None = None

    @property
    def toy(self) -> bool:
        """Whether its answers are toy answers: every preset but ``paper``."""
        return self.preset != "paper"

    def drawing(self, folder: str | Path | None) -> Detector:
        """Give a detector that draws into another folder; None draws nothing."""
        return replace(self, plots=None if folder is None else Path(folder))

    def score(self, wave: np.ndarray, rate_hz: int) -> float:
        """Score one waveform (T,), higher for bona fide.

        Raises:
            AudioError: not usable audio.
        """
        return self.scores([wave], [rate_hz])[0]

    def scores(self, waves: Iterable[np.ndarray], rates_hz: Iterable[int]) -> list[float]:
        """Score several waveforms; each as `score` does, whatever its mates."""
        found = []
        for wave, rate_hz in zip(waves, rates_hz, strict=True):
            given = np.asarray(wave, np.float32)
            check(given, rate_hz)
            found.append(float(np.mean([one.score for one in self.segments(given, rate_hz)])))
        return found

    def segments(self, wave: np.ndarray, rate_hz: int) -> tuple[Heard, ...]:
        """Answer for the windows of one waveform (T,); those with next to no sound are left out."""
        at = np.asarray(resample(wave, rate_hz, RATE_HZ), np.float32)
        places = window_places(len(at))
        pieces = [at[start:stop] for start, stop in places]
        level = rms_db(at)
        kept = [place for place, piece in enumerate(pieces) if rms_db(piece) > level + QUIET_DB]
        made = self.answered([as_int16(middle(pieces[place])) for place in kept])
        return tuple(
            Heard(places[place][0] / RATE_HZ, places[place][1] / RATE_HZ, float(score), text)
            for place, score, text in zip(kept, made.scores, made.texts, strict=True)
        )

    def answered(self, waves: Sequence[np.ndarray]) -> Answered:
        """Answer for clips of 1.5 s, int16 at 16 kHz and in the world's band."""
        features = of.features_of(waves, self.cfg.model)
        return answer(
            self.network, features, torch.full((len(features),), features.shape[1]),
            max_new=self.cfg.eval.max_new, rationales=self.cfg.eval.rationales, batch=self.cfg.eval.batch,
            seed=derive(self.cfg.seed, "answers"),
        )  # fmt: skip

    def verdicts(self, clips: Sequence[Decoded]) -> list[Verdict]:
        """Answer for decoded files; each as if it were alone."""
        return [self._verdict(clip) for clip in clips]

    def _verdict(self, clip: Decoded) -> Verdict:
        segments = self.segments(clip.wave, clip.rate_hz)
        score = float(np.mean([one.score for one in segments]))
        made = Verdict(
            input=clip.path,
            score=score,
            p_bonafide=float(self.calibration.probability([score])[0]),
            label=self.calibration.label(score),
            threshold=self.calibration.threshold,
            duration_s=clip.duration_s,
            segments=segments,
            warnings=tuple(self._notes(clip, segments)),
        )
        try:
            return replace(made, plot=self._drawn(clip, made))
        except OSError as error:
            note = f"no-picture: {self.plots} cannot be written ({error.strerror}); give another --plots"
            return replace(made, warnings=(*made.warnings, note))

    def _notes(self, clip: Decoded, segments: Sequence[Heard]) -> Iterator[str]:
        if self.toy:
            yield LAPTOP
        yield from clip.warnings
        if clip.duration_s < SHORT_S:
            yield f"short: {clip.duration_s:.2f} s, repeated to {CLIP_S:g} s; below {SHORT_S:g} s times are unsure"
        if clip.duration_s > LONGEST_S:
            yield f"beginning-only: only the first {LONGEST_S:g} s were used"
        fake = sum(one.score < self.calibration.threshold for one in segments)
        if 0 < fake < len(segments):
            yield f"windows-differ: {fake} of {len(segments)} windows look fake; the score is the mean over all"
        unread = sum(not one.said.complete for one in segments)
        if unread:
            yield f"unreadable: {unread} of {len(segments)} texts are not in the form that was asked for"

    def _drawn(self, clip: Decoded, made: Verdict) -> str | None:
        """Draw the window that the rationale is of, with what it claims, and give the path."""
        if self.plots is None:
            return None
        worst = made.worst
        start, stop = (round(second * clip.rate_hz) for second in (worst.start_s, worst.end_s))
        wave = np.asarray(resample(clip.wave[start:stop], clip.rate_hz, RATE_HZ), np.float32)
        said = f"{worst.said.label or 'unreadable'}; score {worst.score:.2f}, threshold {made.threshold:.2f}"
        where = f", {worst.start_s:.2f} to {worst.end_s:.2f} s" if len(made.segments) > 1 else ""
        picture = Spectrogram(
            f"{Path(clip.path).name}{where}: {said}", wave, RATE_HZ, boxes(worst.said, True), BAND_EDGES_HZ[-1] + 400,
            worst.start_s,
        )  # fmt: skip
        # a file's picture takes the place of its older one, and of no other file's
        name = f"{Path(clip.path).stem}-{digest(str(Path(clip.path).absolute()))[:6]}.png"
        return str(save_png(picture, self.plots / name))


def window_places(length: int) -> list[tuple[int, int]]:
    """Give first and last sample of windows of 1.5 s that overlap by half; the last one ends where the clip ends."""
    size = round(CLIP_S * RATE_HZ)
    if length <= size:
        return [(0, length)]
    starts = list(range(0, length - size, size // 2))
    return [(start, start + size) for start in [*starts, length - size]]


def load(folder: str | Path) -> Detector:
    """Load a trained run from its folder.

    Raises:
        CheckpointError: not a run folder, an untrained or a damaged one.
    """
    run = RunFolder(Path(folder))
    saved = run.saved_config()
    if saved["system"] != "ft_grpo":
        raise CheckpointError(f"{folder} is a run of '{saved['system']}', not of 'ft_grpo'")
    if not (run.checkpoints / FINAL).is_dir():
        raise CheckpointError(f"{folder} is not trained yet; train it with: auricle train ft_grpo --run {folder}")
    cfg = parse(FtGrpoConfig, saved["config"])
    network, meta = load_checkpoint(run, FINAL, cfg)
    try:
        calibration = Calibration.from_dict(meta["calibration"])
    except (KeyError, TypeError, DataError) as error:
        raise CheckpointError(f"{run.checkpoints / FINAL}/meta.json is damaged: {error}") from None
    return Detector(network, cfg, str(saved["preset"]), calibration, run.path / PLOTS)


def infer(model: Detector, inputs: Iterable[str | Path]) -> Iterator[Verdict]:
    """Answer for files and folders, in order; a bad one gives an answer with `error` and the rest goes on.

    Args:
        model: from `load`; it draws a picture a file into the run's ``plots`` folder, or where `Detector.drawing` says.
        inputs: files, or folders whose audio files are taken in sorted order.
    """
    for clip, found in score_files(model.verdicts, inputs, BATCH, threads=1, longest_s=LONGEST_S):
        yield Verdict(clip.path, error=clip.error) if found is None else found
