"""GRPO: values by hand, the update of every kind of model, and TRL's loss and gradients where it is installed."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("peft")

from auricle.alm.grpo import (
    GrpoBatch,
    GrpoSettings,
    advantages,
    grpo_loss,
    k3,
    policy_loss,
    round_logs,
    score,
    zero_variance,
)
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora
from auricle.alm.sampling import rollout
from auricle.alm.tiny import TINY_KINDS, tiny_public_model
from auricle.alm.tokens import tiny_decoder_config
from auricle.core.errors import ConfigError, DataError
from tests.floor.alm.conftest import tiny_model


def test_advantages_by_hand() -> None:
    """Seven answers at 1.2 and one at 1.15: a small slip is punished as hard as a wrong answer elsewhere."""
    made = advantages(torch.tensor([[1.2] * 7 + [1.15], [1.0] * 8]))
    deviation = 0.05 / math.sqrt(8)
    assert made[0, 0].item() == pytest.approx(0.05 / 8 / (deviation + 1e-4), rel=1e-4)
    assert made[0, 7].item() == pytest.approx(-0.05 * 7 / 8 / (deviation + 1e-4), rel=1e-4)
    assert not made[1].any()
    none = advantages(torch.tensor([[0.0, 1.0, 1.0, 0.0], [1.0, 2.0, 3.0, 6.0]]), "none")
    assert none.tolist() == [[-0.5, 0.5, 0.5, -0.5], [-2, -1, 0, 3]]
    whole = torch.tensor([[0.0, 2.0], [1.0, 3.0]])
    batch = advantages(whole, "batch", eps=0.0)
    assert batch[0, 1].item() == pytest.approx(1 / math.sqrt(5 / 3))


def test_equal_rewards_teach_nothing() -> None:
    rewards = torch.tensor([[0.1] * 5, [0.1, 0.1, 0.1, 0.1, 0.3]])
    assert zero_variance(rewards).tolist() == [True, False]
    assert not advantages(rewards)[0].any()


@given(st.lists(st.floats(-20, 0), min_size=4, max_size=4), st.lists(st.floats(-20, 0), min_size=4, max_size=4))
def test_k3_is_never_negative(own, ref) -> None:
    made = k3(torch.tensor(own), torch.tensor(ref))
    assert bool((made >= -1e-6).all())
    assert k3(torch.tensor(own), torch.tensor(own)).tolist() == [0.0] * 4


def test_k3_by_hand() -> None:
    made = k3(torch.tensor([math.log(0.5)]), torch.tensor([math.log(0.25)]))
    assert made.item() == pytest.approx(0.5 - math.log(0.5) - 1, rel=1e-6)


RATIOS = torch.tensor([[1.5, 0.5, 9.0], [1.5, 0.5, 1.0]])
MASK = torch.tensor([[True, True, False], [True, True, True]])
GAIN = torch.tensor([2.0, -1.0])


def by_hand(settings: GrpoSettings) -> float:
    logs = RATIOS.log()
    return policy_loss(logs, MASK, GAIN, settings, old=torch.zeros_like(logs)).loss.item()


def test_clipping_by_hand() -> None:
    # A = 2: min(3, 2.4) and min(1, 1.6); A = -1: min(-1.5, -1.2), min(-0.5, -0.8), -1
    rows = [-(2.4 + 1.0) / 2, (1.5 + 0.8 + 1.0) / 3]
    assert by_hand(GrpoSettings(beta=0)) == pytest.approx(sum(rows) / 2, rel=1e-6)
    # clip-higher: 1.4 instead of 1.2; over all tokens of the batch
    assert by_hand(GrpoSettings("dapo", clip_high=0.4, beta=0)) == pytest.approx((-(2.8 + 1.0) + 3.3) / 5, rel=1e-6)
    assert by_hand(GrpoSettings("dr_grpo", beta=0, max_new=10)) == pytest.approx((-3.4 + 3.3) / 20, rel=1e-5)


def test_sapo_by_hand() -> None:
    def gate(ratio: float, heat: float) -> float:
        return 4 / heat / (1 + math.exp(-heat * (ratio - 1)))

    up = -2 * (gate(1.5, 1.0) + gate(0.5, 1.0)) / 2
    down = (gate(1.5, 1.05) + gate(0.5, 1.05) + gate(1.0, 1.05)) / 3
    assert by_hand(GrpoSettings("sapo", beta=0)) == pytest.approx((up + down) / 2, rel=1e-6)


def test_clipped_tokens_have_no_gradient_and_are_counted() -> None:
    logs = RATIOS.log().requires_grad_()
    made = policy_loss(logs, MASK, GAIN, GrpoSettings(beta=0), old=torch.zeros(2, 3))
    made.loss.backward()
    assert logs.grad is not None
    assert logs.grad[0, 0] == 0
    assert logs.grad[1, 1] == 0
    assert (logs.grad[0, 1], logs.grad[0, 2]) != (0, 0)
    assert logs.grad[0, 2] == 0  # masked, whatever its ratio
    assert made.logs["clipped"].item() == pytest.approx(2 / 5)
    assert made.logs["ratio"].item() == pytest.approx((1.5 + 0.5 + 1.5 + 0.5 + 1.0) / 5)


def test_first_update_is_policy_gradient() -> None:
    """With ratio 1 the gradient of each token is -A / (tokens of its answer x answers)."""
    logs = torch.log(torch.rand(2, 3, generator=torch.Generator().manual_seed(0))).requires_grad_()
    policy_loss(logs, MASK, GAIN, GrpoSettings(beta=0)).loss.backward()
    torch.testing.assert_close(logs.grad, torch.tensor([[-0.5, -0.5, 0], [1 / 6, 1 / 6, 1 / 6]]))


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="no loss 'ppo'"):
        GrpoSettings("ppo")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="dr_grpo divides"):
        GrpoSettings("dr_grpo")
    with pytest.raises(ConfigError, match="needs the reference"):
        policy_loss(torch.zeros(2, 3), MASK, GAIN, GrpoSettings())
    with pytest.raises(DataError, match="at least one token"):
        policy_loss(torch.zeros(2, 3), torch.zeros_like(MASK), GAIN, GrpoSettings(beta=0))
    with pytest.raises(DataError, match="answers >= 2"):
        advantages(torch.zeros(3, 1))
    with pytest.raises(DataError, match="finite"):
        advantages(torch.tensor([[0.0, float("nan")]]))
    with pytest.raises(ConfigError, match="no scale"):
        advantages(torch.tensor([[0.0, 1.0]]), "sum")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least one reward"):
        score(["a"], [1], {}, 1)


def test_scores_and_logs_by_hand(tokenizer) -> None:
    rewards = {"right": (lambda text, truth: float(text == truth), 1.0), "short": (lambda text, _: 1.0, 0.1)}
    total, parts = score(["a", "b", "b", "b"], ["a", "b"], rewards, 2)
    torch.testing.assert_close(total, torch.tensor([[1.1, 0.1], [1.1, 1.1]]))
    assert parts["right"].tolist() == [[1, 0], [1, 1]]
    lm = AudioLanguageModel(tiny_model(tokenizer), tokenizer)
    made = rollout(lm, [[70], [71]], samples=2, max_new=3, seed=0)
    logs = round_logs(total, parts, made, ["a", "b", "b", "b"])
    assert logs["zero_variance"] == 0.5
    assert logs["distinct"] == 0.5
    assert logs["reward/right"] == 0.75
    assert logs["reward"] == pytest.approx(0.85)
    assert logs["length"] == float(made.mask.sum()) / 4


def ready(kind: str, tokenizer):
    """A model with LoRA, two clips and their prompts."""
    own = copy.deepcopy(tokenizer)
    bare = tiny_model(own) if kind == "ours" else tiny_public_model(kind, own)
    with torch.no_grad():  # fresh weights leave the distribution flat, and LoRA on what is below could not bend it
        bare.get_output_embeddings().weight.mul_(10)
    lm = AudioLanguageModel(add_lora(bare, rank=4, alpha=8), own)
    features = torch.randn(2, 40, 16, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([40, 30])
    counts = [lm.audio_frames(int(size)) for size in lengths]
    texts = (f"{lm.clip_text} fake?", f"is this {lm.clip_text} fake or real?")
    prompts = [lm.expand(lm.ids(text), [n]) for text, n in zip(texts, counts, strict=True)]
    return lm, features, lengths, prompts


@pytest.mark.parametrize("kind", ["ours", *TINY_KINDS])
def test_rounds_pull_towards_the_reward(kind, tokenizer) -> None:
    """Rollouts, advantages and updates: each makes the better answers of a group likelier; before it the ratio is 1."""
    lm, features, lengths, prompts = ready(kind, tokenizer)
    optimizer = torch.optim.AdamW([p for p in lm.model.parameters() if p.requires_grad], lr=5e-3)
    settings = GrpoSettings(temperature=1.0)
    lm.model.train()
    for turn in range(4):
        with torch.no_grad():
            audio = lm.encode_audio(features, lengths).embeds
        made = rollout(lm, prompts, audio, samples=16, max_new=6, temperature=1.0, top_p=1.0, top_k=0, seed=turn)
        rewards = (((made.ids % 2 == 0) & made.mask).sum(1) / made.mask.sum(1)).view(2, 16)
        gain = advantages(rewards).flatten()
        batch = GrpoBatch(prompts, made.ids, made.mask, gain, features=features, lengths=lengths)
        loss = grpo_loss(lm, batch, settings)
        assert lm.model.training
        assert loss.logs["ratio"].item() == pytest.approx(1.0, abs=1e-6)
        own, _ = lm.logprobs(prompts, made.ids, made.mask, audio)
        torch.testing.assert_close(own.detach(), made.logprobs, atol=1e-5, rtol=0)
        if turn == 0:
            assert loss.logs["kl"].item() == pytest.approx(0.0, abs=1e-6)
        optimizer.zero_grad()
        loss.loss.backward()
        optimizer.step()
        with torch.no_grad():
            audio = lm.encode_audio(features, lengths).embeds
            after, _ = lm.logprobs(prompts, made.ids, made.mask, audio)
        assert ((after - own.detach()).sum(1) * gain).sum() > 0.1
    assert loss.logs["kl"].item() > 1e-4


@pytest.mark.parametrize("kind", ["grpo", "dr_grpo", "dapo", "sapo"])
def test_padding_order_and_splitting_change_nothing(kind, tokenizer) -> None:
    """Prompts turned round, and one batch against two with their weights: the same loss and gradient."""
    lm, features, lengths, prompts = ready("ours", tokenizer)
    with torch.no_grad():
        audio = lm.encode_audio(features, lengths).embeds
    made = rollout(lm, prompts, audio, samples=3, max_new=9, temperature=1.5, top_p=1.0, top_k=0, seed=1)
    generator = torch.Generator().manual_seed(1)
    gain, old = (
        torch.randn(6, generator=generator),
        made.logprobs + 0.3 * torch.randn(made.ids.shape, generator=generator),
    )
    settings = GrpoSettings(kind, max_new=9, temperature=1.5)

    def run(parts: list[list[int]]) -> tuple[float, dict[str, torch.Tensor]]:
        lm.model.zero_grad()
        losses, weights = [], []
        for part in parts:
            rows = torch.tensor([3 * one + own for one in part for own in range(3)])
            longest = int(made.mask[rows].sum(1).max())
            batch = GrpoBatch(
                [prompts[one] for one in part],
                made.ids[rows, :longest],
                made.mask[rows, :longest],
                gain[rows],
                features=features[part],
                lengths=lengths[part],
                old=old[rows, :longest],
            )
            loss = grpo_loss(lm, batch, settings)
            losses.append(loss.loss)
            weights.append(loss.weight)
        total = sum(a * b for a, b in zip(losses, weights, strict=True)) / sum(weights)
        total.backward()
        grads = {n: p.grad.clone() for n, p in lm.model.named_parameters() if p.grad is not None}
        return float(total), grads

    first, grads = run([[0, 1]])
    assert any(bool(grad.any()) for grad in grads.values())
    for other in ([[1, 0]], [[0], [1]]):
        again, theirs = run(other)
        assert again == pytest.approx(first, abs=1e-5)
        for name, grad in grads.items():
            torch.testing.assert_close(theirs[name], grad, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "by_ratio"),
    [("grpo", False), ("grpo", True), ("dr_grpo", False), ("dapo", True), ("sapo", False)],
)
def test_loss_and_gradients_equal_those_of_trl(kind, by_ratio, tokenizer, tmp_path) -> None:
    """Text only, the same rollouts, old and reference log-probabilities; TRL runs the prompt with every answer."""
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from transformers import LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(tiny_decoder_config(tokenizer, dim=32, layers=2, heads=2))
    model.save_pretrained(tmp_path)  # where TRL makes its reference from
    model.config._name_or_path = str(tmp_path)
    config = trl.GRPOConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        report_to=[],
        beta=0.04,
        num_generations=4,
        per_device_train_batch_size=8,
        max_completion_length=10,
        epsilon=0.2,
        epsilon_high=0.28,
        temperature=0.9,
        loss_type=kind,
        use_bias_correction_kl=by_ratio,
    )
    trainer = trl.GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_dict({"prompt": ["a", "b"]}),
        processing_class=copy.deepcopy(tokenizer),
    )
    trainer.current_gradient_accumulation_steps = 1
    lm = AudioLanguageModel(model, tokenizer)
    lm.banned = []  # TRL has no tokens that are never sampled
    prompts = [lm.ids("is this fake?"), lm.ids("real")]
    made = rollout(lm, prompts, samples=4, max_new=10, temperature=0.9, top_p=1.0, top_k=0, seed=3)
    generator = torch.Generator().manual_seed(2)
    gain = advantages(torch.rand(2, 4, generator=generator)).flatten()
    old, ref = (made.logprobs + 0.3 * torch.randn(made.ids.shape, generator=generator) for _ in range(2))

    ids, mask = lm._left_padded([prompt for prompt in prompts for _ in range(4)])
    inputs = {
        "prompt_ids": ids,
        "prompt_mask": mask.long(),
        "completion_ids": made.ids,
        "completion_mask": made.mask.long(),
        "advantages": gain,
        "old_per_token_logps": old,
        "ref_per_token_logps": ref,
        "num_items_in_batch": made.mask.sum(),
    }
    model.train()
    model.zero_grad()
    theirs = trainer._compute_loss(model, inputs)
    theirs.backward()
    grads = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    settings = GrpoSettings(kind, clip_high=0.28, max_new=10, kl_by_ratio=by_ratio)
    ours = grpo_loss(lm, GrpoBatch(prompts, made.ids, made.mask, gain, old=old, ref=ref), settings)
    ours.loss.backward()
    assert ours.loss.item() == pytest.approx(theirs.item(), rel=1e-5, abs=1e-6)
    for name, parameter in model.named_parameters():
        scale = max(1.0, float(grads[name].abs().max()))
        assert float((parameter.grad - grads[name]).abs().max()) <= 1e-5 * scale, name
