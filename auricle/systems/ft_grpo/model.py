"""The audio language model of a run: our own small one, our encoder under a causal LM, or a public one with LoRA."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auricle.alm.chat import ChatRow, prompt_ids, training_ids
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora
from auricle.alm.model import build_audio_lm
from auricle.alm.pretrained import load_decoder
from auricle.alm.public import load_public, need_public, omni_3b
from auricle.alm.sampling import label_log_odds
from auricle.alm.sft import Policy
from auricle.alm.tokens import add_placeholder, tiny_decoder_config, train_tokenizer
from auricle.core.errors import CheckpointError
from auricle.core.files import digest
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import BANDS, BINS, FREQUENCY_KINDS, TIME_KINDS
from auricle.systems.ft_grpo.config import FtGrpoConfig, ModelConfig
from auricle.systems.ft_grpo.features import MELS
from auricle.systems.ft_grpo.rationale import LABEL_PROMPT, LABELS, SYSTEM_PROMPT, TAGS, USER_PROMPT, words
from auricle.train.checkpoint import load_model

TOKENS = "tokenizer"  # in a checkpoint's meta data: the name of the tokenizer's content
_DECIDING = ("model", "added_tokens", "normalizer", "pre_tokenizer", "decoder")
VOCABULARY = 384  # bytes, tags, prompts and every word of the findings whole
QUESTION = USER_PROMPT.removeprefix("<audio>")
PROMPTS = (SYSTEM_PROMPT, LABEL_PROMPT, QUESTION)
# What each auxiliary head tells apart; 0 is "none" (in `label`: fake).
CLIP_HEADS = {
    "label": 2,
    "band": BANDS + 1,
    "bin": BINS + 1,
    "frequency": len(FREQUENCY_KINDS) + 1,
    "time": len(TIME_KINDS) + 1,
}
FRAME_HEADS = {"artefact": len(TIME_KINDS) + 1}


@cache
def task_tokenizer() -> Any:
    """Give the tokenizer that the task's own text makes; the same at every call.

    The tags are one token each. So is each of the prompts: they never change, so a model made from nothing can read
    no more out of fifty tokens than out of one, and a prompt of one token is run fifty times faster.
    """
    text = [f" {word}" for word in words()] + ["real\nfake\n", "system\nuser\nassistant\n"]
    return train_tokenizer(text * 8, VOCABULARY, [*TAGS, *PROMPTS])


class Network(Policy):
    """The policy of a run, and its texts as tokens.

    Args:
        lm: its model and tokenizer.
    """

    def __init__(self, lm: AudioLanguageModel) -> None:
        super().__init__(lm)
        self._prompts: dict[int, list[int]] = {}
        self._rows: dict[tuple[str, int], tuple[list[int], list[bool]]] = {}

    @property
    def tokens_mark(self) -> str:
        """A name of the tokenizer's content: it comes from a folder, and decides what the weights mean."""
        own = self.lm.tokenizer
        backend = getattr(own, "backend_tokenizer", None)
        if backend is None:
            return digest([sorted(own.get_vocab().items()), own.chat_template])
        parts = json.loads(backend.to_str())
        return digest([{name: parts.get(name) for name in _DECIDING}, own.chat_template])

    def prompt(self, frames: int) -> list[int]:
        """Give the tokens that ask about a clip of so many mel frames."""
        if frames not in self._prompts:
            self._prompts[frames] = prompt_ids(self.lm, _chat(), [self.lm.audio_frames(frames)])
        return self._prompts[frames]

    def training_row(self, text: str, frames: int) -> tuple[list[int], list[bool]]:
        """Give the tokens of prompt and answer, and which of them are learned."""
        if (text, frames) not in self._rows:
            self._rows[text, frames] = training_ids(self.lm, _chat(text), [self.lm.audio_frames(frames)])
        return self._rows[text, frames]

    def encode(self, features: Tensor, lengths: Tensor) -> list[Tensor]:
        """Encode clips to the width of the language model, one (A, D) each; features (N, T, M), lengths (N,)."""
        return self.lm.encode_audio(features.float(), lengths).embeds

    def project(self, frames: Tensor) -> list[Tensor]:
        """Bring ready frames (N, A, E) of our encoder to the width of the language model, with gradients."""
        return list(self.lm.base.projector(frames))

    def log_odds(self, audio: Sequence[Tensor], lengths: Tensor, prefixes: Sequence[str]) -> Tensor:
        """Score clips: log p(real) - log p(fake) as the next word, higher for bona fide.

        Args:
            audio: what `encode` gave of the clips.
            lengths: their mel frames, (N,).
            prefixes: what the model has written so far of each answer, up to the answer tag.

        Returns:
            (N,).
        """
        prompts = [
            [*self.prompt(int(frames)), *self.lm.ids(f"{prefix}<answer>")]
            for frames, prefix in zip(lengths, prefixes, strict=True)
        ]
        return label_log_odds(self.lm, prompts, *LABELS, audio)


