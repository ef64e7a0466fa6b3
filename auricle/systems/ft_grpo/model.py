"""The audio language model of a run: our own small one, our encoder under a causal LM, or a public one with LoRA."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import Tensor

from auricle.alm.chat import ChatRow, prompt_ids, training_ids
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora
from auricle.alm.model import build_audio_lm
from auricle.alm.pretrained import load_decoder
from auricle.alm.public import load_public, omni_3b
from auricle.alm.sampling import label_log_odds
from auricle.alm.sft import Policy
from auricle.alm.tokens import add_placeholder, tiny_decoder_config, train_tokenizer
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import BANDS, BINS, FREQUENCY_KINDS, TIME_KINDS
from auricle.systems.ft_grpo.config import FtGrpoConfig, ModelConfig
from auricle.systems.ft_grpo.rationale import LABEL_PROMPT, LABELS, SYSTEM_PROMPT, TAGS, USER_PROMPT, words

MELS = 64
VOCABULARY = 384  # bytes, tags, prompts and every word of the findings whole
ASKED = USER_PROMPT.removeprefix("<audio>")
# What each auxiliary head tells apart; 0 is "none" (in `label`: fake).
CLIP_HEADS = {
    "label": 2, "band": BANDS + 1, "bin": BINS + 1, "frequency": len(FREQUENCY_KINDS) + 1, "time": len(TIME_KINDS) + 1
}  # fmt: skip
FRAME_HEADS = {"artefact": len(TIME_KINDS) + 1}


@cache
def task_tokenizer() -> Any:
    """Give the tokenizer that the task's own text makes; the same at every call.

    The tags are one token each. So is each of the prompts: they never change, so a model made from nothing can read
    no more out of fifty tokens than out of one, and a prompt of one token is run fifty times faster.
    """
    spoken = [f" {word}" for word in words()] + ["real\nfake\n", "system\nuser\nassistant\n"]
    return train_tokenizer(spoken * 8, VOCABULARY, [*TAGS, SYSTEM_PROMPT, LABEL_PROMPT, ASKED])


class Network(Policy):
    """The policy of a run, and its texts as tokens.

    Args:
        lm: of the model.
        system: the system prompt; `rationale.LABEL_PROMPT` for label-only training.
    """

    def __init__(self, lm: AudioLanguageModel, system: str = SYSTEM_PROMPT) -> None:
        super().__init__(lm)
        self.system = system
        self._prompts: dict[int, list[int]] = {}
        self._learned: dict[tuple[str, int], tuple[list[int], list[bool]]] = {}

    def prompt(self, frames: int) -> list[int]:
        """Give the tokens that ask about a clip of so many mel frames."""
        if frames not in self._prompts:
            counts = [self.lm.audio_frames(frames)]
            self._prompts[frames] = prompt_ids(self.lm, self._row(), counts)
        return self._prompts[frames]

    def learned(self, text: str, frames: int) -> tuple[list[int], list[bool]]:
        """Give the tokens of prompt and answer, and which of them are learned."""
        if (text, frames) not in self._learned:
            counts = [self.lm.audio_frames(frames)]
            self._learned[text, frames] = training_ids(self.lm, self._row(text), counts)
        return self._learned[text, frames]

    def hear(self, features: Tensor, lengths: Tensor) -> list[Tensor]:
        """Encode clips to the width of the language model, one (A, D) each; features (N, T, M), lengths (N,)."""
        return self.lm.encode_audio(features.float(), lengths).embeds

    def project(self, frames: Tensor) -> list[Tensor]:
        """Bring ready frames (N, A, E) of our encoder to the width of the language model, with gradients."""
        return list(self.lm.base.projector(frames))

    def log_odds(
        self,
        features: Tensor,
        lengths: Tensor,
        begun: Sequence[str] | None = None,
        audio: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Score clips: log p(real) - log p(fake) as the next word, higher for bona fide.

        Args:
            features: (N, T, M) log-mel.
            lengths: valid frames, (N,).
            begun: what the model has written so far of each answer; None asks for the label at once.
            audio: what `hear` gave of these clips, if it is there already.

        Returns:
            (N,).
        """
        begun = [""] * len(features) if begun is None else begun
        sizes = [int(size) for size in lengths]
        prompts = [
            [*self.prompt(size), *self.lm.ids(f"{text}<answer>")] for size, text in zip(sizes, begun, strict=True)
        ]
        return label_log_odds(self.lm, prompts, *LABELS, self.hear(features, lengths) if audio is None else audio)

    def _row(self, answer: str | None = None) -> ChatRow:
        said = [] if answer is None else [{"role": "assistant", "content": answer}]
        asked = [{"role": "system", "content": self.system}, {"role": "user", "content": USER_PROMPT}]
        return ChatRow([*asked, *said], ["clip"])


def build(cfg: FtGrpoConfig, system: str = SYSTEM_PROMPT) -> Network:
    """Build the model of a run with the weights that its seed gives.

    Raises:
        ConfigError: sizes that do not fit together.
        CheckpointError: `model.backbone` or `model.decoder` is no folder with such a model.
    """
    own, seed = cfg.model, derive(cfg.seed, "weights")
    if own.backbone is not None:
        model, tokenizer = load_public(own.backbone)
    else:
        model, tokenizer = _with_encoder(own, seed)
    if own.lora_rank:
        model = add_lora(model, rank=own.lora_rank, alpha=own.lora_alpha, seed=seed)
    return Network(AudioLanguageModel(model, tokenizer, banned=_prompt_tokens(tokenizer)), system)


def bare(cfg: FtGrpoConfig) -> Any:
    """Give the audio language model of a config without weights of its own, to be built under any device.

    For `paper()` that is the thinker of Qwen2.5-Omni-3B, its published sizes, with LoRA; no folder is read.
    """
    model, _ = (omni_3b(), None) if cfg.model.backbone is not None else _with_encoder(cfg.model, 0)
    return add_lora(model, rank=cfg.model.lora_rank, alpha=cfg.model.lora_alpha) if cfg.model.lora_rank else model


def _with_encoder(own: ModelConfig, seed: int) -> tuple[Any, Any]:
    """Build our encoder under the tiny decoder or under a causal LM from a folder; give it with its tokenizer."""
    encoder = {
        "n_mels": MELS, "dim": own.dim, "channels": own.channels, "time_strides": own.time_strides,
        "mel_strides": own.mel_strides, "layers": own.encoder_layers, "heads": own.heads, "dropout": own.dropout,
        "merge": own.merge, "summary": own.summary, "position_heads": own.seekers,
        "clip_heads": CLIP_HEADS, "frame_heads": FRAME_HEADS,
    }  # fmt: skip
    if own.decoder is not None:
        given = load_decoder(own.decoder)
        place = add_placeholder(given.model, given.tokenizer)
        return build_audio_lm(encoder, given.model, place, seed), given.tokenizer
    tokenizer = task_tokenizer()
    text = tiny_decoder_config(tokenizer, own.dim, own.layers, own.heads, own.hidden, longest=512)
    return build_audio_lm(encoder, text, tokenizer.convert_tokens_to_ids("<audio>"), seed), tokenizer


def _prompt_tokens(tokenizer: Any) -> list[int]:
    """Name the tokens that are whole prompts: a policy that wrote one would write a page at once."""
    known = tokenizer.get_vocab()
    return [known[text] for text in (SYSTEM_PROMPT, LABEL_PROMPT, ASKED) if text in known]
