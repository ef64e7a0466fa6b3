"""What stands between an encoder and a language model: stacked frames, and the contracts that an adapter keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auricle.alm.encoder import Encoded
from auricle.alm.interface import AudioLanguageModel
from auricle.core.errors import ConfigError, DataError
from auricle.nn.masking import mask_from_lengths, zero_masked

TOLERANCE = 0.1  # of the root mean square, as a part of the text's


class FrameStack(nn.Module):
    """An encoder that has nothing to learn: ready frames of another one, some of them put into one.

    The MoE-Adapter paper (2601.02967) puts four frames of Whisper into one, 12.5 a second. A last group that is not
    full is filled up with zeros.

    Args:
        width: of a ready frame.
        stack: frames that become one.

    Attributes:
        dim: width of what it gives.
    """

    def __init__(self, width: int, stack: int = 4) -> None:
        super().__init__()
        if width < 1 or stack < 1:
            raise ConfigError(f"frames of width {width}, {stack} in one; both must be 1 or more")
        self.width, self.stack, self.dim = width, stack, width * stack

    def frames(self, count: int) -> int:
        """Count the frames that so many ready ones become."""
        return -(-count // self.stack)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Encoded:
        """Stack frames (B, T, width) with their lengths (B,) to (B, T', dim).

        Raises:
            DataError: frames of another width.
        """
        if features.ndim != 3 or features.shape[-1] != self.width:
            raise DataError(f"frames of shape {tuple(features.shape)}; give (B, T, {self.width})")
        if lengths is None:
            lengths = features.new_full((len(features),), features.shape[1], dtype=torch.long)
        kept = zero_masked(features, mask_from_lengths(lengths, features.shape[1]))
        kept = nn.functional.pad(kept, (0, 0, 0, -features.shape[1] % self.stack))
        return Encoded(kept.reshape(len(kept), -1, self.dim), (lengths + self.stack - 1) // self.stack)


@torch.no_grad()
def encoded_clips(
    encoder: Any, waves: Sequence[np.ndarray | Tensor], at_once: int = 16, half: bool = True
) -> tuple[Tensor, Tensor]:
    """Give what a frozen encoder of waveforms makes of clips, once for all that follows.

    Args:
        encoder: takes (B, N) and lengths (B,), and gives frames (B, T, D) with their mask (B, T), such as
            `auricle.backbones.whisper.WhisperEncoder`.
        waves: clips (N,) at its rate.
        at_once: clips in a batch; they are put together by length.
        half: keep half precision, which halves the memory.

    Returns:
        Frames (C, T, D), zero where padded, and their number (C,): `features` and `lengths` of
        `auricle.alm.items.Items`.

    Raises:
        DataError: no clips.
    """
    if not len(waves):
        raise DataError("there are no clips to encode")
    order = sorted(range(len(waves)), key=lambda index: len(waves[index]))
    found: list[Tensor] = [torch.empty(0)] * len(waves)
    for start in range(0, len(order), at_once):
        part = order[start : start + at_once]
        given = [torch.as_tensor(waves[index], dtype=torch.float32) for index in part]
        sizes = torch.tensor([len(wave) for wave in given])
        frames, mask = encoder(nn.utils.rnn.pad_sequence(given, batch_first=True), sizes)
        for index, row, count in zip(part, frames, mask.sum(1).tolist(), strict=True):
            found[index] = row[: int(count)].half() if half else row[: int(count)].clone()
    lengths = torch.tensor([len(row) for row in found])
    return nn.utils.rnn.pad_sequence(found, batch_first=True), lengths


@torch.no_grad()
def text_rms(lm: AudioLanguageModel) -> float:
    """Give the root mean square of the embeddings of text tokens, the placeholder left out."""
    weight = lm.base.get_input_embeddings().weight.float()
    kept = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
    if lm.audio_token_id is not None:
        kept[lm.audio_token_id] = False
    return float(weight[kept].square().mean().sqrt())


@torch.no_grad()
def start_at_rms(norm: nn.Module, rms: float) -> None:
    """Let a last LayerNorm or RMSNorm start at a root mean square: its gain becomes that, its offset 0.

    An adapter whose output is many times as large as text, or as small, makes the first steps of training useless.

    Args:
        norm: the last module of an adapter.
        rms: see `text_rms`.

    Raises:
        ConfigError: not a norm with a gain.
    """
    gain = getattr(norm, "weight", None)
    if gain is None or gain.ndim != 1:
        raise ConfigError(f"{type(norm).__name__} is no norm with a gain; give the LayerNorm or RMSNorm at the end")
    gain.fill_(rms)
    if getattr(norm, "bias", None) is not None:
        norm.bias.zero_()  # type: ignore[union-attr, operator]


@torch.no_grad()
def need_text_rms(
    lm: AudioLanguageModel, features: Tensor, lengths: Tensor | None = None, tolerance: float = TOLERANCE
) -> float:
    """Refuse an adapter whose output is not of the size of text embeddings; for a model before training.

    Args:
        lm: the model.
        features: (N, T, M) of some clips.
        lengths: valid frames of each, (N,).
        tolerance: greatest deviation, as a part of the text's root mean square.

    Returns:
        The root mean square of the adapter's output.

    Raises:
        ConfigError: it is too large or too small.
    """
    made = torch.cat(lm.encode_audio(features, lengths).embeds).float()
    found, text = float(made.square().mean().sqrt()), text_rms(lm)
    if abs(found - text) > tolerance * text:
        raise ConfigError(
            f"the adapter's output has a root mean square of {found:.4g} and text embeddings have {text:.4g}; end the "
            "adapter with a norm and call start_at_rms(norm, text_rms(lm))"
        )
    return found


@torch.no_grad()
def need_frame_counts(lm: AudioLanguageModel, features: Tensor, lengths: Tensor | None = None) -> list[int]:
    """Refuse a model whose encoder and adapter give another number of frames than prompts have placeholders.

    Args:
        lm: the model.
        features: (N, T, M) of some clips, best of different lengths.
        lengths: valid frames of each, (N,).

    Returns:
        Frames of each clip.

    Raises:
        DataError: the first clip of which the numbers differ.
    """
    sizes = [features.shape[1]] * len(features) if lengths is None else lengths.tolist()
    made = [len(row) for row in lm.encode_audio(features, lengths).embeds]
    for clip, (size, given) in enumerate(zip(sizes, made, strict=True)):
        if lm.audio_frames(int(size)) != given:
            raise DataError(
                f"clip {clip} of {size} feature frames has {lm.audio_frames(int(size))} placeholders in a prompt, and "
                f"encoder and adapter make {given} frames of it; the encoder's `frames` must count these"
            )
    return made
