"""Whisper from a model file of CTranslate2 into a folder of Transformers, strict both ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.backbones.ctranslate2 import Array, Stored, read_ctranslate2
from auricle.backbones.speech import quiet
from auricle.backbones.transcriber import Transcriber
from auricle.backbones.whisper import KIND, PURPOSE, RATE_HZ
from auricle.core.converted import convert_once
from auricle.core.errors import CheckpointError, DataError
from auricle.core.extras import require, require_weights
from auricle.core.files import read_json
from auricle.data import embedded
from auricle.metrics.asr import normalised

SPEC = "WhisperSpec"
# Flags that must have these values, or it is another network: GELU, norms before each part, one head of attention given
# back, and so on.
FLAGS = {
    "decoder/activation": 3,
    "decoder/alibi": 0,
    "decoder/alignment_heads": 1,
    "decoder/alignment_layer": -1,
    "decoder/pre_norm": 1,
    "decoder/scale_embeddings": 0,
    "decoder/start_from_zero_embedding": 0,
}
HEADS = {"encoder": "encoder/num_heads", "decoder": "decoder/num_heads"}
# Weights and the embedded recording that they must understand when they are converted.
WITNESS = {"whisper-tiny-en": "en-b-210009p3"}
ALIASES = {"decoder/projection/weight": "decoder/embeddings/weight"}


def convert(name: str) -> str:
    """Turn the CTranslate2 file of an installed package into a folder of Transformers in the user's cache, once.

    Args:
        name: weights that `auricle models list` shows and that need it, such as ``whisper-tiny-en``.

    Returns:
        What was done, in one sentence.

    Raises:
        ConfigError: no such weights, or some that are not in this format.
        MissingWeights: the package is not installed.
        MissingExtra: Transformers is not installed.
        CheckpointError: a file that is not the known one or does not fit, a model that does not understand a recording,
            or a cache that cannot be written.
    """

    def make(path: Path, folder: Path) -> None:
        ctranslate2_to_folder(path, folder)
        if name in WITNESS:
            _listen(folder, WITNESS[name])

    said = convert_once(name, KIND, require_weights(name, PURPOSE), make)
    return f"{said}; checked: it hears '{embedded.clip(WITNESS[name]).text}'" if name in WITNESS else said


def _listen(folder: Path, clip: str) -> None:
    """Refuse a model that does not hear what is said in an embedded recording."""
    recording = embedded.clip(clip)
    heard = Transcriber(str(folder)).transcribe([recording.read().mono()], [recording.rate_hz])[0].text
    if normalised(heard) != normalised(recording.text):
        raise CheckpointError(f"the converted Whisper hears {heard!r} in {clip}, where {recording.text!r} is said")


def ctranslate2_to_folder(path: Path, folder: Path) -> None:
    """Write the Whisper model of a CTranslate2 file as ``save_pretrained`` does, in float32.

    Args:
        path: ``model.bin``, with ``config.json`` and ``tokenizer.json`` beside it.
        folder: where to; it is there.

    Raises:
        CheckpointError: a file that cannot be read, is no Whisper, lacks a weight or has one too many.
        MissingExtra: Transformers is not installed.
    """
    transformers = require("transformers", "hf", PURPOSE)
    stored = read_ctranslate2(path)
    state, sizes = whisper_state(stored)
    tokens, about = _tokens(path.parent / "tokenizer.json"), _about(path.parent / "config.json")
    config = transformers.WhisperConfig(**sizes, **_ends(tokens))
    with quiet(), torch.device("meta"):
        model = transformers.WhisperForConditionalGeneration(config)
    try:
        model.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fill its own Whisper: {' '.join(str(error).split())}") from error
    model.tie_weights()
    model.generation_config = transformers.GenerationConfig(
        **_ends(tokens),
        alignment_heads=about["alignment_heads"],
        suppress_tokens=about["suppress_ids"],
        begin_suppress_tokens=about["suppress_ids_begin"],
        no_timestamps_token_id=tokens["<|notimestamps|>"],
        prev_sot_token_id=tokens["<|startofprev|>"],
        is_multilingual=sizes["vocab_size"] >= 51_865,
        max_length=sizes["max_target_positions"],
    )
    with quiet():
        model.save_pretrained(folder)
        transformers.WhisperFeatureExtractor(sizes["num_mel_bins"], RATE_HZ).save_pretrained(folder)
        transformers.WhisperTokenizer(tokenizer_file=str(path.parent / "tokenizer.json")).save_pretrained(folder)


def whisper_state(stored: Stored) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Give the weights under Transformers' names, and the sizes of the model.

    Args:
        stored: what the file holds.

    Raises:
        CheckpointError: it is no Whisper, lacks a weight or has one too many.
    """
    if stored.spec != SPEC or stored.aliases != ALIASES:
        raise CheckpointError(f"{stored.path} holds a {stored.spec} with the aliases {stored.aliases}, no Whisper")
    expected = {*FLAGS, *HEADS.values()}
    wrong = sorted(expected ^ stored.flags.keys())
    wrong += [name for name, value in FLAGS.items() if stored.flags.get(name, value) != value]
    if wrong:
        raise CheckpointError(f"{stored.path} holds no plain Whisper: look at {', '.join(wrong[:5])}")
    left = dict(stored.weights)
    state: dict[str, Tensor] = {}
    try:
        for name, array in _named(left):
            state[name] = torch.from_numpy(np.ascontiguousarray(array))
    except KeyError as error:
        raise CheckpointError(f"{stored.path} lacks the weight {error.args[0]}") from None
    except ValueError as error:
        raise CheckpointError(f"{stored.path} has a weight of a wrong shape: {error}") from None
    if left:
        raise CheckpointError(f"{stored.path} has weights that no Whisper has, such as {', '.join(sorted(left)[:3])}")
    return state, _sizes(state, stored.flags)


