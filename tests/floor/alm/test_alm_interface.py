"""The interface: every class gives through it what it gives by itself, cached or not, alone or in company."""

from __future__ import annotations

import copy

import pytest
import torch

pytest.importorskip("peft")

from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora, merge, reference
from auricle.alm.sampling import choice_logprobs, label_log_odds, rollout
from auricle.alm.tiny import FRAMES, N_MELS, TINY_KINDS, tiny_public_model
from auricle.core.errors import ConfigError, DataError
from tests.floor.alm.conftest import tiny_model

KINDS = ("ours", *TINY_KINDS)


@pytest.fixture(scope="module", params=KINDS)
def lm(request, tokenizer) -> AudioLanguageModel:
    own = copy.deepcopy(tokenizer)
    model = tiny_model(own) if request.param == "ours" else tiny_public_model(request.param, own)
    return AudioLanguageModel(model, own)


def clips(lm: AudioLanguageModel, lengths=(40, 24, 31)):
    features = torch.randn(len(lengths), FRAMES, N_MELS, generator=torch.Generator().manual_seed(1))
    return features, torch.tensor(lengths)


def prompts_for(lm: AudioLanguageModel, counts, texts=("is this fake?", "x", "is this real or fake? yes")):
    return [lm.expand(lm.ids(f"{t}{lm.clip_text} user"), [n]) for t, n in zip(texts, counts, strict=False)]


def encoded(lm: AudioLanguageModel):
    with torch.no_grad():
        made = lm.encode_audio(*clips(lm))
    return made.embeds, prompts_for(lm, made.lengths.tolist())


def test_equals_the_class_itself(lm) -> None:
    """One row through the class's own forward with features, every token's log-probability."""
    features, lengths = clips(lm)
    embeds, prompts = encoded(lm)
    ids = torch.tensor([prompts[1]])
    own = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    mask = (torch.arange(FRAMES) < lengths[1])[None].long()
    if lm.kind == "auricle_audio_lm":
        own |= {"input_features": features[1:2], "feature_lengths": lengths[1:2]}
    elif lm.kind == "audioflamingo3":
        own |= {"input_features": features[1:2].transpose(1, 2), "input_features_mask": mask}
    else:
        own |= {"input_features": features[1:2].transpose(1, 2), "feature_attention_mask": mask}
    with torch.no_grad():
        logits = lm.base(**own).logits[0, -1].clone()
        logits[lm.banned] = float("-inf")
        state = lm.prefill(prompts, embeds)
    torch.testing.assert_close(state.logits[1], logits, atol=1e-5, rtol=1e-5)


