"""How likely a model finds the options of a question: prompt and clip are run once, every option goes on from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auricle.alm.interface import AudioLanguageModel, State
from auricle.alm.questions import LETTERS
from auricle.alm.sampling import evaluating
from auricle.core.errors import ConfigError, DataError

Options = Sequence[Sequence[Sequence[int]]]  # token ids of each option of each prompt


@dataclass(frozen=True)
class OptionScores:
    """Log-probabilities of the options of N questions, in nats; K is the greatest number of options.

    Attributes:
        sums: over the tokens of each option, (N, K); -inf where a question has fewer options.
        tokens: their number, (N, K); 1 there.
    """

    sums: Tensor
    tokens: Tensor

    @property
    def means(self) -> Tensor:
        """Log-probability per token, (N, K)."""
        return self.sums / self.tokens


@torch.no_grad()
def option_scores(
    lm: AudioLanguageModel,
    prompts: Sequence[Sequence[int]],
    options: Options,
    audio: Sequence[Tensor] | None = None,
    *,
    shared: bool = True,
) -> OptionScores:
    """Score the options of questions by their likelihood after the prompt.

    Args:
        lm: the model; dropout is off during the call.
        prompts: token ids of each question, with expanded placeholders.
        options: token ids of each option of each question; let them end with an end token where one option is the
            beginning of another.
        audio: embeddings of the clips of all prompts, in order.
        shared: run each prompt once and every option from its cache; otherwise the prompt is run with each option,
            which gives the same numbers for several times the work.

    Raises:
        ConfigError: a question without options, or an empty option.
        DataError: another number of prompts than of questions.
    """
    _check(prompts, options)
    with evaluating(lm.model):
        if shared:
            return options_after(lm, lm.prefill(prompts, audio), options)
        return _with_each(lm, prompts, options, audio)


@torch.no_grad()
def options_after(lm: AudioLanguageModel, state: State, options: Options) -> OptionScores:
    """Score options that go on from a state, whose cache is used up; see `option_scores`.

    Args:
        lm: the model, in eval mode.
        state: after the prompts.
        options: token ids of each option of each question.
    """
    _check(state.mask, options)
    flat = [tokens for own in options for tokens in own]
    owner = torch.tensor([row for row, own in enumerate(options) for _ in own], device=lm.device)
    longest = max(map(len, flat))
    ids = torch.tensor([[*tokens, *[lm.pad_id] * (longest - len(tokens))] for tokens in flat], device=lm.device)
    size = torch.tensor([len(tokens) for tokens in flat], device=lm.device)
    mask = torch.arange(longest, device=lm.device) < size[:, None]
    logs, _ = lm.continued(state, owner, ids, mask)
    return _as_table(logs.sum(1), options)


def _with_each(
    lm: AudioLanguageModel, prompts: Sequence[Sequence[int]], options: Options, audio: Sequence[Tensor] | None
) -> OptionScores:
    """Run the prompt with each of its options."""
    clips = _clips_of(lm, prompts, audio)
    rows = [[*prompts[row], *tokens] for row, own in enumerate(options) for tokens in own]
    repeated = [clip for row, own in enumerate(options) for _ in own for clip in clips[row]]
    longest = max(len(tokens) for own in options for tokens in own)
    logs, _ = lm.full_logprobs(rows, repeated or None, last=longest)
    sizes = [len(tokens) for own in options for tokens in own]
    return _as_table(torch.stack([row[-size:].sum() for row, size in zip(logs, sizes, strict=True)]), options)


def _clips_of(
    lm: AudioLanguageModel, prompts: Sequence[Sequence[int]], audio: Sequence[Tensor] | None
) -> list[list[Tensor]]:
    """Give the clips of each prompt: as many as fill its placeholders."""
    left = list(audio or ())
    found: list[list[Tensor]] = []
    for prompt in prompts:
        places, own = sum(token == lm.audio_token_id for token in prompt), list[Tensor]()
        while left and sum(map(len, own)) < places:
            own.append(left.pop(0))
        found.append(own)
    return found


def _as_table(sums: Tensor, options: Options) -> OptionScores:
    """Put one number an option, after one another, into (N, K)."""
    widest = max(map(len, options))
    table = sums.new_full((len(options), widest), float("-inf"))
    tokens = torch.ones(len(options), widest, device=sums.device)
    done = 0
    for row, own in enumerate(options):
        table[row, : len(own)] = sums[done : done + len(own)]
        tokens[row, : len(own)] = torch.tensor([float(len(one)) for one in own], device=sums.device)
        done += len(own)
    return OptionScores(table, tokens)


def _check(prompts: Sequence[Sequence[int]] | Tensor, options: Options) -> None:
    if len(prompts) != len(options) or not len(options):
        raise DataError(f"{len(prompts)} prompts and options of {len(options)}; give options of each")
    if not all(own and all(own) for own in options):
        raise ConfigError("a question has no options or an empty one; each needs at least one token")


def letter_tokens(lm: AudioLanguageModel, count: int) -> list[int]:
    """Give the tokens of the first letters.

    Raises:
        ConfigError: a letter is not one token of the tokenizer.
    """
    if not 1 <= count <= len(LETTERS):
        raise ConfigError(f"{count} letters; there are 1 to {len(LETTERS)}")
    found = [lm.ids(letter) for letter in LETTERS[:count]]
    if any(len(tokens) != 1 for tokens in found):
        odd = next(LETTERS[place] for place, tokens in enumerate(found) if len(tokens) != 1)
        raise ConfigError(f"the letter {odd} is not one token of this tokenizer; read by the options' likelihood")
    return [tokens[0] for tokens in found]


@dataclass(frozen=True)
class LetterScores:
    """What a model says of the letters, as the next token after N prompts.

    Attributes:
        logs: log-probability of each letter, (N, K); -inf for letters that a question does not have.
        said: place of the letter that is the likeliest of all tokens; None where another token is, which is what a
            parser would fail on.
    """

    logs: Tensor
    said: list[int | None]


@torch.no_grad()
def letters_after(lm: AudioLanguageModel, state: State, counts: Sequence[int]) -> LetterScores:
    """Read the letters from the next token's logits; the state stays as it is.

    Args:
        lm: the model, in eval mode.
        state: after the prompts.
        counts: options of each question.

    Raises:
        ConfigError: a letter is not one token of the tokenizer.
    """
    letters = letter_tokens(lm, max(counts))
    logs = state.logits.float().log_softmax(-1)
    table = logs[:, torch.tensor(letters, device=logs.device)]
    absent = torch.arange(len(letters), device=logs.device) >= torch.tensor(list(counts), device=logs.device)[:, None]
    said: list[int | None] = []
    for token, count in zip(logs.argmax(-1).tolist(), counts, strict=True):
        said.append(letters.index(token) if token in letters[:count] else None)
    return LetterScores(table.masked_fill(absent, float("-inf")), said)
