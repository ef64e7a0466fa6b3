"""Supervised fine-tuning on the assistant's text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from auricle.alm.chat import ChatRow, prompt_ids, training_ids
from auricle.alm.interface import AudioLanguageModel
from auricle.core.errors import CheckpointError, DataError
from auricle.core.files import digest

KEPT_ROWS = 50_000  # conversations whose tokens are kept
_DECIDING = ("model", "added_tokens", "normalizer", "pre_tokenizer", "decoder")  # parts of a tokenizer


@dataclass(frozen=True)
class SftBatch:
    """Conversations to learn from.

    Attributes:
        rows: token ids of each, with expanded placeholders.
        learned: True at the tokens that are learned.
        features: (N, T, M) log-mel of their clips, in order; None without clips.
        lengths: valid frames of each clip, (N,).
    """

    rows: list[list[int]]
    learned: list[list[bool]]
    features: Tensor | None
    lengths: Tensor | None


@dataclass(frozen=True)
class SftLoss:
    """A loss and what it is the mean of.

    Attributes:
        loss: mean negative log-likelihood of the learned tokens, in nats.
        weight: their number.
        heads: logits of the encoder's auxiliary heads, for losses of the task's own.
        lengths: frames of each clip after the encoder; None without clips.
    """

    loss: Tensor
    weight: Tensor
    heads: dict[str, Tensor] = field(default_factory=dict)
    lengths: Tensor | None = None


class Policy(nn.Module):
    """A model as a module to call, for the training loop and data-parallel wrappers, and its texts as tokens.

    With several processes every tensor that a job gives back has to be part of the loss, and `auricle.train.fit` has to
    be told of `unused_weights`: drop `SftLoss.heads` where no loss reads them.

    Args:
        lm: its weights are those of this module.
    """

    def __init__(self, lm: AudioLanguageModel) -> None:
        super().__init__()
        self.model = lm.model
        self.lm = lm
        self._prompts: dict[Any, list[int]] = {}
        self._rows: dict[Any, tuple[list[int], list[bool]]] = {}

    def forward(self, job: Callable[[AudioLanguageModel], Any]) -> Any:
        """Do a job with the model, such as ``lambda lm: sft_loss(lm, batch)``."""
        return job(self.lm)

    @property
    def tokens_mark(self) -> str:
        """A name of the tokenizer's content: it comes from a folder, and decides what the weights mean."""
        own = self.lm.tokenizer
        backend = getattr(own, "backend_tokenizer", None)
        if backend is None:
            return digest([sorted(own.get_vocab().items()), own.chat_template])
        parts = json.loads(backend.to_str())
        return digest([{name: parts.get(name) for name in _DECIDING}, own.chat_template])

    def prompt(self, chat: ChatRow, frames: Sequence[int] = ()) -> list[int]:
        """Give the tokens up to where the assistant's last answer begins.

        Args:
            chat: the conversation.
            frames: feature frames of each of its clips, before the encoder.

        Raises:
            DataError: more or fewer clips than marks.
            ConfigError: no chat template.
        """
        key = _key(chat, frames)
        if key not in self._prompts:
            _make_room(self._prompts)
            self._prompts[key] = prompt_ids(self.lm, chat, [self.lm.audio_frames(size) for size in frames])
        return self._prompts[key]

    def training_row(self, chat: ChatRow, frames: Sequence[int] = ()) -> tuple[list[int], list[bool]]:
        """Give the tokens of a conversation and which of them are learned; see `auricle.alm.chat.training_ids`.

        Args:
            chat: the conversation; it ends with the assistant.
            frames: feature frames of each of its clips, before the encoder.

        Raises:
            DataError: the conversation does not end with the assistant, or clips that do not fit the marks.
            ConfigError: no chat template, or one that does not tell where an answer begins and ends.
        """
        key = _key(chat, frames)
        if key not in self._rows:
            _make_room(self._rows)
            self._rows[key] = training_ids(self.lm, chat, [self.lm.audio_frames(size) for size in frames])
        return self._rows[key]


def _key(chat: ChatRow, frames: Sequence[int]) -> tuple[Any, ...]:
    return (*((one["role"], one["content"]) for one in chat.messages), *frames)


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= KEPT_ROWS:
        kept.clear()


def need_tokens(policy: Policy, mark: str | None, where: str | Path, source: str) -> None:
    """Refuse weights that were trained with another tokenizer than that of a policy.

    Args:
        policy: that the weights are for.
        mark: its `tokens_mark` at the time of training; None where it was not kept.
        where: of the checkpoint, for the message.
        source: of the tokenizer, for the message.

    Raises:
        CheckpointError: the tokenizers differ.
    """
    if mark is not None and mark != policy.tokens_mark:
        raise CheckpointError(
            f"{where} was trained with another tokenizer than that of {source}: its tokens would mean something else. "
            "Bring back that of then, or train again"
        )


def pad_features(clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Put log-mels (T, M) into one tensor (N, T, M) with their lengths (N,)."""
    if not clips:
        raise DataError("there are no clips to put together")
    return nn.utils.rnn.pad_sequence(list(clips), batch_first=True), torch.tensor([len(clip) for clip in clips])


def collate_sft(lm: AudioLanguageModel, rows: Sequence[ChatRow], clips: Sequence[Sequence[Tensor]]) -> SftBatch:
    """Make a batch.

    Args:
        lm: gives tokens and the number of placeholders.
        rows: the conversations.
        clips: log-mels (T, M) of the clips of each conversation.

    Raises:
        DataError: no rows, or clips that do not fit the marks in the text.
        ConfigError: a chat template that does not tell what is learned.
    """
    if not rows or len(rows) != len(clips):
        raise DataError(f"{len(rows)} conversations with the clips of {len(clips)}; give one list of clips for each")
    made = [
        training_ids(lm, row, [lm.audio_frames(len(clip)) for clip in own])
        for row, own in zip(rows, clips, strict=True)
    ]
    flat = [clip for own in clips for clip in own]
    features, lengths = pad_features(flat) if flat else (None, None)
    return SftBatch([ids for ids, _ in made], [learned for _, learned in made], features, lengths)


def sft_loss(lm: AudioLanguageModel, batch: SftBatch, audio: Sequence[Tensor] | None = None) -> SftLoss:
    """Give the mean cross-entropy over the learned tokens of a batch.

    Args:
        lm: the model.
        batch: conversations.
        audio: ready-made embeddings of the clips, in order (a frozen encoder's); None encodes them here.

    Raises:
        DataError: nothing in the batch is learned.
    """
    encoded = None
    if audio is None and batch.features is not None:
        encoded = lm.encode_audio(batch.features, batch.lengths)
        audio = encoded.embeds
    # no logits are needed before the first learned token of any row
    last = max(len(own) - own.index(True) if True in own else 0 for own in batch.learned)
    if last == 0:
        raise DataError("nothing in the batch is learned: no row has a token of the assistant")
    logs, _ = lm.full_logprobs(batch.rows, audio, last=last)
    width = logs.shape[1]
    learned = torch.zeros(logs.shape, dtype=torch.bool)
    for row, own in enumerate(batch.learned):
        kept = own[1:][-width:]
        learned[row, width - len(kept) :] = torch.tensor(kept)
    learned = learned.to(logs.device)
    loss = -torch.where(learned, logs, torch.zeros_like(logs)).sum() / learned.sum()
    heads, lengths = (encoded.heads, encoded.lengths) if encoded is not None else ({}, None)
    return SftLoss(loss, learned.sum(), heads, lengths)
