"""The audio language model of a run: frozen encoder, dense or routed adapter, language model; its texts as tokens."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Literal

import torch
from torch import Tensor, nn

from auricle.alm.adapter import FrameStack, text_rms
from auricle.alm.encoder import MelEncoder
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.items import Items
from auricle.alm.lora import add_lora
from auricle.alm.model import build_audio_lm
from auricle.alm.pretrained import load_decoder
from auricle.alm.public import qwen3_1_7b
from auricle.alm.questions import LETTERS, OPEN, Form
from auricle.alm.sampling import evaluating
from auricle.alm.sft import Policy, need_tokens
from auricle.alm.tokens import add_placeholder, tiny_decoder_config, train_tokenizer
from auricle.core.seed import derive
from auricle.data.worlds.events import PACES
from auricle.data.worlds.recordings import DRUMS, LANGUAGES, NUMBERS
from auricle.data.worlds.tunes import CHORDS, CONTOURS, INSTRUMENTS, TEMPI_BPM
from auricle.nn.masking import mask_from_lengths
from auricle.nn.moe import Adapted, DenseAdapter, MoEAdapter, Routing, clip_counts, dense_like
from auricle.systems.moe_adapter.config import AdapterConfig, ModelConfig, MoeAdapterConfig
from auricle.systems.moe_adapter.hearing import MEL_STRIDES, MELS, TIME_STRIDES
from auricle.systems.moe_adapter.questions import COLOURS, EVENTS, TIMES, WORDINGS
from auricle.train.checkpoint import load_model

Arm = Literal["moe", "dense", "dense_active"]
MOE, DENSE = "moe", "dense"
TOKENS = "tokenizer"  # in a checkpoint's meta data: the name of the tokenizer's content
VOCABULARY = 768  # bytes, questions, and every word of the world whole
LETTER = Form(line="{option} {letter}")  # a small decoder binds letters sooner where the letter comes last
FORMS = {"letter": LETTER, "open": OPEN}


class Bridge(nn.Module):
    """What stands between encoder and language model: a first linear layer where the paper has it, and the adapter.

    Attributes:
        last: what the adapter gave in the last call: losses and routing. Whoever needs it reads it before the next.
    """

    def __init__(self, adapter: DenseAdapter | MoEAdapter, into: int, front: int | None = None) -> None:
        super().__init__()
        self.front: nn.Module | None = None
        if front is not None:  # FOUND: LayerNorm, linear, SiLU, LayerNorm
            self.front = nn.Sequential(nn.LayerNorm(into), nn.Linear(into, front), nn.SiLU(), nn.LayerNorm(front))
        self.adapter = adapter
        self.last: Adapted | None = None

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        """Adapt frames (B, T, E) with their mask (B, T) to (B, T, D)."""
        self.last = self.adapt(frames, mask)
        return self.last.frames

    def adapt(self, frames: Tensor, mask: Tensor | None = None) -> Adapted:
        """Give frames, losses and routing, and keep nothing: for several threads at once."""
        made: Adapted = self.adapter(frames if self.front is None else self.front(frames), mask)
        return made

    @property
    def losses(self) -> dict[str, Tensor]:
        """The weighted routing losses of the last call, by name; none of a dense adapter."""
        return {} if self.last is None else self.last.losses

    @property
    def routing(self) -> Routing | None:
        """Where the tokens of the last call went; None of a dense adapter."""
        return None if self.last is None else self.last.routing


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


def bridge_of(network: Policy) -> Bridge:
    """Give the adapter of a network."""
    found: Bridge = network.lm.base.projector
    return found


@torch.no_grad()
def expert_counts(network: Policy, clips: Items, at_once: int = 64) -> Tensor:
    """Count for each clip how many of its frames went to each expert, (C, N); N is 0 of a dense adapter.

    Args:
        network: the model.
        clips: with features, or with ready frames.
        at_once: clips in a batch.
    """
    base, found = network.lm.base, []
    count = 0 if clips.features is None else len(clips.features)
    for start in range(0, count, at_once):
        rows = slice(start, min(start + at_once, count))
        lengths = torch.full((rows.stop - start,), clips.features.shape[1])  # type: ignore[union-attr]
        lengths = lengths if clips.lengths is None else clips.lengths[rows]
        if clips.frames is None:
            with evaluating(network):
                frames = base.encoder(clips.features[rows].float(), lengths).frames  # type: ignore[index]
        else:
            frames = clips.frames[rows]
        sizes = torch.tensor([network.lm.audio_frames(int(size)) for size in lengths])
        mask = mask_from_lengths(sizes, frames.shape[1])
        routing = bridge_of(network).adapt(frames, mask).routing
        found.append(torch.zeros(len(mask), 0) if routing is None else clip_counts(routing, mask))
    return torch.cat(found)


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
