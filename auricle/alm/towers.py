"""The audio encoders of public models: log-mel of many clips to the embeddings of all after one another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from auricle.alm.hf import transformers
from auricle.core.errors import DataError


def _encode_qwen2_audio(base: Any, features: Tensor, mask: Tensor) -> Tensor:
    """Give the embeddings of all clips after one another, (F, D)."""
    inner = base.model
    tower = inner.audio_tower
    _check_whole(features, 2 * tower.config.max_source_positions)
    places = (features.shape[-1] - 2) // 2 + 1
    sizes, counts = tower._get_feat_extract_output_lengths(mask.sum(-1))
    valid = torch.arange(places, device=mask.device) < sizes[:, None]
    like = features.new_zeros(len(features), places, 1)
    seen = transformers.masking_utils.create_bidirectional_mask(
        config=tower.config, inputs_embeds=like, attention_mask=valid.long()
    )
    made: Tensor = inner.multi_modal_projector(tower(features, attention_mask=seen).last_hidden_state)
    return made[torch.arange(made.shape[1], device=mask.device) < counts[:, None]]


def _encode_omni(base: Any, features: Tensor, mask: Tensor) -> Tensor:
    """Give the embeddings of all clips after one another, (F, D)."""
    made: Tensor = base.get_audio_features(features, feature_attention_mask=mask).last_hidden_state
    return made


def _encode_flamingo(base: Any, features: Tensor, mask: Tensor) -> Tensor:
    """Give the embeddings of all clips after one another, (F, D)."""
    _check_whole(features, 2 * base.model.audio_tower.config.max_source_positions)
    made: Tensor = base.get_audio_features(features, mask).pooler_output
    return made


def _check_whole(features: Tensor, frames: int) -> None:
    if features.shape[-1] != frames:
        raise DataError(
            f"{features.shape[-1]} frames of log-mel; this encoder takes {frames}, as its feature extractor pads them, "
            "with the valid ones in lengths"
        )


ENCODERS = {
    "qwen2_audio": _encode_qwen2_audio,
    "qwen2_5_omni_thinker": _encode_omni,
    "audioflamingo3": _encode_flamingo,
}
