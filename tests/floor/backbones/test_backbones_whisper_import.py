"""Whisper out of a CTranslate2 file: every weight in its place, none missing, none left over."""

import json

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from auricle.backbones import whisper_import
from auricle.backbones.ctranslate2 import read_ctranslate2
from auricle.backbones.tiny import save_tiny_whisper
from auricle.backbones.transcriber import Transcriber
from auricle.backbones.whisper import load_whisper, load_whisper_encoder
from auricle.core import extras
from auricle.core.errors import CheckpointError, ConfigError, MissingExtra
from auricle.core.files import read_json
from auricle.data import embedded
from tests.floor.backbones.ctranslate2_bytes import file_of, quantised, whisper_weights

ALIASES = [("decoder/projection/weight", "decoder/embeddings/weight")]


def write(folder, weights, flags, kind="float32", aliases=ALIASES):
    """A file of CTranslate2 and what its weights stand for."""
    rows, wanted = [], {}
    for name, value in weights.items():
        stored, wanted[name] = quantised(name, value, kind)
        rows += stored
    (folder / "model.bin").write_bytes(file_of([*rows, *flags.items()], aliases))
    return wanted


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    save_tiny_whisper(folder, seed=1)
    return folder, load_whisper(str(folder))


@pytest.fixture
def source(tiny, tmp_path):
    """Where a package would lie: the tokenizer and what CTranslate2 knows of tokens; `model.bin` is still to come."""
    made, _ = tiny
    place = tmp_path / "package"
    place.mkdir()
    (place / "tokenizer.json").write_bytes((made / "tokenizer.json").read_bytes())
    about = {"alignment_heads": [[1, 0], [1, 2]], "suppress_ids": [3, 5], "suppress_ids_begin": [7]}
    (place / "config.json").write_text(json.dumps({**about, "lang_ids": []}))
    return place


@pytest.mark.parametrize("kind", ["float32", "float16", "int16", "int8"])
def test_all_of_it_fills_a_whisper(tiny, source, tmp_path, kind):
    wanted = write(source, *whisper_weights(tiny[1]), kind)
    target = tmp_path / "out"
    target.mkdir()
    whisper_import.ctranslate2_to_folder(source / "model.bin", target)
    made = load_whisper(str(target))
    again, flags = whisper_weights(made)
    assert set(again) == set(wanted)
    assert flags["encoder/num_heads"] == flags["decoder/num_heads"] == 4
    for name, value in wanted.items():
        np.testing.assert_allclose(again[name], value, rtol=1e-6, atol=0, err_msg=name)
    own = made.generation_config
    assert (own.suppress_tokens, own.begin_suppress_tokens, own.alignment_heads) == ([3, 5], [7], [[1, 0], [1, 2]])
    assert made.config.max_target_positions == 64
    assert Transcriber(str(target)).words.decode([]) == ""


def test_what_does_not_fit_is_refused_by_name(tiny, source, tmp_path):
    weights, flags = whisper_weights(tiny[1])
    lacking = {name: value for name, value in weights.items() if name != "decoder/layer_1/ffn/linear_0/bias"}
    keys = weights["encoder/layer_0/self_attention/linear_0/bias"].copy()
    keys[40] = 1
    narrow = weights["encoder/layer_2/ffn/linear_1/weight"][:, :-1]
    for changed, own, aliases, message in (
        (lacking, flags, ALIASES, "lacks the weight decoder/layer_1/ffn/linear_0/bias"),
        ({**weights, "decoder/more": keys}, flags, ALIASES, "no Whisper has, such as decoder/more"),
        ({**weights, "encoder/layer_0/self_attention/linear_0/bias": keys}, flags, ALIASES, "not zero for the keys"),
        ({**weights, "encoder/layer_2/ffn/linear_1/weight": narrow}, flags, ALIASES, "does not fill its own Whisper"),
        (weights, {**flags, "decoder/activation": np.int8(0)}, ALIASES, "look at decoder/activation"),
        (weights, {**flags, "decoder/more": np.int8(0)}, ALIASES, "look at decoder/more"),
        (weights, flags, [], "no Whisper"),
    ):
        write(source, changed, own, aliases=aliases)
        with pytest.raises(CheckpointError, match=message):
            whisper_import.ctranslate2_to_folder(source / "model.bin", tmp_path)
    write(source, weights, flags)
    (source / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match="not what CTranslate2 writes"):
        whisper_import.ctranslate2_to_folder(source / "model.bin", tmp_path)
    (source / "tokenizer.json").write_text('{"added_tokens": []}')
    with pytest.raises(CheckpointError, match="no tokenizer of Whisper"):
        whisper_import.ctranslate2_to_folder(source / "model.bin", tmp_path)


