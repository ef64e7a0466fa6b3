"""`infer`: from a run folder to answers about files: is it real, and whose enrolled voice is it most like?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.arrays import as_waves
from auricle.backbones.speaker import Verifier, load_verifier
from auricle.core.answers import Detection, Refused
from auricle.core.errors import CheckpointError, DataError
from auricle.core.request import Request
from auricle.core.run import open_trained
from auricle.metrics.calibration import Calibration
from auricle.metrics.verification import OperatingPoint
from auricle.systems.batching import Decoded, score_files
from auricle.systems.contents import need_unchanged
from auricle.systems.detections import Detector, Hearing, LoneDetector, file_warnings
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.detectors import TrainedDetector, detector_of
from auricle.systems.voice_auth.network import Network
from auricle.train.checkpoint import load_model

BATCH = 32  # files answered for at once
LONGEST_S = 60.0  # a login phrase is shorter; of a longer file the first minute is taken
AGAIN = "auricle run voice_auth"  # what trains a run again
LAPTOP = (
    "laptop-model: a detector trained in minutes on a few voices and classical fakes, and thresholds set on few "
    "impostors; it shows the method and must not decide about anybody"
)
DETECTOR = "detector"  # in a checkpoint's meta: the part that it is of, where it is no whole login
DECISIONS = {  # by what the verifier and the detector accept
    (True, True): "accept",
    (True, False): "rejected by detector",
    (False, True): "rejected by verifier",
    (False, False): "rejected by both",
}


@dataclass(frozen=True)
class LoginAnswer:
    """The answer for one input.

    Attributes:
        input: the path as given or found.
        score: the detector's, higher is more bona fide; None where the run has a score file instead of a detector.
        p_bonafide: probability of bona fide at prior 0.5, by Platt scaling on dev; None without a score.
        label: bonafide, spoof or undecided.
        threshold: the detector's, at the dev EER; None without a score.
        best_match: pseudonym of the enrolled voice that is most alike.
        cosine: with its model.
        verifier_threshold: at the false-accept target `false_accept_target`.
        false_accept_target: the strictest one that the run's impostor trials carry.
        decision: ``accept``, ``rejected by detector``, ``rejected by verifier`` or ``rejected by both``.
        duration_s: length in seconds.
        warnings: what to know before using the answer.
    """

    input: str
    score: float | None
    p_bonafide: float | None
    label: str
    threshold: float | None
    best_match: str
    cosine: float
    verifier_threshold: float
    false_accept_target: float
    decision: str
    duration_s: float
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Give the answer as plain JSON values."""
        rounded = ("score", "p_bonafide", "threshold", "cosine", "verifier_threshold")
        short = {name: None if (value := getattr(self, name)) is None else round(value, 6) for name in rounded}
        return {**vars(self), **short, "duration_s": round(self.duration_s, 3), "warnings": list(self.warnings)}


