"""The text contract: what is written is read back, and what is not in the form is not guessed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.data.worlds.artefacts import BANDS_OF, TIME_KINDS, artefact
from auricle.systems.ft_grpo.rationale import LABEL_PROMPT, NONE, SYSTEM_PROMPT, Evidence, evidence, read, words, write

BOTH = Evidence("fake", "notch", 3, "click", 5)
TEXT = "<think>\n<Frequency Domain> notch in band 3\n<Time Domain> click in bin 5\n</think>\n<answer>fake</answer>"


def test_the_skeleton_is_that_of_the_paper():
    assert write(BOTH) == TEXT
    assert write(Evidence("real", NONE, None, NONE)) == (
        "<think>\n<Frequency Domain> none\n<Time Domain> none\n</think>\n<answer>real</answer>"
    )
    for tag in ("<think>", "</think>", "<Frequency Domain>", "<Time Domain>", "<answer>"):
        assert tag in SYSTEM_PROMPT
    assert "<think>" not in LABEL_PROMPT


def test_everything_that_can_be_written_is_read_back_in_few_words():
    frequency = [(kind, place) for kind, places in BANDS_OF.items() for place in places] + [(NONE, None)]
    time = [(kind, place) for kind in TIME_KINDS for place in range(8)] + [(NONE, None)]
    known = sorted(words(), key=len, reverse=True)
    for (kind, band), (other, place) in itertools.product(frequency, time):
        said = Evidence("fake" if (kind, other) != (NONE, NONE) else "real", kind, band, other, place)
        text = write(said)
        assert read(text) == said
        left, count = text, 0
        for word in known:
            count += left.count(word)
            left = left.replace(word, " ")
        assert not left.strip(), left
        assert count <= 15


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("fake", "fake"),
        (" Real\n", "real"),
        ("<answer>FAKE</answer>", "fake"),
        ("<answer> real </answer>", "real"),
        ("it is fake", None),
        ("<answer>fake</answer><answer>real</answer>", None),
        ("<answer>spoof</answer>", None),
        ("<answer>fake", None),
        ("", None),
    ],
)
def test_labels_are_read_strictly(text, label):
    assert read(text) == Evidence(label)


@pytest.mark.parametrize(
    "text",
    [
        TEXT + ".",
        "I see. " + TEXT,
        TEXT.replace("</think>", ""),
        TEXT.replace("<Time Domain>", "<Time>"),
        TEXT.replace(
            "<Frequency Domain> notch in band 3\n<Time Domain> click in bin 5", "<Time Domain> click in bin 5"
        ),
    ],
)
def test_out_of_the_skeleton_no_finding_is_read(text):
    said = read(text)
    assert (said.frequency, said.band, said.time, said.bin) == (None, None, None, None)
    assert not said.complete


@pytest.mark.parametrize(
    "finding", ["notch in band 6", "click in band 3", "notch in bin 3", "notch", "band 3", "notch in band 3 and 4", ""]
)
def test_a_finding_that_cannot_be_read_is_not_none(finding):
    said = read(TEXT.replace("notch in band 3", finding))
    assert (said.label, said.frequency, said.band) == ("fake", None, None)
    assert (said.time, said.bin) == ("click", 5)
    assert read(TEXT.replace("notch in band 3", NONE)).frequency == NONE


def test_the_truth_comes_from_the_artefacts():
    draws = np.random.default_rng(0)
    notch, click = artefact("notch", 3, 1.0, draws), artefact("click", 5, 1.0, draws)
    assert evidence([notch, click]) == BOTH == evidence([click, notch])
    assert evidence([click]) == Evidence("fake", NONE, None, "click", 5)
    assert evidence([]) == Evidence("real", NONE, None, NONE, None)
    with pytest.raises(DataError, match="two artefacts of time"):
        evidence([click, click])


@pytest.mark.parametrize(
    "wrong",
    [
        Evidence("fake"),
        Evidence(None, NONE, None, NONE),
        Evidence("fake", "notch", None, NONE),
        Evidence("fake", "click", 1, NONE),
        Evidence("fake", "notch", 6, NONE),
        Evidence("fake", NONE, 1, NONE),
    ],
)
def test_what_is_not_known_is_not_written(wrong):
    with pytest.raises(DataError):
        write(wrong)
