"""Small random encoders and transcribers of the real classes, in memory and on disk: for tests, to try a setup out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from auricle.backbones import architecture as arch
from auricle.backbones.speech import Layer, SpeechEncoder, cut, new_model, quiet
from auricle.backbones.whisper import DEFAULTS, WhisperEncoder, new_encoder
from auricle.core.errors import ConfigError
from auricle.core.extras import require

_TINY: dict[str, dict[str, Any]] = {
    "wav2vec2_base": {"model_type": "wav2vec2"},
    "xls_r": {"model_type": "wav2vec2", "feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
    "wavlm_base": {"model_type": "wavlm"},
    "wavlm_large": {"model_type": "wavlm", "feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "hubert_base": {"model_type": "hubert"},
    "hubert_large": {
        "model_type": "hubert",
        "feat_extract_norm": "layer",
        "conv_bias": True,
        "do_stable_layer_norm": True,
    },
}
TINY_KINDS = tuple(_TINY)


def tiny_architecture(kind: str) -> dict[str, Any]:
    """Give a small architecture of a kind's own form: 32 wide, 3 layers, the usual convolutions with 16 channels.

    Raises:
        ConfigError: no such kind.
    """
    if kind not in _TINY:
        raise ConfigError(f"there is no tiny speech encoder {kind!r}; kinds: {', '.join(_TINY)}")
    small: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    small |= {
        "intermediate_size": 64,
        "conv_dim": [16] * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 4,
    }
    own = _TINY[kind]
    return {**arch.DEFAULTS, **arch.OWN_DEFAULTS[own["model_type"]], **small, **own, "normalize": True}


def tiny_speech_encoder(kind: str, seed: int, layer: Layer = None, freeze: bool = False) -> SpeechEncoder:
    """Build a small encoder of the real class with random weights.

    Args:
        kind: one of `TINY_KINDS`.
        seed: of the weights; the global generators are left as they were.
        layer: which features; see `SpeechEncoder`.
        freeze: never train it.

    Raises:
        ConfigError: no such kind or layer.
        MissingExtra: Transformers is not installed.
    """
    values = tiny_architecture(kind)
    encoder = SpeechEncoder(values, layer=layer, freeze=freeze)
    encoder.take(cut(_random(values, seed), layer))
    return encoder


def save_tiny(kind: str, folder: str | Path, seed: int = 0) -> None:
    """Write a tiny encoder as a folder in the format of Transformers.

    Args:
        kind: one of `TINY_KINDS`.
        folder: where; its weights are those of `tiny_speech_encoder` with the same seed.
        seed: of the weights.

    Raises:
        ConfigError: no such kind.
        MissingExtra: Transformers is not installed.
    """
    transformers = require("transformers", "hf", arch.PURPOSE)
    with quiet():
        _random(tiny_architecture(kind), seed).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)


def tiny_whisper_architecture() -> dict[str, Any]:
    """Give a small architecture of Whisper's encoder: 32 wide, 3 layers."""
    small = {"d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 64}
    return {**DEFAULTS, **small}


def tiny_whisper_encoder(seed: int, layer: Layer = None, freeze: bool = True) -> WhisperEncoder:
    """Build a small encoder of Whisper with random weights.

    Args:
        seed: of the weights; the global generators are left as they were.
        layer: which features; see `WhisperEncoder`.
        freeze: never train it.

    Raises:
        ConfigError: no such layer.
        MissingExtra: Transformers is not installed.
    """
    encoder = WhisperEncoder(tiny_whisper_architecture(), layer=layer, freeze=freeze)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder.take(new_encoder(tiny_whisper_architecture()))
    return encoder


def save_tiny_whisper(folder: str | Path, seed: int = 0, languages: Sequence[str] = ()) -> None:
    """Write a tiny Whisper with its decoder and a tokenizer of bytes, as a folder in the format of Transformers.

    Args:
        folder: where; its encoder has the architecture of `tiny_whisper_architecture`.
        seed: of the weights.
        languages: ISO 639-1 codes of a model of many languages; none makes an English one.

    Raises:
        MissingExtra: Transformers is not installed.
    """
    transformers = require("transformers", "hf", arch.PURPOSE)
    tokenizer = _byte_tokenizer(languages or ["en"])
    known = tokenizer.get_vocab()
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), known["<|endoftext|>"])
    ends["decoder_start_token_id"] = known["<|startoftranscript|>"]
    values = tiny_whisper_architecture()
    config = transformers.WhisperConfig(
        **values,
        **ends,
        vocab_size=len(known) + 4,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=64,
        max_target_positions=64,
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.WhisperForConditionalGeneration(config)
        model.generation_config = transformers.GenerationConfig(
            **ends, is_multilingual=bool(languages), begin_suppress_tokens=[ends["eos_token_id"]]
        )
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _byte_tokenizer(languages: Sequence[str]) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    transformers = require("transformers", "hf", arch.PURPOSE)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: place for place, letter in enumerate(letters)}, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    names = ["endoftext", "startoftranscript", *languages, "transcribe", "startofprev", "nocaptions", "notimestamps"]
    made.add_special_tokens([AddedToken(f"<|{name}|>", normalized=False) for name in names])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|endoftext|>")


def _random(values: Mapping[str, Any], seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return new_model(values)
