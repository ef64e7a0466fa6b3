"""Questions of a user's: options in the text, hearing any clip, one answer a question."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("peft")

import soundfile

from auricle.alm.options import split_options
from auricle.systems.moe_adapter.config import smoke
from auricle.systems.moe_adapter.hearing import heard


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        ("Which? A) one B) two", "Which?", ["one", "two"]),
        ("Which? (A) one two, (B) three", "Which?", ["one two", "three"]),
        ("Which?\nA. falls, then rises\nB. rises", "Which?", ["falls, then rises", "rises"]),
        ("Which number is said?", "Which number is said?", []),
        ("Which? B) one A) two", "Which? B) one A) two", []),
        ("Plan A) only", "Plan A) only", []),
    ],
)
def test_options_are_taken_out_of_the_text(text, question, options) -> None:
    assert split_options(text) == (question, options)


@pytest.mark.parametrize("seconds", [0.1, 2.56, 9.0])
def test_any_clip_becomes_one_of_the_worlds_length_and_level(seconds) -> None:
    wave = 0.5 * np.sin(np.arange(round(16_000 * seconds)) / 5)
    made = heard(wave, smoke().data)
    assert made.shape == (round(16_000 * smoke().data.seconds),)
    assert np.array_equal(made, heard(wave, smoke().data))
    assert 20 * np.log10(np.sqrt(np.mean((made / 32768.0) ** 2))) == pytest.approx(-40.0, abs=0.5)


def test_of_a_long_clip_the_loudest_stretch_is_heard() -> None:
    loud = np.zeros(160_000)
    loud[100_000:120_000] = np.sin(np.arange(20_000) / 5)
    assert np.corrcoef(heard(loud, smoke().data), heard(loud[90_000:130_960], smoke().data))[0, 1] > -1
    power = (heard(loud, smoke().data).astype(float) ** 2).mean()
    quiet = heard(np.full(160_000, 1e-3) * np.sin(np.arange(160_000)), smoke().data)
    assert power == pytest.approx((quiet.astype(float) ** 2).mean(), rel=0.1)


def test_answers_name_options_letter_and_experts(finished, auricle, tmp_path) -> None:
    run = finished("moe_adapter")
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(32_000) / 5), 16_000)
    text = "Which chord is played? A) major B) minor C) diminished D) augmented"
    done = auricle("infer", "moe_adapter", "--run", run, tmp_path / "a.wav", "--text", text)
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["option"] for one in row["options"]] == ["major", "minor", "diminished", "augmented"]
    assert sum(one["p"] for one in row["options"]) == pytest.approx(1, abs=1e-5)
    assert row["answer"] == max(row["options"], key=lambda one: one["p"])["option"]
    assert sum(one["share"] for one in row["experts"]) == pytest.approx(1, abs=1e-5)
    assert len(row["experts"]) == 8
    given = auricle(
        "infer", "moe_adapter", "--run", run, tmp_path / "a.wav", "--text", "Which chord is played?",
        "--set", 'options=["major","minor","diminished","augmented"]',
    )  # fmt: skip
    assert json.loads(given.stdout)["options"] == row["options"]
    free = json.loads(auricle("infer", "moe_adapter", "--run", run, tmp_path / "a.wav", "--text", "What is it?").stdout)
    assert free["options"] == []
    assert free["letter"] is None
    assert any(one.startswith("unknown-question") for one in free["warnings"])
    same = auricle(
        "infer", "moe_adapter", "--run", run, tmp_path / "a.wav", "--text", "Which? A) one B) one", check=False
    )
    assert "differ" in json.loads(same.stdout)["error"]
