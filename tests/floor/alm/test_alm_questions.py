"""Questions with options: how they are written, letters in balance, controls; and how a model's pick is read."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("peft")

from auricle.alm.chat import ChatRow
from auricle.alm.choices import READINGS, modality_gap, read_choices
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.items import Items, batch
from auricle.alm.questions import (
    LETTER,
    LETTER_LAST,
    NEUTRAL,
    OPEN,
    Form,
    Question,
    as_items,
    as_text,
    chat_of,
    letter_counts,
    letter_lesson,
    options_only,
    shuffled,
    without_audio,
    wrong_audio,
)
from auricle.alm.scoring import letter_tokens, option_scores
from auricle.alm.sft import Policy
from auricle.alm.stages import SftStep
from auricle.alm.tiny import FRAMES, N_MELS, TINY_KINDS, tiny_public_model
from auricle.alm.tokens import train_tokenizer
from auricle.core.errors import ConfigError, DataError
from auricle.metrics.paired import paired_shares
from auricle.metrics.shares import exact_limits
from tests.floor.alm.conftest import tiny_model

SOUNDS = ("real", "fake", "a click", "a click in bin 5", "a notch")


def question(number: int, options: int = 4) -> Question:
    """Ask of one of six clips; three kinds, right answers of all sounds."""
    kind = ("speech", "music", "sound")[number % 3]
    right = number % len(SOUNDS)
    wrong = [sound for sound in SOUNDS if sound != SOUNDS[right]][: options - 1]
    said = f"There is {SOUNDS[right]}."
    return Question("What is this?", (SOUNDS[right], *wrong), 0, clip=right, kind=kind, said=said)


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    return shuffled([question(number) for number in range(15)] + [question(number, 3) for number in range(3)], seed=1)


@pytest.fixture(scope="module")
def clips() -> Items:
    lengths = torch.tensor([40, 24, 31, 40, 17, 40])
    features = torch.randn(6, FRAMES, N_MELS, generator=torch.Generator().manual_seed(0))
    features[torch.arange(FRAMES) >= lengths[:, None]] = 0
    return Items([ChatRow([])] * 6, features, lengths)


@pytest.fixture
def policy(tokenizer) -> Policy:
    return Policy(AudioLanguageModel(tiny_model(tokenizer), tokenizer))


# --- questions ------------------------------------------------------------------------------------------------------


def test_a_question_is_written_as_its_form_says() -> None:
    one = Question("Which?", ("dog", "cat"), 1, clip=3)
    made = chat_of(one, LETTER, answered=True)
    assert made.messages[0]["content"] == "<audio>Which?\nA. dog\nB. cat\nAnswer with the letter."
    assert made.messages[1]["content"] == "B"
    assert made.audios == ["clip"]
    assert chat_of(one, LETTER_LAST).messages == [
        {"role": "user", "content": "<audio>Which?\ndog A\ncat B\nAnswer with the letter."}
    ]
    opened = chat_of(replace(one, clip=None), replace(OPEN, answer="This is a {option}."), answered=True)
    assert [message["content"] for message in opened.messages] == ["Which?", "This is a cat."]
    assert opened.audios == []
    both = chat_of(one, Form(answer="{option} {letter}"), answered=True)
    assert both.messages[1]["content"] == "cat B"
    odd = Question("Is it {letter}?", ("{option}", "{letter}"), 0)  # texts are taken as they are
    assert chat_of(odd, LETTER).messages[0]["content"].startswith("Is it {letter}?\nA. {option}\nB. {letter}")
    for wrong, message in (
        ({"answer": "yes"}, "neither"),
        ({"listed": False, "answer": "{letter}"}, "no options are listed"),
        ({"line": "{letter}"}, "needs both"),
    ):
        with pytest.raises(ConfigError, match=message):
            Form(**wrong)


@pytest.mark.parametrize(("options", "answer"), [(("a",), 0), (("a", "A "), 0), (("a", "b"), 2), (("a", "b"), -1)])
def test_a_question_that_cannot_be_answered_is_refused(options, answer) -> None:
    with pytest.raises(DataError, match="give"):
        Question("?", options, answer)


def test_letters_are_in_balance_within_each_kind() -> None:
    given = [question(number) for number in range(61)]
    made = shuffled(given, seed=3)
    for kind, counts in letter_counts(made).items():
        assert max(counts.values()) - min(counts.values()) <= 1, kind
        assert len(counts) == 4
    for before, after in zip(given, made, strict=True):
        assert after.right == before.right
        assert sorted(after.options) == sorted(before.options)
    assert shuffled(given, seed=3) == made
    assert shuffled(given, seed=4) != made
    # wrong options move too: none has a place of its own
    places = Counter(one.options.index("real") for one in made if one.right != "real")
    assert len(places) == 4


def test_what_questions_are_made_of_goes_into_items(questions, clips) -> None:
    made = as_items(questions, clips, LETTER)
    assert [made.clip(row) for row in range(len(questions))] == [one.clip for one in questions]
    assert made.truths[2] is questions[2]
    assert made.chats[0].messages[-1] == {"role": "assistant", "content": questions[0].letter}
    assert len(as_items(questions, clips, LETTER, answered=False).chats[0].messages) == 1
    with pytest.raises(DataError, match="no clips were given"):
        as_items(questions)


def test_controls_change_one_thing(questions) -> None:
    blind, options = without_audio(questions), options_only(questions)
    for one, two, three in zip(questions, blind, options, strict=True):
        assert (two.text, two.options, two.answer, two.clip) == (one.text, one.options, one.answer, None)
        assert (three.text, three.options, three.answer, three.clip) == (NEUTRAL, one.options, one.answer, None)
    wrong = wrong_audio(questions, seed=5)
    assert wrong == wrong_audio(questions, seed=5)
    assert wrong != wrong_audio(questions, seed=6)
    for one, other in zip(questions, wrong, strict=True):
        assert replace(other, clip=one.clip) == one
        true = {each.clip for each in questions if each.kind == one.kind and each.right == one.right}
        assert other.clip not in true
        assert other.clip in {each.clip for each in questions if each.kind == one.kind}
    with pytest.raises(DataError, match="no wrong one"):
        wrong_audio([questions[0]], seed=0)
    with pytest.raises(DataError, match="about no clip"):
        wrong_audio(blind, seed=0)


def test_a_question_as_text_says_what_there_is_to_hear(questions) -> None:
    for one, other in zip(questions, as_text(questions), strict=True):
        assert other.text == f"There is {one.right}.\nWhat is this?"
        assert (other.options, other.answer, other.clip) == (one.options, one.answer, None)
    with pytest.raises(DataError, match="set `said`"):
        as_text([replace(questions[0], said=None)])


def test_the_lesson_asks_for_words_only() -> None:
    made = letter_lesson(SOUNDS, 40, options=4, seed=2)
    assert all(one.text == f"Which option is {one.right}?" and one.clip is None for one in made)
    assert letter_counts(made)["letters"] == {"A": 10, "B": 10, "C": 10, "D": 10}
    assert len({one.options for one in made}) > 20
    assert letter_lesson(SOUNDS, 40, options=4, seed=2) == made
    with pytest.raises(DataError, match="3 different words"):
        letter_lesson(["a", "b", "c", "a"], 1)


# --- scores ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ours", *TINY_KINDS])
def test_sharing_the_prompt_gives_what_running_it_with_each_option_gives(tokenizer, clips, kind) -> None:
    """Different numbers of options and tokens, prompts with and without clips, to 1e-5."""
    model = tiny_model(tokenizer) if kind == "ours" else tiny_public_model(kind, tokenizer)
    lm = AudioLanguageModel(model, tokenizer)
    with torch.no_grad():
        made = lm.encode_audio(clips.features[:2], clips.lengths[:2])
    asked = [lm.expand(lm.ids(f"is {lm.clip_text} this?"), [int(count)]) for count in made.lengths]
    prompts = [asked[0], lm.ids("is this real or fake?"), asked[1], lm.ids("x")]
    texts = [["real", "fake"], ["a click in bin 5"], ["real", "fake", "a click", "a notch in band 3"], ["r", "x yz"]]
    options = [[[*lm.ids(text), lm.eos_ids[0]] for text in own] for own in texts]
    shared = option_scores(lm, prompts, options, made.embeds)
    plain = option_scores(lm, prompts, options, made.embeds, shared=False)
    assert shared.sums.shape == (4, 4)
    present = shared.sums.isfinite()
    assert present.sum(1).tolist() == [2, 1, 4, 2]
    assert torch.equal(present, plain.sums.isfinite())
    assert float((shared.sums - plain.sums)[present].abs().max()) <= 1e-5 * float(plain.sums[present].abs().max())
    assert torch.equal(shared.tokens, plain.tokens)
    assert shared.tokens[2].tolist() == [len(own) for own in options[2]]
    # by hand: every token from the whole text
    with torch.no_grad():
        whole, _ = lm.full_logprobs([[*prompts[2], *options[2][3]]], made.embeds[1:2])
    size = len(options[2][3])
    assert float(shared.sums[2, 3]) == pytest.approx(float(whole[0, -size:].sum()), abs=2e-4)
    assert float(shared.means[2, 3]) == pytest.approx(float(whole[0, -size:].mean()), abs=1e-4)


def test_scores_refuse_what_they_cannot_score(policy) -> None:
    lm = policy.lm
    with pytest.raises(ConfigError, match="empty one"):
        option_scores(lm, [lm.ids("x")], [[[]]])
    with pytest.raises(DataError, match="1 prompts and options of 2"):
        option_scores(lm, [lm.ids("x")], [[[1]], [[1]]])
    with pytest.raises(ConfigError, match="27 letters"):
        letter_tokens(lm, 27)
    merged = train_tokenizer(["A B C D"] * 8, 300)
    merged.add_tokens(["B"])
    tokenizer = train_tokenizer(["x"] * 8, 300)
    own = AudioLanguageModel(tiny_model(tokenizer), tokenizer)
    own.tokenizer = type("Split", (), {"__call__": lambda self, text, **_: type("Ids", (), {"input_ids": [1, 2]})})()
    with pytest.raises(ConfigError, match="the letter A is not one token"):
        letter_tokens(own, 4)


# --- readings -------------------------------------------------------------------------------------------------------


def test_every_reading_of_every_question(policy, questions, clips) -> None:
    found = read_choices(policy, questions, clips, write=4, at_once=5)
    assert tuple(found.picked) == READINGS
    assert found.chance == pytest.approx((15 / 4 + 3 / 3) / 18)
    for reading in READINGS:
        assert found.accuracies[reading] == found.hits(reading).mean()
    for row, one in enumerate(questions):
        for reading, scores in found.scores.items():
            assert len(scores[row]) == len(one.options)
            assert found.picked[reading][row] == int(np.argmax(scores[row]))
    # random weights hardly ever say a letter: that is a failure, counted and wrong
    assert found.failures("letter_said") > 0
    assert found.failures("letter") == 0
    unread = [row for row, place in enumerate(found.picked["letter_said"]) if place is None]
    assert not found.hits("letter_said")[unread].any()
    lines = [json.loads(json.dumps(line)) for line in found.lines()]
    assert lines[0]["answer"] == questions[0].letter
    assert {line["text"] for line in lines} == set(found.texts)
    with pytest.raises(ConfigError, match="no reading 'smell'"):
        found.hits("smell")


def test_readings_repeat_and_do_not_depend_on_the_batch(policy, questions, clips) -> None:
    one = read_choices(policy, questions, clips, at_once=4)
    same = read_choices(policy, questions, clips, at_once=4)
    assert (one.picked, one.scores) == (same.picked, same.scores)
    for other in (
        read_choices(policy, questions, clips, at_once=18),
        read_choices(policy, questions, clips, at_once=7, shared=False),
    ):
        for reading, scores in one.scores.items():
            for first, second in zip(scores, other.scores[reading], strict=True):
                assert np.allclose(first, second, atol=2e-4), reading
    turned = read_choices(policy, questions[::-1], clips, at_once=4)
    assert np.allclose(turned.scores["pmi"][0], one.scores["pmi"][-1], atol=2e-4)


def test_pmi_is_the_likelihood_less_that_without_the_clip(policy, questions, clips) -> None:
    found = read_choices(policy, questions, clips, letter=None)
    blind = read_choices(policy, without_audio(questions), letter=None)
    assert "pmi" not in blind.picked
    assert "letter" not in found.picked
    for own, heard, text in zip(
        found.scores["pmi"], found.scores["likelihood"], blind.scores["likelihood"], strict=True
    ):
        assert np.allclose(own, np.array(heard) - np.array(text), atol=2e-4)
    without = read_choices(policy, questions, clips, letter=None, pmi=False)
    assert "pmi" not in without.picked
    with pytest.raises(ConfigError, match="at least one"):
        read_choices(policy, questions, clips, letter=None, option=None)
    with pytest.raises(DataError, match="no questions"):
        read_choices(policy, [], clips)


@pytest.mark.parametrize(("form", "reading"), [(LETTER, "letter_said"), (OPEN, "likelihood")])
def test_a_model_that_knows_is_read_right(policy, questions, clips, form, reading) -> None:
    few = [replace(one, text=f"number {row}?") for row, one in enumerate(questions[:4])]
    items = as_items(few, clips, form)
    step = SftStep(policy, items)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=3e-3)
    policy.train()
    for _ in range(120):
        optimizer.zero_grad()
        step(policy, batch(items, range(4)))["loss"].backward()
        optimizer.step()
    assert read_choices(policy, few, clips).accuracies[reading] == 1.0
    assert policy.training  # as it was


def test_the_gap_is_paired(policy, questions, clips) -> None:
    heard = read_choices(policy, questions, clips)
    read = read_choices(policy, as_text(questions))
    made = modality_gap(heard, read, "likelihood", seed=0)
    assert made.a.value == heard.accuracies["likelihood"]
    assert made.b.value == read.accuracies["likelihood"]
    assert made.difference.value == pytest.approx(made.a.value - made.b.value)
    low, high = made.difference.ci95
    assert low <= made.difference.value <= high
    with pytest.raises(DataError, match="ask the same ones"):
        modality_gap(heard, read_choices(policy, as_text(questions)[::-1]), seed=0)


def test_a_paired_interval_is_narrower_where_items_agree() -> None:
    truth = np.random.default_rng(0).random(200) < 0.5
    other = truth.copy()
    other[:20] = ~other[:20]
    paired = paired_shares(truth, other, seed=0).difference
    apart = paired_shares(truth, np.random.default_rng(1).permutation(other), seed=0).difference
    assert paired.ci95[1] - paired.ci95[0] < (apart.ci95[1] - apart.ci95[0]) / 2
    assert paired.ci95[0] <= paired.value <= paired.ci95[1]


@pytest.mark.parametrize("gained", [0, 1, -1])
def test_arms_that_differ_alike_everywhere_still_have_an_interval(gained) -> None:
    first, second = np.full(20, gained >= 0), np.full(20, gained == -1 or gained == 0)
    made = paired_shares(first, second, seed=0).difference
    missed = 1 - exact_limits(20, 20)[0]
    expected = {0: (-missed, missed), 1: (1 - 2 * missed, 1.0), -1: (-1.0, 2 * missed - 1)}[gained]
    assert made.value == gained
    assert made.ci95 == pytest.approx(expected)
    grouped = paired_shares(first, second, [n // 4 for n in range(20)], seed=0).difference
    assert grouped.ci95[1] - grouped.ci95[0] > made.ci95[1] - made.ci95[0]  # five groups say less than twenty items


def test_paired_shares_need_the_same_items() -> None:
    with pytest.raises(DataError, match="same items"):
        paired_shares([True] * 4, [True] * 5, seed=0)
