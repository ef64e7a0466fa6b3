"""SmolLM2-135M under our encoder: a short SFT with the decoder frozen and with LoRA, save, load, generate."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("peft")

from auricle.alm.chat import ChatRow, prompt_ids
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora, merge
from auricle.alm.model import build_audio_lm, load_audio_lm
from auricle.alm.pretrained import convert, load_decoder
from auricle.alm.sampling import rollout
from auricle.alm.sft import collate_sft, sft_loss
from auricle.alm.tokens import add_placeholder
from auricle.core import extras

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        extras.weights_path("smollm2") is None and not extras.weights_ready("smollm2"),
        reason="weights are not installed: auricle models add smollm2",
    ),
]
ENCODER = {
    "n_mels": 32,
    "dim": 64,
    "channels": (8, 16),
    "time_strides": (2, 2),
    "mel_strides": (2, 2),
    "layers": 1,
    "heads": 2,
}
SYSTEM = {"role": "system", "content": "You judge recordings."}
ROWS = [
    ChatRow(
        [SYSTEM, {"role": "user", "content": "<audio>Real or fake?"}, {"role": "assistant", "content": said}], ["a"]
    )
    for said in ("It is real.", "It is fake: a notch in band 3.")
]
MELS = [torch.randn(40, 32, generator=torch.Generator().manual_seed(row)) + 4 * row - 2 for row in range(2)]


@pytest.fixture(scope="module", autouse=True)
def _converted():
    if not extras.weights_ready("smollm2"):
        convert("smollm2")


def answers(lm: AudioLanguageModel) -> list[str]:
    batch = collate_sft(lm, ROWS, [[mel] for mel in MELS])
    with torch.no_grad():
        audio = lm.encode_audio(batch.features, batch.lengths)
    prompts = [prompt_ids(lm, row, [int(size)]) for row, size in zip(ROWS, audio.lengths, strict=True)]
    made = rollout(lm, prompts, audio.embeds, temperature=0, max_new=16)
    return [lm.text(row) for row in made.ids]


def generated(lm: AudioLanguageModel) -> list[str]:
    """By Transformers' own generate, from features."""
    said = []
    for row, mel in zip(ROWS, MELS, strict=True):
        ids = torch.tensor([prompt_ids(lm, row, [lm.audio_frames(len(mel))])])
        made = lm.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            input_features=mel[None],
            do_sample=False,
            max_new_tokens=16,
        )
        said.append(lm.text(made[0, ids.shape[1] :]))
    return said


def test_it_answers_a_question() -> None:
    decoder = load_decoder("smollm2")
    lm = AudioLanguageModel(decoder.model, decoder.tokenizer)
    row = ChatRow([{"role": "user", "content": "What is the capital of France?"}])
    made = rollout(lm, [prompt_ids(lm, row, [])], temperature=0, max_new=12)
    assert "Paris" in lm.text(made.ids[0])


@pytest.mark.parametrize("way", ["frozen", "lora"])
def test_short_sft_save_load_generate(way, tmp_path) -> None:
    decoder = load_decoder("smollm2")
    place = add_placeholder(decoder.model, decoder.tokenizer)
    model = build_audio_lm(ENCODER, decoder.model, place, 0)
    if way == "lora":
        model = add_lora(model, rank=8, alpha=16, targets=("q_proj", "v_proj"), whole=("encoder", "projector"))
    else:
        model.decoder.requires_grad_(False)
    lm = AudioLanguageModel(model, decoder.tokenizer)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert any("encoder" in name for name in trained)
    assert any("lora_" in name for name in trained) == (way == "lora")
    before = lm.base.decoder.get_input_embeddings().weight.detach().clone()
    batch = collate_sft(lm, ROWS, [[mel] for mel in MELS])
    optimizer = torch.optim.AdamW(trained.values(), lr=2e-3, weight_decay=0.0)
    losses = []
    for _ in range(60):
        loss = sft_loss(lm, batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if losses[-1] < 0.03:
            break
    print(f"{way}: loss {losses[0]:.2f} -> {losses[-1]:.3f} in {len(losses)} steps")
    assert losses[-1] < 0.1 * losses[0]
    assert torch.equal(lm.base.decoder.get_input_embeddings().weight, before)

    whole = (merge(model) if way == "lora" else model).eval()
    tuned = AudioLanguageModel(whole, decoder.tokenizer)
    said = answers(tuned)
    assert said == [row.messages[-1]["content"] for row in ROWS]
    whole.save_pretrained(tmp_path)
    decoder.tokenizer.save_pretrained(tmp_path)
    again = load_audio_lm(tmp_path).eval()
    ours, theirs = whole.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    loaded = AudioLanguageModel(again, decoder.tokenizer)
    with torch.no_grad():  # weights in other places of memory may be summed in another order
        torch.testing.assert_close(sft_loss(loaded, batch).loss, sft_loss(tuned, batch).loss, atol=1e-5, rtol=0)
    assert answers(loaded) == generated(loaded) == said
