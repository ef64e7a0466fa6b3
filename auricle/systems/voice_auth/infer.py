"""`infer`: from a run folder to answers about files: is it real, and whose enrolled voice is it most like?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.ahead import Decoded, score_files
from auricle.audio.check import check
from auricle.backbones.speaker import Verifier, load_verifier
from auricle.core.config import parse
from auricle.core.errors import CheckpointError, DataError
from auricle.core.run import RunFolder
from auricle.metrics.calibration import Calibration
from auricle.metrics.verification import OperatingPoint
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.detectors import Detector, Own, handed_in
from auricle.systems.voice_auth.network import Network
from auricle.systems.voice_auth.train import FINAL
from auricle.train.checkpoint import load_model

SHORT_S = 1.0
BATCH = 32  # files answered for at once
LONGEST_S = 60.0  # a login phrase is shorter; of a longer file the first minute is taken
LAPTOP = (
    "laptop-model: a detector trained in minutes on a few voices and classical fakes, and thresholds set on few "
    "impostors; it shows the method and must not decide about anybody"
)


@dataclass(frozen=True)
class Answer:
    """The answer for one input: either `error`, or everything else.

    Attributes:
        input: the path as given or found.
        score: the detector's, higher is more bona fide; None where the run has a score file instead of a detector.
        p_bonafide: probability of bona fide at prior 0.5, by Platt scaling on dev.
        label: bonafide, spoof or undecided.
        threshold: the detector's, at the dev EER.
        best: pseudonym of the enrolled voice that is most alike.
        cosine: with its model.
        verifier_threshold: at the false-accept target `far`.
        far: the strictest target that the run's impostor trials carry.
        decision: ``accept``, ``rejected by detector``, ``rejected by verifier`` or ``rejected by both``.
        duration_s: length in seconds.
        warnings: what to know before using the answer.
        error: why there is no answer.
    """

    input: str
    score: float | None = None
    p_bonafide: float | None = None
    label: str = "undecided"
    threshold: float | None = None
    best: str = ""
    cosine: float = 0.0
    verifier_threshold: float = 0.0
    far: float = 0.0
    decision: str = ""
    duration_s: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give the result as plain JSON values; a refused input has only ``input`` and ``error``."""
        if self.error is not None:
            return {"input": self.input, "error": self.error}

        def short(value: float | None) -> float | None:
            return None if value is None else round(value, 6)

        return {
            "input": self.input,
            "score": short(self.score),
            "p_bonafide": short(self.p_bonafide),
            "label": self.label,
            "threshold": short(self.threshold),
            "best_match": self.best,
            "cosine": short(self.cosine),
            "verifier_threshold": short(self.verifier_threshold),
            "false_accept_target": self.far,
            "decision": self.decision,
            "duration_s": round(self.duration_s, 3),
            "warnings": list(self.warnings),
        }


