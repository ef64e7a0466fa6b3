"""The audio language model of a run: our own small one, our encoder under a causal LM, or a public one with LoRA."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from auricle.alm.chat import ChatRow
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora
from auricle.alm.model import build_audio_lm
from auricle.alm.pretrained import load_decoder
from auricle.alm.public import load_public, need_public, omni_3b
from auricle.alm.sft import Policy, need_tokens
from auricle.alm.tokens import add_placeholder, tiny_decoder_config, train_tokenizer
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import BANDS, BINS, FREQUENCY_KINDS, TIME_KINDS
from auricle.systems.ft_grpo.config import FtGrpoConfig, ModelConfig
from auricle.systems.ft_grpo.features import MELS
from auricle.systems.ft_grpo.rationale import LABEL_PROMPT, SYSTEM_PROMPT, TAGS, USER_PROMPT, words
from auricle.train.checkpoint import load_model

TOKENS = "tokenizer"  # in a checkpoint's meta data: the name of the tokenizer's content
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


def chat(answer: str | None = None) -> ChatRow:
    """Ask about a clip, and answer."""
    messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": USER_PROMPT}]
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    return ChatRow(messages, ["clip"])


def build(cfg: FtGrpoConfig) -> Policy:
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
    return Policy(AudioLanguageModel(model, tokenizer, banned))


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


def load_checkpoint(folder: Path, cfg: FtGrpoConfig) -> tuple[Policy, dict[str, Any]]:
    """Read a checkpoint of a run, in eval mode, and its meta data.

    Raises:
        CheckpointError: it is not there, or damaged.
    """
    network = build(cfg)
    meta = load_model(folder, network)
    source = cfg.model.decoder or cfg.model.backbone or "this version"
    need_tokens(network, meta.get(TOKENS), folder, str(source))
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