def _named(left: dict[str, Array]) -> Iterator[tuple[str, Array]]:
    """Take every weight out, and give it under its name in Transformers."""
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            yield f"model.encoder.{conv}.{part}", left.pop(f"encoder/{conv}/{part}")
    yield "model.decoder.embed_tokens.weight", left["decoder/embeddings/weight"]
    yield "proj_out.weight", left.pop("decoder/embeddings/weight")
    for side in ("encoder", "decoder"):
        yield f"model.{side}.embed_positions.weight", left.pop(f"{side}/position_encodings/encodings")
        yield from _norm(left, f"{side}/layer_norm", f"model.{side}.layer_norm")
        count = len({name.split("/")[1] for name in left if name.startswith(f"{side}/layer_")})
        for number in range(count):
            ours, theirs = f"{side}/layer_{number}", f"model.{side}.layers.{number}"
            yield from _norm(left, f"{ours}/self_attention/layer_norm", f"{theirs}.self_attn_layer_norm")
            yield from _stacked(left, f"{ours}/self_attention/linear_0", f"{theirs}.self_attn", "qkv")
            yield from _linear(left, f"{ours}/self_attention/linear_1", f"{theirs}.self_attn.out_proj")
            if side == "decoder":
                yield from _norm(left, f"{ours}/attention/layer_norm", f"{theirs}.encoder_attn_layer_norm")
                yield from _linear(left, f"{ours}/attention/linear_0", f"{theirs}.encoder_attn.q_proj")
                yield from _stacked(left, f"{ours}/attention/linear_1", f"{theirs}.encoder_attn", "kv")
                yield from _linear(left, f"{ours}/attention/linear_2", f"{theirs}.encoder_attn.out_proj")
            yield from _norm(left, f"{ours}/ffn/layer_norm", f"{theirs}.final_layer_norm")
            yield from _linear(left, f"{ours}/ffn/linear_0", f"{theirs}.fc1")
            yield from _linear(left, f"{ours}/ffn/linear_1", f"{theirs}.fc2")


def _norm(left: dict[str, Array], ours: str, theirs: str) -> Iterator[tuple[str, Array]]:
    yield f"{theirs}.weight", left.pop(f"{ours}/gamma")
    yield f"{theirs}.bias", left.pop(f"{ours}/beta")


def _linear(left: dict[str, Array], ours: str, theirs: str) -> Iterator[tuple[str, Array]]:
    for part in ("weight", "bias"):
        yield f"{theirs}.{part}", left.pop(f"{ours}/{part}")


def _stacked(left: dict[str, Array], ours: str, theirs: str, parts: str) -> Iterator[tuple[str, Array]]:
    """Take apart queries, keys and values that lie on each other; keys have no bias, so theirs must be zero."""
    weights = np.split(left.pop(f"{ours}/weight"), len(parts))
    biases = np.split(left.pop(f"{ours}/bias"), len(parts))
    for part, weight, bias in zip(parts, weights, biases, strict=True):
        yield f"{theirs}.{part}_proj.weight", weight
        if part != "k":
            yield f"{theirs}.{part}_proj.bias", bias
        elif bias.any():
            raise ValueError(f"{ours}/bias is not zero for the keys, which have none in Whisper")


def _sizes(state: Mapping[str, Tensor], flags: Mapping[str, float]) -> dict[str, Any]:
    vocabulary, width = state["proj_out.weight"].shape
    found: dict[str, Any] = {"vocab_size": vocabulary, "d_model": width, "activation_function": "gelu"}
    found["num_mel_bins"] = state["model.encoder.conv1.weight"].shape[1]
    for side, positions in (("encoder", "max_source_positions"), ("decoder", "max_target_positions")):
        layers = {name.split(".")[3] for name in state if name.startswith(f"model.{side}.layers.")}
        found[f"{side}_layers"] = len(layers)
        found[f"{side}_attention_heads"] = int(flags[HEADS[side]])
        found[f"{side}_ffn_dim"] = len(state[f"model.{side}.layers.0.fc1.bias"]) if layers else 1
        found[positions] = len(state[f"model.{side}.embed_positions.weight"])
    return found


def _tokens(path: Path) -> dict[str, int]:
    """Give the special tokens of a tokenizer and their numbers."""
    try:
        rows = read_json(path)["added_tokens"]
        found = {str(row["content"]): int(row["id"]) for row in rows}
        return {**found, "end": found["<|endoftext|>"], "start": found["<|startoftranscript|>"]}
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} holds no tokenizer of Whisper: {error}") from None


def _about(path: Path) -> dict[str, Any]:
    """Give what CTranslate2 knows of the tokens that are never said, and of the heads that follow the time."""
    try:
        found = read_json(path)
        return {key: found[key] for key in ("alignment_heads", "suppress_ids", "suppress_ids_begin")}
    except (DataError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not what CTranslate2 writes beside Whisper: {error}") from None


def _ends(tokens: Mapping[str, int]) -> dict[str, int]:
    return {
        "bos_token_id": tokens["end"],
        "eos_token_id": tokens["end"],
        "pad_token_id": tokens["end"],
        "decoder_start_token_id": tokens["start"],
    }
