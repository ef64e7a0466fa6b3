"""Leak checks of questions with options: what can be guessed without hearing the clip?

Each check learns its guess on one set and is scored on another (or on the same one, which can only make it stronger).
A guess between equals counts as its share, so that a check has no luck. A check that finds nothing means little
without the same check on a set that does leak: the tests hold both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.data.choices import LETTERS, ChoiceItem

_NEIGHBOURS = 25  # at most; of few items a tenth
Guess = Callable[[ChoiceItem], Sequence[float]]


@dataclass(frozen=True)
class Leak:
    """What one check found.

    Attributes:
        check: its name.
        accuracy: share of right guesses.
        chance: mean of one over the number of options.
        n: items.
        bound: accuracy that guessing does not pass in 999 of 1,000 sets of as many clips.
    """

    check: str
    accuracy: float
    chance: float
    n: int
    bound: float

    @property
    def leaks(self) -> bool:
        """Whether more was guessed than chance explains."""
        return self.accuracy > self.bound


def check_leaks(train: Sequence[ChoiceItem], test: Sequence[ChoiceItem]) -> list[Leak]:
    """Run the checks that need the items alone: question, options, letter.

    Args:
        train: items that the guesses are learnt on.
        test: items that they are scored on.
    """
    return [question_only(train, test), options_only(train, test), letter_only(train, test)]


def question_only(train: Sequence[ChoiceItem], test: Sequence[ChoiceItem]) -> Leak:
    """Guess, for each question, the offered option that was most often its answer."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for item in _answered(train):
        answers[item.question][item.options[_place(item)]] += 1
    return _scored("question only", lambda item: [answers[item.question][option] for option in item.options], test)


def options_only(train: Sequence[ChoiceItem], test: Sequence[ChoiceItem]) -> Leak:
    """Guess the option that was most often right where it was offered, whatever the question."""
    offered: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for item in _answered(train):
        offered.update(item.options)
        right[item.options[_place(item)]] += 1
    chance = 1 / max(len(train[0].options), 2)

    def guess(item: ChoiceItem) -> list[float]:
        return [round(right[option] / offered[option], 9) if offered[option] else chance for option in item.options]

    return _scored("options only", guess, test)


def letter_only(train: Sequence[ChoiceItem], test: Sequence[ChoiceItem]) -> Leak:
    """Guess the letter that was most often right."""
    letters = Counter(_place(item) for item in _answered(train))
    return _scored("letter only", lambda item: [letters[place] for place in range(len(item.options))], test)


def letter_counts(items: Sequence[ChoiceItem]) -> dict[str, int]:
    """Count how often each letter is right."""
    counts = Counter(LETTERS[_place(item)] for item in _answered(items))
    return dict(sorted(counts.items()))


def features_only(
    train: Sequence[ChoiceItem],
    test: Sequence[ChoiceItem],
    features: Mapping[str, npt.NDArray[np.floating]],
    check: str = "metadata",
) -> Leak:
    """Guess the answer from plain numbers of the clip, such as its length and level, by its nearest neighbours.

    Of the train items whose clips have the nearest numbers the answers are counted; of the offered options the
    commonest is taken.

    Args:
        train: items that are looked among, all of one task.
        test: items that it is scored on.
        features: numbers (F,) of each clip, by its id.
        check: name of the check.

    Raises:
        DataError: a clip without features, or no items.
    """
    known = np.array([item.options[_place(item)] for item in _answered(train)])
    seen, asked = _rows(train, features), _rows(_answered(test), features)
    scale = np.where(seen.std(axis=0) > 0, seen.std(axis=0), 1.0)
    apart = np.square((asked[:, None] - seen[None]) / scale).sum(axis=2)
    count = max(1, min(_NEIGHBOURS, len(train) // 10))
    nearest = np.argsort(apart, axis=1, kind="stable")[:, :count]
    counts = {item.id: Counter(known[row].tolist()) for item, row in zip(test, nearest, strict=True)}
    return _scored(check, lambda item: [counts[item.id][option] for option in item.options], test)


def _rows(items: Sequence[ChoiceItem], features: Mapping[str, npt.NDArray[np.floating]]) -> npt.NDArray[np.floating]:
    missing = [item.id for item in items if item.clip not in features]
    if missing:
        raise DataError(f"{missing[0]}: its clip has no features; {len(missing)} item(s) lack them, give them for all")
    return np.stack([features[str(item.clip)] for item in items])


def _place(item: ChoiceItem) -> int:
    assert item.answer is not None  # _answered looked
    return item.answer


def _answered(items: Sequence[ChoiceItem]) -> Sequence[ChoiceItem]:
    withheld = [item.id for item in items if item.answer is None]
    if withheld or not items:
        raise DataError(f"{withheld[0]} has no answer" if withheld else "there are no items; leak checks need some")
    return items


def _scored(check: str, guess: Guess, test: Sequence[ChoiceItem]) -> Leak:
    """Score guesses; where several options are as likely, each is taken in its share."""
    from scipy.stats import binom

    shares = []
    for item in _answered(test):
        values = np.asarray(guess(item), float)
        best = np.flatnonzero(values == values.max())
        shares.append(1 / len(best) if _place(item) in best else 0.0)
    chance = float(np.mean([1 / len(item.options) for item in test]))
    clips = len({item.clip or item.id for item in test})
    return Leak(check, float(np.mean(shares)), chance, len(test), float(binom.ppf(0.999, clips, chance)) / clips)
