"""What an arm answers to multiple-choice questions beside its controls, and the rows that a report has of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.alm.choices import Readings, read_choices
from auricle.alm.items import Items
from auricle.alm.questions import LETTERS, OPEN, Form, Question, as_text, without_audio, wrong_audio
from auricle.alm.sft import Policy
from auricle.core.report import MetricRow
from auricle.metrics.evidence import share
from auricle.metrics.paired import paired_shares
from auricle.metrics.rows import percent

READINGS = {"likelihood": "accuracy", "letter_said": "letter_accuracy", "pmi": "pmi_accuracy"}
CONTROLS = ("question_only", "wrong_audio")
Hits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """What an arm answers to questions.

    Attributes:
        audio: the questions about their clips.
        text: the same questions in words.
        controls: by name of the control, see `CONTROLS`.
    """

    audio: Readings
    text: Readings
    controls: Mapping[str, Readings]

    def lines(self, arm: str) -> list[dict[str, object]]:
        """Give one row a question for ``scores/``, the controls' picks beside it."""
        lines: list[dict[str, object]] = [{"arm": arm, **line} for line in self.audio.lines()]
        for name, control in (("text", self.text), *self.controls.items()):
            for line, place in zip(lines, control.picked["likelihood"], strict=True):
                line[name] = None if place is None else LETTERS[place]
        return lines


def answers(
    policy: Policy, questions: Sequence[Question], clips: Items, letter: Form, *, seed: int, at_once: int
) -> Answers:
    """Ask an arm questions, the same ones in words, and the controls.

    Args:
        policy: the arm.
        questions: with their clips.
        clips: the clips.
        letter: how a question is written to be read by the letter.
        seed: of the wrong clips.
        at_once: questions in a batch.
    """
    read = partial(read_choices, policy, letter=letter, option=OPEN, at_once=at_once)
    controls = {
        "question_only": read(without_audio(questions)),
        "wrong_audio": read(wrong_audio(questions, seed), clips, pmi=False),
    }
    return Answers(read(questions, clips), read(as_text(questions)), controls)


@dataclass(frozen=True)
class Comparison:
    """An arm beside a baseline on the same questions; intervals resample clips, with all questions about each.

    Attributes:
        ours: of the arm.
        theirs: of the baseline.
        name: of the baseline.
        replicates: of the intervals.
        seed: of the resampling.
    """

    ours: Answers
    theirs: Answers
    name: str
    replicates: int
    seed: int

    def rows(self, group: str, chosen: Sequence[int], whole: bool = True) -> Iterator[MetricRow]:
        """Give the rows of some questions, in percent.

        Args:
            group: name of the part.
            chosen: the questions.
            whole: all rows; otherwise accuracies and the arm's gain alone.
        """
        for reading, name in READINGS.items():
            if reading in self.ours.audio.picked and (whole or reading != "pmi"):
                yield self._row(name, self.ours.audio, reading, group, chosen)
                yield self._row(name, self.theirs.audio, reading, group, chosen, self.name)
                chance = float(np.mean([1 / len(self.ours.audio.questions[row].options) for row in chosen]))
                yield percent(name, chance, len(chosen), group=group, baseline="chance")
        ours, theirs = self.ours.audio, self.theirs.audio
        yield self._less(f"gain_over_{self.name}", ours, theirs, group, chosen)
        if not whole:
            return
        yield self._less(f"letter_gain_over_{self.name}", ours, theirs, group, chosen, reading="letter_said")
        for control in CONTROLS:
            found = self.ours.controls[control]
            yield self._row("accuracy", found, "likelihood", group, chosen, control)
            yield self._less(f"lead_over_{control}", ours, found, group, chosen)
        yield self._row("accuracy", self.ours.text, "likelihood", group, chosen, "text")
        yield self._row("letter_accuracy", self.ours.text, "letter_said", group, chosen, "text")
        yield self._less("audio_minus_text", ours, self.ours.text, group, chosen)
        yield self._less("audio_minus_text", theirs, self.theirs.text, group, chosen, self.name)
        unread = np.array([place is None for place in ours.picked["letter_said"]])
        yield self._share("letters_unread", unread, group, chosen, None)

    def _row(
        self, name: str, found: Readings, reading: str, group: str, chosen: Sequence[int], baseline: str | None = None
    ) -> MetricRow:
        return self._share(name, found.hits(reading), group, chosen, baseline)

    def _share(self, name: str, values: Hits, group: str, chosen: Sequence[int], baseline: str | None) -> MetricRow:
        found = share(values[list(chosen)], self._clips(chosen), self.replicates, seed=self.seed)
        return percent(name, found.value, found.n, found.ci95, group=group, baseline=baseline)

    def _less(
        self,
        name: str,
        one: Readings,
        other: Readings,
        group: str,
        chosen: Sequence[int],
        baseline: str | None = None,
        reading: str = "likelihood",
    ) -> MetricRow:
        first, second = (each.hits(reading)[list(chosen)] for each in (one, other))
        found = paired_shares(first, second, self._clips(chosen), self.replicates, seed=self.seed).difference
        return percent(name, found.value, found.n, found.ci95, group=group, baseline=baseline)

    def _clips(self, chosen: Sequence[int]) -> list[Any]:
        return [self.ours.audio.questions[row].clip for row in chosen]
