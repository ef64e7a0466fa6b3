"""The adapters of a run: published budgets, their size at the start, and that every loss setting changes the loss."""

from __future__ import annotations

import pytest

pytest.importorskip("peft")

import torch

from auricle.alm.adapter import need_frame_counts, need_text_rms
from auricle.alm.items import batch
from auricle.alm.routed import bridge_of, expert_counts
from auricle.core.config import override, parse
from auricle.core.errors import ConfigError
from auricle.nn.moe import budget
from auricle.systems.moe_adapter.config import MoeAdapterConfig, paper, smoke
from auricle.systems.moe_adapter.model import (
    HEADS,
    adapter,
    build,
    task_tokenizer,
    whole_tokens,
)
from auricle.systems.moe_adapter.questions import EVENTS
from auricle.systems.moe_adapter.stages import sft_step
from tests.systems.moe_adapter.adapter import clips


@pytest.fixture(scope="module")
def cfg() -> MoeAdapterConfig:
    return override(smoke(), ["model.dim=16", "model.channels=[4,4,4]"])


def millions(arm: str) -> tuple[float, float]:
    cfg = paper().model
    with torch.device("meta"):
        found = budget(adapter(cfg.adapter, arm, cfg.width * cfg.stack, 2048).adapter)
    return round(found.total / 1e6, 2), round(found.active / 1e6, 2)


def test_the_published_budgets_come_out() -> None:
    assert millions("moe") == (94.39, 70.80)
    assert millions("dense")[0] in (94.37, 94.39)  # the paper's has no router; ours has as many weights as the routed
    assert millions("dense_active")[0] == pytest.approx(70.80, abs=0.01)


@pytest.mark.parametrize("arm", ["moe", "dense", "dense_active"])
def test_frames_are_as_large_as_words_and_as_many_as_places(cfg, arm) -> None:
    lm = build(cfg, arm).eval().lm
    features = clips(cfg).features
    need_text_rms(lm, features)
    assert need_frame_counts(lm, features, torch.tensor([128, 90, 4, 17])) == [33, 24, 2, 6]  # one in front


@pytest.mark.parametrize(
    "setting",
    [
        "model.adapter.balance=0.5",
        "model.adapter.importance=0.5",
        "model.adapter.noise=1 model.adapter.load=0.5",
        "model.adapter.shares=k",
        "model.adapter.probabilities=chosen",
    ],
)
def test_every_loss_setting_changes_the_loss(cfg, setting) -> None:
    def loss(*settings: str) -> float:
        torch.manual_seed(0)
        own = override(cfg, list(settings))
        network = build(own)
        return float(sft_step(network, clips(own))(network, batch(clips(own), range(4)))["loss"].detach())

    given = setting.split()
    before = loss("model.adapter.noise=1") if "noise" in setting else loss()
    assert loss(*given) != before


def test_losses_of_the_router_are_named(cfg) -> None:
    own = override(cfg, ["model.adapter.importance=0.1"])
    network = build(own)
    made = sft_step(network, clips(own))(network, batch(clips(own), range(4)))
    assert {"text", "balance", "importance", "heads", "weight"} <= set(made)
    total = float(made["text"] + made["balance"] + made["importance"] + made["heads"])
    assert float(made["loss"].detach()) == pytest.approx(total, rel=1e-5)


def test_counts_of_experts_are_k_a_frame(cfg) -> None:
    counts = expert_counts(build(cfg).eval(), clips(cfg))
    assert counts.shape == (4, 8)
    assert counts.sum(1).tolist() == [4 * 33] * 4
    assert expert_counts(build(cfg, "dense").eval(), clips(cfg)).shape == (4, 0)


def test_both_arms_start_from_one_encoder_and_decoder(cfg) -> None:
    one, other = build(cfg, "moe"), build(cfg, "dense")
    for part in ("encoder", "decoder"):
        for name, weight in getattr(one.lm.base, part).state_dict().items():
            assert torch.equal(weight, getattr(other.lm.base, part).state_dict()[name]), name
    assert bridge_of(one).adapter.dim == bridge_of(other).adapter.dim


def test_every_word_of_an_answer_is_whole() -> None:
    tokenizer = task_tokenizer()
    for name in [*HEADS["number"], *EVENTS]:
        assert len(tokenizer.tokenize(name)) == len(name.split()), name
    assert [len(tokenizer.tokenize(text)) for text in whole_tokens()] == [1] * len(whole_tokens())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": {"encoder": "whisper-tiny-en"}}, "has been trained"),
        ({"model": {"decoder": "smollm2"}}, "has been trained"),
        ({"train": {"encoder": None}}, "would stay random"),
        ({"model": {"lora_rank": 4}}, "joint stage"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, said) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(MoeAdapterConfig, settings)
