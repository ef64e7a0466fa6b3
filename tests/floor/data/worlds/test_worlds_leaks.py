"""Leak checks find a leak that is left in, and none where there is none."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.core.seed import rng
from auricle.data.choices import ChoiceItem, balanced, option_sets
from auricle.data.worlds.leaks import (
    Leak,
    check_leaks,
    features_only,
    letter_counts,
    letter_only,
    options_only,
    question_only,
)

CLASSES = [f"class {number}" for number in range(8)]


def fair(name: str, sets: int = 60) -> list[ChoiceItem]:
    draws = rng(0, name)
    items: list[ChoiceItem] = []
    for options in option_sets(CLASSES, sets, draws):
        for shown, place in balanced(options, draws):
            number = len(items)
            items.append(ChoiceItem(f"{name}-{number}", "sound", "event", "What?", shown, place, clip=f"c{number}"))
    return items


def changed(items: list[ChoiceItem], answers: list[int]) -> list[ChoiceItem]:
    return [
        ChoiceItem(item.id, item.domain, item.task, item.question, item.options, answer, clip=item.clip)
        for item, answer in zip(items, answers, strict=True)
    ]


def test_balanced_items_leak_nothing():
    train, test = fair("train"), fair("test")
    for learnt in (train, test):  # learnt on the very items that it is scored on too
        assert [leak.accuracy for leak in check_leaks(learnt, test)] == [0.25] * 3
        assert not any(leak.leaks for leak in check_leaks(learnt, test))
    assert letter_counts(test) == dict.fromkeys("ABCD", 60)


def test_an_answer_that_is_commoner_is_found():
    """Class 0 is right wherever it is offered: half of the items, of which the guess gets all."""

    def skewed(name: str) -> list[ChoiceItem]:
        items = fair(name)
        return changed(
            items, [item.options.index("class 0") if "class 0" in item.options else int(item.answer) for item in items]
        )

    train, test = skewed("train"), skewed("test")
    for check in (question_only, options_only):
        leak = check(train, test)
        assert leak.accuracy > 0.55
        assert leak.leaks


def test_a_letter_that_is_commoner_is_found():
    train, test = fair("train"), fair("test")
    train, test = (changed(items, [0 if number % 2 else 3 for number in range(240)]) for items in (train, test))
    leak = letter_only(train, test)
    assert leak.accuracy == 0.5  # A and D are as common, so each guess counts half
    assert leak.leaks
    assert letter_counts(test) == {"A": 120, "D": 120}


def features(items: list[ChoiceItem], leaking: bool) -> dict[str, np.ndarray]:
    draws = rng(1, items[0].id)
    return {
        str(item.clip): np.array([2.5, draws.uniform(-40, -30) + (3 * CLASSES.index(str(item.text)) if leaking else 0)])
        for item in items
    }


def test_a_level_that_follows_the_answer_is_found():
    train = [ChoiceItem(**{**vars(item), "clip": f"train-{item.clip}"}) for item in fair("train")]
    test = fair("test")
    for leaking in (False, True):
        leak = features_only(train, test, features(train, leaking) | features(test, leaking))
        assert leak.leaks is leaking, leak
        assert (leak.accuracy > 0.45) is leaking


def test_the_bound_holds_for_guessing():
    """Of 200 random guessers at most one is above the bound, which 999 of 1,000 stay below."""
    leak = options_only(fair("train"), fair("test"))
    assert leak.bound == 81 / 240
    assert sum(comb(240, k) * 0.25**k * 0.75 ** (240 - k) for k in range(82)) > 0.999
    assert sum(comb(240, k) * 0.25**k * 0.75 ** (240 - k) for k in range(81)) < 0.999
    draws = np.random.default_rng(0)
    above = sum(
        Leak("guess", float(np.mean(draws.random(240) < 0.25)), 0.25, 240, leak.bound).leaks for _ in range(200)
    )
    assert above <= 1


def test_what_cannot_be_checked():
    items = fair("test", 2)
    with pytest.raises(DataError, match="there are no items"):
        check_leaks([], items)
    with pytest.raises(DataError, match=r"test-0 has no answer"):
        letter_counts([ChoiceItem("test-0", "sound", "event", "What?", ("a", "b"), None)])
    with pytest.raises(DataError, match="its clip has no features; 8 item"):
        features_only(items, items, {})
