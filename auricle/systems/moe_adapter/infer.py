"""`infer`: a question about a clip, with options or free; the answer says which experts its frames went to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auricle.alm.choices import read_choices
from auricle.alm.items import Items
from auricle.alm.options import split_options
from auricle.alm.questions import LETTERS, OPEN, Question, chat_of
from auricle.alm.routed import expert_counts
from auricle.alm.sft import Policy
from auricle.alm.writing import greedy
from auricle.audio.resample import resample
from auricle.core.answers import Refused
from auricle.core.request import Request
from auricle.core.run import open_trained
from auricle.data.worlds.events import RATE_HZ
from auricle.systems.batching import Decoded, score_files
from auricle.systems.moe_adapter import hearing
from auricle.systems.moe_adapter.config import MoeAdapterConfig
from auricle.systems.moe_adapter.hearing import Hearing
from auricle.systems.moe_adapter.model import LETTER, load_checkpoint
from auricle.systems.moe_adapter.questions import WORDINGS

BATCH = 8  # files answered for by each thread
LONGEST_S = 300.0
MOST_TOKENS = {True: 12, False: 64}  # of a free answer; of a toy and of a public language model
LAPTOP = (
    "laptop-model: a million parameters that know thirteen questions about numbers, letters, languages, chords, "
    "instruments, tempi and fifteen sounds; it shows the method and answers nothing else"
)


@dataclass(frozen=True)
class Choice:
    """An option and how likely it is.

    Attributes:
        letter: as it was shown.
        option: its text.
        p: probability among the options, by their likelihood after the question.
    """

    letter: str
    option: str
    p: float


@dataclass(frozen=True)
class Answered:
    """The answer to one question about one clip.

    Attributes:
        input: the path as given or found.
        question: without its options.
        answer: text of the likeliest option, or what was written freely.
        options: each with its probability, in the order given; none of a free question.
        letter: what is read where the model answers with a letter; None of a free question, or where it says none.
        experts: share of the choices of the clip's frames that fell on each expert.
        duration_s: of the file.
        warnings: what to know.
    """

    input: str
    question: str
    answer: str
    options: tuple[Choice, ...]
    letter: str | None
    experts: tuple[float, ...]
    duration_s: float
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give the answer as plain JSON values; experts the most used first."""
        order = sorted(range(len(self.experts)), key=lambda number: -self.experts[number])
        return {
            "input": self.input,
            "question": self.question,
            "answer": self.answer,
            "options": [{"letter": one.letter, "option": one.option, "p": round(one.p, 6)} for one in self.options],
            "letter": self.letter,
            "experts": [{"expert": number, "share": round(self.experts[number], 6)} for number in order],
            "duration_s": round(self.duration_s, 3),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Ear:
    """A trained run.

    Attributes:
        network: the routed arm, in eval mode.
        cfg: the run's config.
        preset: the run's preset.
        hear: makes features of clips.
    """

    network: Policy
    cfg: MoeAdapterConfig
    preset: str
    hear: Hearing

    def __repr__(self) -> str:
        size = sum(weight.numel() for weight in self.network.parameters())
        return f"<moe_adapter, preset {self.preset}, {size:,} parameters, {self.cfg.model.adapter.experts} experts>"

    @property
    def toy(self) -> bool:
        """Whether its language model was made from nothing, for a dozen questions."""
        return self.cfg.model.decoder is None

    def clip(self, wave: np.ndarray, rate_hz: int) -> Items:
        """Hear one waveform (T,) at its rate: the clip of an empty conversation."""
        sound = np.asarray(resample(wave, rate_hz, RATE_HZ), np.float32)
        features, lengths = self.hear([hearing.heard(sound, self.cfg.data)])
        return Items([], features, lengths, clips=[])

    def ask(
        self, wave: np.ndarray, rate_hz: int, text: str, options: Sequence[str] = ()
    ) -> tuple[str, tuple[Choice, ...], str | None, tuple[float, ...]]:
        """Ask a question about a waveform.

        Args:
            wave: (T,).
            rate_hz: its rate.
            text: the question.
            options: texts of the options; none asks freely.

        Returns:
            Answer, options, letter and shares of the experts, as in `Answered`.

        Raises:
            DataError: one option, options that are alike, or too many.
        """
        clip = self.clip(wave, rate_hz)
        counts = expert_counts(self.network, clip)[0].double()
        used = tuple((counts / counts.sum()).tolist())
        if not options:
            chats = Items([chat_of(Question(text, ("a", "b"), 0, 0), OPEN)], clip.features, clip.lengths)
            return greedy(self.network, chats, MOST_TOKENS[self.toy])[0].strip(), (), None, used
        asked = Question(text, tuple(options), 0, 0)
        read = read_choices(self.network, [asked], clip, letter=LETTER, option=OPEN, pmi=False)
        logs = torch.tensor(read.scores["likelihood"][0]).softmax(0).tolist()
        choices = tuple(Choice(*each) for each in zip(LETTERS, options, logs, strict=False))
        place, letter = read.picked["likelihood"][0], read.picked["letter_said"][0]
        return options[place or 0], choices, None if letter is None else LETTERS[letter], used

    def answers(self, clips: Sequence[Decoded]) -> list[Answered]:
        """Answer for decoded files, each by itself: so that its mates change nothing."""
        return [self._answered(clip) for clip in clips]

    def _answered(self, clip: Decoded) -> Answered:
        text, options = split_options(clip.request.text or "")
        given = clip.request.more.get("options")
        options = [str(one) for one in given] if given is not None else options
        answer, choices, letter, experts = self.ask(clip.wave, clip.rate_hz, text, options)
        return Answered(
            clip.input,
            text,
            answer,
            choices,
            letter,
            experts,
            clip.duration_s,
            tuple(self._warnings(clip, text, answer)),
        )

    def _warnings(self, clip: Decoded, text: str, answer: str) -> Iterator[str]:
        if self.toy:
            yield LAPTOP
        yield from clip.warnings
        known = [wording.question for wording in WORDINGS.values()]
        if self.toy and text not in known:
            yield f"unknown-question: it was not trained on it, so the answer means nothing; it knows {' '.join(known)}"
        if not answer:
            yield "no-answer: the model wrote nothing"
        if clip.duration_s > self.cfg.data.seconds:
            yield f"part-only: the {self.cfg.data.seconds:g} s with most sound were used of {clip.duration_s:.2f} s"


def load(folder: str | Path) -> Ear:
    """Load a trained run from its folder.

    Raises:
        CheckpointError: not a run folder, an untrained or a damaged one.
        MissingWeights: encoder or decoder of the run are not installed.
    """
    trained = open_trained(folder, "moe_adapter", MoeAdapterConfig)
    network, _ = load_checkpoint(trained.final, trained.cfg)
    return Ear(network, trained.cfg, trained.preset, Hearing(trained.cfg.model, trained.cfg.data.band_hz))


def infer(model: Ear, requests: Iterable[Request]) -> Iterator[Answered | Refused]:
    """Answer questions about clips, in order; a bad one is refused and the rest goes on.

    Args:
        model: from `load`.
        requests: each has audio and a question; its options stand in the text or under ``options``.
    """
    for clip, answer in score_files(model.answers, requests, BATCH, longest_s=LONGEST_S):
        yield Refused(clip.input, str(clip.error)) if answer is None else answer
