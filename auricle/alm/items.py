"""What training has: conversations about clips whose features are made once, and batches of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from auricle.alm.chat import ChatRow
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.sampling import evaluating
from auricle.alm.sft import Policy, SftBatch
from auricle.core.errors import DataError
from auricle.core.seed import rng
from auricle.nn.masking import mask_from_lengths

PART = 64  # conversations at once where nothing is trained; a big batch leaves the processor's caches
POOL = 32  # batches among which conversations of like length are put together


@dataclass(frozen=True)
class Items:
    """Conversations of one split, and the clips that they are about.

    Attributes:
        chats: to learn from, each ending with the assistant's answer; or to be answered, without one.
        features: (C, T, M) what the encoder takes of each clip; half precision is enough. None for texts alone.
        lengths: valid frames of each clip, (C,); None when all are.
        clips: the clip of each conversation, None for a text alone; None when the n-th is about the n-th clip.
        truths: what rewards and measures know of each conversation.
        targets: classes for each auxiliary head of each clip: over the clip (C,), over encoder frames (C, T').
        frames: (C, A, E) what a frozen encoder makes of the clips; None where it is trained on.
    """

    chats: Sequence[ChatRow]
    features: Tensor | None = None
    lengths: Tensor | None = None
    clips: Sequence[int | None] | None = None
    truths: Sequence[Any] = ()
    targets: Mapping[str, Tensor] | None = None
    frames: Tensor | None = None

    def __post_init__(self) -> None:
        count = 0 if self.features is None else len(self.features)
        named = [None] * len(self.chats) if self.features is None and self.clips is None else self.clips
        if named is None and count != len(self.chats):
            raise DataError(f"{len(self.chats)} conversations and {count} clips; say in `clips` which clip is whose")
        if named is not None and len(named) != len(self.chats):
            raise DataError(f"{len(self.chats)} conversations and {len(named)} numbers of clips; give one for each")
        if any(one is not None and not 0 <= one < count for one in named or ()):
            raise DataError(f"a conversation is about a clip that is not there; there are clips 0 to {count - 1}")
        if self.truths and len(self.truths) != len(self.chats):
            raise DataError(f"{len(self.chats)} conversations and {len(self.truths)} truths; give one for each")

    def __len__(self) -> int:
        return len(self.chats)

    def clip(self, row: int) -> int | None:
        """Give the clip of a conversation; None for a text alone."""
        if self.features is None:
            return None
        return row if self.clips is None else self.clips[row]

    def sizes(self, row: int) -> list[int]:
        """Give the feature frames of a conversation's clip; nothing for a text alone."""
        clip = self.clip(row)
        if clip is None or self.features is None:
            return []
        return [self.features.shape[1] if self.lengths is None else int(self.lengths[clip])]

    def subset(self, rows: Sequence[int]) -> Items:
        """Keep some conversations, in the order given; clips stay where they are."""
        return replace(
            self,
            chats=[self.chats[row] for row in rows],
            clips=[self.clip(row) for row in rows],
            truths=[self.truths[row] for row in rows] if self.truths else (),
        )


@dataclass(frozen=True)
class Batch:
    """What a step gets.

    Attributes:
        rows: indices of the conversations among all.
        features: (n, T, M) of their clips, in order; n is 0 for texts alone.
        lengths: valid frames of each clip, (n,).
        targets: of the auxiliary heads.
        number: index of the batch in the run, from which a step that samples draws.
        frames: (n, A, E) of a frozen encoder; None where the encoder is trained on.
    """

    rows: list[int]
    features: Tensor
    lengths: Tensor
    targets: dict[str, Tensor] = field(default_factory=dict)
    number: int = 0
    frames: Tensor | None = None


class Batches:
    """Batches without end: every conversation at most once an epoch, in an order that seed and epoch decide.

    Args:
        items: the conversations.
        size: of a batch; what does not fill a last one is left out of the epoch.
        seed: of the order.
        lengths: tokens of each conversation, see `token_counts`: those of like length then share a batch, so that
            little is padded. None mixes them.
    """

    def __init__(self, items: Items, size: int, seed: int, lengths: Sequence[int] | None = None) -> None:
        self.items, self.size, self.seed, self.lengths = items, min(size, len(items)), seed, lengths
        self.count = max(1, len(items) // self.size)

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Give the batches of an epoch from the `start`-th on."""
        order = rng(self.seed, "batches", epoch).permutation(len(self.items)).tolist()
        cut = [order[index * self.size : (index + 1) * self.size] for index in range(self.count)]
        if self.lengths is not None:
            cut = self._alike(cut, epoch)
        for index in range(start, self.count):
            yield batch(self.items, cut[index], epoch * self.count + index)

    def _alike(self, cut: list[list[int]], epoch: int) -> list[list[int]]:
        """Sort some batches' conversations by length, cut them again, and shuffle the batches."""
        alike: list[list[int]] = []
        for first in range(0, len(cut), POOL):
            pool = sorted((row for rows in cut[first : first + POOL] for row in rows), key=self._length)
            alike += [pool[start : start + self.size] for start in range(0, len(pool), self.size)]
        return [alike[index] for index in rng(self.seed, "batch order", epoch).permutation(len(alike))]

    def _length(self, row: int) -> int:
        return 0 if self.lengths is None else self.lengths[row]


def parts(items: Items, size: int = PART) -> Iterator[Batch]:
    """Give all conversations in order, a moderate number at once."""
    for start in range(0, len(items), size):
        yield batch(items, range(start, min(start + size, len(items))))


def batch(items: Items, rows: Iterable[int], number: int = 0) -> Batch:
    """Put some conversations into a batch."""
    chosen = [int(row) for row in rows]
    clips = [clip for clip in map(items.clip, chosen) if clip is not None]
    if items.features is None or not clips:
        return Batch(chosen, torch.zeros(0, 1, 1), torch.zeros(0, dtype=torch.long), number=number)
    index = torch.tensor(clips)
    features = items.features[index].float()
    lengths = torch.full((len(clips),), features.shape[1]) if items.lengths is None else items.lengths[index]
    targets = {name: value[index] for name, value in (items.targets or {}).items()}
    return Batch(chosen, features, lengths, targets, number, None if items.frames is None else items.frames[index])


def token_counts(policy: Policy, items: Items) -> list[int]:
    """Count the tokens of each conversation, the places of its clip included."""
    return [len(policy.training_row(chat, items.sizes(row))[0]) for row, chat in enumerate(items.chats)]


def prompts(policy: Policy, items: Items, rows: Iterable[int]) -> list[list[int]]:
    """Give the tokens that ask for the answers of some conversations."""
    return [policy.prompt(items.chats[row], items.sizes(row)) for row in rows]


def sft_batch(policy: Policy, items: Items, given: Batch) -> SftBatch:
    """Give the tokens of a batch with its features."""
    made = [policy.training_row(items.chats[row], items.sizes(row)) for row in given.rows]
    features, lengths = (given.features, given.lengths) if len(given.lengths) else (None, None)
    return SftBatch([ids for ids, _ in made], [learned for _, learned in made], features, lengths)


def projected(lm: AudioLanguageModel, given: Batch) -> list[Tensor] | None:
    """Bring a batch's ready frames to the width of the language model, with gradients; None where there are none.

    Raises:
        DataError: the adapter gives fewer frames of a clip than the prompt has placeholders for it.
    """
    if given.frames is None:
        return None
    counts = torch.tensor([lm.audio_frames(int(size)) for size in given.lengths])
    frames = given.frames.float()[:, : int(counts.max())]
    made = lm.base.projector(frames, mask_from_lengths(counts.to(frames.device), frames.shape[1]))
    if made.shape[:2] != (len(counts), int(counts.max())):
        raise DataError(
            f"{int(counts.max())} placeholders for the longest clip, and {frames.shape[1]} ready frames of which the "
            f"adapter makes {made.shape[1]}; the encoder's `frames` must count what the adapter gives"
        )
    return [row[:count] for row, count in zip(made, counts.tolist(), strict=True)]


def heard(lm: AudioLanguageModel, given: Batch) -> list[Tensor]:
    """Bring the clips of a batch to the width of the language model: from ready frames, or from features."""
    if not len(given.lengths):
        return []
    ready = projected(lm, given)
    return lm.encode_audio(given.features, given.lengths).embeds if ready is None else ready


@torch.no_grad()
def with_encoder_frames(policy: Policy, items: Items) -> Items:
    """Give conversations with what the encoder makes of their clips, once for all that follows.

    Raises:
        DataError: there are no clips.
    """
    if items.features is None:
        raise DataError("there are no clips whose frames could be made")
    count = len(items.features)
    each = replace(items, chats=[ChatRow([])] * count, clips=None, truths=())
    with evaluating(policy):
        made = [policy.lm.base.encoder(part.features, part.lengths).frames for part in parts(each)]
    return replace(items, frames=torch.cat(made))
