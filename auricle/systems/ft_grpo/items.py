"""Clips as training has them: features made once, texts, and what the auxiliary heads learn from the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from auricle.alm.encoder import strided
from auricle.alm.sampling import evaluating
from auricle.alm.sft import SftBatch
from auricle.core.seed import rng
from auricle.data.worlds.artefacts import BINS, CLIP_S, FREQUENCY_KINDS, TIME_KINDS, Artefact
from auricle.systems.ft_grpo.config import ModelConfig
from auricle.systems.ft_grpo.features import FRAMES, features_of
from auricle.systems.ft_grpo.model import Network
from auricle.systems.ft_grpo.rationale import Evidence, write, write_label
from auricle.systems.ft_grpo.rewards import Truth

if TYPE_CHECKING:
    from auricle.systems.ft_grpo.data import Item

PART = 64  # clips at once; a big batch leaves the processor's caches
KIND_WEIGHT = 4.0  # of an encoder frame with an artefact beside one without; most have none


@dataclass(frozen=True)
class Items:
    """Clips of one split.

    Attributes:
        features: (N, T, M) log-mel, half precision.
        texts: what SFT learns to write of each; none where nothing is trained.
        truths: what the rewards know of each.
        targets: classes for each auxiliary head over the clip, (N,), and over encoder frames, (N, T').
        frames: (N, A, E) what a frozen encoder makes of them; None where it is trained on.
    """

    features: Tensor
    texts: Sequence[str] = ()
    truths: Sequence[Truth] = ()
    targets: dict[str, Tensor] | None = None
    frames: Tensor | None = None

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Batch:
    """What a step gets.

    Attributes:
        rows: indices of the clips among all.
        features: (B, T, M).
        lengths: frames, (B,).
        targets: of the auxiliary heads.
        number: index of the batch in the run, from which a step that samples draws.
        frames: (B, A, E) of a frozen encoder; None where the encoder is trained on.
    """

    rows: list[int]
    features: Tensor
    lengths: Tensor
    targets: dict[str, Tensor]
    number: int
    frames: Tensor | None = None


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
    return Items(
        features_of([item.wave for item in items], model.backbone),
        [
            write(evidence) if evidence.complete else write_label(item.label)
            for evidence, item in zip(rationales, items, strict=True)
        ],
        [Truth(write_label(item.label), None if item.artefacts is None else item.truth) for item in items],
        {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]},
    )


class Batches:
    """Batches without end: every clip once an epoch, in an order that seed and epoch decide."""

    def __init__(self, items: Items, size: int, seed: int) -> None:
        self.items, self.size, self.seed = items, min(size, len(items)), seed
        self.count = max(1, len(items) // self.size)

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Give the batches of an epoch from the `start`-th on."""
        order = rng(self.seed, "batches", epoch).permutation(len(self.items))
        for index in range(start, self.count):
            yield batch(self.items, order[index * self.size : (index + 1) * self.size], epoch * self.count + index)


def parts(items: Items) -> Iterator[Batch]:
    """Give all clips in order, a moderate number at once."""
    for start in range(0, len(items), PART):
        yield batch(items, range(start, min(start + PART, len(items))))


def batch(items: Items, rows: Iterable[int], number: int = 0) -> Batch:
    """Put some clips into a batch."""
    chosen = [int(row) for row in rows]
    index = torch.tensor(chosen)
    features = items.features[index].float()
    lengths = torch.full((len(chosen),), features.shape[1])
    targets = {name: value[index] for name, value in (items.targets or {}).items()}
    return Batch(chosen, features, lengths, targets, number, None if items.frames is None else items.frames[index])


@torch.no_grad()
def with_encoder_frames(network: Network, items: Items) -> Items:
    """Give clips with what the network's encoder makes of them, once for all that follows."""
    with evaluating(network):
        frames = [network.lm.base.encoder(part.features, part.lengths).frames for part in parts(items)]
    return replace(items, frames=torch.cat(frames))


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


def sft_batch(network: Network, items: Items, given: Batch) -> SftBatch:
    """Give the tokens of a batch with its features."""
    rows = [network.training_row(items.texts[row], given.features.shape[1]) for row in given.rows]
    return SftBatch([ids for ids, _ in rows], [learned for _, learned in rows], given.features, given.lengths)


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


def head_loss(heads: dict[str, Tensor], targets: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Give the sum of the heads' cross-entropies, and each.

    Args:
        heads: logits (B, K) over the clip or (B, T', K) over frames.
        targets: classes, (B,) and (B, T').
    """
    losses = {}
    for name, logits in heads.items():
        weight = None
        if logits.ndim == 3:
            weight = torch.full((logits.shape[-1],), KIND_WEIGHT, device=logits.device)
            weight[0] = 1.0
        losses[f"head/{name}"] = F.cross_entropy(logits.flatten(0, -2), targets[name].flatten(), weight=weight)
    return torch.stack(list(losses.values())).sum(), {name: value.detach() for name, value in losses.items()}
