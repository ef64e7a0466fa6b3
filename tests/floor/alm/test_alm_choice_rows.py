"""Rows of multiple choice: hand-counted shares, the controls beside them, the paired difference."""

from __future__ import annotations

import pytest

pytest.importorskip("peft")

from auricle.alm.choice_rows import CONTROLS, Answers, Comparison
from auricle.alm.choices import Readings
from auricle.alm.questions import Question

QUESTIONS = [Question("Which?", ("a", "b", "c", "d"), place % 4, clip=place, kind="k") for place in range(8)]


def reading(right: int) -> Readings:
    """Answer the first so many questions right by likelihood, none readably by the letter."""
    picked = [one.answer if row < right else (one.answer + 1) % 4 for row, one in enumerate(QUESTIONS)]
    return Readings(QUESTIONS, {"likelihood": picked, "letter_said": [None] * 8}, {})


def answers(right: int) -> Answers:
    return Answers(reading(right), reading(8), dict.fromkeys(CONTROLS, reading(2)))


def test_rows_are_shares_and_paired_differences() -> None:
    rows = list(Comparison(answers(6), answers(4), "dense", 200, 0).rows("all", range(8)))
    found = {(row.name, row.baseline): row.value for row in rows}
    assert len(found) == len(rows)
    assert found["accuracy", None] == 75
    assert found["accuracy", "dense"] == 50
    assert found["accuracy", "chance"] == 25
    assert found["accuracy", "text"] == 100
    assert found["accuracy", "question_only"] == found["accuracy", "wrong_audio"] == 25
    assert found["gain_over_dense", None] == 25
    assert found["lead_over_question_only", None] == 50
    assert found["audio_minus_text", None] == -25
    assert found["audio_minus_text", "dense"] == -50
    assert found["letter_accuracy", None] == 0
    assert found["letters_unread", None] == 100


def test_a_part_has_its_own_questions_and_fewer_rows() -> None:
    rows = list(Comparison(answers(6), answers(4), "dense", 200, 0).rows("part", range(4, 8), whole=False))
    assert {row.group for row in rows} == {"part"}
    found = {(row.name, row.baseline): row.value for row in rows}
    assert found["accuracy", None] == 50
    assert found["gain_over_dense", None] == 50
    assert ("accuracy", "text") not in found


def test_lines_have_the_controls_beside_the_answer() -> None:
    line = answers(6).lines("moe")[0]
    assert (line["arm"], line["likelihood"], line["text"], line["wrong_audio"]) == ("moe", "A", "A", "A")