@pytest.fixture
def packaged(tiny, source, tmp_path, monkeypatch):
    """A known package with a tiny Whisper, as if it were installed."""
    write(source, *whisper_weights(tiny[1]))
    known = extras.Weights("tiny-ct2", "1", "x/model.bin", "0" * 64, "MIT", 1, "x", converted="ctranslate2")
    monkeypatch.setitem(extras.WEIGHTS, "tiny", known)
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(whisper_import, "require_weights", lambda name, purpose: source / "model.bin")
    return source


def test_a_package_is_converted_once_with_its_source_beside(packaged):
    with pytest.raises(MissingExtra, match=r"Whisper needs the weights .* auricle models add tiny"):
        load_whisper_encoder("tiny")
    assert "converted model.bin" in whisper_import.convert("tiny")
    folder = extras.converted_folder("tiny")
    about = read_json(folder / extras.CONVERTED)
    assert (about["package"], about["version"], about["licence"]) == ("tiny-ct2", "1", "MIT")
    assert load_whisper_encoder("tiny").dim == 32
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert "already converted" in whisper_import.convert("tiny")
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_conversion_that_fails_leaves_nothing(packaged):
    (packaged / "model.bin").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="is no model file"):
        whisper_import.convert("tiny")
    assert not list(extras.converted_folder("tiny").parent.iterdir())


def test_a_model_that_does_not_understand_is_not_kept(packaged, monkeypatch):
    monkeypatch.setitem(whisper_import.WITNESS, "tiny", whisper_import.WITNESS["whisper-tiny-en"])
    with pytest.raises(CheckpointError, match=r"hears .* where \"I'm tired of talking to you.\" is said"):
        whisper_import.convert("tiny")
    assert not list(extras.converted_folder("tiny").parent.iterdir())


def test_weights_of_another_format_are_refused(packaged):
    with pytest.raises(ConfigError, match="'smollm2' come as gguf, not as ctranslate2"):
        whisper_import.convert("smollm2")
    with pytest.raises(ConfigError, match="'ge2e' are used as they are"):
        whisper_import.convert("ge2e")


@pytest.mark.skipif(not extras.weights_ready("whisper-tiny-en"), reason="needs auricle models add whisper-tiny-en")
def test_the_real_one_hears_what_was_recorded():
    clip = embedded.clip(whisper_import.WITNESS["whisper-tiny-en"])
    made = Transcriber().transcribe([clip.read().mono()], [clip.rate_hz])[0]
    assert made.text == clip.text


@pytest.mark.skipif(extras.weights_path("whisper-tiny-en") is None, reason="needs auricle models add whisper-tiny-en")
def test_the_real_file_has_148_variables():
    path = extras.require_weights("whisper-tiny-en", "A test")
    found = read_ctranslate2(path)
    assert len(found.weights) + len(found.flags) == 148
    state, sizes = whisper_import.whisper_state(found)
    assert (sizes["d_model"], sizes["encoder_layers"], sizes["decoder_layers"]) == (384, 4, 4)
    assert (sizes["encoder_attention_heads"], sizes["vocab_size"]) == (6, 51_864)
    assert sum(value.numel() for name, value in state.items() if name != "proj_out.weight") == 37_760_256
    assert state["model.encoder.layers.0.self_attn.q_proj.weight"].dtype == torch.float32
