"""The adapter: every class gives through it what it gives by itself, cached or not, alone or in company."""

from __future__ import annotations

import copy

import pytest
import torch

pytest.importorskip("peft")

from auricle.alm.adapter import Adapter
from auricle.alm.lora import add_lora, merge, reference
from auricle.alm.sampling import choice_logprobs, label_log_odds, rollout
from auricle.alm.tiny import FRAMES, N_MELS, TINY_KINDS, tiny_public_model
from auricle.core.errors import ConfigError, DataError
from tests.floor.alm.conftest import tiny_model

KINDS = ("ours", *TINY_KINDS)


@pytest.fixture(scope="module", params=KINDS)
def adapter(request, tokenizer) -> Adapter:
    own = copy.deepcopy(tokenizer)
    model = tiny_model(own) if request.param == "ours" else tiny_public_model(request.param, own)
    return Adapter(model, own)


def clips(adapter: Adapter, lengths=(40, 24, 31)):
    features = torch.randn(len(lengths), FRAMES, N_MELS, generator=torch.Generator().manual_seed(1))
    return features, torch.tensor(lengths)


def prompts_for(adapter: Adapter, counts, texts=("is this fake?", "x", "is this real or fake? yes")):
    return [
        adapter.expand(adapter.ids(f"{t}{adapter.clip_text} user"), [n]) for t, n in zip(texts, counts, strict=False)
    ]


def encoded(adapter: Adapter):
    with torch.no_grad():
        made = adapter.encode_audio(*clips(adapter))
    return made.embeds, prompts_for(adapter, made.lengths.tolist())


def test_equals_the_class_itself(adapter) -> None:
    """One row through the class's own forward with features, every token's log-probability."""
    features, lengths = clips(adapter)
    embeds, prompts = encoded(adapter)
    ids = torch.tensor([prompts[1]])
    own = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    mask = (torch.arange(FRAMES) < lengths[1])[None].long()
    if adapter.kind == "auricle_audio_lm":
        own |= {"input_features": features[1:2], "feature_lengths": lengths[1:2]}
    elif adapter.kind == "audioflamingo3":
        own |= {"input_features": features[1:2].transpose(1, 2), "input_features_mask": mask}
    else:
        own |= {"input_features": features[1:2].transpose(1, 2), "feature_attention_mask": mask}
    with torch.no_grad():
        logits = adapter.base(**own).logits[0, -1].clone()
        logits[adapter.banned] = float("-inf")
        state = adapter.prefill(prompts, embeds)
    torch.testing.assert_close(state.logits[1], logits, atol=1e-5, rtol=1e-5)


