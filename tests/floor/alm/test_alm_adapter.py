"""An adapter of the caller's between ready frames and a language model, and the contracts that it keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("transformers")

from auricle.alm.adapter import (
    FrameStack,
    encoded_clips,
    need_frame_counts,
    need_text_rms,
    start_at_rms,
    text_rms,
)
from auricle.alm.chat import ChatRow
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.items import Items, batch, with_encoder_frames
from auricle.alm.model import build_audio_lm, load_audio_lm
from auricle.alm.sft import Policy
from auricle.alm.stages import SftStep, train_only
from auricle.alm.tokens import tiny_decoder_config
from auricle.alm.writing import greedy
from auricle.backbones.whisper import WhisperEncoder
from auricle.core.errors import ConfigError, DataError
from auricle.train.checkpoint import load_model, save_model

WIDTH, STACK, DIM = 8, 4, 32
LENGTHS = torch.tensor([18, 7, 16, 3])


class Adapter(nn.Module):
    """One linear layer and a norm; it notes how many frames were valid, as a router's balance has to."""

    def __init__(self, rms: float = 1.0, counted: int = 0) -> None:
        super().__init__()
        self.linear, self.norm, self.counted = nn.Linear(WIDTH * STACK, DIM), nn.LayerNorm(DIM), counted
        self.valid = 0
        start_at_rms(self.norm, rms)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        self.valid = int(mask.sum()) if mask is not None else x.shape[:2].numel()
        made: Tensor = self.norm(self.linear(x))
        return torch.cat([made, made[:, : self.counted]], dim=1)


def build(tokenizer, adapter: nn.Module, encoder: nn.Module | None = None) -> Policy:
    text = tiny_decoder_config(tokenizer, dim=DIM, layers=2, heads=2)
    place = tokenizer.convert_tokens_to_ids("<audio>")
    torch.manual_seed(0)
    model = build_audio_lm(encoder or FrameStack(WIDTH, STACK), text, place, seed=1, adapter=adapter)
    return Policy(AudioLanguageModel(model, tokenizer))


@pytest.fixture
def policy(tokenizer) -> Policy:
    torch.manual_seed(3)
    return build(tokenizer, Adapter())


@pytest.fixture(scope="module")
def features() -> Tensor:
    return torch.randn(4, 18, WIDTH, generator=torch.Generator().manual_seed(0))


def conversations(features: Tensor) -> Items:
    user = {"role": "user", "content": "<audio>is this real?"}
    chats = [ChatRow([user, {"role": "assistant", "content": said}], ["clip"]) for said in ("real", "fake") * 2]
    return Items(chats, features, LENGTHS)


def test_frames_are_stacked_and_padding_is_nothing(features) -> None:
    stack = FrameStack(WIDTH, STACK)
    made = stack(features, LENGTHS)
    assert made.frames.shape == (4, 5, WIDTH * STACK)
    assert made.lengths.tolist() == [stack.frames(size) for size in LENGTHS.tolist()] == [5, 2, 4, 1]
    assert torch.equal(made.frames[0, 1], features[0, 4:8].flatten())
    assert torch.equal(made.frames[3, 0, : 3 * WIDTH], features[3, :3].flatten())
    assert not made.frames[3, 0, 3 * WIDTH :].any()
    assert not made.frames[1, 2:].any()
    alone = stack(features[1:2, :7])
    assert torch.equal(alone.frames[0], made.frames[1, :2])
    with pytest.raises(DataError, match=r"give \(B, T, 8\)"):
        stack(features[..., :4])


def test_the_adapter_sees_which_frames_are_valid(policy, features) -> None:
    policy.lm.encode_audio(features, LENGTHS)
    assert policy.lm.base.projector.valid == 12
    items = conversations(features)
    ready = with_encoder_frames(policy, items)
    step = SftStep(policy, ready)
    whole = float(step(policy, batch(ready, range(4)))["loss"].detach())
    assert policy.lm.base.projector.valid == 12
    plain = SftStep(policy, items)(policy, batch(items, range(4)))
    assert whole == pytest.approx(float(plain["loss"].detach()), rel=1e-5)
    # what stands where nothing was heard plays no part
    noisy = replace(items, features=torch.where(torch.arange(18)[:, None] < LENGTHS[:, None, None], features, 9.0))
    other = SftStep(policy, noisy)(policy, batch(noisy, range(4)))
    assert float(other["loss"].detach()) == pytest.approx(whole, rel=1e-5)


def test_only_the_adapter_is_trained(policy, features) -> None:
    items = conversations(features)
    train_only(policy, ["projector"])
    SftStep(policy, items)(policy, batch(items, range(4)))["loss"].backward()
    for name, weight in policy.named_parameters():
        assert (weight.grad is not None and bool(weight.grad.any())) == (".projector." in name), name


