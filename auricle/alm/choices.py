"""Reading which option a model picks, in several ways at once: by the letter, and by the options' likelihood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.alm.answers import parse_choice
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.items import Items, batch, heard, prompts
from auricle.alm.questions import LETTER, LETTERS, OPEN, Form, Question, as_items, without_audio
from auricle.alm.sampling import evaluating
from auricle.alm.scoring import letters_after, option_scores
from auricle.alm.sft import Policy
from auricle.alm.writing import greedy
from auricle.core.errors import ConfigError, DataError
from auricle.metrics.paired import PairedShares, paired_shares

READINGS = ("letter", "letter_said", "likelihood", "likelihood_mean", "pmi", "written")
AT_ONCE = 16  # questions; each has the cache of its options beside its own
OPTIONS_AT_ONCE = 8  # of one prompt, where there may be many


@dataclass(frozen=True)
class Readings:
    """Which option a model picks of N questions, by each reading.

    ``letter`` is the likeliest letter among those that the question has. ``letter_said`` is the likeliest token of all,
    unreadable where it is no such letter. ``likelihood`` is by the sum of an option's log-probabilities,
    ``likelihood_mean`` by their mean over its tokens, ``pmi`` by the sum less that without the clip. ``written`` is
    what the greedy text picks, as `auricle.alm.answers.parse_choice` reads it.

    Attributes:
        questions: as they were asked.
        picked: reading -> place of the option of each question; None where it cannot be read.
        scores: reading -> one number an option of each question, higher for likelier; not of ``written`` and
            ``letter_said``.
        texts: what was written of each question; empty without that reading.
    """

    questions: Sequence[Question]
    picked: Mapping[str, list[int | None]]
    scores: Mapping[str, list[list[float]]]
    texts: Sequence[str] = ()

    def hits(self, reading: str) -> np.ndarray:
        """Say of which questions a reading gives the right option, (N,) booleans; what cannot be read is wrong.

        Raises:
            ConfigError: there is no such reading.
        """
        if reading not in self.picked:
            raise ConfigError(f"there is no reading {reading!r}; there are {', '.join(self.picked)}")
        pairs = zip(self.picked[reading], self.questions, strict=True)
        return np.array([place == question.answer for place, question in pairs], dtype=np.bool_)

    def failures(self, reading: str) -> int:
        """Count the questions that a reading cannot read."""
        return self.picked[reading].count(None)

    @property
    def accuracies(self) -> dict[str, float]:
        """Share of right answers of each reading."""
        return {reading: float(self.hits(reading).mean()) for reading in self.picked}

    @property
    def chance(self) -> float:
        """Expected share of right answers of a blind guess."""
        return float(np.mean([1 / len(question.options) for question in self.questions]))

    def lines(self) -> Iterator[dict[str, Any]]:
        """Give one row a question for ``scores/``: raw answers stay what they were, whatever is read from them."""
        for row, question in enumerate(self.questions):
            line: dict[str, Any] = {
                "kind": question.kind,
                "clip": question.clip,
                "question": question.text,
                "options": list(question.options),
                "answer": question.letter,
                **question.more,
            }
            for reading, picked in self.picked.items():
                place = picked[row]
                line[reading] = None if place is None else LETTERS[place]
            line |= {f"{reading}_scores": own[row] for reading, own in self.scores.items()}
            yield line | ({"text": self.texts[row]} if self.texts else {})


def read_choices(
    policy: Policy,
    questions: Sequence[Question],
    clips: Items | None = None,
    *,
    letter: Form | None = LETTER,
    option: Form | None = OPEN,
    pmi: bool = True,
    ended: bool = True,
    write: int = 0,
    at_once: int = AT_ONCE,
    shared: bool = True,
) -> Readings:
    """Ask a model questions with options; every number is the same at every call.

    A clip is encoded once for both forms of its question, and a prompt is run once for all of its options.

    Args:
        policy: the model.
        questions: about clips by their index, or about none.
        clips: brings the clips; None for texts alone.
        letter: how the question is written to be read by the letter; None leaves that out.
        option: how it is written to be read by the options' likelihood; None leaves that out.
        pmi: compare each option's likelihood with that without the clip; nothing for questions without one.
        ended: an option ends with the end of the assistant's turn; otherwise what follows it is open.
        write: tokens of the greedy text after the prompt of `letter`, which is read as well; 0 writes none.
        at_once: questions in a batch.
        shared: see `auricle.alm.scoring.option_scores`.

    Raises:
        DataError: no questions, or a question about a clip that is not there.
        ConfigError: nothing to read by, or letters that are not one token.
    """
    if not questions:
        raise DataError("there are no questions to ask")
    if letter is None and option is None:
        raise ConfigError("neither letter nor option says how a question is written; give at least one of them")
    written = {form: as_items(questions, clips, form, answered=False) for form in (letter, option) if form is not None}
    found = _Found(questions)
    for rows in _of_like_length(policy, next(iter(written.values())), at_once):
        found.ask(policy, written, rows, letter, option, ended, shared)
    if option is not None and pmi and all(question.clip is not None for question in questions):
        found.less(_blind(policy, questions, option, ended, at_once, shared))
    texts: list[str] = []
    if write and letter is not None:
        texts = greedy(policy, written[letter], write, at_once)
        pairs = zip(texts, questions, strict=True)
        found.picked["written"] = [parse_choice(text, question.options) for text, question in pairs]
    ordered = {reading: found.picked[reading] for reading in READINGS if reading in found.picked}
    return Readings(list(questions), ordered, found.scores, texts)


class _Found:
    """What is read, as it comes in."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = questions
        self.picked: dict[str, list[int | None]] = {}
        self.scores: dict[str, list[list[float]]] = {}

    @torch.no_grad()
    def ask(
        self,
        policy: Policy,
        written: Mapping[Form, Items],
        rows: Sequence[int],
        letter: Form | None,
        option: Form | None,
        ended: bool,
        shared: bool,
    ) -> None:
        """Ask some questions in both forms, their clips encoded once."""
        lm, own = policy.lm, [self.questions[row] for row in rows]
        with evaluating(policy):
            audio = heard(lm, batch(next(iter(written.values())), rows))
            if letter is not None:
                state = lm.prefill(prompts(policy, written[letter], rows), audio)
                made = letters_after(lm, state, [len(one.options) for one in own])
                self.put("letter", rows, made.logs)
                said = self.picked.setdefault("letter_said", [None] * len(self.questions))
                for row, place in zip(rows, made.said, strict=True):
                    said[row] = place
            if option is not None:
                asked, tokens = prompts(policy, written[option], rows), [_tokens(lm, one, option, ended) for one in own]
                scores = option_scores(lm, asked, tokens, audio, shared=shared)
                self.put("likelihood", rows, scores.sums)
                self.put("likelihood_mean", rows, scores.means)

    def put(self, reading: str, rows: Sequence[int], table: Tensor) -> None:
        """Take the scores (n, K) of some questions; of equal ones the first option is picked."""
        scores = self.scores.setdefault(reading, [[] for _ in self.questions])
        picked = self.picked.setdefault(reading, [None] * len(self.questions))
        for row, numbers in zip(rows, table.tolist(), strict=True):
            scores[row] = numbers[: len(self.questions[row].options)]
            picked[row] = int(np.argmax(scores[row]))

    def less(self, blind: Sequence[Sequence[float]]) -> None:
        """Take the likelihood less that without the clip."""
        pairs = zip(self.scores["likelihood"], blind, strict=True)
        self.scores["pmi"] = [[one - other for one, other in zip(*pair, strict=True)] for pair in pairs]
        self.picked["pmi"] = [int(np.argmax(own)) for own in self.scores["pmi"]]


