"""`infer`: from a run folder to answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from auricle.systems.dummy.config import DummyConfig
from auricle.systems.dummy.model import Network, probabilities

from auricle.audio.resample import resample
from auricle.core.answers import Refused
from auricle.core.request import Request
from auricle.core.run import open_trained
from auricle.systems.batching import Decoded, score_files
from auricle.train.checkpoint import load_model


@dataclass(frozen=True)
class Direction:
    """The answer for one tone: probability that it rises; `note` is the request's text, given back."""

    input: str
    p_up: float
    note: str | None
    digits: int
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give the answer as plain JSON values."""
        p_up = round(self.p_up, self.digits)
        return {"input": self.input, "p_up": p_up, "note": self.note, "warnings": list(self.warnings)}


@dataclass(frozen=True)
class Ear:
    """A trained run."""

    network: Network
    cfg: DummyConfig

    def directions(self, clips: Sequence[Decoded]) -> list[Direction]:
        """Answer for decoded files."""
        rate = self.cfg.data.rate_hz
        waves = [np.asarray(resample(clip.wave, clip.rate_hz, rate), np.float32) for clip in clips]
        return [
            Direction(clip.input, float(p), clip.request.text, int(clip.request.more.get("digits", 6)), clip.warnings)
            for clip, p in zip(clips, probabilities(self.network, waves), strict=True)
        ]


def load(folder: str | Path) -> Ear:
    """Load a trained run.

    Raises:
        CheckpointError: not a run of this system, an untrained or a damaged one.
    """
    opened = open_trained(folder, "dummy", DummyConfig)
    network = Network(opened.cfg)
    load_model(opened.final, network)
    return Ear(network.eval(), opened.cfg)


def infer(model: Ear, requests: Iterable[Request]) -> Iterator[Direction | Refused]:
    """Answer for requests, in order."""
    for clip, answer in score_files(model.directions, requests):
        yield Refused(clip.input, clip.error or "") if answer is None else answer
