"""One interface to our own audio language model and to public ones; all else in this room sees only it.

The classes differ in how a clip is encoded, in which part maps embeddings to logits and in the form of position ids.
Positions are counted here, from the mask, and given explicitly in every call: so a step continues where the prompt
ended, and Qwen2.5-Omni's own record of rope offsets, which goes stale between batches, is never read or written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from auricle.alm.cache import forked, select
from auricle.alm.hf import DynamicCache
from auricle.alm.model import need_aligned, scatter_audio
from auricle.alm.towers import ENCODERS
from auricle.core.errors import ConfigError, DataError

# The text that stands for one clip in a prompt, by model type; it holds the placeholder once.
CLIP_TEXT = {
    "auricle_audio_lm": "<audio>",
    "qwen2_audio": "<|audio_bos|><|AUDIO|><|audio_eos|>",
    "qwen2_5_omni_thinker": "<|audio_bos|><|AUDIO|><|audio_eos|>",
    "audioflamingo3": "<sound>",
}


@dataclass(frozen=True)
class Clips:
    """Clips, encoded to the width of the language model.

    Attributes:
        embeds: (A, D) of each clip.
        heads: logits of the encoder's auxiliary heads; empty for models that have none.
        lengths: frames of each clip, (N,).
    """

    embeds: list[Tensor]
    lengths: Tensor
    heads: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """A batch of texts so far, left padded.

    Attributes:
        cache: of the language model.
        mask: (B, P) bool, True where valid.
        position: position of the next token, (B,).
        logits: of the next token, (B, V); -inf for tokens that must not be sampled.
    """

    cache: Any
    mask: Tensor
    position: Tensor
    logits: Tensor

    def fork(self, samples: int) -> State:
        """Give a state in which each row stands `samples` times; this one can be forked again."""
        rows = torch.arange(len(self.mask), device=self.mask.device).repeat_interleave(samples)
        return State(forked(self.cache, rows), self.mask[rows], self.position[rows], self.logits[rows])

    def keep(self, rows: Tensor) -> State:
        """Keep these rows only; the cache is changed in place."""
        select(self.cache, rows)
        return State(self.cache, self.mask[rows], self.position[rows], self.logits[rows])


class AudioLanguageModel:
    """A model and its tokenizer: encoding clips, running prompts, log-probabilities of texts.

    Args:
        model: an `AudioLM`, Qwen2-Audio, the thinker of Qwen2.5-Omni, Audio Flamingo 3 or a text-only causal LM of
            Transformers; or any of them inside PEFT.
        tokenizer: its tokenizer.
        banned: further tokens that are never sampled. Placeholders and padding never are: a policy that writes a
            placeholder would ask for audio that is not there.

    Attributes:
        model: as given.
        audio_token_id: the placeholder; None for a text-only model.
        clip_text: text that stands for one clip in a prompt.
        eos_ids: tokens that end an answer.
        pad_id: what fills up a batch.

    Raises:
        ConfigError: a class that is not known here.
    """

    def __init__(self, model: Any, tokenizer: Any, banned: Iterable[int] = ()) -> None:
        self.model, self.tokenizer = model, tokenizer
        base = self.base
        self.kind: str = base.config.model_type
        if self.kind not in CLIP_TEXT and not hasattr(base, "lm_head"):
            raise ConfigError(
                f"{type(base).__name__} is not a model that is known here; give {', '.join(CLIP_TEXT)} or a causal LM"
            )
        self.audio_token_id: int | None = base.config.audio_token_id if self.kind in CLIP_TEXT else None
        self.clip_text = CLIP_TEXT.get(self.kind, "")
        self.eos_ids = _eos_ids(base, tokenizer)
        pad = tokenizer.pad_token_id
        self.pad_id = self.eos_ids[0] if pad is None else int(pad)
        never = {getattr(base.config, f"{name}_token_id", None) for name in ("audio", "image", "video")}
        never |= {self.pad_id, *banned} - set(self.eos_ids)
        vocabulary = base.get_input_embeddings().num_embeddings
        self.banned = sorted(int(one) for one in never if one is not None and 0 <= one < vocabulary)

    @property
    def base(self) -> Any:
        """The model without the wrapper of PEFT (its LoRA layers stay inside)."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def device(self) -> torch.device:
        """Where the embeddings are."""
        place: torch.device = self.base.get_input_embeddings().weight.device
        return place

    def ids(self, text: str) -> list[int]:
        """Give the token ids of a text, without anything added."""
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return tokens

    def text(self, ids: Sequence[int] | Tensor) -> str:
        """Give the text of token ids up to the first end token, without special tokens."""
        listed = [int(one) for one in ids]
        end = next((place for place, one in enumerate(listed) if one in self.eos_ids), len(listed))
        return str(self.tokenizer.decode(listed[:end], skip_special_tokens=True))

    def audio_frames(self, frames: int) -> int:
        """Count the embeddings, and so the placeholders, of a clip of so many mel frames."""
        if self.kind == "auricle_audio_lm":
            return int(self.base.encoder.frames(frames))
        return ((frames - 1) // 2 + 1 - 2) // 2 + 1

    def expand(self, ids: Sequence[int], counts: Sequence[int]) -> list[int]:
        """Repeat the placeholder of each clip as often as it has embeddings.

        Args:
            ids: with one placeholder for each clip.
            counts: embeddings of each clip, in order.

        Raises:
            DataError: more or fewer placeholders than clips.
        """
        given = sum(one == self.audio_token_id for one in ids)
        if given != len(counts):
            raise DataError(f"{given} audio placeholders in a prompt with {len(counts)} clips; write one for each clip")
        left = iter(counts)
        return [new for one in ids for new in ([one] * next(left) if one == self.audio_token_id else [one])]

    def encode_audio(self, features: Tensor, lengths: Tensor | None = None) -> Clips:
        """Encode clips, to be used for any number of prompts.

        Args:
            features: (N, T, M) log-mel of the kind that the model was made for. Qwen2-Audio and Audio Flamingo 3 take
                T as their feature extractor pads it, and no other.
            lengths: valid frames of each clip, (N,); None when all are.

        Raises:
            DataError: a text-only model, or frames that the encoder does not take.
        """
        if self.audio_token_id is None:
            raise DataError(f"{type(self.base).__name__} is a language model without an audio encoder")
        features = features.to(self.device)
        if lengths is None:
            lengths = torch.full((len(features),), features.shape[1])
        lengths = lengths.to(self.device)
        if self.kind == "auricle_audio_lm":
            made = self.base.encode(features, lengths)
            rows = [row[:size] for row, size in zip(made.frames, made.lengths.tolist(), strict=True)]
            return Clips(rows, made.lengths, made.heads)
        mask = torch.arange(features.shape[1], device=features.device) < lengths[:, None]
        counts = torch.tensor([self.audio_frames(int(size)) for size in lengths])
        flat = ENCODERS[self.kind](self.base, features.transpose(1, 2), mask.long())
        return Clips(list(torch.split(flat, counts.tolist())), counts)

    def prefill(self, prompts: Sequence[Sequence[int]], audio: Sequence[Tensor] | None = None) -> State:
        """Run prompts, each once.

        Args:
            prompts: token ids of each, with expanded placeholders.
            audio: embeddings of the clips of all prompts, in order.

        Returns:
            The state after the prompts. Gradients go through it.

        Raises:
            DataError: an empty prompt, or audio that does not fill the placeholders.
        """
        ids, mask = self._left_padded(prompts)
        position = (mask.long().cumsum(1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._text_config)
        logits = self._run(self._embed(ids, audio), mask, position, cache, keep=1)[:, -1]
        return State(cache, mask, mask.sum(1), self._allowed(logits))

    def step(self, state: State, tokens: Tensor) -> State:
        """Append one token to each row, (B,); the cache is changed in place."""
        mask = torch.cat([state.mask, state.mask.new_ones(len(tokens), 1)], dim=1)
        embeds = self.base.get_input_embeddings()(tokens[:, None])
        logits = self._run(embeds, mask, state.position[:, None], state.cache, keep=1)[:, -1]
        return replace(state, mask=mask, position=state.position + 1, logits=self._allowed(logits))

    def logprobs(
        self,
        prompts: Sequence[Sequence[int]],
        completions: Tensor,
        mask: Tensor,
        audio: Sequence[Tensor] | None = None,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """Give the log-probabilities of completions; a prompt is run once for all of its own.

        Args:
            prompts: n token id lists, with expanded placeholders.
            completions: (n G, T) token ids, G rows for each prompt after one another.
            mask: (n G, T) bool, True at tokens of the completion, its end token included.
            audio: embeddings of the clips of all prompts, in order.
            temperature: of the distribution.

        Returns:
            Log-probabilities (n G, T), with gradients, and the entropy of the distributions (n G, T), without; both
            are 0 where masked.

        Raises:
            DataError: shapes that do not fit.
            ConfigError: gradient checkpointing is on, which does not go with a cache.
        """
        if completions.shape != mask.shape or not prompts or len(completions) % len(prompts):
            raise DataError(
                f"completions {tuple(completions.shape)} and mask {tuple(mask.shape)} for {len(prompts)} prompts; "
                "give the same number of rows for each prompt"
            )
        if any(part.training and getattr(part, "gradient_checkpointing", False) for part in self.base.modules()):
            raise ConfigError("a shared prompt needs the cache, which gradient checkpointing turns off; disable it")
        samples = len(completions) // len(prompts)
        state = self.prefill(prompts, audio)
        rows = torch.arange(len(prompts), device=completions.device).repeat_interleave(samples)
        first = state.logits.repeat_interleave(samples, 0)
        return self._continued(replace(state, logits=first), rows, completions, mask, temperature)

    def continued(self, state: State, rows: Tensor, completions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Give the log-probabilities of completions, each of which goes on from a row of a state.

        Args:
            state: of P prompts; its cache is used up.
            rows: the prompt of each completion, (n,).
            completions: (n, T) token ids.
            mask: (n, T) bool, True at tokens of the completion.

        Returns:
            As `logprobs`.
        """
        return self._continued(replace(state, logits=state.logits[rows]), rows, completions, mask, 1.0)

    def _continued(
        self, state: State, rows: Tensor, completions: Tensor, mask: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """Go on from rows of a state, whose logits are those of the completions already."""
        logits = state.logits[:, None]
        if completions.shape[1] > 1:
            # in place in the cache's own list of layers, not in its tensors: gradients go through
            state.cache.reorder_cache(rows)
            embeds = self.base.get_input_embeddings()(completions[:, :-1])
            position = state.position[rows][:, None] + torch.arange(completions.shape[1] - 1, device=rows.device)
            seen = torch.cat([state.mask[rows], mask[:, :-1]], dim=1)
            more = self._allowed(self._run(embeds, seen, position, state.cache, keep=0))
            logits = torch.cat([logits, more], dim=1)
        return _chosen(logits, completions, mask, temperature)

    def full_logprobs(
        self,
        rows: Sequence[Sequence[int]],
        audio: Sequence[Tensor] | None = None,
        temperature: float = 1.0,
        last: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Give the log-probability of every token of whole texts given what is before it, without sharing anything.

        Args:
            rows: token ids, with expanded placeholders.
            audio: embeddings of the clips, in order.
            temperature: of the distribution.
            last: only of so many tokens at the end, which saves the logits of the others; None for all.

        Returns:
            Log-probabilities (B, min(P - 1, last)) of all tokens but each row's first, left padded; 0 where there is
            no token, -inf at placeholders. And the mask of the same shape.
        """
        ids, mask = self._left_padded(rows)
        tail = ids.shape[1] - 1 if last is None else min(last, ids.shape[1] - 1)
        position = (mask.long().cumsum(1) - 1).clamp(min=0)
        logits = self._allowed(self._run(self._embed(ids, audio), mask, position, None, keep=tail + 1))[:, :-1]
        valid = (mask[:, 1:] & mask[:, :-1])[:, -tail:]
        return _chosen(logits, ids[:, -tail:], valid, temperature)[0], valid

    @property
    def _text_config(self) -> Any:
        config = self.base.config
        return getattr(config, "text_config", config)

    def _left_padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Give ids and mask, (B, P) each."""
        if not rows or not all(rows):
            raise DataError("an empty prompt; every prompt needs at least one token")
        longest = max(map(len, rows))
        ids = torch.tensor([[self.pad_id] * (longest - len(row)) + list(row) for row in rows], device=self.device)
        size = torch.tensor([len(row) for row in rows], device=self.device)
        return ids, torch.arange(longest, device=self.device) >= longest - size[:, None]

    def _embed(self, ids: Tensor, audio: Sequence[Tensor] | None) -> Tensor:
        embeds: Tensor = self.base.get_input_embeddings()(ids)
        if self.audio_token_id is None:
            return embeds
        places = ids == self.audio_token_id
        made = scatter_audio(embeds, places, torch.cat(list(audio)) if audio else None)
        need_aligned(places, [len(clip) for clip in audio or ()])
        return made

    def _allowed(self, logits: Tensor) -> Tensor:
        """Take away the tokens that must not be sampled; everywhere alike, or the ratio of GRPO would not be 1."""
        if not self.banned:
            return logits
        never = torch.tensor(self.banned, device=logits.device)
        return logits.index_fill(-1, never, float("-inf"))

    def _run(self, embeds: Tensor, mask: Tensor, position: Tensor, cache: Any, keep: int) -> Tensor:
        """Map embeddings to the logits of the last `keep` places, or of all when it is 0."""
        base = self.base
        if self.kind == "qwen2_5_omni_thinker":  # time, height and width; the three are one for audio and text
            position = position.expand(3, *position.shape)
        given: dict[str, Any] = {"inputs_embeds": embeds, "attention_mask": mask.long(), "position_ids": position}
        given |= {"past_key_values": cache, "use_cache": cache is not None}
        if self.kind in ENCODERS:
            # Transformers before 5.23 has Omni's language model where the others have what holds it
            hidden = getattr(base.model, "language_model", base.model)(**given).last_hidden_state
            logits: Tensor = base.lm_head(hidden[:, -keep:] if keep else hidden)
            return logits
        decoder = base.decoder if self.kind == "auricle_audio_lm" else base
        kept: Tensor = decoder(**given, logits_to_keep=keep).logits
        return kept


def _chosen(logits: Tensor, tokens: Tensor, mask: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Give log-probabilities of the tokens and entropies of the distributions, (B, T) each, 0 where masked."""
    logs = (logits.float() / temperature).log_softmax(-1)
    with torch.no_grad():
        entropy = torch.special.entr(logs.exp()).sum(-1).masked_fill(~mask, 0.0)
    # a masked place may hold a banned token, whose -inf would turn into NaN in the gradient
    own = logs.gather(-1, tokens[..., None])[..., 0]
    return torch.where(mask, own, torch.zeros_like(own)), entropy


def _eos_ids(base: nn.Module, tokenizer: Any) -> tuple[int, ...]:
    """Collect the tokens that end an answer."""
    found: list[int] = []
    for given in (getattr(base, "generation_config", None), tokenizer):
        own = getattr(given, "eos_token_id", None)
        found += [] if own is None else [own] if isinstance(own, int) else list(own)
    if not found:
        raise ConfigError("neither the model nor the tokenizer names a token that ends an answer (eos_token_id)")
    return tuple(dict.fromkeys(found))
