"""`infer`: from a run folder to answers about files: is it real, and whose enrolled voice is it most like?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.check import check
from auricle.audio.files import find_audio, read_mono
from auricle.backbones.speaker import Verifier, load_verifier
from auricle.core.config import parse
from auricle.core.errors import AudioError, CheckpointError, DataError
from auricle.core.run import RunFolder
from auricle.metrics.calibration import Calibration
from auricle.metrics.verification import OperatingPoint
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.detectors import Detector, Own, handed_in
from auricle.systems.voice_auth.network import Network
from auricle.systems.voice_auth.train import FINAL
from auricle.train.checkpoint import load_model

SHORT_S = 1.0
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

    def match(self, wave: np.ndarray, rate_hz: int) -> tuple[str, float]:
        """Give the enrolled voice that is most alike, and the cosine."""
        embedding = self.verifier.embed([wave], [rate_hz])[0].astype(np.float64)
        cosines = self.models @ embedding
        best = int(np.argmax(cosines))
        return self.names[best], float(cosines[best])

    def answer(self, path: str | Path) -> Answer:
        """Answer for one file.

        Raises:
            AudioError: not usable audio.
        """
        wave, rate_hz, warnings = read_mono(path)
        duration_s = len(wave) / rate_hz
        notes = [LAPTOP] if self.toy else []
        notes += warnings
        if duration_s < SHORT_S:
            notes.append(
                f"too-short: {duration_s:.2f} s; below {SHORT_S:g} s neither verifier nor detector is reliable"
            )
        if duration_s > LONGEST_S:
            wave = wave[: round(LONGEST_S * rate_hz)]
            notes.append(f"first-minute: only the first {LONGEST_S:g} s were used")
        name, cosine = self.match(wave, rate_hz)
        point = self.point
        same = cosine >= point.threshold
        if not point.usable:
            notes.append(f"few-impostors: the threshold rests on {point.n} impostor trials")
        score = None if self.detector is None else self.score(wave, rate_hz)
        real = score is None or score > self.calibration.threshold
        if score is None:
            notes.append("no-detector: the run has a score file, so only the verifier decides")
        decision = {
            (True, True): "accept", (True, False): "rejected by detector", (False, True): "rejected by verifier",
            (False, False): "rejected by both",
        }[same, real]  # fmt: skip
        return Answer(
            str(path),
            score,
            None if score is None else float(self.calibration.probability([score])[0]),
            "undecided" if score is None else self.calibration.label(score),
            None if score is None else self.calibration.threshold,
            name,
            cosine,
            point.threshold,
            point.far_target,
            decision,
            duration_s,
            tuple(notes),
        )


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

    Args:
        model: from `load`.
        inputs: files, or folders whose audio files are taken in sorted order.
    """
    for given in inputs:
        try:
            paths = find_audio([given])
        except AudioError as error:
            yield Answer(str(given), error=str(error))
            continue
        for path in paths:
            try:
                yield model.answer(path)
            except AudioError as error:
                yield Answer(str(path), error=str(error))
