"""The answer of a detection system for one input: what every system that tells real from fake gives from `infer`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Segment:
    """A stretch of an input, in seconds, and its score, higher for bona fide."""

    start_s: float
    end_s: float
    score: float

    def as_dict(self) -> dict[str, Any]:
        """Give the stretch as plain JSON values."""
        return {"start_s": round(self.start_s, 3), "end_s": round(self.end_s, 3), "score": round(self.score, 6)}


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
    segments: Sequence[Segment] = ()
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
            **self.more(),
            "segments": [one.as_dict() for one in self.segments],
            "warnings": list(self.warnings),
        }

    def more(self) -> dict[str, Any]:
        """Give what a system says beyond the common fields."""
        return {}
