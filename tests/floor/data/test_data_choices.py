"""Items with options: balanced fours, sets of options, files."""

from __future__ import annotations

from collections import Counter

import pytest

from auricle.core.errors import ConfigError, DataError
from auricle.core.seed import rng
from auricle.data.choices import ChoiceItem, balanced, option_sets, read_items, write_items


def test_each_option_is_the_answer_once_and_at_another_letter():
    made = balanced(("a", "b", "c", "d"), rng(0, "x"))
    assert [shown[place] for shown, place in made] == ["a", "b", "c", "d"]
    assert sorted(place for _, place in made) == [0, 1, 2, 3]
    assert all(sorted(shown) == ["a", "b", "c", "d"] for shown, _ in made)


def test_the_order_of_the_other_options_is_drawn():
    orders = {shown for number in range(50) for shown, _ in balanced(("a", "b", "c", "d"), rng(number, "x"))}
    assert len(orders) == 24


def test_no_class_is_more_than_once_oftener_than_another():
    for classes, count in ((5, 7), (6, 40), (15, 33), (4, 9)):
        names = [str(number) for number in range(classes)]
        sets = option_sets(names, count, rng(classes, "sets"))
        assert len(sets) == count
        assert all(len(set(chosen)) == 4 for chosen in sets)
        uses = Counter(name for chosen in sets for name in chosen)
        assert max(uses.values()) - min(uses[name] for name in names) <= 1


def test_too_few_options():
    with pytest.raises(DataError, match="3 classes"):
        option_sets(("a", "b", "c"), 1, rng(0, "x"))
    with pytest.raises(ConfigError, match="all different"):
        balanced(("a", "a"), rng(0, "x"))
    with pytest.raises(DataError, match="x: 1 options"):
        ChoiceItem("x", "sound", "event", "What?", ("a",), 0)
    with pytest.raises(DataError, match="answer 2 is no place"):
        ChoiceItem("x", "sound", "event", "What?", ("a", "b"), 2)


def test_items_in_files(tmp_path):
    items = [
        ChoiceItem("x", "sound", "event", "What?", ("a", "b"), 1, "It is b.", "This is b.", "clip-1", "g", "new"),
        ChoiceItem("y", "music", "mode", "What?", ("a", "b"), None, facts={"recordings": ["r"]}),
    ]
    write_items(tmp_path / "items.jsonl", items)
    assert read_items(tmp_path / "items.jsonl") == items
    assert [(item.letter, item.text) for item in items] == [("B", "b"), (None, None)]
    (tmp_path / "items.jsonl").write_text('{"id": "x", "options": ["a", "b"]}\n')
    with pytest.raises(DataError, match="item 1: no item of this version"):
        read_items(tmp_path / "items.jsonl")