@dataclass
class Login:
    """A trained run: detector, enrolled voices, thresholds.

    Attributes:
        network: the detector trained here; not used where the run was given another.
        cfg: the run's config.
        preset: the run's preset.
        calibration: of the detector, set on dev.
        names: enrolled voices, pseudonyms.
        models: their models (V, D).
        points: the verifier's thresholds, set on voices that the test does not have.
    """

    network: Network
    cfg: VoiceAuthConfig
    preset: str
    calibration: Calibration
    names: tuple[str, ...]
    models: np.ndarray
    points: tuple[OperatingPoint, ...]
    _verifier: Verifier | None = field(default=None, repr=False)
    _detector: Detector | None = field(default=None, repr=False)

    @property
    def toy(self) -> bool:
        """Whether its answers are toy answers: every preset but ``paper``."""
        return self.preset != "paper"

    @property
    def verifier(self) -> Verifier:
        """The verifier, loaded at first use."""
        if self._verifier is None:
            self._verifier = load_verifier(self.cfg.verifier.spec)
        return self._verifier

    @property
    def detector(self) -> Detector | None:
        """The detector; None where the run has scores of its own clips only."""
        if self._detector is None and self.cfg.detector.scores is None:
            own = Own(self.network, self.cfg.data.rate_hz, self.cfg.eval.batch)
            self._detector = own if self.cfg.detector.run is None else handed_in(self.cfg.detector.run)
        return self._detector

    @property
    def point(self) -> OperatingPoint:
        """The strictest threshold that has enough impostor trials behind it; the loosest one where none has."""
        usable = [point for point in self.points if point.usable]
        return min(usable, key=lambda point: point.far_target) if usable else self.points[0]

    def score(self, wave: np.ndarray, rate_hz: int) -> float:
        """Score one waveform (T,) with the detector, higher for bona fide.

        Raises:
            AudioError: not usable audio.
        """
        return self.scores([wave], [rate_hz])[0]

    def scores(self, waves: Iterable[np.ndarray], rates_hz: Iterable[int]) -> list[float]:
        """Score several waveforms; each as `score` does, whatever its mates.

        Raises:
            CheckpointError: the run has a score file and no detector.
        """
        if self.detector is None:
            raise CheckpointError("this run was made with detector.scores: it has no detector that could hear a file")
        waves, rates = [np.asarray(wave, np.float32) for wave in waves], list(rates_hz)
        for wave, rate_hz in zip(waves, rates, strict=True):
            check(wave, rate_hz)
        return [float(score) for score in self.detector.scores(waves, rates)]

    def match(self, waves: Sequence[np.ndarray], rates_hz: Sequence[int]) -> list[tuple[str, float]]:
        """Give for each waveform the enrolled voice that is most alike, and the cosine."""
        cosines = self.verifier.embed(waves, rates_hz).astype(np.float64) @ self.models.T  # (N, V)
        return [(self.names[best], float(row[best])) for row, best in zip(cosines, cosines.argmax(1), strict=True)]

    def answers(self, clips: Sequence[Decoded]) -> list[Answer]:
        """Answer for decoded files; each as if it were alone."""
        waves, rates_hz = [clip.wave for clip in clips], [clip.rate_hz for clip in clips]
        scores = [None] * len(clips) if self.detector is None else self.detector.scores(waves, rates_hz)
        matches = self.match(waves, rates_hz)
        return [self._answer(*each) for each in zip(clips, scores, matches, strict=True)]

    def _answer(self, clip: Decoded, score: float | None, match: tuple[str, float]) -> Answer:
        name, cosine = match
        point = self.point
        same = cosine >= point.threshold
        real = score is None or score > self.calibration.threshold
        decision = {
            (True, True): "accept", (True, False): "rejected by detector", (False, True): "rejected by verifier",
            (False, False): "rejected by both",
        }[same, real]  # fmt: skip
        return Answer(
            clip.path,
            score,
            None if score is None else float(self.calibration.probability([score])[0]),
            "undecided" if score is None else self.calibration.label(score),
            None if score is None else self.calibration.threshold,
            name,
            cosine,
            point.threshold,
            point.far_target,
            decision,
            clip.duration_s,
            tuple(self._notes(clip, point)),
        )

    def _notes(self, clip: Decoded, point: OperatingPoint) -> Iterator[str]:
        """Say what to know before using an answer."""
        if self.toy:
            yield LAPTOP
        yield from clip.warnings
        if clip.duration_s < SHORT_S:
            yield f"too-short: {clip.duration_s:.2f} s; below {SHORT_S:g} s neither verifier nor detector is reliable"
        if clip.duration_s > LONGEST_S:
            yield f"first-minute: only the first {LONGEST_S:g} s were used"
        if not point.usable:
            yield f"few-impostors: the threshold rests on {point.n} impostor trials"
        if self.detector is None:
            yield "no-detector: the run has a score file, so only the verifier decides"


def load(folder: str | Path) -> Login:
    """Load a trained run from its folder.

    Raises:
        CheckpointError: not a run folder, an untrained or a damaged one.
    """
    run = RunFolder(Path(folder))
    saved = run.saved_config()
    final = run.checkpoints / FINAL
    if not final.is_dir():
        raise CheckpointError(
            f"{folder} is not trained: there is no {final}; go on with: auricle run voice_auth --run {folder}"
        )
    cfg = parse(VoiceAuthConfig, saved["config"])
    network = Network(cfg)
    meta = load_model(final, network)
    try:
        calibration = Calibration.from_dict(meta["calibration"])
        names = tuple(meta["enrolled"])
        models = np.array([meta["enrolled"][name] for name in names], np.float64)
        points = tuple(OperatingPoint(**point) for point in meta["points"])
    except (KeyError, TypeError, ValueError, DataError) as error:
        raise CheckpointError(f"{final}/meta.json is damaged: {error}") from None
    network.eval()
    return Login(network, cfg, str(saved["preset"]), calibration, names, models, points)


def infer(model: Login, inputs: Iterable[str | Path]) -> Iterator[Answer]:
    """Answer for files and folders, in order; a bad one gives an answer with `error` and the rest goes on.

    Files are decoded ahead in threads and answered for in batches, as many at once as torch has threads
    (``torch.set_num_threads``).

    Args:
        model: from `load`.
        inputs: files, or folders whose audio files are taken in sorted order.
    """
    _ = model.verifier, model.detector  # loaded here, once, and not in several threads at a time
    for clip, answer in score_files(model.answers, inputs, BATCH, longest_s=LONGEST_S):
        yield Answer(clip.path, error=clip.error) if answer is None else answer
