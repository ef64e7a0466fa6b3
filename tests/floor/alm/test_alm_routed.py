"""A routed adapter inside a small audio language model: counts, use by domain, gradients by domain."""

from __future__ import annotations

import pytest

pytest.importorskip("peft")

import numpy as np
import torch

from auricle.alm.adapter import FrameStack
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.items import Items, with_encoder_frames
from auricle.alm.model import build_audio_lm
from auricle.alm.options import split_options
from auricle.alm.questions import OPEN, Question, as_items
from auricle.alm.routed import Bridge, bridge_of, cosine_table, domain_batches, domain_cosines, expert_counts, usage
from auricle.alm.sft import Policy
from auricle.alm.tokens import tiny_decoder_config, train_tokenizer
from auricle.nn.moe import MoEAdapter, dense_like
from auricle.report.routing import cosine_map, routing_map

DOMAINS = ["speech", "music"] * 16


@pytest.fixture(scope="module")
def clips() -> Items:
    features = torch.randn(32, 8, 4, generator=torch.Generator().manual_seed(0))
    features[1::2, :, 0] += 3.0  # music lies elsewhere
    questions = [Question("Which?", ("yes", "no"), row % 2, clip=row) for row in range(32)]
    return as_items(questions, Items([], features, clips=[]), OPEN)


def network(routed: bool = True, front: int | None = None) -> Policy:
    tokenizer = train_tokenizer(["Which?\nyes\nno\nuser\nassistant\n"] * 4, 300)
    torch.manual_seed(0)
    adapter = MoEAdapter(8 if front is None else front, 16, "parallel", experts=4, top_k=2, hidden=4, shared_hidden=8)
    bridge = Bridge(adapter if routed else dense_like(adapter), 8, front)
    place = tokenizer.convert_tokens_to_ids("<audio>")
    lm = build_audio_lm(FrameStack(4, 2), tiny_decoder_config(tokenizer, 16, 1, 2), place, 0, bridge)
    return Policy(AudioLanguageModel(lm, tokenizer)).eval()


def test_counts_are_the_same_from_features_and_from_ready_frames(clips) -> None:
    policy = network()
    counts = expert_counts(policy, clips, at_once=5)
    assert counts.sum(1).tolist() == [2 * 4] * 32
    assert torch.equal(counts, expert_counts(policy, with_encoder_frames(policy, clips)))
    assert bridge_of(policy).last is None, "counting leaves nothing behind for another thread to read"
    assert expert_counts(network(False), clips).shape == (32, 0)


def test_padding_takes_no_expert(clips) -> None:
    lengths = torch.full((32,), 8)
    lengths[0] = 3
    own = Items(clips.chats, clips.features, lengths, clips=clips.clips)
    assert expert_counts(network(), own)[0].sum() == 2 * 2  # two frames of three, two experts each


def test_domains_that_lie_apart_use_other_experts(clips) -> None:
    found = usage(network(), clips, DOMAINS, 0)
    assert found.clips == 32
    assert all(own.sum() == pytest.approx(1) for own in found.shares.values())
    assert found.information.nats > found.information.null_95
    assert "speech: 0" in routing_map(found.shares).alt


def test_batches_are_disjoint_and_of_one_domain(clips) -> None:
    made = domain_batches(clips, DOMAINS, 3, 5, 0)
    rows = [row for one in made for row in one.rows]
    assert len(rows) == len(set(rows)) == 2 * 3 * 5
    assert all(len({DOMAINS[row] for row in one.rows}) == 1 for one in made)


def test_cosines_are_of_every_part_and_leave_the_weights_wanted_as_before(clips) -> None:
    policy = network(front=6)
    policy.requires_grad_(False)
    heard = with_encoder_frames(policy, clips)
    found = domain_cosines(policy, heard, DOMAINS, 4, 4, 0)
    assert {"all", "router", "experts", "rest", "padded"} <= set(found)
    assert not any(weight.requires_grad for weight in policy.parameters())
    plain = cosine_table(found)["all"]["speech and music"]
    assert -1 <= plain["value"] <= 1
    assert np.isfinite(plain["halves"])
    assert "speech and music" in cosine_map("an arm", found).alt
    assert set(domain_cosines(network(False), heard, DOMAINS, 4, 4, 0)) == {"all"}


def test_one_option_is_no_list() -> None:
    assert split_options("Is it? A) yes") == ("Is it? A) yes", [])
    assert split_options("Is it? A) yes B) no") == ("Is it?", ["yes", "no"])
