"""The rewards by hand: the ten cases of the specification, and the grounded reward."""

from __future__ import annotations

import math

import pytest
import torch

pytest.importorskip("transformers")

from auricle.alm.grpo import advantages, k3, score
from auricle.core.errors import ConfigError
from auricle.systems.ft_grpo.config import GrpoConfig
from auricle.systems.ft_grpo.rationale import Evidence, read, write
from auricle.systems.ft_grpo.rewards import Truth, accuracy, form, ground, structure, weighted

FAKE = Truth("<answer>fake</answer>", Evidence("fake", "notch", 3, "none", None))
THOUGHT = "<think>\n<Frequency Domain> notch in band 3\n<Time Domain> none\n</think>\n"
GOOD = f"{THOUGHT}<answer>fake</answer>"


def total(text: str, truth: Truth = FAKE) -> float:
    """Give the released sum of one completion, by the way that training takes."""
    return float(score([text, text], [truth], weighted(GrpoConfig().weights), 2)[0][0, 0])


def test_a_right_and_well_formed_answer_has_all() -> None:
    assert total(GOOD) == pytest.approx(1.2)
    assert total(GOOD.replace("fake", "real")) == pytest.approx(0.2)  # wrong, and perfectly shaped


@pytest.mark.parametrize(("tail", "points"), [("", 1), (" ", 1), ("\n", 1), ("and so on", 0), ("\nand so on", 0)])
def test_nothing_but_space_may_follow_the_answer(tail, points) -> None:
    assert form(GOOD + tail, FAKE) == points
    assert total(GOOD + tail) == pytest.approx(1.1 + 0.1 * points)
    assert read(GOOD + tail).complete == bool(points)


@pytest.mark.parametrize("tag", ["<Frequency Domain>", "<Time Domain>"])
def test_one_tag_is_half_the_structure(tag) -> None:
    text = GOOD.replace(tag, "")
    assert structure(text, FAKE) == 0.5
    assert total(text) == pytest.approx(1.0 + 0.1 + 0.05)


def test_tags_outside_the_think_block_are_none() -> None:
    text = "<Frequency Domain> notch <Time Domain> none <think> </think> <answer>fake</answer>"
    assert structure(text, FAKE) == 0
    assert form(text, FAKE) == 0  # it does not begin with the block
    assert total(f"<think></think><answer>fake</answer>{' <Time Domain>'}") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("<answer>fake</answer>", True),
        ("<answer> fake </answer>", True),
        ("<answer>\nfake\n</answer>", True),
        ("<answer>FAKE</answer>", True),
        ("<answer>Fake</answer>\n", True),
        ("<ANSWER>fake</ANSWER>", True),
        ("<answer>real</answer>", False),
        ("<answer>fake.</answer>", False),
        ("<answer></answer>", False),
        ("<answer>f a k e</answer>", False),
        ("<answer>fake</answer><answer>real</answer>", False),  # it is not known which is meant
        ("<answer>fake</answer><answer>fake</answer>", False),
        ("", False),
    ],
)
def test_the_reward_reads_an_answer_as_evaluation_does(answer, right) -> None:
    for text in (f"{THOUGHT}{answer}", answer):
        assert accuracy(text, FAKE) == right
        assert (read(text).label == "fake") == right


def test_an_answer_that_cannot_be_read_is_never_right() -> None:
    assert accuracy("perhaps", Truth("perhaps")) == 0


def test_without_a_think_block() -> None:
    assert total("<answer>fake</answer>") == pytest.approx(1.0)
    assert total("fake") == pytest.approx(1.0)  # the whole text, where there is no tag
    assert total("") == 0


def test_an_empty_analysis_earns_the_whole_structure_reward() -> None:
    """The weakness of r_FT: it looks for tags and not for what they say."""
    assert structure("<think><Frequency Domain><Time Domain></think>", FAKE) == 1
    other = GOOD.replace("notch in band 3", "click in the moon")
    assert total(other) == pytest.approx(1.2)
    assert ground(other, FAKE) < ground(GOOD, FAKE)


def test_a_group_of_equal_rewards_has_no_advantage() -> None:
    rewards, _ = score([GOOD] * 8, [FAKE], weighted(GrpoConfig().weights), 8)
    assert not advantages(rewards).any()


def test_the_kl_estimator_is_never_negative() -> None:
    own, other = torch.log(torch.tensor([0.9, 0.5, 0.1])), torch.log(torch.tensor([0.1, 0.5, 0.9]))
    assert bool((k3(own, other) >= 0).all())
    assert k3(own, other)[1] == 0
    assert k3(own, other)[0].item() == pytest.approx(1 / 9 - math.log(1 / 9) - 1)


@pytest.mark.parametrize(
    ("said", "points"),
    [
        (Evidence("fake", "notch", 3, "none", None), 1.0),
        (Evidence("fake", "mirror", 3, "none", None), 1.0),  # the place counts, not the kind
        (Evidence("fake", "notch", 2, "none", None), 0.5),
        (Evidence("fake", "notch", 3, "click", 0), 0.5),
        (Evidence("real", "none", None, "click", 0), 0.0),
        (Evidence("real", "none", None, "none", None), 0.5),
    ],
)
def test_the_grounded_reward_counts_places(said, points) -> None:
    assert ground(write(said), FAKE) == points


def test_what_cannot_be_read_is_not_grounded() -> None:
    """A text without the skeleton says nothing of a band; that is not the same as saying there is none."""
    real = Truth("<answer>real</answer>", Evidence("real", "none", None, "none", None))
    assert ground(write(Evidence("real", "none", None, "none", None)), real) == 1
    assert ground("<answer>real</answer>", real) == 0
    assert ground(THOUGHT.replace("notch in band 3", "notch everywhere") + "<answer>fake</answer>", FAKE) == 0.5


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="no reward luck"):
        weighted({"luck": 1.0})
    with pytest.raises(ConfigError, match="weight 0"):
        weighted({"accuracy": 0.0})
    with pytest.raises(ConfigError, match="known"):
        ground(GOOD, Truth("<answer>fake</answer>"))