@dataclass(repr=False)
class VoiceLogin(Hearing):
    """A trained run: detector, enrolled voices, thresholds.

    Attributes:
        network: the detector trained here; not used where the run was given another.
        cfg: the run's config.
        preset: the run's preset.
        calibration: of the detector, set on dev.
        names: enrolled voices, pseudonyms.
        models: their models (V, D).
        points: the verifier's thresholds, set on voices that the test does not have.
        contents: what lay behind the paths of the config at training; see `auricle.systems.contents.contents`.
    """

    network: Network
    cfg: VoiceAuthConfig
    preset: str
    calibration: Calibration
    names: tuple[str, ...]
    models: np.ndarray
    points: tuple[OperatingPoint, ...]
    contents: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        detector = self.cfg.detector
        heard = detector.run or detector.scores or detector.kind
        what = f"verifier {self.cfg.verifier.spec!r}, detector {heard!r}, {len(self.names)} enrolled voices"
        return f"VoiceLogin({self.preset}, {what})"

    @property
    def toy(self) -> bool:
        """Whether its answers are toy answers: every preset but ``paper``."""
        return self.preset != "paper"

    @cached_property
    def verifier(self) -> Verifier:
        """The verifier, loaded at first use.

        Raises:
            CheckpointError: its weights have changed since the voices were enrolled.
        """
        need_unchanged(self.cfg, self.contents, ["verifier.spec"], AGAIN)
        return load_verifier(self.cfg.verifier.spec)

    @cached_property
    def detector(self) -> Detector | None:
        """The detector, loaded at first use; None where the run has scores of its own clips only.

        Raises:
            CheckpointError: ``detector.run`` has changed since its threshold was set.
        """
        need_unchanged(self.cfg, self.contents, ["detector.run"], AGAIN)
        return detector_of(self.cfg, self.network)

    @property
    def point(self) -> OperatingPoint:
        """The strictest threshold that has enough impostor trials behind it; the loosest one where none has."""
        usable = [point for point in self.points if point.usable]
        return min(usable, key=lambda point: point.far_target) if usable else self.points[0]

    def match(self, waves: Iterable[Any], rates_hz: Iterable[int]) -> list[tuple[str, float]]:
        """Give for each waveform, as `scores` takes them, the enrolled voice that is most alike, and the cosine.

        Raises:
            ConfigError, AudioError: as `scores`.
        """
        return self._nearest(*as_waves(waves, rates_hz))

    def _nearest(self, waves: Sequence[np.ndarray], rates_hz: Sequence[int]) -> list[tuple[str, float]]:
        cosines = self.verifier.embed(waves, rates_hz).astype(np.float64) @ self.models.T  # (N, V)
        return [(self.names[best], float(row[best])) for row, best in zip(cosines, cosines.argmax(1), strict=True)]

    def answers(self, clips: Sequence[Decoded]) -> list[LoginAnswer]:
        """Answer for decoded files; each as if it were alone."""
        waves, rates_hz = [clip.wave for clip in clips], [clip.rate_hz for clip in clips]
        scores = [None] * len(clips) if self.detector is None else self.detector.scores(waves, rates_hz)
        matches = self._nearest(waves, rates_hz)
        return [self._answer(*each) for each in zip(clips, scores, matches, strict=True)]

    def _answer(self, clip: Decoded, score: float | None, match: tuple[str, float]) -> LoginAnswer:
        name, cosine = match
        calibration = self.calibration
        accepted = cosine >= self.point.threshold
        real = score is None or score > calibration.threshold
        return LoginAnswer(
            input=clip.input,
            score=score,
            p_bonafide=None if score is None else float(calibration.probability([score])[0]),
            label="undecided" if score is None else calibration.label(score),
            threshold=None if score is None else calibration.threshold,
            best_match=name,
            cosine=cosine,
            verifier_threshold=self.point.threshold,
            false_accept_target=self.point.far_target,
            decision=DECISIONS[accepted, real],
            duration_s=clip.duration_s,
            warnings=tuple(self._warnings(clip)),
        )

    def _warnings(self, clip: Decoded) -> Iterator[str]:
        """Say what to know before using an answer."""
        if self.toy:
            yield LAPTOP
        yield from file_warnings(clip, LONGEST_S, "neither verifier nor detector is reliable")
        if not self.point.usable:
            yield f"few-impostors: the threshold rests on {self.point.n} impostor trials"
        if self.detector is None:
            yield "no-detector: the run has a score file, so only the verifier decides"


def load(folder: str | Path) -> VoiceLogin | LoneDetector:
    """Load a trained run, or a detector alone, from its folder.

    Raises:
        CheckpointError: not a run folder, another system's run, an untrained or a damaged one.
    """
    trained = open_trained(folder, "voice_auth", VoiceAuthConfig)
    network = Network(trained.cfg)
    meta = load_model(trained.final, network)
    network.eval()
    try:
        if meta.get("part") == DETECTOR:
            known = None if meta["calibration"] is None else Calibration.from_dict(meta["calibration"])
            heard_s = trained.cfg.detector.segment_s if network.released else LONGEST_S
            rate_hz, batch = trained.cfg.data.rate_hz, trained.cfg.eval.batch
            return LoneDetector(TrainedDetector(network, rate_hz, batch), known, heard_s)
        calibration = Calibration.from_dict(meta["calibration"])
        names = tuple(meta["enrolled"])
        models = np.array([meta["enrolled"][name] for name in names], np.float64)
        points = tuple(OperatingPoint(**point) for point in meta["points"])
        contents = dict(meta.get("behind_paths", {}))  # runs of before they were kept have none
    except (KeyError, TypeError, ValueError, DataError) as error:
        raise CheckpointError(f"{trained.final}/meta.json is damaged: {error}") from None
    return VoiceLogin(network, trained.cfg, trained.preset, calibration, names, models, points, contents)


def infer(model: VoiceLogin | LoneDetector, requests: Iterable[Request]) -> Iterator[LoginAnswer | Detection | Refused]:
    """Answer for the audio of requests, in order; what is no usable audio is refused and the rest goes on.

    Files are decoded ahead in threads and answered for in batches, as many at once as torch has threads
    (``torch.set_num_threads``).

    Args:
        model: from `load`.
        requests: questions that have audio.
    """
    if isinstance(model, VoiceLogin):
        _ = model.verifier, model.detector  # loaded here, once, and not in several threads at a time
    score: Callable[[Sequence[Decoded]], Sequence[LoginAnswer | Detection]] = model.answers
    for clip, answer in score_files(score, requests, BATCH, longest_s=LONGEST_S):
        yield Refused(clip.input, str(clip.error)) if answer is None else answer