def test_it_is_saved_loaded_and_writes_the_same(policy, tokenizer, features, tmp_path) -> None:
    items = conversations(features)
    save_model(tmp_path / "final", policy, {})
    torch.manual_seed(9)
    again = build(tokenizer, Adapter())
    assert not torch.equal(again.lm.base.projector.linear.weight, policy.lm.base.projector.linear.weight)
    load_model(tmp_path / "final", again)
    assert greedy(again, items, 8) == greedy(policy, items, 8)
    policy.lm.model.save_pretrained(tmp_path / "folder")
    with pytest.raises(ConfigError, match="which a folder does not hold"):
        load_audio_lm(tmp_path / "folder")


# --- the size of what it gives --------------------------------------------------------------------------------------


def test_an_adapter_starts_at_the_size_of_text(tokenizer, features) -> None:
    lm = build(tokenizer, Adapter()).lm
    rms = text_rms(lm)
    place = lm.audio_token_id
    weight = lm.base.get_input_embeddings().weight
    kept = torch.cat([weight[:place], weight[place + 1 :]]).detach()
    assert rms == pytest.approx(float(kept.square().mean().sqrt()), rel=1e-5)
    assert rms < 0.1  # a fresh decoder's embeddings are small, and a norm gives 1
    with pytest.raises(ConfigError, match=r"start_at_rms\(norm, text_rms\(lm\)\)"):
        need_text_rms(lm, features, LENGTHS)
    start_at_rms(lm.base.projector.norm, rms)
    assert need_text_rms(lm, features, LENGTHS) == pytest.approx(rms, rel=0.01)
    with pytest.raises(ConfigError, match="no norm with a gain"):
        start_at_rms(nn.GELU(), 1.0)


# --- places and frames ----------------------------------------------------------------------------------------------


class Miscounting(FrameStack):
    """Says a frame too many of short clips."""

    def frames(self, count: int) -> int:
        return super().frames(count) + (count < 10)


def test_placeholders_are_as_many_as_frames(policy, tokenizer, features) -> None:
    assert need_frame_counts(policy.lm, features, LENGTHS) == [5, 2, 4, 1]
    wrong = build(tokenizer, Adapter(), Miscounting(WIDTH, STACK))
    with pytest.raises(DataError, match=r"clip 1 of 7 feature frames has 3 placeholders in a prompt.* 2 frames"):
        need_frame_counts(wrong.lm, features, LENGTHS)


def test_clips_that_end_in_another_row_are_refused(policy, features) -> None:
    """The totals agree, and each clip would be in the wrong place."""
    lm = policy.lm
    with torch.no_grad():
        made = lm.encode_audio(features[:2], LENGTHS[:2]).embeds  # 5 and 2 frames
        prompts = [lm.expand(lm.ids("<audio>?"), [count]) for count in (2, 5)]
        with pytest.raises(DataError, match=r"row 0 has 2 audio placeholders, .*clips of 5, 2 frames"):
            lm.prefill(prompts, made)
        lm.prefill(prompts, made[::-1])


def test_an_adapter_that_makes_more_of_ready_frames_is_refused(tokenizer, features) -> None:
    wrong = build(tokenizer, Adapter(counted=1))
    items = with_encoder_frames(wrong, conversations(features))
    with pytest.raises(DataError, match="5 placeholders for the longest clip"):
        SftStep(wrong, items)(wrong, batch(items, range(4)))


# --- frames that are made once --------------------------------------------------------------------------------------


def test_clips_are_encoded_once_and_as_if_alone() -> None:
    sizes = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    torch.manual_seed(0)
    encoder = WhisperEncoder(
        {**sizes, "num_mel_bins": 80, "max_source_positions": 1500, "activation_function": "gelu"}
        | {"scale_embedding": False}
    )
    draws = np.random.default_rng(0)
    waves = [draws.standard_normal(size).astype(np.float32) for size in (16_000, 4_000, 9_000)]
    frames, lengths = encoded_clips(encoder, waves, at_once=2, half=False)
    assert lengths.tolist() == [encoder.frames(len(wave)) for wave in waves]
    for row, wave in enumerate(waves):
        alone = encoder(torch.from_numpy(wave)[None])[0][0]
        assert torch.allclose(frames[row, : lengths[row]], alone, atol=1e-5)
        assert not frames[row, lengths[row] :].any()
    assert encoded_clips(encoder, waves)[0].dtype == torch.float16
    with pytest.raises(DataError, match="no clips"):
        encoded_clips(encoder, [])