def _tokens(lm: AudioLanguageModel, question: Question, form: Form, ended: bool) -> list[list[int]]:
    end = lm.eos_ids[:1] if ended else ()
    return [[*lm.ids(form.answered(question, place)), *end] for place in range(len(question.options))]


def _of_like_length(policy: Policy, items: Items, at_once: int) -> Iterator[list[int]]:
    """Cut questions into batches of prompts of like length, so that little is padded."""
    sizes = [len(ids) for ids in prompts(policy, items, range(len(items)))]
    order = sorted(range(len(items)), key=sizes.__getitem__)
    for start in range(0, len(order), at_once):
        yield order[start : start + at_once]


def _blind(
    policy: Policy, questions: Sequence[Question], form: Form, ended: bool, at_once: int, shared: bool
) -> list[list[float]]:
    """Score the options of questions without their clips; what several questions ask alike is scored once."""
    items = as_items(without_audio(questions), None, form, answered=False)
    asked = [tuple(ids) for ids in prompts(policy, items, range(len(items)))]
    tokens = [[tuple(own) for own in _tokens(policy.lm, question, form, ended)] for question in questions]
    wanted: dict[tuple[int, ...], dict[tuple[int, ...], float]] = {}
    for prompt, options in zip(asked, tokens, strict=True):
        wanted.setdefault(prompt, {}).update(dict.fromkeys(options, 0.0))
    # a few options of a prompt at once: one prompt may have those of a whole task
    jobs = [
        (prompt, list(own)[start : start + OPTIONS_AT_ONCE])
        for prompt, own in wanted.items()
        for start in range(0, len(own), OPTIONS_AT_ONCE)
    ]
    for start in range(0, len(jobs), at_once):
        part = jobs[start : start + at_once]
        sums = option_scores(policy.lm, [prompt for prompt, _ in part], [own for _, own in part], shared=shared).sums
        for (prompt, own), numbers in zip(part, sums.tolist(), strict=True):
            wanted[prompt] |= dict(zip(own, numbers, strict=False))
    return [[wanted[prompt][own] for own in options] for prompt, options in zip(asked, tokens, strict=True)]


def modality_gap(
    audio: Readings,
    text: Readings,
    reading: str = "likelihood",
    groups: Sequence[Any] | None = None,
    n: int = 1000,
    *,
    seed: int,
) -> PairedShares:
    """Compare the accuracy on questions as audio with that on the same questions as text.

    Args:
        audio: of questions about clips.
        text: of the same questions in words, see `auricle.alm.questions.as_text`.
        reading: by which both are read.
        groups: of each question, such as its clip, to resample by; None resamples questions.
        n: replicates.
        seed: of the resampling.

    Returns:
        Both shares, and audio less text with its paired interval: a gap is negative where hearing costs accuracy.

    Raises:
        DataError: other questions, or the same ones with options in another order.
        ConfigError: there is no such reading.
    """
    one, other = ([question.options for question in each.questions] for each in (audio, text))
    answers = [[question.answer for question in each.questions] for each in (audio, text)]
    if one != other or answers[0] != answers[1]:
        raise DataError("the questions as audio and as text have other options or another order; ask the same ones")
    return paired_shares(audio.hits(reading), text.hits(reading), groups, n, seed=seed)
