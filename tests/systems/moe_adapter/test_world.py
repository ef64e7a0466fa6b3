"""The task world's plan: splits apart, answers balanced, wording, facts; nothing is read off but the clip."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from auricle.data import fields
from auricle.data.worlds.leaks import check_leaks, letter_counts
from auricle.data.worlds.recordings import HELD, stock, voice_roles
from auricle.systems.moe_adapter import config
from auricle.systems.moe_adapter.plan import facts_of, plan
from auricle.systems.moe_adapter.questions import COLOURS, fact_table, heard_facts, lessons, orders


def by_task(items):
    found = defaultdict(list)
    for item in items:
        found[item.domain, item.task].append(item)
    return found


def test_sizes_are_as_the_config_says(plans):
    wanted = {
        "train": {"speech": 320, "music": 320, "sound": 532},
        "dev": {"speech": 48, "music": 48, "sound": 80},
        "test": {"speech": 96, "music": 96, "sound": 160},
    }
    for split, own in plans.items():
        for (domain, task), items in by_task(own.items).items():
            assert len(items) == wanted[split][domain], (split, task)
        assert {domain: 5 if domain != "sound" else 3 for domain in config.DOMAINS} == Counter(
            domain for domain, _ in by_task(own.items)
        )
    assert min(Counter(item.domain for item in plans["test"].items).values()) >= 300
    assert len(plans["train"].clips) < 2_500


def test_ids_are_unique_and_every_item_has_its_clip(plans):
    for own in plans.values():
        clips = {clip.id: clip for clip in own.clips}
        assert len(clips) == len(own.clips)
        assert len({item.id for item in own.items}) == len(own.items)
        for item in own.items:
            clip = clips[str(item.clip)]
            assert (item.domain, item.group, item.subset) == (clip.domain, clip.group, clip.subset)
            # what is right is what the clip holds; of a fact the clip holds the key
            assert clip.answer == (item.facts["key"] if item.task == "fact" else item.text)
        assert set(clips) == {item.clip for item in own.items}


def test_no_recording_is_in_two_splits(plans):
    used = defaultdict(set)
    for split, own in plans.items():
        for clip in own.clips:
            for recording in clip.recordings:
                used[recording].add(split)
    assert len(used) > 800
    assert all(len(splits) == 1 for splits in used.values())
    assert len({clip.id for own in plans.values() for clip in own.clips}) == sum(len(p.clips) for p in plans.values())


def test_voices_called_new_were_not_trained_on(plans):
    trained = {clip.group for clip in plans["train"].clips}
    for split in ("dev", "test"):
        for clip in plans[split].clips:
            if clip.subset == "new voice":
                assert clip.group not in trained
            if clip.subset == "known voice":  # only telling languages hears them again, with other sentences
                assert (clip.kind, clip.group in trained) == ("language", True)
    assert {clip.subset for clip in plans["train"].clips} == {""}
    for split in ("dev", "test"):  # of the language whose second voice is held out, nobody else is heard
        told = {(item.text, item.subset) for item in plans[split].items if item.task == "language"}
        assert len(told) == 5
        assert sorted(subset for _, subset in told) == ["known voice"] * 4 + ["new voice"]
    voices = {
        split: {clip.group for clip in plans[split].clips if clip.kind in ("number", "letter")} for split in plans
    }
    assert not voices["dev"] & voices["test"]
    assert len(voices["dev"]) == len(voices["test"]) == 1


def test_held_packages_are_in_the_test_set_alone(plans):
    packages = {
        split: {stem.clip.package for clip in own.clips for stem in clip.stems if clip.domain == "sound"}
        for split, own in plans.items()
    }
    assert packages["test"] & set(HELD)
    assert not (packages["train"] | packages["dev"]) & set(HELD)
    assert any(clip.subset == "new package" for clip in plans["test"].clips)


def test_other_draws_hold_other_voices_out():
    drawn = {
        tuple(sorted({stem.group for stem in stock("embedded", split)["test"]["number"]["seven"]}))
        for split in range(6)
    }
    assert len(drawn) > 1


def test_question_options_and_letter_alone_say_nothing(plans):
    """Exactly chance for every task, learnt on training or on the test items themselves."""
    tests, trains = by_task(plans["test"].items), by_task(plans["train"].items)
    for key, items in tests.items():
        for learnt in (trains[key], items):
            assert [leak.accuracy for leak in check_leaks(learnt, items)] == [0.25] * 3, key
        assert set(letter_counts(items).values()) == {len(items) // 4}
    every = [leak.accuracy for leak in check_leaks(plans["train"].items, plans["test"].items)]
    assert every == pytest.approx([0.25] * 3, abs=0.01)


def test_answers_of_a_task_are_as_common_as_one_another(plans):
    for own in plans.values():
        for (_, task), items in by_task(own.items).items():
            answers = Counter(item.text for item in items)
            if task != "order":
                assert max(answers.values()) - min(answers.values()) <= 1, task


def test_order_options_do_not_stand_out_by_their_parts(plans):
    assert orders(("a", "b", "c", "d")) == ("a, then b", "b, then a", "c, then d", "d, then c")
    for item in by_task(plans["test"].items)["sound", "order"]:
        parts = Counter(part for option in item.options for part in option.split(", then "))
        assert set(parts.values()) == {2}


def test_every_item_has_four_options_evidence_and_naming(plans):
    for own in plans.values():
        for item in own.items:
            assert len(set(item.options)) == 4
            assert item.naming.endswith(".")
            assert str(item.text) in item.naming
            told = item.facts["key"] if item.task == "fact" else str(item.text)
            assert told in item.evidence
            # no other answer is told; "much slower" holds "slower" and is one answer
            rest = item.evidence.replace(str(item.text), "")
            assert not any(f" {option}." in rest for option in item.options)


def test_the_same_config_gives_the_same_plan_and_another_seed_another(found, plans):
    laptop = config.DataConfig()
    assert plan(laptop, found, "dev") == plans["dev"]
    assert plan(laptop.model_copy(update={"seed": 1}), found, "dev") != plans["dev"]


def test_facts_are_spread_over_colours_and_taught_as_texts(found):
    cfg = config.DataConfig()
    table = facts_of(cfg, found)
    assert len(table) == 54
    counts = Counter(table.values())
    assert set(counts) == set(COLOURS)
    assert max(counts.values()) - min(counts.values()) <= 1
    taught = lessons(table, cfg.seed)
    assert {item.clip for item in taught} == {None}
    assert {item.naming for item in taught} == {f"The colour of {key} is {colour}." for key, colour in table.items()}
    assert [leak.accuracy for leak in check_leaks(taught, taught)] == [0.25] * 3
    assert all(table[item.evidence.split('"')[1]] == item.text for item in taught)


def test_training_asks_by_audio_about_some_facts_only(found, plans):
    cfg = config.DataConfig()
    table = facts_of(cfg, found)
    heard = heard_facts(table, cfg.facts_by_audio, cfg.seed)
    asked = {split: {item.facts["key"] for item in own.items if item.task == "fact"} for split, own in plans.items()}
    assert asked["train"] == heard
    assert 20 <= len(heard) <= 34
    assert set(table) - heard <= asked["test"]  # what training knows from texts alone is asked by audio here
    none = cfg.model_copy(update={"facts_by_audio": 0.0})
    assert not [item for item in plan(none, found, "train").items if item.task == "fact"]
    assert [item for item in plan(none, found, "test").items if item.task == "fact"]


def test_a_fact_and_a_number_are_asked_of_the_same_clips(plans):
    clips = defaultdict(set)
    for item in plans["train"].items:
        clips[item.task].add(item.clip)
    assert clips["fact"] & clips["number"]
    assert clips["fact"] <= clips["number"] | clips["letter"]


def test_words_of_a_sentence_are_asked_so_that_no_other_option_is_in_it(found):
    cfg = config.DataConfig(tasks=(*config.EVERY_TASK,))
    for split in fields.SPLITS:
        own = plan(cfg, found, split)
        words = {clip.id: clip.stems[0].words for clip in own.clips if clip.kind == "word"}
        items = [item for item in own.items if item.task == "word"]
        assert items
        for item in items:
            assert [option for option in item.options if option in words[str(item.clip)]] == [item.text]
        assert [leak.accuracy for leak in check_leaks(items, items)] == [0.25] * 3


class Spoken:
    def __init__(self, label: str, language: str, group: str) -> None:
        self.label, self.language, self.split_group = label, language, group


@pytest.mark.parametrize("split", range(4))
def test_voices_are_held_out_where_a_language_has_several(split):
    said = [
        Spoken("7", language, f"{language}-{voice}")
        for language, voices in (("xx", 1), ("yy", 2), ("zz", 3))
        for voice in range(voices)
    ]
    said += [Spoken("7", "xx", "both"), Spoken("7", "yy", "both")]  # one person in two languages
    roles = voice_roles(said, split)
    assert roles["both"] == "train"
    by_language = {
        language: [roles[clip.split_group] for clip in said if clip.language == language]
        for language in ("xx", "yy", "zz")
    }
    assert all("train" in found for found in by_language.values())
    assert {"dev", "test"} <= set(by_language["zz"])
    assert {"train", "dev", "test"} == set(roles.values())


def test_settings_that_do_not_fit():
    with pytest.raises(ValueError, match="tasks rhyme"):
        config.DataConfig(tasks=("rhyme", "mode", "event"))
    with pytest.raises(ValueError, match="no task is left for music, sound"):
        config.DataConfig(tasks=("number",))
    with pytest.raises(ValueError, match=r"data.source clips.jsonl; the task world is made of embedded or rec"):
        config.DataConfig(source="clips.jsonl")


def test_the_table_does_not_depend_on_the_order_of_draws():
    keys = [f"key {number}" for number in range(16)]
    assert fact_table(keys, 0) == fact_table(keys, 0) != fact_table(keys, 1)
