"""Clips as training has them: features made once, texts, and what the auxiliary heads learn from the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from auricle.alm.encoder import strided
from auricle.alm.public import load_features
from auricle.alm.sampling import evaluating
from auricle.alm.sft import SftBatch
from auricle.core.run import RunFolder
from auricle.core.seed import derive, rng
from auricle.data.worlds.artefacts import BINS, CLIP_S, FREQUENCY_KINDS, TIME_KINDS, Artefact
from auricle.systems.ft_grpo import data
from auricle.systems.ft_grpo.config import FtGrpoConfig, ModelConfig
from auricle.systems.ft_grpo.data import FRAMES, Item
from auricle.systems.ft_grpo.model import Network
from auricle.systems.ft_grpo.rationale import Evidence, write, write_label
from auricle.systems.ft_grpo.rewards import Truth

REAL = write_label("real")
MADE_AT_ONCE, PART = 256, 64  # clips
KIND_WEIGHT = 4.0  # of an encoder frame with an artefact beside one without; most have none


@dataclass(frozen=True)
class Items:
    """Clips of one split.

    Attributes:
        features: (N, T, M) log-mel, half precision: what is kept is twice as much otherwise.
        texts: what SFT learns to write of each.
        truths: what the rewards know of each.
        targets: classes for each auxiliary head over the clip, (N,), and over encoder frames, (N, T').
        ids: names of the clips.
        frames: (N, A, E) what a frozen encoder makes of them; None where it is trained on.
    """

    features: Tensor
    texts: list[str]
    truths: list[Truth]
    targets: dict[str, Tensor]
    ids: list[str]
    frames: Tensor | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def lengths(self) -> Tensor:
        """Valid frames of each, (N,)."""
        return torch.full((len(self),), self.features.shape[1])

    def where(self, chosen: Sequence[int]) -> Items:
        """Keep some clips, in the order given."""
        rows = torch.as_tensor(list(chosen), dtype=torch.long)
        return Items(
            self.features[rows],
            [self.texts[i] for i in chosen],
            [self.truths[i] for i in chosen],
            {name: value[rows] for name, value in self.targets.items()},
            [self.ids[i] for i in chosen],
            None if self.frames is None else self.frames[rows],
        )


@dataclass(frozen=True)
class Batch:
    """What a step gets.

    Attributes:
        rows: places of the clips among all.
        features: (B, T, M).
        lengths: frames, (B,).
        targets: of the auxiliary heads.
        number: place of the batch in the run, from which a step that samples draws.
        frames: (B, A, E) of a frozen encoder; None where the encoder is trained on.
    """

    rows: list[int]
    features: Tensor
    lengths: Tensor
    targets: dict[str, Tensor]
    number: int
    frames: Tensor | None = None


def load(cfg: FtGrpoConfig, run: RunFolder, name: str) -> Items:
    """Make a prepared set ready for training.

    Args:
        cfg: the run's config; `data.spoiled` of the training rationales come to contradict their labels.
        run: the run folder.
        name: of the set.

    Raises:
        DataError: it was not prepared.
    """
    found = data.load(run, name)
    spoiled = cfg.data.spoiled if name == "train" else 0.0
    said = data.spoil_rationales(found, spoiled, derive(cfg.data.seed, "spoiled")) if spoiled else None
    return ready(found, cfg.model, said)


def ready(found: Sequence[Item], model: ModelConfig, said: Sequence[Evidence] | None = None) -> Items:
    """Make clips ready for training.

    Args:
        found: the clips.
        model: decides features and the frames of the encoder.
        said: what the rationales say; None takes the truth.
    """
    evidence = [item.truth for item in found] if said is None else list(said)
    frames, stride = FRAMES, 1
    for step in model.time_strides:
        frames, stride = strided(frames, step), stride * step
    rows = [targets_of(item.truth, item.artefacts or (), frames, stride * CLIP_S / FRAMES) for item in found]
    return Items(
        features_of([item.wave for item in found], model),
        [write(one) if one.complete else write_label(item.label) for one, item in zip(evidence, found, strict=True)],
        [Truth(write_label(item.label), None if item.artefacts is None else item.truth) for item in found],
        {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]},
        [item.id for item in found],
    )


def features_of(waves: Sequence[np.ndarray], model: ModelConfig) -> Tensor:
    """Give the features that a model takes, made once, in half precision.

    Args:
        waves: int16 clips of one length.
        model: a public backbone brings its own.

    Returns:
        (N, T, M) float16.
    """
    own = None if model.backbone is None else load_features(model.backbone)
    made = []
    for place in range(0, len(waves), MADE_AT_ONCE):
        part = np.stack(waves[place : place + MADE_AT_ONCE])
        given = data.features(part) if own is None else own(torch.from_numpy(part.astype(np.float32) / 32768.0))
        made.append(given.half())
    return torch.cat(made)


class Batches:
    """Batches without end: every clip once an epoch, in an order that seed and epoch decide."""

    def __init__(self, items: Items, size: int, seed: int) -> None:
        self.items, self.size, self.seed = items, min(size, len(items)), seed
        self.count = max(1, len(items) // self.size)

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Give the batches of an epoch from the `start`-th on."""
        order = rng(self.seed, "batches", epoch).permutation(len(self.items))
        for place in range(start, self.count):
            yield batch(self.items, order[place * self.size : (place + 1) * self.size], epoch * self.count + place)


def parts(items: Items, size: int = PART) -> Iterator[Batch]:
    """Give all clips in order, a moderate number at once: a big batch leaves the processor's caches."""
    for place in range(0, len(items), size):
        yield batch(items, range(place, min(place + size, len(items))))


def batch(items: Items, rows: Iterable[int], number: int = 0) -> Batch:
    """Put some clips into a batch."""
    chosen = [int(row) for row in rows]
    index = torch.tensor(chosen)
    features = items.features[index].float()
    lengths = torch.full((len(chosen),), features.shape[1])
    targets = {name: value[index] for name, value in items.targets.items()}
    return Batch(chosen, features, lengths, targets, number, None if items.frames is None else items.frames[index])


@torch.no_grad()
def heard(network: Network, items: Items) -> Items:
    """Give clips with what the network's encoder makes of them, once for all that follows."""
    with evaluating(network):
        made = [network.lm.base.encoder(part.features, part.lengths).frames for part in parts(items)]
    return replace(items, frames=torch.cat(made))


def turned(own: Batch, chosen: Tensor) -> Batch:
    """Turn some clips of a batch round in time: an artefact keeps its kind, and its bin counts from the other end.

    Args:
        own: a batch.
        chosen: (B,) booleans.
    """
    targets = dict(own.targets)
    bins = targets["bin"]
    targets["bin"] = torch.where(chosen & (bins > 0), BINS + 1 - bins, bins)
    targets["artefact"] = torch.where(chosen[:, None], targets["artefact"].flip(1), targets["artefact"])
    return replace(
        own, features=torch.where(chosen[:, None, None], own.features.flip(1), own.features), targets=targets
    )


def sft_batch(network: Network, items: Items, own: Batch) -> SftBatch:
    """Give the tokens of a batch with its features."""
    made = [network.learned(items.texts[row], own.features.shape[1]) for row in own.rows]
    return SftBatch([ids for ids, _ in made], [learned for _, learned in made], own.features, own.lengths)


def targets_of(truth: Evidence, artefacts: Sequence[Artefact], frames: int, stride_s: float) -> dict[str, Any]:
    """Give the classes that the auxiliary heads have to tell for one clip.

    Args:
        truth: of the clip.
        artefacts: where exactly its artefacts lie.
        frames: of the encoder.
        stride_s: seconds from one encoder frame to the next; each is centred on a multiple of it.
    """
    marked = np.zeros(frames, np.int64)
    for one in artefacts:
        if one.domain == "time":
            first, last = (round(second / stride_s) for second in (one.start_s, one.end_s))
            marked[first : max(last, first + 1)] = 1 + TIME_KINDS.index(one.kind)
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
    parts = {}
    for name, logits in heads.items():
        weight = None
        if logits.ndim == 3:
            weight = torch.full((logits.shape[-1],), KIND_WEIGHT, device=logits.device)
            weight[0] = 1.0
        parts[f"head/{name}"] = F.cross_entropy(logits.flatten(0, -2), targets[name].flatten(), weight=weight)
    return torch.stack(list(parts.values())).sum(), {name: value.detach() for name, value in parts.items()}
