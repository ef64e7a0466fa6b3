"""Multiple-choice scores: golden cases of the two benchmarks' own scorers, and the scores that never guess."""

from __future__ import annotations

import pytest

from auricle.core.errors import DataError
from auricle.metrics.choices import mmau_choice, mmau_match, mmau_score, voicebench_letter, voicebench_score


@pytest.mark.parametrize(
    ("output", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("C) helium", "C"),
        ("The answer is D", "D"),
        ("The answer is c, since it is light.", "C"),
        ("<2> B", "B"),
        ("I would choose option A because ...", "A"),
        ("The correct answer is **B. carbon dioxide**", "B"),
        ("正确的答案是C", "C"),
        ("Final answer: D", "D"),
        ("(A)", "A"),
        # the order of the phrases decides, not that of the words
        ("Option A. is wrong; the answer is B", "B"),
        # of one phrase the earlier letter, wherever it stands: an answer that discusses both is read as A
        ("(B) is better than (A)", "A"),
        # a word that begins with a letter is a letter too, for that scorer
        ("The answer is carbon dioxide", "C"),
        ("carbon dioxide", None),
        ("", None),
        ("B because", None),
        ("I do not know", None),
    ],
)
def test_letters_as_voicebench_reads_them(output, letter):
    assert voicebench_letter(output) == letter


def test_voicebench_draws_what_it_cannot_read_and_the_strict_score_does_not():
    outputs = ["A", "B", *["no idea"] * 400]
    score = voicebench_score(outputs, ["A", "A", *["C"] * 400], seed=0)
    assert (score.n, score.failures) == (402, 400)
    assert score.strict == pytest.approx(1 / 402)
    assert 60 < score.official * 402 < 142  # a quarter of 400, and one
    assert [row.output for row in score.rows] == outputs
    assert [row.read for row in score.rows[:3]] == ["A", "B", None]
    assert voicebench_score(outputs, ["A", "A", *["C"] * 400], seed=0) == score
    assert voicebench_score(outputs, ["A", "A", *["C"] * 400], seed=1).official != score.official


def test_voicebench_scores_agree_where_everything_can_be_read():
    score = voicebench_score(["A", "the answer is b", "D."], ["A", "B", "C"], seed=0)
    assert (score.official, score.strict, score.failures) == (pytest.approx(2 / 3), pytest.approx(2 / 3), 0)


@pytest.mark.parametrize(
    ("output", "right"),
    [
        ("Woman", True),
        ("It is a WOMAN, I think.", True),
        ("woman or man", False),  # a word of another choice
        ("", False),
        ("someone", False),
        ("B", False),  # a letter is not the words
        ("(B) Woman", True),
    ],
)
def test_words_as_mmau_matches_them(output, right):
    assert mmau_match(output, ["Man", "Woman", "Child", "Robot"], "Woman") is right


def test_mmau_words_that_the_right_choice_shares_do_not_count_against_it():
    choices = ["Two men", "Two women", "A man and a child"]
    assert mmau_match("two women", choices, "Two women")
    assert not mmau_match("women", choices, "Two women")
    assert not mmau_match("two women and a child", choices, "Two women")
    # with letters before the choices, as one of its versions has them, the letter is a word like any other
    assert not mmau_match("Man", ["(A) Man", "(B) Woman"], "(A) Man")
    assert mmau_match("(A) Man", ["(A) Man", "(B) Woman"], "(A) Man")


def test_mmau_choices_that_hold_one_another_cannot_be_told_apart_by_words():
    # "rain" says "rain", but so do all words of the longer choice say the shorter
    choices = ["rain", "heavy rain"]
    assert mmau_choice("rain", choices) == 0
    assert mmau_choice("heavy rain", choices) == 1
    assert mmau_choice("rain, rain", ["rain", "Rain"]) is None  # alike: both match


def test_mmau_score_keeps_outputs_and_counts_failures():
    choices = [["Man", "Woman"]] * 4
    score = mmau_score(["a man", "man and woman", "", "Woman"], choices, ["Man", "Man", "Man", "Man"])
    assert (score.official, score.strict, score.failures, score.n) == (0.25, 0.25, 2, 4)
    assert [row.read for row in score.rows] == ["Man", None, None, "Woman"]
    assert score.rows[1].output == "man and woman"


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="0 outputs and 0 questions"):
        voicebench_score([], [], seed=0)
    with pytest.raises(DataError, match="2 outputs and 1 questions"):
        voicebench_score(["A", "B"], ["A"], seed=0)
    with pytest.raises(DataError, match="'E' is no right letter"):
        voicebench_score(["A"], ["E"], seed=0)
    with pytest.raises(DataError, match="'Dog' is none of the choices Man, Woman"):
        mmau_score(["Man"], [["Man", "Woman"]], ["Dog"])
