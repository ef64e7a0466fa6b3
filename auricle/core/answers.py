"""What `infer` gives for one request: an answer, or a refusal that says why there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class Answer(Protocol):
    """What every answer of `infer` can do."""

    def as_dict(self) -> dict[str, Any]:
        """Give the answer as plain JSON values, ``input`` first."""
        ...


@dataclass(frozen=True)
class Output:
    """A file that an answer can write: a sound, a picture.

    Attributes:
        suffix: of the file's name, such as ``.wav``.
        write: writes it, whole or not at all.
    """

    suffix: str
    write: Callable[[Path], object]


class Writes(Answer, Protocol):
    """An answer that has more to give than JSON."""

    def outputs(self) -> Mapping[str, Output]:
        """Name the files it can write; each name becomes a key of its line, with the file's path."""
        ...


@dataclass(frozen=True)
class Refused:
    """A request that cannot be answered.

    Attributes:
        input: what stands for the request, such as the path of its audio.
        error: why there is no answer, in one sentence.
    """

    input: str
    error: str

    def as_dict(self) -> dict[str, Any]:
        """Give ``input`` and ``error``."""
        return {"input": self.input, "error": self.error}


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
    """The answer of a system that tells real from fake.

    Attributes:
        input: the path as given or found.
        score: higher is more bona fide.
        p_bonafide: probability of bona fide at prior 0.5, by Platt scaling on dev; None where none can be given.
        label: bonafide, spoof or undecided; None where nothing is known that could decide.
        threshold: score at the dev EER; None where there were no dev clips.
        duration_s: length in seconds.
        segments: scores over time.
        warnings: what to know before using the answer.
        reason: why there is no probability or no label, in one sentence.
    """

    input: str
    score: float
    p_bonafide: float | None
    label: str | None
    threshold: float | None
    duration_s: float
    segments: Sequence[Segment] = ()
    warnings: tuple[str, ...] = ()
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give the answer as plain JSON values; ``reason`` stands before every number."""
        return {
            "input": self.input,
            "reason": self.reason,
            "score": round(self.score, 6),
            "p_bonafide": None if self.p_bonafide is None else round(self.p_bonafide, 6),
            "label": self.label,
            "threshold": None if self.threshold is None else round(self.threshold, 6),
            "duration_s": round(self.duration_s, 3),
            **self.more(),
            "segments": [one.as_dict() for one in self.segments],
            "warnings": list(self.warnings),
        }

    def more(self) -> dict[str, Any]:
        """Give what a system says beyond the common fields."""
        return {}