def test_company_and_order_change_nothing(lm) -> None:
    embeds, prompts = encoded(lm)
    with torch.no_grad():
        together = lm.prefill(prompts, embeds).logits
        turned = lm.prefill(prompts[::-1], embeds[::-1]).logits.flip(0)
        alone = torch.cat([lm.prefill([p], [e]).logits for p, e in zip(prompts, embeds, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together, turned, atol=1e-5, rtol=1e-5)


def test_rollout_logprobs_equal_full_forward(lm) -> None:
    embeds, prompts = encoded(lm)
    made = rollout(lm, prompts, embeds, samples=3, max_new=12, temperature=1.1, top_p=1.0, top_k=0, seed=5)
    assert made.ids.shape[0] == 9
    with torch.no_grad():
        shared, entropy = lm.logprobs(prompts, made.ids, made.mask, embeds, temperature=1.1)
        rows = [[*prompts[r // 3], *made.ids[r][made.mask[r]].tolist()] for r in range(9)]
        whole, _ = lm.full_logprobs(rows, [embeds[r // 3] for r in range(9)], temperature=1.1)
    for row in range(9):
        size = int(made.mask[row].sum())
        expected = whole[row, -size:]
        torch.testing.assert_close(made.logprobs[row, :size], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(shared[row, :size], expected, atol=1e-5, rtol=0)
        assert not shared[row, size:].any()
        assert not entropy[row, size:].any()
    assert entropy.max() > 0.5


def test_shared_prompt_gives_the_gradient_of_repeated_ones(lm) -> None:
    features, lengths = clips(lm)
    embeds, prompts = encoded(lm)
    made = rollout(lm, prompts, embeds, samples=2, max_new=6, top_k=0, top_p=1.0, seed=1)
    weight = torch.randn(made.ids.shape, generator=torch.Generator().manual_seed(0))
    grads = []
    for repeated in (False, True):
        lm.model.zero_grad()
        own = lm.encode_audio(features, lengths).embeds
        times = 2 if repeated else 1
        logs, _ = lm.logprobs(
            [p for p in prompts for _ in range(times)], made.ids, made.mask, [e for e in own for _ in range(times)]
        )
        (logs * weight).sum().backward()
        grads.append({n: p.grad.clone() for n, p in lm.model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        assert torch.isfinite(grad).all()
        scale = max(1.0, float(grads[1][name].abs().max()))
        assert float((grad - grads[1][name]).abs().max()) <= 1e-5 * scale, name
    assert any("audio_tower" in name or "encoder" in name for name in grads[0])
    lm.model.zero_grad()


def test_answers_do_not_depend_on_the_batch(lm) -> None:
    embeds, prompts = encoded(lm)
    settings = {"samples": 4, "max_new": 10, "seed": 3}
    whole = rollout(lm, prompts, embeds, keys=[7, 8, 9], **settings)
    turned = rollout(lm, prompts[::-1], embeds[::-1], keys=[9, 8, 7], **settings)
    again = rollout(lm, prompts, embeds, keys=[7, 8, 9], **settings)
    assert torch.equal(whole.ids, again.ids)
    texts = [lm.text(row) for row in whole.ids]
    assert texts[:4] == [lm.text(row) for row in turned.ids[8:]]
    alone = rollout(lm, prompts[1:2], embeds[1:2], keys=[8], **settings)
    assert texts[4:8] == [lm.text(row) for row in alone.ids]
    assert len(set(texts)) > 1  # it is a sample


def test_never_samples_what_is_banned_and_stops_at_the_end(lm) -> None:
    """Even if the model wants nothing but the placeholder; and nothing counts after the end."""
    head = lm.base.get_output_embeddings().weight
    embeds, prompts = encoded(lm)
    before = head.detach().clone()
    with torch.no_grad():
        hidden = head.new_ones(head.shape[1])
        head[lm.audio_token_id] += 50 * hidden
        made = rollout(lm, prompts, embeds, samples=8, max_new=40, temperature=3.0, top_k=0, top_p=1.0, seed=2)
        head.copy_(before)
    assert not torch.isin(made.ids[made.mask], torch.tensor(lm.banned)).any()
    ends = torch.isin(made.ids, torch.tensor(lm.eos_ids)) & made.mask
    assert ends.any()
    for row, end in enumerate(ends):
        size = int(made.mask[row].sum())
        assert made.mask[row, :size].all()
        assert bool(made.ended[row]) == bool(end.any())
        if end.any():
            assert int(end.nonzero()[0, 0]) == size - 1
            assert (made.ids[row, size:] == lm.pad_id).all()


def test_lora_reference_and_merge(lm) -> None:
    embeds, prompts = encoded(lm)
    ids = torch.tensor([lm.ids("fake")] * 3)
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        before, _ = lm.logprobs(prompts, ids, mask, embeds)
    wrapped = AudioLanguageModel(add_lora(copy.deepcopy(lm.model), rank=4, alpha=8), lm.tokenizer)
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
        merged = AudioLanguageModel(merge(wrapped.model), lm.tokenizer)
        torch.testing.assert_close(merged.logprobs(prompts, ids, mask, embeds)[0], after, atol=1e-4, rtol=1e-4)
    assert merged.kind == lm.kind


def test_omni_keeps_no_rope_state(tokenizer) -> None:
    own = copy.deepcopy(tokenizer)
    lm = AudioLanguageModel(tiny_public_model("qwen2_5_omni_thinker", own), own)
    embeds, prompts = encoded(lm)
    with torch.no_grad():
        fresh = lm.prefill(prompts, embeds).logits
        lm.base.model.rope_deltas = torch.full((3, 1), 1000)  # as a generate of another batch would leave it
        made = lm.step(lm.prefill(prompts, embeds), torch.tensor([70, 71, 72])).logits
        stale = lm.prefill(prompts, embeds).logits
        lm.base.model.rope_deltas = None
        expected = lm.step(lm.prefill(prompts, embeds), torch.tensor([70, 71, 72])).logits
    assert torch.equal(fresh, stale)
    assert torch.equal(made, expected)


def test_choices(lm) -> None:
    embeds, prompts = encoded(lm)
    choices = [lm.ids(text) for text in ("real", "fake", "real or fake")]
    logs = choice_logprobs(lm, prompts, choices, embeds)
    for row, prompt in enumerate(prompts):
        for column, choice in enumerate(choices):
            with torch.no_grad():
                whole, _ = lm.full_logprobs([[*prompt, *choice]], [embeds[row]])
            assert abs(float(whole[0, -len(choice) :].sum() - logs[row, column])) < 1e-4
    odds = label_log_odds(lm, prompts, "real", "fake", embeds)
    torch.testing.assert_close(odds, logs[:, 0] - logs[:, 1], atol=1e-5, rtol=1e-5)
    made = rollout(lm, prompts, embeds, samples=6, choices=choices, temperature=2.0, top_k=0, top_p=1.0, seed=4)
    texts = {lm.text(row) for row in made.ids}
    assert texts <= {"real", "fake", "real or fake"}
    assert len(texts) > 1
    assert made.ended.all()


def test_refusals(lm) -> None:
    embeds, prompts = encoded(lm)
    with pytest.raises(DataError, match="1 audio placeholders in a prompt with 2 clips"):
        lm.expand([lm.audio_token_id], [2, 3])
    with pytest.raises(DataError, match="audio placeholders and"):
        lm.prefill(prompts, embeds[:2])
    with pytest.raises(DataError, match="empty prompt"):
        lm.prefill([[]])
    with pytest.raises(ConfigError, match="samples 0"):
        rollout(lm, prompts, embeds, samples=0)
    with pytest.raises(ConfigError, match="at least one choice"):
        choice_logprobs(lm, prompts, [[]], embeds)
    with pytest.raises(DataError, match="same number of rows"):
        lm.logprobs(prompts, torch.zeros(4, 2, dtype=torch.long), torch.ones(4, 2, dtype=torch.bool), embeds)
    with pytest.raises(ConfigError, match="has none"), reference(lm.model):
        pass
    with pytest.raises(ConfigError, match="no LoRA to merge"):
        merge(lm.model)
    with pytest.raises(ConfigError, match="no linear layer"):
        add_lora(lm.model, targets=["nothing"])
