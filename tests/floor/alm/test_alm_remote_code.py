"""Code that lies beside a model never runs, whatever stands on standard input, by any way that a folder is read."""

from __future__ import annotations

import ast
import io
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")

import transformers

import auricle
from auricle.alm.model import AudioLM, build_audio_lm, load_audio_lm
from auricle.alm.pretrained import load_decoder
from auricle.alm.public import load_features, load_public
from auricle.alm.tokens import tiny_decoder_config
from auricle.backbones.codecs import load_codec
from auricle.backbones.speech import load_speech_encoder
from auricle.core.errors import AuricleError, CheckpointError

AUTO = ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoTokenizer", "AutoFeatureExtractor", "AutoProcessor")
LOADERS = (load_decoder, load_public, load_features, load_audio_lm, load_codec, load_speech_encoder)
ENCODER = {"n_mels": 8, "dim": 16, "channels": [2], "time_strides": [2], "mel_strides": [2], "layers": 0, "heads": 2}


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """Give what puts code into a folder, and what says whether it ran or anybody was asked."""
    mark = tmp_path / "ran"
    answers = io.StringIO("y\n" * 100)
    monkeypatch.setattr(sys, "stdin", answers)
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    code = (
        f"open({str(mark)!r}, 'w').close()\n"
        "from transformers import PretrainedConfig\n"
        "class C(PretrainedConfig):\n    model_type = 'evil'\n"
    )

    def put(folder: Path, *files: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "evil.py").write_text(code)
        for name in files or ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
            path = folder / name
            content = json.loads(path.read_text()) if path.is_file() else {"model_type": "evil"}
            content["auto_map"] = {cls: ["evil.C", "evil.C"] if cls == "AutoTokenizer" else "evil.C" for cls in AUTO}
            path.write_text(json.dumps(content))

    def touched() -> bool:
        return mark.exists() or answers.tell() > 0

    return put, touched


def _llama(tokenizer, folder: Path) -> None:
    transformers.LlamaForCausalLM(tiny_decoder_config(tokenizer, 16, 1, 2)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _told(load, folder: Path) -> str:
    """Load; give what a refusal says, or nothing."""
    try:
        load(folder)
    except CheckpointError as error:
        return str(error)
    return ""


def test_the_trap_works(evil, tmp_path) -> None:
    """Transformers by itself asks, takes the "y" from standard input, and runs the file."""
    put, touched = evil
    put(tmp_path / "model")
    assert not touched()
    transformers.AutoConfig.from_pretrained(tmp_path / "model", local_files_only=True)
    assert touched()


@pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__name__)
def test_a_model_of_an_unknown_kind_is_refused(load, evil, tmp_path) -> None:
    put, touched = evil
    put(tmp_path / "model")
    with pytest.raises(AuricleError) as told:
        load(tmp_path / "model" if load is not load_speech_encoder else str(tmp_path / "model"))
    assert not touched()
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("files", [("config.json",), ("tokenizer_config.json",), ()])
def test_a_good_model_with_code_beside_it_is_read_without_the_code(files, evil, tokenizer, tmp_path) -> None:
    put, touched = evil
    _llama(tokenizer, tmp_path / "model")
    put(tmp_path / "model", *files)
    assert type(load_decoder(tmp_path / "model").model) is transformers.LlamaForCausalLM
    assert not touched()


def test_a_tokenizer_of_an_unknown_kind_is_not_run(evil, tokenizer, tmp_path) -> None:
    put, touched = evil
    _llama(tokenizer, tmp_path / "model")
    path = tmp_path / "model" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": "EvilTokenizer"}))
    put(tmp_path / "model", "tokenizer_config.json")
    assert len(_told(load_decoder, tmp_path / "model").splitlines()) <= 1
    assert not touched()


@pytest.mark.parametrize("inner", ["evil", "llama"])
def test_code_for_the_language_model_inside_a_model_is_not_run(inner, evil, tokenizer, tmp_path) -> None:
    put, touched = evil
    folder = tmp_path / "model"
    made = build_audio_lm(ENCODER, tiny_decoder_config(tokenizer, 16, 1, 2), 259, 0)
    made.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"] |= {
        "model_type": inner,
        "auto_map": dict.fromkeys(AUTO, "evil.C"),
        "_name_or_path": str(folder),
    }
    (folder / "config.json").write_text(json.dumps(config))
    put(folder)
    if inner == "llama":
        assert isinstance(load_audio_lm(folder), AudioLM)
    else:
        with pytest.raises(CheckpointError):
            load_audio_lm(folder)
    assert not touched()


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x04cposix\nsystem\n(S'true'\ntR."])
@pytest.mark.parametrize("load", [load_audio_lm, load_decoder])
def test_pickled_weights_are_refused_in_one_line(load, content, evil, tokenizer, tmp_path) -> None:
    folder = tmp_path / "model"
    if load is load_decoder:
        _llama(tokenizer, folder)
    else:
        build_audio_lm(ENCODER, tiny_decoder_config(tokenizer, 16, 1, 2), 259, 0).save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(CheckpointError) as told:
        load(folder)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("value", ["many", None, [], -1, 0, 1e9, {"a": 1}, True])
@pytest.mark.parametrize("key", ["hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size", "hidden_act"])
def test_a_config_with_any_value_is_read_or_refused(key, value, tokenizer, tmp_path) -> None:
    folder = tmp_path / "model"
    _llama(tokenizer, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    assert len(_told(load_decoder, folder).splitlines()) <= 1


def test_every_load_in_the_source_says_that_no_code_is_run() -> None:
    calls = []
    for path in sorted(Path(auricle.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("from_pretrained", "from_config"):
                said = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
                calls.append((f"{path.name}:{node.lineno}", said.get("trust_remote_code")))
    assert len(calls) >= 9
    assert [place for place, trusted in calls if trusted is not False] == []
