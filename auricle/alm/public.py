"""Public models from local folders: audio language models, and what makes their features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from auricle.alm.hf import UNREADABLE, AutoConfig, transformers
from auricle.alm.tokens import load_tokenizer
from auricle.backbones.speech import first_line, quiet
from auricle.core.errors import CheckpointError, ConfigError

# model type -> class that answers; "qwen2_5_omni" is the whole of Omni, of which only the thinker is read
CLASSES = {
    "qwen2_audio": "Qwen2AudioForConditionalGeneration",
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen2_5_omni_thinker": "Qwen2_5OmniThinkerForConditionalGeneration",
    "audioflamingo3": "AudioFlamingo3ForConditionalGeneration",
}


def need_public(folder: str | Path) -> None:
    """Refuse a folder that `load_public` and `load_features` could not read, without reading its weights.

    Raises:
        CheckpointError: no such folder, no weights, no tokenizer, or no feature extractor.
        ConfigError: a model of another kind.
    """
    _kind(folder)
    if not any(next(Path(folder).glob(pattern), None) for pattern in ("*.safetensors", "*.bin")):
        raise CheckpointError(f"{folder} holds no weights (*.safetensors); give the folder of a downloaded model")
    load_tokenizer(folder)
    _read(transformers.AutoFeatureExtractor, folder)


def _kind(folder: str | Path) -> str:
    kind = str(_read(AutoConfig, folder).model_type)
    if kind not in CLASSES:
        raise ConfigError(f"{folder} holds a {kind}; audio language models are {', '.join(CLASSES)}")
    return kind


def load_public(folder: str | Path) -> tuple[Any, Any]:
    """Read a public audio language model and its tokenizer from a folder; nothing is fetched, and no code there is run.

    Args:
        folder: as `save_pretrained` or the Hub's download has it. Of Qwen2.5-Omni the thinker is read.

    Raises:
        CheckpointError: no such folder, or one that cannot be read.
        ConfigError: a model of another kind.
    """
    return _read(getattr(transformers, CLASSES[_kind(folder)]), folder), load_tokenizer(folder)


def load_features(folder: str | Path) -> Callable[[Tensor], Tensor]:
    """Give what turns waveforms into the log-mel that a public model was made for.

    Args:
        folder: of the model, with its ``preprocessor_config.json``.

    Returns:
        (B, N) at the extractor's rate -> (B, T, M), not padded beyond the clip.

    Raises:
        CheckpointError: no such folder, or one that cannot be read.
    """
    extractor = _read(transformers.AutoFeatureExtractor, folder)

    def features(waves: Tensor) -> Tensor:
        rows = list(waves.cpu().numpy())
        made = extractor(rows, sampling_rate=extractor.sampling_rate, return_tensors="pt", padding="longest")
        mel: Tensor = made["input_features"].transpose(1, 2)
        return mel

    return features


def omni_3b() -> Any:
    """Build the thinker of Qwen2.5-Omni-3B in its published sizes with fresh weights; meant for the meta device.

    Sizes: the public config of `OpenMOSS-Team/RoboOmni-LIBERO-Object`, a fine-tune of that thinker. The vision tower
    is left out of it, but for a stub that the class asks for.
    """
    audio = {
        "d_model": 1280,
        "encoder_layers": 32,
        "encoder_attention_heads": 20,
        "encoder_ffn_dim": 5120,
        "num_mel_bins": 128,
        "n_window": 100,
        "output_dim": 2048,
    }
    text = {
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "vocab_size": 151_936,
        "max_position_embeddings": 32_768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [16, 24, 24]},
    }
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 2048}
    config = transformers.Qwen2_5OmniThinkerConfig(audio_config=audio, text_config=text, vision_config=vision)
    return transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)


def qwen3_1_7b() -> Any:
    """Give the configuration of Qwen3-1.7B in its published sizes, to be built on the meta device."""
    return transformers.Qwen3Config(
        hidden_size=2048,
        intermediate_size=6144,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151_936,
        max_position_embeddings=40_960,
        tie_word_embeddings=True,
    )


def _read(cls: Any, folder: str | Path) -> Any:
    if not (Path(folder) / "config.json").is_file() and not (Path(folder) / "preprocessor_config.json").is_file():
        raise CheckpointError(f"{folder} holds no model: there is no config.json; give the folder of a downloaded one")
    try:
        with quiet():
            return cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except UNREADABLE as error:
        raise CheckpointError(f"{cls.__name__} cannot be read from {folder}: {first_line(error)}") from error
