"""Our own audio language model: encoder, projector and any causal LM of Transformers, as one `PreTrainedModel`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.alm.encoder import Encoded, MelEncoder
from auricle.alm.hf import (
    UNREADABLE,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    PreTrainedConfig,
    PreTrainedModel,
    SubConfigSpec,
)
from auricle.backbones.speech import first_line, quiet
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.nn.masking import mask_from_lengths

IGNORED = -100  # label of a token without loss, as everywhere in Transformers


class AudioLMConfig(PreTrainedConfig):  # type: ignore[misc]
    """What an `AudioLM` is built from.

    Attributes:
        text_config: of the causal LM.
        encoder: arguments of `auricle.alm.encoder.MelEncoder`; None with an encoder of the caller's.
        own_projector: the projector is the caller's.
        audio_token_id: id of the placeholder that stands for one frame of audio.
    """

    model_type = "auricle_audio_lm"
    sub_configs_defaults = {"text_config": SubConfigSpec(AutoConfig, model_type="llama")}  # noqa: RUF012

    text_config: Any = None
    encoder: dict[str, Any] | None = None
    own_projector: bool = False
    audio_token_id: int = 0


class Projector(nn.Module):
    """Encoder frames to the width of the language model: norm, two linear layers with GELU between."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(into)
        self.up, self.down = nn.Linear(into, out), nn.Linear(out, out)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Project (B, T, into) to (B, T, out); every frame by itself, so the mask (B, T) plays no part."""
        projected: Tensor = self.down(F.gelu(self.up(self.norm(x))))
        return projected


class AudioLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """Audio and text in, text out: frames of audio take the places of placeholder tokens.

    Args:
        config: of `AudioLMConfig`.
        decoder: the causal LM, taken as it is; None builds one from the config.
        encoder: taken as it is; None builds a `MelEncoder` from the config. See `build_audio_lm` for what it has to be.
        projector: the adapter between them, taken as it is; None builds a `Projector`.

    Raises:
        ConfigError: the config is of a model with parts of the caller's, and they are not given.
    """

    config_class = AudioLMConfig
    base_model_prefix = "audio_lm"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    def __init__(
        self,
        config: AudioLMConfig,
        decoder: nn.Module | None = None,
        encoder: nn.Module | None = None,
        projector: nn.Module | None = None,
    ) -> None:
        super().__init__(config)
        if (encoder is None and config.encoder is None) or (projector is None and config.own_projector):
            raise ConfigError(
                "this model was built around an encoder or an adapter of the caller's, which a folder does not hold; "
                "build it again with build_audio_lm, and read its weights with auricle.train.load_model"
            )
        arguments = dict(config.encoder or {})
        if "seekers" in arguments:  # its name in folders that an earlier version saved
            arguments["position_heads"] = arguments.pop("seekers")
        self.encoder: Any = MelEncoder(**arguments) if encoder is None else encoder
        self.decoder: Any = decoder or AutoModelForCausalLM.from_config(config.text_config, trust_remote_code=False)
        fresh = projector is None
        self.projector: Any = Projector(self.encoder.dim, config.text_config.hidden_size) if fresh else projector
        tied = getattr(self.decoder, "_tied_weights_keys", None) or {}
        self._tied_weights_keys = {f"decoder.{key}": f"decoder.{source}" for key, source in dict(tied).items()}
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave the weights alone: every module of ours starts its own, and the language model did too."""

    def get_input_embeddings(self) -> nn.Module:
        """Give the embeddings of text tokens."""
        embeddings: nn.Module = self.decoder.get_input_embeddings()
        return embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embeddings of text tokens."""
        self.decoder.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Give the output layer."""
        head: nn.Module = self.decoder.get_output_embeddings()
        return head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the output layer."""
        self.decoder.set_output_embeddings(value)

    def encode(self, features: Tensor, lengths: Tensor | None = None) -> Encoded:
        """Encode clips to the width of the language model.

        Args:
            features: (B, T, M) log-mel.
            lengths: valid frames, (B,); None when all are.
        """
        encoded = self.encoder(features, lengths)
        mask = mask_from_lengths(encoded.lengths, encoded.frames.shape[1])
        return Encoded(self.projector(encoded.frames, mask), encoded.lengths, encoded.heads)

    def embed(self, input_ids: Tensor, audio: Tensor | None) -> Tensor:
        """Give the input embeddings, with audio in the placeholders' places; see `scatter_audio`."""
        return scatter_audio(self.get_input_embeddings()(input_ids), input_ids == self.config.audio_token_id, audio)

    def forward(
        self,
        input_ids: Tensor | None = None,
        input_features: Tensor | None = None,
        feature_lengths: Tensor | None = None,
        audio_embeds: Tensor | None = None,
        audio_lengths: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        **kwargs: Any,
    ) -> Any:
        """Run the model, in the manner of every causal LM of Transformers.

        Args:
            input_ids: (B, P); a placeholder for each frame of audio.
            input_features: (N, T, M) log-mel of the N clips, in the order of their placeholders.
            feature_lengths: valid frames of each, (N,).
            audio_embeds: (N, A, D) what `encode` gave, instead of `input_features`: so a clip is encoded once for
                many prompts.
            audio_lengths: valid frames of each, (N,).
            attention_mask: (B, P) or (B, past + P), True or 1 where valid.
            position_ids: (B, P).
            past_key_values: cache of what came before.
            inputs_embeds: (B, P, D) instead of `input_ids`.
            labels: (B, P); `IGNORED` where there is no loss. They are shifted inside.
            use_cache: give a cache back.
            logits_to_keep: only of the last so many positions; 0 for all.
            **kwargs: handed to the language model.

        Raises:
            DataError: both or neither of ids and embeddings, or audio that does not fill the placeholders.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise DataError("give either input_ids or inputs_embeds")
        if input_ids is not None:
            if input_features is not None:
                encoded = self.encode(input_features, feature_lengths)
                audio_embeds, audio_lengths = encoded.frames, encoded.lengths
            flat = None if audio_embeds is None else flattened(audio_embeds, audio_lengths)
            inputs_embeds = self.embed(input_ids, flat)
        return self.decoder(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            labels=labels,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )

    def prepare_inputs_for_generation(self, input_ids: Tensor, **kwargs: Any) -> dict[str, Any]:
        """Leave the audio out once the prompt is in the cache."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(input_ids, **kwargs)
        cache = inputs.get("past_key_values")
        if cache is not None and cache.get_seq_length() > 0:
            for name in ("input_features", "feature_lengths", "audio_embeds", "audio_lengths"):
                inputs.pop(name, None)
        return inputs


