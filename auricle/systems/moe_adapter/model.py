"""The audio language model of a run: frozen encoder, dense or routed adapter, language model; its texts as tokens."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Literal

import torch
from torch import nn

from auricle.alm.adapter import FrameStack, text_rms
from auricle.alm.encoder import MelEncoder
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora
from auricle.alm.model import build_audio_lm
from auricle.alm.pretrained import load_decoder
from auricle.alm.public import qwen3_1_7b
from auricle.alm.questions import LETTERS, Form
from auricle.alm.routed import Bridge
from auricle.alm.sft import Policy, need_tokens
from auricle.alm.tokens import add_placeholder, tiny_decoder_config, train_tokenizer
from auricle.core.seed import derive
from auricle.data.worlds.events import PACES
from auricle.data.worlds.listening import TIMES
from auricle.data.worlds.recordings import DRUMS, LANGUAGES, NUMBERS
from auricle.data.worlds.tunes import CHORDS, CONTOURS, INSTRUMENTS, TEMPI_BPM
from auricle.nn.moe import MoEAdapter, dense_like
from auricle.systems.moe_adapter.config import AdapterConfig, ModelConfig, MoeAdapterConfig
from auricle.systems.moe_adapter.hearing import MEL_STRIDES, MELS, TIME_STRIDES
from auricle.systems.moe_adapter.questions import COLOURS, EVENTS, WORDINGS
from auricle.train.checkpoint import load_model

Arm = Literal["moe", "dense", "dense_active"]
MOE, DENSE = "moe", "dense"
TOKENS = "tokenizer"  # in a checkpoint's meta data: the name of the tokenizer's content
VOCABULARY = 768  # bytes, questions, and every word of the world whole
LETTER = Form(line="{option} {letter}")  # a small decoder binds letters sooner where the letter comes last


def adapter(cfg: AdapterConfig, arm: Arm, into: int, out: int, rms: float = 1.0) -> Bridge:
    """Build an arm's adapter with weights from torch's generator.

    Args:
        cfg: of the routed one.
        arm: ``moe``; ``dense`` with as many weights in all; ``dense_active`` with as many as a token meets.
        into: width of the encoder's frames.
        out: width of the language model.
        rms: of the text embeddings.
    """
    width = into if cfg.front is None else cfg.front
    routed = MoEAdapter(
        width,
        out,
        cfg.layout,
        experts=cfg.experts,
        top_k=cfg.top_k,
        hidden=cfg.hidden,
        shared_hidden=cfg.shared_hidden,
        noise=cfg.noise,
        capacity=cfg.capacity,
        losses=cfg.losses,
        balance_probabilities=cfg.probabilities,
        balance_shares=cfg.shares,
        rms=rms,
    )
    if arm == MOE:
        return Bridge(routed, into, cfg.front)
    return Bridge(dense_like(routed, "total" if arm == DENSE else "active"), into, cfg.front)


def build(cfg: MoeAdapterConfig, arm: Arm = "moe", seed: int | None = None) -> Policy:
    """Build the network of an arm with the weights that the run's seed gives; every weight wants a gradient.

    Args:
        cfg: the run's config.
        arm: see `adapter`.
        seed: of the weights; None takes the run's.

    Raises:
        ConfigError: sizes that do not fit together, or no such decoder.
        MissingWeights: `model.decoder` names weights that are not installed.
        CheckpointError: a folder that holds no causal LM.
    """
    seed = derive(cfg.seed if seed is None else seed, "weights")
    if cfg.model.decoder is None:
        tokenizer = task_tokenizer()
        text = tiny_decoder_config(tokenizer, cfg.model.dim, cfg.model.layers, cfg.model.heads, longest=512)
        place = tokenizer.convert_tokens_to_ids("<audio>")
    else:
        decoder = load_decoder(cfg.model.decoder)
        tokenizer, text = decoder.tokenizer, decoder.model
        place = add_placeholder(text, tokenizer)
    model = _model(cfg.model, arm, text, place, seed)
    lm = AudioLanguageModel(model, tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "adapter"))
        width = text.hidden_size if cfg.model.decoder is None else text.config.hidden_size
        model.projector = adapter(cfg.model.adapter, arm, model.encoder.dim, width, text_rms(lm))
    if cfg.model.lora_rank:
        wrapped = add_lora(
            model, rank=cfg.model.lora_rank, alpha=cfg.model.lora_alpha, seed=seed, whole=("encoder", "projector")
        )
        lm = AudioLanguageModel(wrapped, tokenizer)
    vocabulary = tokenizer.get_vocab()
    # a policy that wrote a token which is a whole question would write a sentence at once
    lm.banned = sorted({*lm.banned, *(vocabulary[text] for text in whole_tokens() if text in vocabulary)})
    return Policy(lm)


def bare(cfg: MoeAdapterConfig) -> Any:
    """Give the network of `paper()` without weights of its own, to be built under any device; no folder is read."""
    return _model(cfg.model, "moe", qwen3_1_7b(), 0, 0)


def _model(cfg: ModelConfig, arm: Arm, text: Any, place: int, seed: int) -> Any:
    """Put encoder, adapter and language model together; `text` is a config or a model."""
    config: Any = text.config if isinstance(text, nn.Module) else text
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder: Any = FrameStack(cfg.width, cfg.stack)
        if cfg.encoder is None:
            encoder = MelEncoder(
                MELS,
                cfg.width,
                cfg.channels,
                TIME_STRIDES,
                MEL_STRIDES,
                cfg.encoder_layers,
                dropout=cfg.dropout,
                summary=cfg.summary,
                position_heads=cfg.position_heads,
                clip_heads={name: len(classes) for name, classes in HEADS.items()},
            )
        bridge = adapter(cfg.adapter, arm, encoder.dim, config.hidden_size)
    return build_audio_lm(encoder, text, place, seed, bridge)


def load_checkpoint(folder: Path, cfg: MoeAdapterConfig, arm: Arm = "moe") -> tuple[Policy, dict[str, Any]]:
    """Read a checkpoint of a run, in eval mode, and its meta data.

    Raises:
        CheckpointError: it is not there, or damaged.
    """
    network = build(cfg, arm)
    meta = load_model(folder, network)
    need_tokens(network, meta.get(TOKENS), folder, str(cfg.model.decoder or "this version"))
    network.eval()
    return network, meta


# --- words ----------------------------------------------------------------------------------------------------------


def whole_tokens() -> list[str]:
    """Give the texts that are one token each: they never change, and one token is run sooner than ten."""
    return [*dict.fromkeys(wording.question for wording in WORDINGS.values()), LETTER.ask]


# what each auxiliary head of the stand-in tells apart; of an order the first sound and the second
HEADS: dict[str, list[str]] = {
    "number": list(dict.fromkeys(NUMBERS.values())),
    "letter": [f"letter {letter}" for letter in ascii_lowercase],
    "language": list(LANGUAGES.values()),
    "pace": list(PACES),
    "mode": list(CHORDS),
    "instrument": [*INSTRUMENTS, *(name.replace("_", " ") for name in DRUMS)],
    "tempo": list(TEMPI_BPM),
    "contour": list(CONTOURS),
    "count": list(TIMES),
    "event": list(EVENTS),
    "first": list(EVENTS),
    "second": list(EVENTS),
}


@cache
def task_tokenizer() -> Any:
    """Give the tokenizer that the world's own words make; the same at every call."""
    options = [name for own in HEADS.values() for name in own] + list(COLOURS)
    lines = [f"{name}\n" for name in options] + [f" {name}" for name in options]
    lines += [f"{one}, then {other}" for one, other in pairwise(options)]
    lines += 40 * [f"{letter}\n {letter}\n" for letter in LETTERS[:4]] + ["system\nuser\nassistant\n"]
    for wording in WORDINGS.values():
        lines += [wording.evidence, wording.naming]
    return train_tokenizer(lines * 8, VOCABULARY, whole_tokens())
