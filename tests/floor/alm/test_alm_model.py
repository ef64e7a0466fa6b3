"""Our own audio language model: padding, placeholders, generation, and an exact way to disk and back."""

from __future__ import annotations

import json

import pytest
import torch

from auricle.alm.encoder import MelEncoder
from auricle.alm.model import IGNORED, build_audio_lm, load_audio_lm, scatter_audio
from auricle.alm.tokens import add_placeholder, tiny_decoder_config, train_tokenizer
from auricle.core.errors import CheckpointError, ConfigError, DataError


def mel(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def prompt(model, frames: int, rows: int = 1) -> torch.Tensor:
    audio = [model.config.audio_token_id] * model.encoder.frames(frames)
    return torch.tensor([[70, *audio, 71, 72]] * rows)


@pytest.mark.parametrize(
    ("merge", "summary", "counts"), [(1, False, [3, 6, 4]), (4, False, [1, 2, 1]), (4, True, [2, 3, 2])]
)
def test_encoder_padding_and_company_change_nothing(merge, summary, counts) -> None:
    torch.manual_seed(0)
    encoder = MelEncoder(
        16,
        24,
        (4, 8),
        (2, 2),
        (2, 2),
        2,
        4,
        merge=merge,
        summary=summary,
        position_heads=2 * summary,
        clip_heads={"band": 3},
        frame_heads={"artefact": 2},
    ).eval()
    clips = [mel(frames, 16, seed=frames) for frames in (9, 21, 16)]
    padded = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=99.0)
    together = encoder(padded, torch.tensor([9, 21, 16]))
    assert together.lengths.tolist() == [encoder.frames(9), encoder.frames(21), encoder.frames(16)] == counts
    for row, clip in enumerate(clips):
        alone = encoder(clip[None])
        size = alone.frames.shape[1]
        torch.testing.assert_close(together.frames[row, :size], alone.frames[0], atol=1e-5, rtol=0)
        assert not together.frames[row, size:].any()
        torch.testing.assert_close(together.heads["band"][row], alone.heads["band"][0], atol=1e-5, rtol=0)
        own = alone.heads["artefact"][0]  # of every frame, merged or not
        torch.testing.assert_close(together.heads["artefact"][row, : len(own)], own)


def test_encoder_is_the_same_in_training_mode() -> None:
    encoder = MelEncoder(16, 16, (4,), (2,), (2,), 1, 2)
    clip = mel(1, 12, 16)
    assert torch.equal(encoder.train()(clip).frames, encoder.eval()(clip).frames)


def test_encoder_tells_where_in_frequency() -> None:
    """Energy moved by one band moves the features: no pooling over frequency before the projection."""
    encoder = MelEncoder(16, 16, (4, 8), (2, 2), (2, 2), 1, 2).eval()
    low, high = torch.zeros(1, 8, 16), torch.zeros(1, 8, 16)
    low[..., 0:4], high[..., 8:12] = 1.0, 1.0
    assert (encoder(low).frames - encoder(high).frames).abs().max() > 1e-2


@pytest.mark.parametrize("bad", [torch.zeros(2, 8, 15), torch.zeros(8, 16), torch.zeros(2, 0, 16)])
def test_encoder_refuses_wrong_shapes(bad: torch.Tensor) -> None:
    with pytest.raises(DataError, match="log-mel of shape"):
        MelEncoder(16, 16, (4,), (2,), (2,), 1, 2)(bad)


def test_encoder_refuses_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match="as long as each other"):
        MelEncoder(16, 16, (4, 8), (2,), (2, 2))
    with pytest.raises(ConfigError, match="merge 0"):
        MelEncoder(16, 16, (4,), (2,), (2,), merge=0)
    with pytest.raises(ConfigError, match="both over the clip"):
        MelEncoder(16, 16, (4,), (2,), (2,), clip_heads={"a": 2}, frame_heads={"a": 2})
    with pytest.raises(DataError, match="lengths"):
        MelEncoder(16, 16, (4,), (2,), (2,), 1, 2)(mel(2, 8, 16), torch.tensor([8, 0]))


