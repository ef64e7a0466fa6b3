"""What a model writes about clips, and how sure it is of the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auricle.alm.sampling import evaluating, rollout
from auricle.systems.ft_grpo.config import GrpoConfig
from auricle.systems.ft_grpo.items import Batch, Items, parts
from auricle.systems.ft_grpo.model import Network

ANSWER = "<answer>"


@dataclass(frozen=True)
class Answered:
    """Answers to clips.

    Attributes:
        texts: what the model wrote of each, greedily.
        scores: higher is more bona fide, (N,).
    """

    texts: list[str]
    scores: np.ndarray


@torch.no_grad()
def greedy(network: Network, items: Items, max_new: int, batch: int = 64) -> list[str]:
    """Answer for clips with the likeliest token at each place.

    Args:
        network: the model.
        items: the clips.
        max_new: greatest number of tokens.
        batch: clips at once.
    """
    return [
        text for part in parts(items, batch) for text in _written(network, _heard(network, part), part.lengths, max_new)
    ]


@torch.no_grad()
def answer(
    network: Network,
    features: Tensor,
    lengths: Tensor,
    *,
    max_new: int,
    rationales: int = 1,
    batch: int = 64,
    sampling: GrpoConfig | None = None,
    seed: int = 0,
) -> Answered:
    """Answer for clips, and score the label given the rationale.

    The score is the log-odds of real, the probability being the mean over the greedy rationale and sampled ones; the
    label in a text follows from its own rationale alone and hardly ever doubts.

    Args:
        network: the model.
        features: (N, T, M) log-mel.
        lengths: valid frames, (N,).
        max_new: greatest number of tokens.
        rationales: how many, the greedy one among them.
        batch: clips at once.
        sampling: temperature, top-p and top-k of the others; those of training if not given.
        seed: of their draws; a clip's own do not depend on its mates, as every clip has the same ones.
    """
    texts: list[str] = []
    scores: list[Tensor] = []
    how = sampling or GrpoConfig()
    for place in range(0, len(features), batch):
        part, sizes = features[place : place + batch], lengths[place : place + batch]
        with evaluating(network):
            audio = network.hear(part, sizes)
        own = _written(network, audio, sizes, max_new)
        texts += own
        odds = [network.log_odds(part, sizes, [begun(text) for text in own], audio)]
        if rationales > 1:
            more = _written(network, audio, sizes, max_new, rationales - 1, how, seed)
            odds += [
                network.log_odds(part, sizes, [begun(text) for text in more[one :: rationales - 1]], audio)
                for one in range(rationales - 1)
            ]
        scores.append(pooled(torch.stack(odds)))
    return Answered(texts, torch.cat(scores).double().numpy())


def begun(text: str) -> str:
    """Give what a text says before its answer tag; the whole of it, and a line's end, where it has none."""
    before, tag, _ = text.partition(ANSWER)
    return before if tag else f"{text}\n"


def pooled(odds: Tensor) -> Tensor:
    """Give the log-odds of the mean probability, (K, N) to (N,); exact where probabilities are close to 0 or 1."""
    real, fake = torch.nn.functional.logsigmoid(odds), torch.nn.functional.logsigmoid(-odds)
    return real.logsumexp(0) - fake.logsumexp(0)


def _heard(network: Network, part: Batch) -> list[Tensor]:
    with evaluating(network):
        return network.hear(part.features, part.lengths) if part.frames is None else network.project(part.frames)


def _written(
    network: Network,
    audio: Sequence[Tensor],
    lengths: Tensor,
    max_new: int,
    samples: int = 1,
    how: GrpoConfig | None = None,
    seed: int = 0,
) -> Sequence[str]:
    """Write one answer, or some, to each clip; greedily without `how`."""
    lm = network.lm
    made = rollout(
        lm,
        [network.prompt(int(size)) for size in lengths],
        audio,
        samples=samples,
        max_new=max_new,
        temperature=0.0 if how is None else how.temperature,
        top_p=1.0 if how is None else how.top_p,
        top_k=0 if how is None else how.top_k,
        seed=seed,
        keys=[0] * len(lengths),
    )
    return [lm.text(row[own]) for row, own in zip(made.ids, made.mask, strict=True)]