def flattened(embeds: Tensor, lengths: Tensor | None) -> Tensor:
    """Put the valid frames of (N, A, D) after one another, (sum of lengths, D)."""
    if lengths is None:
        return embeds.flatten(0, 1)
    return embeds[torch.arange(embeds.shape[1], device=embeds.device) < lengths.to(embeds.device)[:, None]]


def scatter_audio(embeds: Tensor, places: Tensor, audio: Tensor | None) -> Tensor:
    """Put frames of audio into the places of the placeholders, in order.

    Args:
        embeds: (B, P, D) of the tokens.
        places: (B, P) bool, True at placeholders.
        audio: (F, D) all frames of the batch, row after row; None without audio.

    Raises:
        DataError: not as many frames as places.
    """
    wanted, given = int(places.sum()), 0 if audio is None else audio.shape[0]
    if wanted != given:
        raise DataError(
            f"{wanted} audio placeholders and {given} frames of audio; expand the placeholder of each clip to the "
            "number of its frames"
        )
    if audio is None or given == 0:
        return embeds
    return embeds.masked_scatter(places[..., None], audio.to(embeds.dtype))


def need_aligned(places: Tensor, sizes: Sequence[int]) -> None:
    """Refuse clips that end inside another row: the totals may agree where every clip is wrong.

    Args:
        places: (B, P) bool, True at placeholders.
        sizes: frames of each clip, in order.

    Raises:
        DataError: the first row whose placeholders do not end with a clip.
    """
    ends = {0, *accumulate(sizes)}
    counts = places.sum(1).tolist()
    for row, end in enumerate(accumulate(counts)):
        if end not in ends:
            raise DataError(
                f"row {row} has {counts[row]} audio placeholders, which do not end where a clip does (clips of "
                f"{', '.join(map(str, list(sizes)[:8]))} frames); write as many as each clip has frames"
            )


def build_audio_lm(
    encoder: Mapping[str, Any] | nn.Module, text: Any, audio_token_id: int, seed: int, adapter: nn.Module | None = None
) -> AudioLM:
    """Build a model with fresh weights, or around parts that have their own.

    Args:
        encoder: arguments of `auricle.alm.encoder.MelEncoder`; or a module with ``dim``, ``frames(count)`` and
            ``forward(features, lengths)`` that gives `Encoded`, such as `auricle.alm.adapter.FrameStack`.
        text: configuration of a causal LM, or the model itself, which is taken as it is.
        audio_token_id: id of the placeholder; within the vocabulary.
        seed: of the fresh weights; the global generator is left as it was.
        adapter: a module with ``forward(frames, mask)`` from (B, T, encoder's dim) and the mask (B, T) of valid frames
            to (B, T, language model's width), one frame for each; None takes a `Projector`.

    Raises:
        ConfigError: the placeholder is not in the vocabulary.
    """
    given = text if isinstance(text, nn.Module) else None
    text_config: Any = given.config if given is not None else text
    if not 0 <= audio_token_id < text_config.vocab_size:
        raise ConfigError(
            f"audio_token_id {audio_token_id} is not in a vocabulary of {text_config.vocab_size}; add the placeholder "
            "to the tokenizer and resize the embeddings first"
        )
    own = encoder if isinstance(encoder, nn.Module) else None
    config = AudioLMConfig(
        text_config=text_config.to_dict(),
        encoder=None if own is not None else _plain(encoder),
        own_projector=adapter is not None,
        audio_token_id=audio_token_id,
    )
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config, name, getattr(text_config, name, None))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AudioLM(config, given, own, adapter)
    model.generation_config.eos_token_id = config.eos_token_id
    model.generation_config.pad_token_id = config.pad_token_id
    # a placeholder that is sampled would ask for audio that is not there
    model.generation_config.suppress_tokens = [audio_token_id]
    return model


def load_audio_lm(folder: str | Path) -> AudioLM:
    """Read a model that `save_pretrained` wrote, with every weight; nothing is fetched, and no code there is run.

    Raises:
        CheckpointError: no such folder, or weights that are missing, damaged or do not fit.
    """
    if not (Path(folder) / "config.json").is_file():
        raise CheckpointError(f"{folder} holds no model: there is no config.json; give a folder of save_pretrained")
    try:
        with quiet():
            model, found = AudioLM.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, output_loading_info=True
            )
    except UNREADABLE as error:
        raise CheckpointError(f"the model in {folder} cannot be read: {first_line(error)}") from error
    for kind in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if found.get(kind):
            first = sorted(map(str, found[kind]))[:3]
            raise CheckpointError(f"the weights in {folder} do not fit: {kind.replace('_', ' ')} {', '.join(first)}")
    loaded: AudioLM = model
    return loaded


def _plain(value: Any) -> Any:
    """Turn tuples into lists, as JSON has them: a config read back is then the config written."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value
