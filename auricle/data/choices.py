"""Questions with options about a clip: what an item holds, items in files, and items whose answers are balanced.

`balanced` makes four items of four options, one for each answer. So the question alone, the options alone and the
letter alone say nothing: whatever is guessed from them is right for one of the four.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import ConfigError, DataError
from auricle.core.files import read_jsonl, write_jsonl

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
OPTIONS = 4


@dataclass(frozen=True)
class ChoiceItem:
    """One question with options.

    Attributes:
        id: unique in its set.
        domain: ``speech``, ``music`` or ``sound``.
        task: what is asked, such as ``number``; of a benchmark its name.
        question: without its options.
        options: texts of the options, the first being A.
        answer: place of the right option; None where it is withheld.
        evidence: what the clip holds, in words; takes the clip's place where the same question is asked as text.
        naming: a sentence that says the answer, for training without options; ``""`` where there is none.
        clip: id of the clip, or path of the audio file; None for a text alone.
        group: voice, recording or piece; what is one must not be in two splits.
        subset: part of the set, such as ``new voice``; ``""`` where there is one part.
        facts: what else is known of it.
    """

    id: str
    domain: str
    task: str
    question: str
    options: tuple[str, ...]
    answer: int | None
    evidence: str = ""
    naming: str = ""
    clip: str | None = None
    group: str = ""
    subset: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 2 <= len(self.options) <= len(LETTERS):
            raise DataError(f"{self.id}: {len(self.options)} options; an item has 2 to {len(LETTERS)}")
        if self.answer is not None and not 0 <= self.answer < len(self.options):
            raise DataError(f"{self.id}: answer {self.answer} is no place among {len(self.options)} options")

    @property
    def letter(self) -> str | None:
        """Letter of the right option; None where it is withheld."""
        return None if self.answer is None else LETTERS[self.answer]

    @property
    def text(self) -> str | None:
        """Text of the right option; None where it is withheld."""
        return None if self.answer is None else self.options[self.answer]


def balanced(options: Sequence[str], rng: np.random.Generator) -> list[tuple[tuple[str, ...], int]]:
    """Turn a set of options into one item for each of them as the answer, each answer at another letter.

    Args:
        options: different texts.
        rng: draws letters and orders.

    Returns:
        For each option, in the order given: the options as they are shown, and the place of that one.

    Raises:
        ConfigError: fewer than two options, or two alike.
    """
    if len(options) < 2 or len(set(options)) != len(options):
        raise ConfigError(f"options {', '.join(options)}; give at least 2, all different")
    made = []
    for own, place in enumerate(rng.permutation(len(options))):
        others = [option for at, option in enumerate(options) if at != own]
        shown = [others[int(at)] for at in rng.permutation(len(others))]
        shown.insert(int(place), options[own])
        made.append((tuple(shown), int(place)))
    return made


def option_sets(
    classes: Sequence[str], count: int, rng: np.random.Generator, size: int = OPTIONS
) -> list[tuple[str, ...]]:
    """Draw sets of options in which no class is more than once oftener than another.

    Args:
        classes: at least `size`, all different.
        count: sets to draw.
        rng: the source of what is drawn.
        size: options in a set.

    Raises:
        DataError: fewer classes than options.
    """
    if len(set(classes)) < size:
        raise DataError(f"{len(set(classes))} classes ({', '.join(classes)}); {size} options need at least {size}")
    uses = np.zeros(len(classes), int)
    sets = []
    for _ in range(count):
        # the least used come first, in an order that is drawn
        chosen = np.lexsort((rng.random(len(classes)), uses))[:size]
        uses[chosen] += 1
        sets.append(tuple(classes[int(at)] for at in rng.permutation(chosen)))
    return sets


def write_items(path: str | Path, items: Iterable[ChoiceItem]) -> None:
    """Write items as JSON lines, atomically."""
    write_jsonl(path, [asdict(item) for item in items])


def read_items(path: str | Path) -> list[ChoiceItem]:
    """Read items as `write_items` writes them.

    Raises:
        DataError: the file is missing or refused, or a line is no item.
    """
    items = []
    for number, row in enumerate(read_jsonl(path), 1):
        try:
            items.append(ChoiceItem(**{**row, "options": tuple(row["options"])}))
        except (TypeError, KeyError) as error:
            raise DataError(f"{path}, item {number}: no item of this version: {error}") from None
    return items
