from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.core.config import override
from auricle.core.errors import ConfigError, DataError
from auricle.data import embedded
from auricle.data.splits import drop_shared_texts, split_groups
from auricle.data.spoof import FAMILIES
from auricle.systems.mambo import data
from auricle.systems.mambo.config import DataConfig, laptop


@given(st.integers(0, 1000), st.integers(3, 30), st.integers(0, 6))
def test_every_group_is_in_one_split_and_no_split_is_empty(split, big, small):
    sources = {f"g{i}": "big" for i in range(big)} | {f"s{i}": f"small{i}" for i in range(small)}
    assigned = split_groups(sources, split)
    assert set(assigned) == set(sources)
    assert set(assigned.values()) == {"train", "dev", "test"}


def test_splits_differ_and_repeat():
    sources = {f"g{i}": "one" for i in range(12)}
    assert split_groups(sources, 0) == split_groups(sources, 0)
    assert split_groups(sources, 0) != split_groups(sources, 1)


def test_two_voices_are_too_few():
    with pytest.raises(DataError, match="at least 3"):
        split_groups({"a": "x", "b": "x"}, 0)


def test_words_of_an_earlier_split_are_left_out_later():
    rows = [("1", "train", "en:yes"), ("2", "dev", "en:yes"), ("3", "dev", "en:no"), ("4", "test", "en:no")]
    rows += [("5", "test", "en:maybe"), ("6", "test", "")]
    out, count = drop_shared_texts(rows)
    assert out == {"2", "4"}
    assert count == 2


@pytest.mark.parametrize("split", [0, 1])
def test_the_plan_keeps_voices_texts_and_families_apart(split):
    cfg = DataConfig(split=split)
    tasks, _ = data.plan(cfg)
    groups = {name: {task.group for task in tasks if task.split == name} for name in ("train", "dev", "test")}
    assert not groups["train"] & groups["test"]
    assert not groups["dev"] & (groups["train"] | groups["test"])
    for task in tasks:
        if task.split != "test":
            assert set(task.families) <= set(cfg.seen) | (set(cfg.held_out) if task.split == "dev" else set())
        clip = embedded.clip(task.clip)
        assert clip.speaker_group == task.group
        if task.target:
            assert embedded.clip(task.target).speaker_group != task.group
        for name in task.families:
            assert FAMILIES[name].needs != "text" or (clip.text and clip.language == "en")
    families = Counter(name for task in tasks if task.split == "test" for name in task.families)
    assert set(families) == set(cfg.seen) | set(cfg.unseen)
    assert {name for task in tasks if task.split == "dev" for name in task.families} >= set(cfg.held_out)
    packages = {embedded.clip(task.clip).package for task in tasks if task.split == "dev"}
    assert len(groups["dev"]) >= 4
    assert len(packages) >= 3
    words = {
        name: {data._text_key(embedded.clip(task.clip)) for task in tasks if task.split == name} - {""}
        for name in groups
    }
    assert not words["test"] & (words["train"] | words["dev"])


def test_a_target_is_of_the_same_split():
    tasks, _ = data.plan(DataConfig())
    where = {task.group: task.split for task in tasks}
    assert all(where[embedded.clip(task.target).speaker_group] == task.split for task in tasks if task.target)


def test_neural_fakes_stand_on_both_sides():
    cfg = laptop().data
    assert {"hibari", "neural_upsampling"} <= set(cfg.seen)
    assert "neural_istft" in cfg.unseen


def test_what_hibari_says_in_training_it_never_says_in_the_test():
    for split in (0, 1, 2):
        tasks, _ = data.plan(DataConfig(split=split))
        said = {
            name: {
                data._text_key(embedded.clip(task.clip))
                for task in tasks
                if task.split == name and "hibari" in task.families
            }
            for name in ("train", "test")
        }
        assert said["train"]
        assert said["test"]
        assert not said["train"] & said["test"]


def test_a_family_cannot_be_held_out_and_in_training_or_test():
    with pytest.raises(ValueError, match="both seen and held_out: world"):
        DataConfig(seen=("world",), held_out=("world",))
    with pytest.raises(ValueError, match="both unseen and held_out: psola"):
        DataConfig(unseen=("psola",), held_out=("psola",))


def test_a_family_cannot_be_seen_and_unseen():
    with pytest.raises(ValueError, match="both seen and unseen: world"):
        DataConfig(seen=("world",), unseen=("world",))


def test_an_unknown_family_is_named(tmp_path):
    from auricle.core.run import RunFolder

    cfg = override(laptop(), ['data.seen=["wavenet"]'])
    with pytest.raises(ConfigError, match="no spoof family wavenet"):
        data.prepare(cfg, RunFolder(tmp_path))