def test_company_and_order_change_nothing(adapter) -> None:
    embeds, prompts = encoded(adapter)
    with torch.no_grad():
        together = adapter.prefill(prompts, embeds).logits
        turned = adapter.prefill(prompts[::-1], embeds[::-1]).logits.flip(0)
        alone = torch.cat([adapter.prefill([p], [e]).logits for p, e in zip(prompts, embeds, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together, turned, atol=1e-5, rtol=1e-5)


def test_rollout_logprobs_equal_full_forward(adapter) -> None:
    embeds, prompts = encoded(adapter)
    made = rollout(adapter, prompts, embeds, samples=3, max_new=12, temperature=1.1, top_p=1.0, top_k=0, seed=5)
    assert made.ids.shape[0] == 9
    with torch.no_grad():
        shared, entropy = adapter.logprobs(prompts, made.ids, made.mask, embeds, temperature=1.1)
        rows = [[*prompts[r // 3], *made.ids[r][made.mask[r]].tolist()] for r in range(9)]
        whole, _ = adapter.full_logprobs(rows, [embeds[r // 3] for r in range(9)], temperature=1.1)
    for row in range(9):
        size = int(made.mask[row].sum())
        expected = whole[row, -size:]
        torch.testing.assert_close(made.logprobs[row, :size], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(shared[row, :size], expected, atol=1e-5, rtol=0)
        assert not shared[row, size:].any()
        assert not entropy[row, size:].any()
    assert entropy.max() > 0.5


def test_shared_prompt_gives_the_gradient_of_repeated_ones(adapter) -> None:
    features, lengths = clips(adapter)
    embeds, prompts = encoded(adapter)
    made = rollout(adapter, prompts, embeds, samples=2, max_new=6, top_k=0, top_p=1.0, seed=1)
    weight = torch.randn(made.ids.shape, generator=torch.Generator().manual_seed(0))
    grads = []
    for repeated in (False, True):
        adapter.model.zero_grad()
        own = adapter.encode_audio(features, lengths).embeds
        times = 2 if repeated else 1
        logs, _ = adapter.logprobs(
            [p for p in prompts for _ in range(times)], made.ids, made.mask, [e for e in own for _ in range(times)]
        )
        (logs * weight).sum().backward()
        grads.append({n: p.grad.clone() for n, p in adapter.model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        assert torch.isfinite(grad).all()
        scale = max(1.0, float(grads[1][name].abs().max()))
        assert float((grad - grads[1][name]).abs().max()) <= 1e-5 * scale, name
    assert any("audio_tower" in name or "encoder" in name for name in grads[0])
    adapter.model.zero_grad()


def test_answers_do_not_depend_on_the_batch(adapter) -> None:
    embeds, prompts = encoded(adapter)
    settings = {"samples": 4, "max_new": 10, "seed": 3}
    whole = rollout(adapter, prompts, embeds, keys=[7, 8, 9], **settings)
    turned = rollout(adapter, prompts[::-1], embeds[::-1], keys=[9, 8, 7], **settings)
    again = rollout(adapter, prompts, embeds, keys=[7, 8, 9], **settings)
    assert torch.equal(whole.ids, again.ids)
    texts = [adapter.text(row) for row in whole.ids]
    assert texts[:4] == [adapter.text(row) for row in turned.ids[8:]]
    alone = rollout(adapter, prompts[1:2], embeds[1:2], keys=[8], **settings)
    assert texts[4:8] == [adapter.text(row) for row in alone.ids]
    assert len(set(texts)) > 1  # it is a sample


def test_never_samples_what_is_banned_and_stops_at_the_end(adapter) -> None:
    """Even if the model wants nothing but the placeholder; and nothing counts after the end."""
    head = adapter.base.get_output_embeddings().weight
    embeds, prompts = encoded(adapter)
    before = head.detach().clone()
    with torch.no_grad():
        hidden = head.new_ones(head.shape[1])
        head[adapter.audio_token_id] += 50 * hidden
        made = rollout(adapter, prompts, embeds, samples=8, max_new=40, temperature=3.0, top_k=0, top_p=1.0, seed=2)
        head.copy_(before)
    assert not torch.isin(made.ids[made.mask], torch.tensor(adapter.banned)).any()
    ends = torch.isin(made.ids, torch.tensor(adapter.eos_ids)) & made.mask
    assert ends.any()
    for row, end in enumerate(ends):
        size = int(made.mask[row].sum())
        assert made.mask[row, :size].all()
        assert bool(made.ended[row]) == bool(end.any())
        if end.any():
            assert int(end.nonzero()[0, 0]) == size - 1
            assert (made.ids[row, size:] == adapter.pad_id).all()


def test_lora_reference_and_merge(adapter) -> None:
    embeds, prompts = encoded(adapter)
    ids = torch.tensor([adapter.ids("fake")] * 3)
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        before, _ = adapter.logprobs(prompts, ids, mask, embeds)
    wrapped = Adapter(add_lora(copy.deepcopy(adapter.model), rank=4, alpha=8), adapter.tokenizer)
    with torch.no_grad():
        torch.testing.assert_close(wrapped.logprobs(prompts, ids, mask, embeds)[0], before)
    trained = [n for n, p in wrapped.model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    optimizer = torch.optim.Adam([p for p in wrapped.model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(6):
        optimizer.zero_grad()
        (-wrapped.logprobs(prompts, ids, mask, embeds)[0].sum()).backward()
        optimizer.step()
    with torch.no_grad():
        after, _ = wrapped.logprobs(prompts, ids, mask, embeds)
        with reference(wrapped.model):
            off, _ = wrapped.logprobs(prompts, ids, mask, embeds)
        assert after.sum() > before.sum() + 0.1
        assert torch.equal(off, before) or torch.allclose(off, before, atol=1e-6)
        merged = Adapter(merge(wrapped.model), adapter.tokenizer)
        torch.testing.assert_close(merged.logprobs(prompts, ids, mask, embeds)[0], after, atol=1e-4, rtol=1e-4)
    assert merged.kind == adapter.kind


def test_omni_keeps_no_rope_state(tokenizer) -> None:
    own = copy.deepcopy(tokenizer)
    adapter = Adapter(tiny_public_model("qwen2_5_omni_thinker", own), own)
    embeds, prompts = encoded(adapter)
    with torch.no_grad():
        fresh = adapter.prefill(prompts, embeds).logits
        adapter.base.model.rope_deltas = torch.full((3, 1), 1000)  # as a generate of another batch would leave it
        made = adapter.step(adapter.prefill(prompts, embeds), torch.tensor([70, 71, 72])).logits
        stale = adapter.prefill(prompts, embeds).logits
        adapter.base.model.rope_deltas = None
        expected = adapter.step(adapter.prefill(prompts, embeds), torch.tensor([70, 71, 72])).logits
    assert torch.equal(fresh, stale)
    assert torch.equal(made, expected)


def test_choices(adapter) -> None:
    embeds, prompts = encoded(adapter)
    choices = [adapter.ids(text) for text in ("real", "fake", "real or fake")]
    logs = choice_logprobs(adapter, prompts, choices, embeds)
    for row, prompt in enumerate(prompts):
        for column, choice in enumerate(choices):
            with torch.no_grad():
                whole, _ = adapter.full_logprobs([[*prompt, *choice]], [embeds[row]])
            assert abs(float(whole[0, -len(choice) :].sum() - logs[row, column])) < 1e-4
    odds = label_log_odds(adapter, prompts, "real", "fake", embeds)
    torch.testing.assert_close(odds, logs[:, 0] - logs[:, 1], atol=1e-5, rtol=1e-5)
    made = rollout(adapter, prompts, embeds, samples=6, choices=choices, temperature=2.0, top_k=0, top_p=1.0, seed=4)
    texts = {adapter.text(row) for row in made.ids}
    assert texts <= {"real", "fake", "real or fake"}
    assert len(texts) > 1
    assert made.ended.all()


def test_refusals(adapter) -> None:
    embeds, prompts = encoded(adapter)
    with pytest.raises(DataError, match="1 audio placeholders in a prompt with 2 clips"):
        adapter.expand([adapter.audio_token_id], [2, 3])
    with pytest.raises(DataError, match="audio placeholders and"):
        adapter.prefill(prompts, embeds[:2])
    with pytest.raises(DataError, match="empty prompt"):
        adapter.prefill([[]])
    with pytest.raises(ConfigError, match="samples 0"):
        rollout(adapter, prompts, embeds, samples=0)
    with pytest.raises(ConfigError, match="at least one choice"):
        choice_logprobs(adapter, prompts, [[]], embeds)
    with pytest.raises(DataError, match="same number of rows"):
        adapter.logprobs(prompts, torch.zeros(4, 2, dtype=torch.long), torch.ones(4, 2, dtype=torch.bool), embeds)
    with pytest.raises(ConfigError, match="has none"), reference(adapter.model):
        pass
    with pytest.raises(ConfigError, match="no LoRA to merge"):
        merge(adapter.model)
    with pytest.raises(ConfigError, match="no linear layer"):
        add_lora(adapter.model, targets=["nothing"])
