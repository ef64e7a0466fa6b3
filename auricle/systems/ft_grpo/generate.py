"""What a model writes about clips, and how sure it is of the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auricle.alm.sampling import evaluating, rollout
from auricle.systems.ft_grpo.config import EvalConfig, GrpoConfig
from auricle.systems.ft_grpo.items import Items, parts
from auricle.systems.ft_grpo.model import Network

ANSWER = "<answer>"
SAMPLING = GrpoConfig()  # temperature, top-p and top-k of the further rationales


@dataclass(frozen=True)
class Generations:
    """What a model writes about clips.

    Attributes:
        texts: of each clip, greedily.
        scores: higher is more bona fide, (N,).
    """

    texts: list[str]
    scores: np.ndarray


@torch.no_grad()
def greedy(network: Network, items: Items, max_new: int) -> list[str]:
    """Write about clips with the likeliest token at each place, at most `max_new` of them."""
    texts: list[str] = []
    for part in parts(items):
        with evaluating(network):
            ready = part.frames
            audio = network.encode(part.features, part.lengths) if ready is None else network.project(ready)
        texts += _written(network, audio, part.lengths, max_new)
    return texts


@torch.no_grad()
def generate(network: Network, features: Tensor, how: EvalConfig, seed: int) -> Generations:
    """Write about clips, and score the label given the rationale.

    The score is the log-odds of real, the probability being the mean over the greedy rationale and sampled ones; the
    label in a text follows from its own rationale alone and hardly ever doubts.

    Args:
        network: the model.
        features: (N, T, M) log-mel.
        how: tokens, clips at once, and how many rationales, the greedy one among them.
        seed: of the sampled rationales; a clip's own do not depend on its mates, as every clip has the same draws.
    """
    texts: list[str] = []
    scores: list[Tensor] = []
    for start in range(0, len(features), how.batch):
        part = features[start : start + how.batch]
        lengths = torch.full((len(part),), part.shape[1])
        with evaluating(network):
            audio = network.encode(part, lengths)
        rationales = [_written(network, audio, lengths, how.max_new)]
        texts += rationales[0]
        more = how.rationales - 1
        if more:
            sampled = _written(network, audio, lengths, how.max_new, more, SAMPLING.temperature, seed)
            rationales += [sampled[index::more] for index in range(more)]
        scores.append(pooled(_odds(network, audio, lengths, rationales)))
    return Generations(texts, torch.cat(scores).double().numpy())


def _odds(network: Network, audio: Sequence[Tensor], lengths: Tensor, rationales: Sequence[Sequence[str]]) -> Tensor:
    """Score each clip after each of its rationales, (K, N); most are alike, and what is alike is scored once."""
    places: dict[tuple[int, str], int] = {}
    rows = [
        [places.setdefault((clip, prefix(text)), len(places)) for clip, text in enumerate(row)] for row in rationales
    ]
    clips = [clip for clip, _ in places]
    odds = network.log_odds([audio[clip] for clip in clips], lengths[clips], [text for _, text in places])
    return odds[torch.tensor(rows, device=odds.device)]


def prefix(text: str) -> str:
    """Give what a text says before its answer tag; the whole of it, and a line's end, where it has none."""
    before, tag, _ = text.partition(ANSWER)
    return before if tag else f"{text}\n"


def pooled(odds: Tensor) -> Tensor:
    """Give the log-odds of the mean probability, (K, N) to (N,); exact where probabilities are close to 0 or 1."""
    real, fake = torch.nn.functional.logsigmoid(odds), torch.nn.functional.logsigmoid(-odds)
    return real.logsumexp(0) - fake.logsumexp(0)


def _written(
    network: Network,
    audio: Sequence[Tensor],
    lengths: Tensor,
    max_new: int,
    samples: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[str]:
    """Write so many texts about each clip, one clip's after one another; greedily at temperature 0."""
    drawn = rollout(
        network.lm,
        [network.prompt(int(frames)) for frames in lengths],
        audio,
        samples=samples,
        max_new=max_new,
        temperature=temperature,
        top_p=SAMPLING.top_p,
        top_k=SAMPLING.top_k,
        seed=seed,
        keys=[0] * len(lengths),
    )
    return [network.lm.text(ids[mask]) for ids, mask in zip(drawn.ids, drawn.mask, strict=True)]
