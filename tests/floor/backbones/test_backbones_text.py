"""Sentences to embeddings: Transformers' BERT with a mean over tokens; the figures of sentence-transformers."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

import tokenizers
import transformers

from auricle.backbones.text import SentenceEncoder
from auricle.core import extras
from auricle.core.errors import CheckpointError, ConfigError, DataError, MissingExtra

needs = pytest.mark.skipif(extras.weights_path("minilm") is None, reason="needs auricle models add minilm")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "dog", "barks", "rain", "falls"]


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    model = transformers.BertModel(transformers.BertConfig(vocab_size=len(WORDS), **sizes)).eval()
    model.save_pretrained(tmp_path)
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: place for place, word in enumerate(WORDS)}, "[UNK]"))
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    own.post_processor = tokenizers.processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    own.enable_padding(length=128)  # as the released one has it
    own.save(str(tmp_path / "tokenizer.json"))
    return tmp_path, model


def test_it_is_the_mean_over_the_tokens_of_bert(folder):
    place, model = folder
    encoder = SentenceEncoder(place)
    texts = ["a dog barks", "rain", "", "a dog " * 300]
    found = encoder.embed(texts, batch=3)
    assert found.shape == (4, encoder.dim) == (4, 32)
    with torch.no_grad():
        states = model(input_ids=torch.tensor([[2, 4, 5, 6, 3]])).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(found[0], states / states.norm(), atol=1e-6)
    np.testing.assert_allclose(found, np.concatenate([encoder.embed([text]) for text in texts]), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found[3], encoder.embed(["a dog " * 127])[0], atol=1e-6)  # 256 tokens with both ends
    assert encoder.embed([]).shape == (0, 32)
    with pytest.raises(DataError, match="text 2 is a int"):
        encoder.embed(["a", 3])


@pytest.mark.parametrize("wrong", ["kind", "config", "lacking", "more", "tokenizer", "no tokenizer", "no weights"])
def test_a_wrong_folder_is_refused(folder, wrong):
    from safetensors.torch import load_file, save_file

    place, _ = folder
    weights = load_file(place / "model.safetensors")
    if wrong == "kind":
        (place / "config.json").write_text(json.dumps({"model_type": "whisper"}))
        with pytest.raises(ConfigError, match="'whisper'; give a BERT"):
            SentenceEncoder(place)
        return
    if wrong == "config":
        (place / "config.json").write_text("no JSON")
    elif wrong == "lacking":
        weights.pop("pooler.dense.bias")
    elif wrong == "more":
        weights["more"] = torch.zeros(1)
    elif wrong == "tokenizer":
        (place / "tokenizer.json").write_text("{}")
    elif wrong == "no tokenizer":
        (place / "tokenizer.json").unlink()
    save_file(weights, place / "model.safetensors")
    if wrong == "no weights":
        (place / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="auricle models add minilm"):
        SentenceEncoder(place)


@pytest.mark.skipif(extras.weights_path("minilm") is not None, reason="the weights are installed")
def test_without_the_weights_the_command_is_named():
    with pytest.raises(MissingExtra, match="auricle models add minilm"):
        SentenceEncoder()


@needs
def test_the_figures_are_those_of_the_original():
    found = SentenceEncoder().embed(["A dog barks.", "A puppy is barking loudly.", "Rain falls on a tin roof."])
    # sentence-transformers 6.2.0 on the same folder
    wanted = [
        [0.04256292, -0.03218926, 0.05196705, 0.09943781],
        [0.02586698, -0.05480774, 0.0419438, 0.05891852],
        [0.00209284, 0.10449509, 0.09307179, 0.0426127],
    ]
    np.testing.assert_allclose(found[:, :4], wanted, atol=1e-5)
    cosines = found @ found.T
    assert cosines[0, 1] == pytest.approx(0.727, abs=0.001)
    assert cosines[0, 2] == pytest.approx(0.115, abs=0.001)
