"""Items of the world as conversations: as audio and as text, open and with letters; what the stand-in's heads learn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from auricle.alm.chat import ChatRow
from auricle.alm.items import Items
from auricle.alm.questions import OPEN, Question, as_items, as_text, letter_lesson
from auricle.core.run import RunFolder
from auricle.core.seed import rng
from auricle.data.choices import ChoiceItem
from auricle.systems.moe_adapter import data
from auricle.systems.moe_adapter.config import MoeAdapterConfig
from auricle.systems.moe_adapter.hearing import Hearing
from auricle.systems.moe_adapter.model import HEADS, LETTER
from auricle.systems.moe_adapter.questions import COLOURS, EVENTS

UNKNOWN = -100  # class of a head that a clip says nothing about; cross-entropy leaves it out


def asked(items: Iterable[ChoiceItem], clips: Sequence[str] = ()) -> list[Question]:
    """Give the items as questions, their clips by place among those named."""
    places = {name: place for place, name in enumerate(clips)}
    return [
        Question(
            item.question,
            item.options,
            int(item.answer or 0),
            None if item.clip is None else places[item.clip],
            f"{item.domain} {item.task}",
            item.evidence,
            {"id": item.id, "domain": item.domain, "task": item.task, "subset": item.subset, "group": item.group},
        )
        for item in items
    ]


def domain_of(question: Question) -> str:
    """Give the domain of a question."""
    return str(question.more["domain"])


def joined(parts: Sequence[Items]) -> Items:
    """Put conversations about the same clips together."""
    return replace(
        parts[-1],
        chats=[chat for part in parts for chat in part.chats],
        clips=[part.clip(row) for part in parts for row in range(len(part))],
        truths=[truth for part in parts for truth in part.truths],
    )


def heard_items(split: data.Split, hearing: Hearing) -> Items:
    """Give the clips of a split, each in an empty conversation: features, and the classes of the heads."""
    features, lengths = hearing(split.waves)
    return Items([ChatRow([])] * len(split.ids), features, lengths, targets=head_targets(split))


def conversations(questions: Sequence[Question], clips: Items | None, letters: float, seed: int) -> Items:
    """Write questions to learn from: all of them open, a share of them with letters too.

    Args:
        questions: with their clips, or as texts.
        clips: the clips; None for texts.
        letters: the share.
        seed: of the choice.
    """
    parts = [as_items(questions, clips, OPEN)]
    chosen = rng(seed, "with letters").permutation(len(questions))[: round(letters * len(questions))]
    if len(chosen):
        parts.append(as_items([questions[int(index)] for index in chosen], clips, LETTER))
    return joined(parts)


def text_items(cfg: MoeAdapterConfig, run: RunFolder, questions: Sequence[Question]) -> list[Question]:
    """Give what the tiny language model learns as text: the questions in words, and the table of facts."""
    said = as_text(questions)
    return said + as_text(asked(data.load_facts(run))) if "fact" in cfg.data.tasks else said


def lesson_items(questions: Sequence[Question], seed: int) -> Items:
    """Give the letter lesson: texts with letters, as many that teach nothing but letters, and the same texts open."""
    words = [name for own in HEADS.values() for name in own] + list(COLOURS)
    letters = as_items(letter_lesson(words, len(questions), seed=seed), None, LETTER)
    return joined([conversations(questions, None, 1.0, seed), letters])


def head_targets(split: data.Split) -> dict[str, Tensor]:
    """Give the class of each head for each clip, (C,); `UNKNOWN` where no question of the clip tells it."""
    targets = {name: torch.full((len(split.ids),), UNKNOWN) for name in HEADS}

    def put(name: str, row: int, answer: str) -> None:
        if answer in HEADS[name]:
            targets[name][row] = HEADS[name].index(answer)

    for item, row in zip(split.items, split.rows(), strict=True):
        if item.task == "order":
            for name, sound in zip(("first", "second"), str(item.text).split(", then "), strict=True):
                put(name, row, sound if sound in EVENTS else "")
        elif item.task in HEADS:
            put(item.task, row, str(item.text))
    return targets
