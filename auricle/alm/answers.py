"""Reading answers, and scoring multiple choice: what cannot be read is wrong and counted, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from auricle.core.errors import ConfigError, DataError

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_LETTERED = re.compile(r"^\(?([A-Za-z])\)?[.):]?(?:\s|$)")


@dataclass(frozen=True)
class ChoiceScore:
    """How multiple-choice answers did.

    Attributes:
        accuracy: share of right answers among all; an answer that cannot be read is wrong.
        parse_failures: answers that cannot be read.
        n: answers.
        chance: mean of one over the number of options.
        picked: option read from each answer; None where it cannot be read.
    """

    accuracy: float
    parse_failures: int
    n: int
    chance: float
    picked: list[int | None]


def answer_text(text: str) -> str | None:
    """Give what stands in the only ``<answer>`` tag, or the whole text when it has none; None when it has several."""
    found = _TAGGED.findall(text)
    if len(found) > 1:
        return None
    return str(found[0]).strip() if found else text.strip()


def parse_label(text: str, labels: Sequence[str]) -> str | None:
    """Read a label from an answer: in its tag, or as the whole of it; letters of either case. None if it is none.

    FT-GRPO's release leaves unreadable answers out of its accuracy, takes the first of several tags and reads
    "r e a l"; here each is None, which counts as wrong, so the two accuracies differ where answers are unreadable.

    Args:
        text: what the model wrote.
        labels: the allowed ones.
    """
    said = answer_text(text)
    if said is None:
        return None
    return next((label for label in labels if label.lower() == said.lower()), None)


def parse_choice(text: str, options: Sequence[str]) -> int | None:
    """Read which option an answer picks: by its letter (``B``, ``(b)``, ``B. dog``) or by its text.

    A letter that is followed by the text of another option is unreadable, and so is an answer with several options.

    Args:
        text: what the model wrote.
        options: texts of the options, the first being A.

    Returns:
        Place of the option; None when the answer cannot be read.

    Raises:
        ConfigError: fewer than 2 options, or more than letters.
    """
    if not 2 <= len(options) <= 26:
        raise ConfigError(f"{len(options)} options; give 2 to 26")
    said = answer_text(text)
    if not said:
        return None
    low = [option.strip().lower() for option in options]
    whole = said.strip().rstrip(".").lower()
    if low.count(whole) == 1:
        return low.index(whole)
    letter = _LETTERED.match(said)
    if letter is None:
        named = [place for place, option in enumerate(low) if re.search(rf"(?<!\w){re.escape(option)}(?!\w)", whole)]
        return named[0] if len(named) == 1 else None
    place = ord(letter.group(1).lower()) - ord("a")
    rest = said[letter.end() :].strip().rstrip(".").lower()
    if place >= len(options) or (rest and rest != low[place]):
        return None
    return place


def score_choices(texts: Sequence[str], options: Sequence[Sequence[str]], truth: Sequence[int]) -> ChoiceScore:
    """Score multiple-choice answers.

    Args:
        texts: what the model wrote for each question.
        options: options of each question.
        truth: place of the right one.

    Raises:
        DataError: no answers, or lists of different lengths.
        ConfigError: a number of options that is not allowed.
    """
    if not texts or not len(texts) == len(options) == len(truth):
        raise DataError(f"{len(texts)} answers, {len(options)} option lists, {len(truth)} truths; give as many of each")
    picked = [parse_choice(text, own) for text, own in zip(texts, options, strict=True)]
    right = sum(one == own for one, own in zip(picked, truth, strict=True))
    return ChoiceScore(
        accuracy=right / len(texts),
        parse_failures=picked.count(None),
        n=len(texts),
        chance=sum(1 / len(own) for own in options) / len(options),
        picked=picked,
    )