def test_reload_is_bit_exact(model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    again = load_audio_lm(tmp_path).eval()
    ours, theirs = model.state_dict(), again.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert (again.config.encoder, again.config.audio_token_id) == (model.config.encoder, model.config.audio_token_id)
    ids = prompt(model, 20, 2)
    first, second = (one(input_ids=ids, input_features=mel(2, 20, 16)).logits for one in (model, again))
    assert torch.equal(first, second)
    # tied embeddings stay tied
    assert again.decoder.lm_head.weight is again.decoder.get_input_embeddings().weight


def test_a_folder_with_the_former_name_of_the_position_heads_loads(tokenizer, tmp_path) -> None:
    encoder = {"n_mels": 16, "dim": 16, "channels": (4,), "time_strides": (2,), "mel_strides": (2,), "heads": 2}
    text = tiny_decoder_config(tokenizer, dim=32, layers=2, heads=2)
    model = build_audio_lm({**encoder, "position_heads": 2}, text, tokenizer.convert_tokens_to_ids("<audio>"), 0)
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    saved = json.loads(file.read_text())
    saved["encoder"]["seekers"] = saved["encoder"].pop("position_heads")
    file.write_text(json.dumps(saved))
    assert torch.equal(load_audio_lm(tmp_path).encoder.seekers.weight, model.encoder.seekers.weight)


def test_reload_refuses_missing_weights(model, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    model.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["projector.up.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"projector\.up\.weight"):
        load_audio_lm(tmp_path)
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_audio_lm(tmp_path / "nowhere")


def test_same_seed_same_weights(model, tokenizer) -> None:
    state = torch.random.get_rng_state()
    again = build_audio_lm(
        model.config.encoder, tiny_decoder_config(tokenizer, dim=32, layers=2, heads=2), model.config.audio_token_id, 0
    )
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_embeddings_given_equal_audio_given(model) -> None:
    ids, clips = prompt(model, 20, 2), mel(2, 20, 16)
    encoded = model.encode(clips)
    given = model(input_ids=ids, audio_embeds=encoded.frames, audio_lengths=encoded.lengths).logits
    assert torch.equal(given, model(input_ids=ids, input_features=clips).logits)
    other = model(input_ids=ids, input_features=mel(2, 20, 16, seed=1)).logits
    assert (given - other).abs().max() > 1e-3  # the audio is heard


def test_loss_is_that_of_the_labels(model) -> None:
    ids, clips = prompt(model, 20, 2), mel(2, 20, 16)
    labels = torch.full_like(ids, IGNORED)
    labels[:, -1] = ids[:, -1]
    output = model(input_ids=ids, input_features=clips, labels=labels)
    expected = -output.logits[:, -2].log_softmax(-1)[:, ids[0, -1]].mean()
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    assert all(parameter.grad is not None for parameter in model.projector.parameters())
    assert model.encoder.flat.weight.grad.abs().sum() > 0


def test_generate_with_cache_equals_full_forward(model) -> None:
    ids, clips = prompt(model, 20, 1), mel(1, 20, 16)
    made = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        input_features=clips,
        max_new_tokens=6,
        do_sample=False,
        eos_token_id=None,
    )
    own = ids
    for _ in range(6):
        best = model(input_ids=own, input_features=clips).logits[:, -1].argmax(-1)
        own = torch.cat([own, best[:, None]], 1)
    assert torch.equal(made, own)


def test_generate_never_samples_the_placeholder(model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    again = load_audio_lm(tmp_path).eval()
    with torch.no_grad():
        again.get_input_embeddings().weight[again.config.audio_token_id] *= 100  # tied: its logit is far the largest
    ids = prompt(again, 20, 4)
    made = again.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        input_features=mel(4, 20, 16),
        do_sample=True,
        top_k=0,
        max_new_tokens=8,
        eos_token_id=None,
    )
    assert again.config.audio_token_id not in made[:, ids.shape[1] :]


def test_placeholders_must_match_frames(model) -> None:
    with pytest.raises(DataError, match="5 audio placeholders and 0 frames"):
        model(input_ids=prompt(model, 20))
    with pytest.raises(DataError, match="5 audio placeholders and 2 frames"):
        model(input_ids=prompt(model, 20), input_features=mel(1, 8, 16))
    with pytest.raises(DataError, match="either input_ids or inputs_embeds"):
        model()


def test_scatter_keeps_order() -> None:
    places = torch.tensor([[False, True, True], [True, False, False]])
    out = scatter_audio(torch.zeros(2, 3, 2), places, torch.tensor([[1.0, 1], [2, 2], [3, 3]]))
    assert out[..., 0].tolist() == [[0, 1, 2], [3, 0, 0]]


def test_tokenizer_reads_back_any_text(tokenizer, text) -> None:
    for line in ("<think> band 3 </think>", "é \n 漢 <answer>real</answer>", "  two  spaces"):
        assert tokenizer.decode(tokenizer(line).input_ids) == line
    assert len(tokenizer("<think>").input_ids) == 1
    again = train_tokenizer(text, 320, ["<think>", "</think>", "<answer>", "</answer>"])
    assert tokenizer.get_vocab() == again.get_vocab()


def test_tokenizer_refuses() -> None:
    with pytest.raises(ConfigError, match="vocab_size 100 is too small"):
        train_tokenizer(["text"], 100)
    with pytest.raises(DataError, match="no text"):
        train_tokenizer([], 300)


def test_placeholder_of_a_decoder_that_has_none(tokenizer) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    fresh = train_tokenizer(["some other text"], 300)
    config = tiny_decoder_config(fresh, dim=32, layers=1, heads=2)
    decoder = LlamaForCausalLM(LlamaConfig(**config.to_dict()))
    before, size = decoder.get_input_embeddings().weight.detach().clone(), len(fresh)
    place = add_placeholder(decoder, fresh, "<sound>")
    assert place == size
    assert torch.equal(decoder.get_input_embeddings().weight[:size], before)
    assert add_placeholder(decoder, fresh, "<sound>") == place
    model = build_audio_lm({"n_mels": 8, "dim": 8, "heads": 2}, decoder, place, 0)
    assert model.decoder is decoder
    with pytest.raises(ConfigError, match="not in a vocabulary"):
        build_audio_lm({}, config, 99_999, 0)