def _chat(answer: str | None = None) -> ChatRow:
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": USER_PROMPT}]
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    return ChatRow(messages, ["clip"])


def build(cfg: FtGrpoConfig) -> Network:
    """Build the model of a run with the weights that its seed gives.

    Raises:
        ConfigError: sizes that do not fit together.
        CheckpointError: `model.backbone` or `model.decoder` is no folder with such a model.
    """
    seed = derive(cfg.seed, "weights")
    if cfg.model.backbone is not None:
        model, tokenizer = load_public(cfg.model.backbone)
    else:
        model, tokenizer = _with_encoder(cfg.model, seed)
    if cfg.model.lora_rank:
        model = add_lora(model, rank=cfg.model.lora_rank, alpha=cfg.model.lora_alpha, seed=seed)
    # a policy that wrote a token which is a whole prompt would write a page at once
    vocabulary = tokenizer.get_vocab()
    banned = [vocabulary[text] for text in PROMPTS if text in vocabulary]
    return Network(AudioLanguageModel(model, tokenizer, banned))


def bare(cfg: FtGrpoConfig) -> Any:
    """Give the audio language model of a config without weights of its own, to be built under any device.

    For `paper()` that is the thinker of Qwen2.5-Omni-3B, its published sizes, with LoRA; no folder is read.
    """
    model = omni_3b() if cfg.model.backbone is not None else _with_encoder(cfg.model, 0)[0]
    return add_lora(model, rank=cfg.model.lora_rank, alpha=cfg.model.lora_alpha) if cfg.model.lora_rank else model


def need_model(cfg: FtGrpoConfig) -> None:
    """Refuse a model that cannot be built, before hours of data are: sizes, folders, weights, packages.

    Raises:
        ConfigError: sizes that do not fit together, or a folder with a model of another kind.
        CheckpointError: a folder without such a model.
        MissingWeights: `model.decoder` names weights that are not installed.
    """
    if cfg.model.backbone is not None:
        need_public(cfg.model.backbone)
        return
    if cfg.model.decoder is not None:
        load_decoder(cfg.model.decoder)
    own = cfg.model.model_copy(update={"decoder": None})
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        _with_encoder(own, 0)


def load_checkpoint(folder: Path, cfg: FtGrpoConfig) -> tuple[Network, dict[str, Any]]:
    """Read a checkpoint of a run, in eval mode, and its meta data.

    Raises:
        CheckpointError: it is not there, or damaged.
    """
    network = build(cfg)
    meta = load_model(folder, network)
    if meta.get(TOKENS, network.tokens_mark) != network.tokens_mark:
        source = cfg.model.decoder or cfg.model.backbone or "this version"
        raise CheckpointError(
            f"{folder} was trained with another tokenizer than that of {source}: its tokens would mean something else. "
            "Bring back that of then, or train again"
        )
    network.eval()
    return network, meta


def _with_encoder(model: ModelConfig, seed: int) -> tuple[Any, Any]:
    """Build our encoder under the tiny decoder or under a causal LM from a folder; give it with its tokenizer."""
    encoder = {
        "n_mels": MELS,
        "dim": model.dim,
        "channels": model.channels,
        "time_strides": model.time_strides,
        "mel_strides": model.mel_strides,
        "layers": model.encoder_layers,
        "heads": model.heads,
        "dropout": model.dropout,
        "merge": model.merge,
        "summary": model.summary,
        "position_heads": model.position_heads,
        "clip_heads": CLIP_HEADS,
        "frame_heads": FRAME_HEADS,
    }
    if model.decoder is not None:
        decoder = load_decoder(model.decoder)
        placeholder = add_placeholder(decoder.model, decoder.tokenizer)
        return build_audio_lm(encoder, decoder.model, placeholder, seed), decoder.tokenizer
    tokenizer = task_tokenizer()
    text = tiny_decoder_config(tokenizer, model.dim, model.layers, model.heads, model.hidden, longest=512)
    return build_audio_lm(encoder, text, tokenizer.convert_tokens_to_ids("<audio>"), seed), tokenizer
