"""Answers of a model: batched rollouts, a set of allowed answers, and scores of labels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from auricle.alm.interface import AudioLanguageModel
from auricle.core.errors import ConfigError
from auricle.core.seed import rng


@dataclass(frozen=True)
class Rollouts:
    """Sampled answers, G rows for each prompt after one another.

    Attributes:
        ids: (n G, T) token ids, padded after the end.
        mask: (n G, T) bool, True up to and with the end token; nothing after it counts.
        logprobs: (n G, T) at the sampling temperature, before top-k and top-p; 0 where masked.
        ended: (n G,) bool, False where the limit of tokens cut the answer off.
    """

    ids: Tensor
    mask: Tensor
    logprobs: Tensor
    ended: Tensor


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Turn dropout off for a while."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


@torch.no_grad()
def rollout(
    lm: AudioLanguageModel,
    prompts: Sequence[Sequence[int]],
    audio: Sequence[Tensor] | None = None,
    *,
    samples: int = 1,
    max_new: int = 64,
    temperature: float = 0.9,
    top_p: float = 0.9,
    top_k: int = 50,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    choices: Sequence[Sequence[int]] | None = None,
) -> Rollouts:
    """Answer prompts; each is encoded and run once, then continued `samples` times together with all others.

    An answer depends on its prompt, the seed and its key alone, not on what else is in the batch.

    Args:
        lm: the model; dropout is off during the call.
        prompts: token ids, with expanded placeholders.
        audio: embeddings of the clips of all prompts, in order.
        samples: answers G to each prompt.
        max_new: greatest number of tokens of an answer, its end included.
        temperature: 0 takes the likeliest token.
        top_p: least probability that the kept tokens have together; 1 keeps all.
        top_k: kept tokens; 0 keeps all.
        seed: of the draws.
        keys: a number for each prompt, which with the seed decides its draws; None takes its place in the batch.
        choices: token ids of the allowed answers, without an end token; None allows any. With them, `logprobs` are
            those among what is allowed.

    Raises:
        ConfigError: settings out of range.
    """
    if samples < 1 or max_new < 1 or temperature < 0 or not 0 < top_p <= 1 or top_k < 0:
        raise ConfigError(
            f"samples {samples}, max_new {max_new}, temperature {temperature}, top_p {top_p}, top_k {top_k}; "
            "give samples and max_new >= 1, temperature >= 0, 0 < top_p <= 1, top_k >= 0"
        )
    draws = _draws(seed, range(len(prompts)) if keys is None else keys, samples, max_new).to(lm.device)
    allowed = None if choices is None else _Trie(choices, lm.eos_ids[0])
    rows, count = torch.arange(len(draws), device=lm.device), len(draws)
    ids = torch.full((count, max_new), lm.pad_id, device=lm.device)
    logs = torch.zeros(count, max_new, device=lm.device)
    mask = torch.zeros(count, max_new, dtype=torch.bool, device=lm.device)
    done = torch.zeros(count, dtype=torch.bool, device=lm.device)
    ends = torch.tensor(lm.eos_ids, device=lm.device)
    with evaluating(lm.model):
        state = lm.prefill(prompts, audio).fork(samples)
        for place in range(max_new):
            logits = state.logits.float()
            if allowed is not None:
                logits = allowed.only(logits, ids[rows, :place])
            token = _pick(logits, draws[rows, place], temperature, top_p, top_k)
            running = ~done[rows]
            token = torch.where(running, token, lm.pad_id)
            own = (logits / (temperature or 1.0)).log_softmax(-1).gather(-1, token[:, None])[:, 0]
            ids[rows, place], mask[rows, place] = token, running
            logs[rows, place] = torch.where(running, own, 0.0)
            done[rows] |= torch.isin(token, ends)
            left = (~done[rows]).nonzero()[:, 0]
            if len(left) == 0 or place + 1 == max_new:
                break
            if 2 * len(left) <= len(rows):  # most answers are complete: go on with the others alone
                state, token, rows = state.keep(left), token[left], rows[left]
            state = lm.step(state, token)
    length = int(mask.sum(1).max())
    return Rollouts(ids[:, :length], mask[:, :length], logs[:, :length], done)


@torch.no_grad()
def choice_logprobs(
    lm: AudioLanguageModel,
    prompts: Sequence[Sequence[int]],
    choices: Sequence[Sequence[int]],
    audio: Sequence[Tensor] | None = None,
) -> Tensor:
    """Give the log-probability of each of some answers to each prompt, which is run once for all of them.

    Args:
        lm: the model; dropout is off during the call.
        prompts: n token id lists, with expanded placeholders.
        choices: token ids of each answer; add what follows them if one is the beginning of another.
        audio: embeddings of the clips of all prompts, in order.

    Returns:
        (n, C), natural logarithms.

    Raises:
        ConfigError: no choices, or an empty one.
    """
    if not choices or not all(choices):
        raise ConfigError("give at least one choice, each with at least one token")
    longest = max(map(len, choices))
    rows = [list(choice) + [lm.pad_id] * (longest - len(choice)) for choice in choices]
    ids = torch.tensor(rows, device=lm.device).repeat(len(prompts), 1)
    size = torch.tensor([len(choice) for choice in choices], device=lm.device).repeat(len(prompts))
    mask = torch.arange(longest, device=lm.device) < size[:, None]
    with evaluating(lm.model):
        logs, _ = lm.logprobs(prompts, ids, mask, audio)
    return logs.sum(1).view(len(prompts), len(choices))


def label_log_odds(
    lm: AudioLanguageModel,
    prompts: Sequence[Sequence[int]],
    positive: str,
    negative: str,
    audio: Sequence[Tensor] | None = None,
) -> Tensor:
    """Give a continuous score: log p(positive) - log p(negative) as the next words after each prompt, (n,).

    Args:
        lm: the model.
        prompts: token ids that end where the label would begin, such as after ``<answer>``.
        positive: label for which the score is high, such as ``real``.
        negative: the other.
        audio: embeddings of the clips of all prompts, in order.
    """
    logs = choice_logprobs(lm, prompts, [lm.ids(positive), lm.ids(negative)], audio)
    return logs[:, 0] - logs[:, 1]


class _Trie:
    """The tokens that may follow what has been written, given the whole answers that are allowed."""

    def __init__(self, choices: Sequence[Sequence[int]], end: int) -> None:
        if not choices or not all(choices):
            raise ConfigError("give at least one choice, each with at least one token")
        self.end = end
        self.next: dict[tuple[int, ...], set[int]] = {}
        for choice in choices:
            whole = [*choice, end]
            for place, token in enumerate(whole):
                self.next.setdefault(tuple(whole[:place]), set()).add(token)

    def only(self, logits: Tensor, written: Tensor) -> Tensor:
        """Set all other logits (B, V) to -inf; `written` is (B, t)."""
        keep = torch.zeros_like(logits, dtype=torch.bool)
        for row, tokens in enumerate(written.tolist()):
            keep[row, list(self.next.get(tuple(tokens), {self.end}))] = True
        return logits.masked_fill(~keep, float("-inf"))


def _draws(seed: int, keys: Sequence[int], samples: int, max_new: int) -> Tensor:
    """Give uniform numbers in [0, 1) for each answer and token, (n G, max_new)."""
    drawn = [rng(seed, "rollout", int(key)).random((samples, max_new), np.float32) for key in keys]
    return torch.from_numpy(np.concatenate(drawn))


def _pick(logits: Tensor, draw: Tensor, temperature: float, top_p: float, top_k: int) -> Tensor:
    """Draw a token from each row of logits (B, V) by the inverse of the cumulative distribution."""
    if temperature == 0:
        return logits.argmax(-1)
    size = logits.shape[-1]
    kept, order = (logits / temperature).topk(min(top_k or size, size), dim=-1)
    weights = kept.softmax(-1)
    if top_p < 1:
        before = weights.cumsum(-1) - weights
        weights = weights.masked_fill(before >= top_p, 0.0)
    total = weights.cumsum(-1)
    place = torch.searchsorted(total, (draw[:, None] * total[:, -1:]), right=True)
    # a draw close to 1 may round up to the whole: take the last token that can be drawn
    last = (weights > 0).sum(-1, keepdim=True) - 1
    return order.gather(-1, place.minimum(last))[:, 0]
