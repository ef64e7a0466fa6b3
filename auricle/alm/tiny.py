"""Small random builds of the public audio language models, of the real classes: for tests, and to try a setup out."""

from __future__ import annotations

from typing import Any

import torch

from auricle.alm.hf import transformers
from auricle.backbones.speech import quiet
from auricle.core.errors import ConfigError

TINY_KINDS = ("qwen2_audio", "qwen2_5_omni_thinker", "audioflamingo3")
N_MELS, FRAMES, DIM = 16, 40, 32
# Names of the placeholders in the tokenizers of these models.
PLACEHOLDERS = {"qwen2_audio": "<|AUDIO|>", "qwen2_5_omni_thinker": "<|AUDIO|>", "audioflamingo3": "<sound>"}


def tiny_public_model(kind: str, tokenizer: Any, seed: int = 0) -> Any:
    """Build a small model of a public class with random weights, 32 wide, for 16 mel bins and 40 frames.

    Args:
        kind: one of `TINY_KINDS`.
        tokenizer: gets the placeholder of the kind if it has none.
        seed: of the weights; the global generator is left as it was.

    Raises:
        ConfigError: no such kind.
    """
    if kind not in TINY_KINDS:
        raise ConfigError(f"there is no tiny audio language model {kind!r}; kinds: {', '.join(TINY_KINDS)}")
    tokenizer.add_special_tokens({"additional_special_tokens": [PLACEHOLDERS[kind], "<|audio_bos|>", "<|audio_eos|>"]})
    place = tokenizer.convert_tokens_to_ids(PLACEHOLDERS[kind])
    text = {
        "hidden_size": DIM,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 512,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    audio = {
        "d_model": DIM,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "num_mel_bins": N_MELS,
        "max_source_positions": FRAMES // 2,
    }
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        if kind == "qwen2_audio":
            config = transformers.Qwen2AudioConfig(
                audio_config=audio, text_config={"model_type": "qwen2", **text}, audio_token_index=place
            )
            model = transformers.Qwen2AudioForConditionalGeneration(config)
        elif kind == "audioflamingo3":
            audio = {
                "hidden_size": DIM,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 64,
                "num_mel_bins": N_MELS,
                "max_source_positions": FRAMES // 2,
            }
            config = transformers.AudioFlamingo3Config(
                audio_config=audio, text_config={"model_type": "qwen2", **text}, audio_token_id=place
            )
            model = transformers.AudioFlamingo3ForConditionalGeneration(config)
        else:
            model = _omni(text, audio, tokenizer, place)
    for name in ("eos_token_id", "pad_token_id"):
        setattr(model.generation_config, name, text[name])
    return model.eval()


def _omni(text: dict[str, Any], audio: dict[str, Any], tokenizer: Any, place: int) -> Any:
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": DIM}
    config = transformers.Qwen2_5OmniThinkerConfig(
        audio_config=audio | {"output_dim": DIM, "n_window": 8},
        text_config=text | {"rope_parameters": rope},
        vision_config=vision,
        audio_token_index=place,
        # no picture is ever given; ids that the text cannot hold
        image_token_index=len(tokenizer) + 1,
        video_token_index=len(tokenizer) + 2,
        vision_start_token_id=len(tokenizer) + 3,
        audio_start_token_id=tokenizer.convert_tokens_to_ids("<|audio_bos|>"),
        audio_end_token_id=tokenizer.convert_tokens_to_ids("<|audio_eos|>"),
    )
    return transformers.Qwen2_5OmniThinkerForConditionalGeneration(config)
