"""What a model writes about clips, and how sure it is of a label after what it has written."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from auricle.alm.interface import AudioLanguageModel
from auricle.alm.items import PART, Items, heard, parts, prompts
from auricle.alm.sampling import evaluating, label_log_odds, rollout
from auricle.alm.sft import Policy

ANSWER = "<answer>"


@torch.no_grad()
def written(
    lm: AudioLanguageModel,
    asked: Sequence[Sequence[int]],
    audio: Sequence[Tensor] | None = None,
    *,
    max_new: int,
    samples: int = 1,
    temperature: float = 0.0,
    top_p: float = 0.9,
    top_k: int = 50,
    seed: int = 0,
) -> list[str]:
    """Write texts after prompts, one prompt's after one another; greedily at temperature 0.

    A prompt's texts do not depend on its mates, as every prompt has the same draws.

    Args:
        lm: the model.
        asked: token ids of the prompts, with expanded placeholders.
        audio: embeddings of their clips, in order.
        max_new: greatest number of tokens of a text.
        samples: texts after each prompt.
        temperature: 0 takes the likeliest token.
        top_p: see `auricle.alm.sampling.rollout`.
        top_k: the same.
        seed: of the draws.
    """
    drawn = rollout(
        lm,
        asked,
        audio,
        samples=samples,
        max_new=max_new,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        keys=[0] * len(asked),
    )
    return [lm.text(ids[mask]) for ids, mask in zip(drawn.ids, drawn.mask, strict=True)]


@torch.no_grad()
def greedy(policy: Policy, items: Items, max_new: int, at_once: int = PART) -> list[str]:
    """Answer conversations with the likeliest token at each place, at most `max_new` of them."""
    texts: list[str] = []
    for part in parts(items, at_once):
        with evaluating(policy):
            audio = heard(policy.lm, part)
        texts += written(policy.lm, prompts(policy, items, part.rows), audio, max_new=max_new)
    return texts


@torch.no_grad()
def explained(
    policy: Policy,
    items: Items,
    labels: tuple[str, str],
    *,
    max_new: int,
    rationales: int = 1,
    at_once: int = PART,
    temperature: float = 0.9,
    top_p: float = 0.9,
    top_k: int = 50,
    seed: int = 0,
) -> tuple[list[str], Tensor]:
    """Answer conversations, and score the label given the rationale: the greedy one and sampled ones.

    Args:
        policy: the model.
        items: conversations, each about a clip.
        labels: see `explained_odds`.
        max_new: greatest number of tokens of a text.
        rationales: texts behind a score, the greedy one among them.
        at_once: conversations in a batch.
        temperature: of the sampled ones, see `auricle.alm.sampling.rollout`.
        top_p: the same.
        top_k: the same.
        seed: of the draws; a conversation's own do not depend on its mates.

    Returns:
        The greedy texts, and the scores (N,), higher for the first label.
    """
    texts: list[str] = []
    scores: list[Tensor] = []
    for part in parts(items, at_once):
        with evaluating(policy):
            audio = heard(policy.lm, part)
        asked = prompts(policy, items, part.rows)
        found = [written(policy.lm, asked, audio, max_new=max_new)]
        texts += found[0]
        more = rationales - 1
        if more:
            sampled = written(
                policy.lm,
                asked,
                audio,
                max_new=max_new,
                samples=more,
                temperature=temperature,
                top_p=top_p,
                top_k=top_k,
                seed=seed,
            )
            found += [sampled[index::more] for index in range(more)]
        scores.append(explained_odds(policy.lm, asked, audio, found, labels))
    return texts, torch.cat(scores)


def explained_odds(
    lm: AudioLanguageModel,
    asked: Sequence[Sequence[int]],
    audio: Sequence[Tensor],
    rationales: Sequence[Sequence[str]],
    labels: tuple[str, str],
    tag: str = ANSWER,
) -> Tensor:
    """Score one label against another given rationales: the log-odds of its mean probability over them.

    The label in a text follows from its own rationale alone and hardly ever doubts; the mean over several does.

    Args:
        lm: the model.
        asked: token ids of N prompts.
        audio: embeddings of one clip each.
        rationales: K times N texts, each up to or beyond `tag`; those that are alike are scored once.
        labels: the label for which the score is high, and the other.
        tag: what comes before the label; a text without it is taken whole, with a line's end.

    Returns:
        (N,).
    """
    places: dict[tuple[int, str], int] = {}
    rows = [
        [places.setdefault((clip, prefix(text, tag)), len(places)) for clip, text in enumerate(row)]
        for row in rationales
    ]
    begun = [[*asked[clip], *lm.ids(f"{text}{tag}")] for clip, text in places]
    odds = label_log_odds(lm, begun, *labels, [audio[clip] for clip, _ in places])
    return pooled(odds[torch.tensor(rows, device=odds.device)])


def prefix(text: str, tag: str = ANSWER) -> str:
    """Give what a text says before its answer tag; the whole of it, and a line's end, where it has none."""
    before, found, _ = text.partition(tag)
    return before if found else f"{text}\n"


def pooled(odds: Tensor) -> Tensor:
    """Give the log-odds of the mean probability, (K, N) to (N,); exact where probabilities are close to 0 or 1."""
    return logsigmoid(odds).logsumexp(0) - logsigmoid(-odds).logsumexp(0)
