"""Supervised fine-tuning on the assistant's text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from auricle.alm.chat import ChatRow, training_ids
from auricle.alm.interface import AudioLanguageModel
from auricle.core.errors import DataError


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
    """A model as a module to call, for the training loop and data-parallel wrappers.

    With several processes every tensor that a job gives back has to be part of the loss, and `auricle.train.fit` has to
    be told of `unused_weights`: drop `SftLoss.heads` where no loss reads them.

    Args:
        lm: its weights are those of this module.
    """

    def __init__(self, lm: AudioLanguageModel) -> None:
        super().__init__()
        self.model = lm.model
        self.lm = lm

    def forward(self, job: Callable[[AudioLanguageModel], Any]) -> Any:
        """Do a job with the model, such as ``lambda lm: sft_loss(lm, batch)``."""
        return job(self.lm)


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
