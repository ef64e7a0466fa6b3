"""Public classes from folders on disk: SFT with LoRA, merge, save, load, generate and a GRPO step by the same code."""

from __future__ import annotations

import copy

import pytest
import torch

pytest.importorskip("peft")

from transformers import WhisperFeatureExtractor

from auricle.alm.chat import ChatRow, prompt_ids
from auricle.alm.grpo import GrpoBatch, GrpoSettings, advantages, grpo_loss
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora, merge
from auricle.alm.public import load_public, need_public
from auricle.alm.sampling import rollout
from auricle.alm.sft import collate_sft, sft_loss
from auricle.alm.tiny import FRAMES, N_MELS, TINY_KINDS, tiny_public_model
from auricle.core.errors import CheckpointError, ConfigError

ROWS = [
    ChatRow([{"role": "user", "content": "<audio>real or fake?"}, {"role": "assistant", "content": label}], ["a"])
    for label in ("real", "fake")
]
SIZES = (FRAMES, 30)


def batch_of(lm: AudioLanguageModel):
    """Two clips as the feature extractor pads them, and what is said of them."""
    mels = [torch.randn(size, N_MELS, generator=torch.Generator().manual_seed(size)) for size in SIZES]
    return collate_sft(lm, ROWS, [[mels[0] - 2.0], [mels[1] + 2.0]])


def answers(lm: AudioLanguageModel, batch) -> list[str]:
    with torch.no_grad():
        audio = lm.encode_audio(batch.features, batch.lengths)
    prompts = [prompt_ids(lm, row, [int(size)]) for row, size in zip(ROWS, audio.lengths, strict=True)]
    made = rollout(lm, prompts, audio.embeds, temperature=0, max_new=6)
    return [lm.text(row) for row in made.ids]


def generated(lm: AudioLanguageModel, batch) -> list[str]:
    """What the class says by its own generate, from features."""
    said = []
    for row, size in enumerate(SIZES):
        ids = torch.tensor([prompt_ids(lm, ROWS[row], [lm.audio_frames(size)])])
        mask = (torch.arange(FRAMES) < size)[None].long()
        name = "input_features_mask" if lm.kind == "audioflamingo3" else "feature_attention_mask"
        made = lm.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=6,
            input_features=batch.features[row : row + 1].transpose(1, 2),
            **{name: mask},
        )
        said.append(lm.text(made[0, ids.shape[1] :]))
    return said


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_a_folder_is_tuned_merged_saved_and_reinforced(kind, tokenizer, tmp_path) -> None:
    own = copy.deepcopy(tokenizer)
    bare = tiny_public_model(kind, own)
    with torch.no_grad():  # fresh weights leave the distribution flat, and LoRA on what is below could not bend it
        bare.get_output_embeddings().weight.mul_(30)
    bare.save_pretrained(tmp_path / "public")
    own.save_pretrained(tmp_path / "public")
    model, read = load_public(tmp_path / "public")
    lm = AudioLanguageModel(add_lora(model, rank=16, alpha=32), read)
    batch = batch_of(lm)
    frozen = {n: p.detach().clone() for n, p in lm.model.named_parameters() if not p.requires_grad}
    trained = [p for p in lm.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3)
    losses = []
    for _ in range(60):
        loss = sft_loss(lm, batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] < 0.1:
            break
    assert losses[-1] < 0.05 * losses[0]
    assert all(torch.equal(frozen[n], p) for n, p in lm.model.named_parameters() if n in frozen)
    assert answers(lm, batch) == ["real", "fake"]

    merge(lm.model).save_pretrained(tmp_path / "tuned")
    read.save_pretrained(tmp_path / "tuned")
    merged, again = load_public(tmp_path / "tuned")
    tuned = AudioLanguageModel(merged.eval(), again)
    assert tuned.kind == lm.kind == kind
    assert answers(tuned, batch) == generated(tuned, batch) == ["real", "fake"]

    policy = AudioLanguageModel(add_lora(merged, rank=4, alpha=8), again)
    with torch.no_grad():
        audio = policy.encode_audio(batch.features, batch.lengths)
    prompts = [prompt_ids(policy, row, [int(size)]) for row, size in zip(ROWS, audio.lengths, strict=True)]
    made = rollout(policy, prompts, audio.embeds, samples=8, max_new=6, temperature=2.0, top_p=1.0, top_k=0, seed=1)
    rewards = made.mask.sum(1).float().view(2, 8)  # longer is better
    step = GrpoBatch(
        prompts, made.ids, made.mask, advantages(rewards).flatten(), features=batch.features, lengths=batch.lengths
    )
    loss = grpo_loss(policy, step, GrpoSettings(temperature=2.0))
    loss.loss.backward()
    assert loss.logs["ratio"].item() == pytest.approx(1.0, abs=1e-6)
    grads = {n: p.grad for n, p in policy.model.named_parameters() if p.grad is not None}
    assert grads
    assert all("lora_" in name and bool(grad.isfinite().all()) for name, grad in grads.items())
    assert any(bool(grad.any()) for grad in grads.values())


def test_a_folder_is_judged_before_its_weights_are_read(tokenizer, tmp_path) -> None:
    folder = tmp_path / "model"
    with pytest.raises(CheckpointError, match="no config"):
        need_public(folder)
    own = copy.deepcopy(tokenizer)
    tiny_public_model("qwen2_audio", own).save_pretrained(folder)
    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        need_public(folder)
    own.save_pretrained(folder)
    with pytest.raises(CheckpointError, match="AutoFeatureExtractor cannot be read"):
        need_public(folder)
    WhisperFeatureExtractor(feature_size=16).save_pretrained(folder)
    need_public(folder)
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    with pytest.raises(CheckpointError, match="holds no weights"):
        need_public(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ConfigError, match="holds a llama"):
        need_public(folder)
