"""Clips as training has them: their texts, and what the auxiliary heads learn from the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from auricle.alm.encoder import strided
from auricle.alm.items import Batch, Items
from auricle.data.worlds.artefacts import BINS, CLIP_S, FREQUENCY_KINDS, TIME_KINDS, Artefact
from auricle.systems.ft_grpo.config import ModelConfig
from auricle.systems.ft_grpo.features import FRAMES, features_of
from auricle.systems.ft_grpo.model import chat
from auricle.systems.ft_grpo.rationale import Evidence, write, write_label
from auricle.systems.ft_grpo.rewards import Truth

if TYPE_CHECKING:
    from auricle.systems.ft_grpo.data import Item


def ready(items: Sequence[Item], model: ModelConfig, rationales: Sequence[Evidence] | None = None) -> Items:
    """Make clips ready for training.

    Args:
        items: the clips.
        model: decides features and the frames of the encoder.
        rationales: what the texts say; None takes the truth.
    """
    if rationales is None:
        rationales = [item.truth for item in items]
    frames, stride = FRAMES, 1
    for step in model.time_strides:
        frames, stride = strided(frames, step), stride * step
    rows = [targets_of(item.truth, item.artefacts or (), frames, stride * CLIP_S / FRAMES) for item in items]
    texts = [
        write(evidence) if evidence.complete else write_label(item.label)
        for evidence, item in zip(rationales, items, strict=True)
    ]
    return Items(
        [chat(text) for text in texts],
        features_of([item.wave for item in items], model.backbone),
        truths=[Truth(write_label(item.label), None if item.artefacts is None else item.truth) for item in items],
        targets={name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]},
    )


def time_reversed(given: Batch, chosen: Tensor) -> Batch:
    """Turn some clips of a batch round in time: an artefact keeps its kind, and its bin counts from the other end.

    Args:
        given: a batch.
        chosen: (B,) booleans.
    """
    bins, marked = given.targets["bin"], given.targets["artefact"]
    turned = {
        "bin": torch.where(chosen & (bins > 0), BINS + 1 - bins, bins),
        "artefact": torch.where(chosen[:, None], marked.flip(1), marked),
    }
    features = torch.where(chosen[:, None, None], given.features.flip(1), given.features)
    return replace(given, features=features, targets={**given.targets, **turned})


def targets_of(truth: Evidence, artefacts: Sequence[Artefact], frames: int, stride_s: float) -> dict[str, Any]:
    """Give the classes that the auxiliary heads have to tell for one clip.

    Args:
        truth: of the clip.
        artefacts: where exactly its artefacts lie.
        frames: of the encoder.
        stride_s: seconds from one encoder frame to the next; each is centred on a multiple of it.
    """
    marked = np.zeros(frames, np.int64)
    for artefact in artefacts:
        if artefact.domain == "time":
            first, last = (round(second / stride_s) for second in (artefact.start_s, artefact.end_s))
            marked[first : max(last, first + 1)] = 1 + TIME_KINDS.index(artefact.kind)
    return {
        "label": int(truth.label == "real"),
        "band": 0 if truth.band is None else 1 + truth.band,
        "bin": 0 if truth.bin is None else 1 + truth.bin,
        "frequency": _class(truth.frequency, FREQUENCY_KINDS),
        "time": _class(truth.time, TIME_KINDS),
        "artefact": marked,
    }


def _class(kind: str | None, kinds: Sequence[str]) -> int:
    return 1 + kinds.index(kind) if kind in kinds else 0
