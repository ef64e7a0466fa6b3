"""Small random speech encoders of the real classes, in memory and on disk: for tests, and to try a setup out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from auricle.backbones import architecture as arch
from auricle.backbones.speech import Layer, SpeechEncoder, cut, new_model, quiet
from auricle.core.errors import ConfigError
from auricle.core.extras import require

_TINY: dict[str, dict[str, Any]] = {
    "wav2vec2_base": {"model_type": "wav2vec2"},
    "xls_r": {"model_type": "wav2vec2", "feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True},
    "wavlm_base": {"model_type": "wavlm"},
    "wavlm_large": {"model_type": "wavlm", "feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "hubert_base": {"model_type": "hubert"},
    "hubert_large": {
        "model_type": "hubert", "feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True,
    },
}  # fmt: skip
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


def _random(values: Mapping[str, Any], seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return new_model(values)
