"""Decoders with weights of their own: a GGUF file becomes the model it was made from, once; folders are read whole."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import pytest
import torch

pytest.importorskip("gguf")

import gguf
from transformers import LlamaForCausalLM

from auricle.alm import pretrained
from auricle.alm.pretrained import convert, load_decoder
from auricle.alm.tokens import add_placeholder, tiny_decoder_config
from auricle.core import extras
from auricle.core.errors import CheckpointError, ConfigError, MissingExtra
from auricle.core.files import read_json

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(path: Path, model, tokenizer, kind) -> dict[str, torch.Tensor]:
    """Write a Llama as llama.cpp stores it; give the weights as they are after quantisation."""
    own, config = gguf.GGUFWriter(str(path), "llama"), model.config
    own.add_context_length(config.max_position_embeddings)
    own.add_embedding_length(config.hidden_size)
    own.add_block_count(config.num_hidden_layers)
    own.add_feed_forward_length(config.intermediate_size)
    own.add_head_count(config.num_attention_heads)
    own.add_head_count_kv(config.num_key_value_heads)
    own.add_layer_norm_rms_eps(config.rms_norm_eps)
    own.add_rope_dimension_count(config.head_dim)
    own.add_rope_freq_base(config.rope_parameters["rope_theta"])
    own.add_vocab_size(config.vocab_size)
    own.add_tokenizer_model("gpt2")
    own.add_token_list(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    special = set(tokenizer.added_tokens_decoder)
    own.add_token_types([3 if place in special else 1 for place in range(len(tokenizer))])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    own.add_token_merges([" ".join(pair) for pair in merges])
    own.add_eos_token_id(tokenizer.eos_token_id)
    own.add_pad_token_id(tokenizer.pad_token_id)
    own.add_chat_template(tokenizer.chat_template)
    kept = {}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":  # tied
            continue
        part = name.removesuffix(".weight").removeprefix("model.")
        if part.startswith("layers."):
            _, layer, inner = part.split(".", 2)
            stored = f"blk.{layer}.{NAMES[inner]}.weight"
        else:
            stored = {"embed_tokens": "token_embd", "norm": "output_norm"}[part] + ".weight"
        value = weight
        if "attn_q." in stored or "attn_k." in stored:  # rotary pairs lie side by side there
            heads = config.num_attention_heads
            value = weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
        array = value.numpy()
        if weight.ndim == 2 and kind != gguf.GGMLQuantizationType.F32:
            array = gguf.quants.quantize(array, kind)
            own.add_tensor(stored, array, raw_dtype=kind)
            back = torch.from_numpy(gguf.quants.dequantize(array, kind))
            if "attn_q." in stored or "attn_k." in stored:
                back = back.view(config.num_attention_heads, -1, 2, weight.shape[1]).transpose(1, 2)
            kept[name] = back.reshape(weight.shape)
        else:
            own.add_tensor(stored, array)
            kept[name] = weight
    own.write_header_to_file()
    own.write_kv_data_to_file()
    own.write_tensors_to_file()
    own.close()
    return kept


@pytest.fixture(scope="module")
def llama(tokenizer):
    own = copy.deepcopy(tokenizer)
    torch.manual_seed(0)
    return LlamaForCausalLM(tiny_decoder_config(own, dim=64, layers=2, heads=2)).eval(), own


@pytest.fixture
def tiny(tmp_path, monkeypatch, llama):
    """A known package of weights in 4 bits, as if it were installed; gives the weights it stands for."""
    known = extras.Weights("tiny-gguf", "1", "tiny.gguf", "0" * 64, "MIT", 1, "x", converted="gguf")
    monkeypatch.setitem(extras.WEIGHTS, "tiny", known)
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrained, "require_weights", lambda name, purpose: tmp_path / "tiny.gguf")
    return write_gguf(tmp_path / "tiny.gguf", *llama, gguf.GGMLQuantizationType.Q4_1)


def test_a_converted_file_is_the_model_it_was_made_from(tiny, llama) -> None:
    model, tokenizer = llama
    said = convert("tiny")
    folder = extras.converted_folder("tiny")
    assert "converted tiny.gguf" in said
    assert str(folder) in said
    made = load_decoder("tiny")
    for name, weight in made.model.state_dict().items():
        if name != "lm_head.weight":
            assert torch.equal(weight, tiny[name]), name
    assert made.model.lm_head.weight is made.model.get_input_embeddings().weight
    assert any(not torch.equal(weight, model.state_dict()[name]) for name, weight in tiny.items())  # 4 bits tell
    for line in ("<|im_start|>user\nis this real or fake?<|im_end|>\n", "a click in bin 5", "é 漢"):
        assert made.tokenizer(line).input_ids == tokenizer(line).input_ids
    assert made.tokenizer.eos_token_id == made.model.config.eos_token_id == tokenizer.eos_token_id
    assert made.tokenizer.chat_template == tokenizer.chat_template
    model.load_state_dict(tiny | {"lm_head.weight": tiny["model.embed_tokens.weight"]})
    ids = torch.tensor([[70, 71, 72, 73]])
    with torch.no_grad():
        torch.testing.assert_close(made.model(ids).logits, model(ids).logits, atol=1e-5, rtol=1e-5)


def test_it_is_converted_once_and_whole(tiny, monkeypatch) -> None:
    folder = extras.converted_folder("tiny")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{")  # what another program may have left
    assert not extras.weights_ready("tiny")
    convert("tiny")
    assert extras.weights_ready("tiny")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # nothing temporary is left
    assert read_json(folder / extras.CONVERTED)["package"] == "tiny-gguf"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert "already converted" in convert("tiny")
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_conversion_that_fails_leaves_nothing(tiny, tmp_path, monkeypatch) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(CheckpointError, match="cannot be read as GGUF"):
        convert("tiny")
    assert not list(extras.converted_folder("tiny").parent.iterdir())
    with pytest.raises(MissingExtra, match=r"A decoder needs .* auricle models add tiny"):
        load_decoder("tiny")
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "tiny.gguf"))  # a file, no folder
    with pytest.raises(CheckpointError, match="set AURICLE_CACHE"):
        convert("tiny")


def test_without_gguf_the_extra_is_named(tiny, monkeypatch) -> None:
    monkeypatch.setattr(extras, "available", lambda package: package != "gguf")
    with pytest.raises(MissingExtra, match=r"Converting a GGUF file needs the package 'gguf'.*auricle\[hf\]"):
        convert("tiny")


def test_a_folder_is_read_whole_or_refused(llama, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    model, tokenizer = llama
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="holds no tokenizer"):
        load_decoder(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    made = load_decoder(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(made.model.parameters(), model.parameters(), strict=True))
    assert not made.model.training
    place = add_placeholder(made.model, made.tokenizer, "<sound>")
    assert made.model.get_input_embeddings().num_embeddings == place + 1
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight"):
        load_decoder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(os.urandom(64))
    with pytest.raises(CheckpointError):
        load_decoder(tmp_path)


def test_what_is_no_decoder_is_refused(tmp_path, monkeypatch) -> None:
    with pytest.raises(ConfigError, match="no decoder 'smollm9'; give smollm2 or a folder"):
        load_decoder("smollm9")
    monkeypatch.setattr(pretrained, "require_weights", lambda name, purpose: tmp_path / "pretrained.pt")
    with pytest.raises(ConfigError, match="'ge2e' are used as they are"):
        convert("ge2e")
