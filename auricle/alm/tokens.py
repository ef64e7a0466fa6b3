"""Tokenizers and tiny decoders made from a task's own text, saved with its run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from auricle.alm.hf import UNREADABLE, PreTrainedTokenizerFast, transformers
from auricle.backbones.speech import first_line, quiet
from auricle.core.errors import CheckpointError, ConfigError, DataError

TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "tokenizer.model")
PAD, START, END, AUDIO = "<pad>", "<|im_start|>", "<|im_end|>", "<audio>"
# ChatML, the form of Qwen and SmolLM2.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(
    texts: Iterable[str], vocab_size: int = 512, extra_tokens: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on given text; any text can be written with it and read back unchanged.

    Args:
        texts: the task's own text, prompts and answers; the same text gives the same tokenizer.
        vocab_size: greatest number of tokens, at least 256 bytes and the special ones.
        extra_tokens: strings that are one token each wherever they occur, such as ``<think>``.

    Raises:
        ConfigError: a vocabulary too small for the bytes.
        DataError: no text.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    special = [PAD, START, END, AUDIO]
    least = 256 + len(special) + len(extra_tokens)
    if vocab_size < least:
        raise ConfigError(f"vocab_size {vocab_size} is too small; 256 bytes and the special tokens need {least}")
    lines = list(texts)
    if not any(lines):
        raise DataError("there is no text to train a tokenizer on")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(extra_tokens),
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in extra_tokens])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START, AUDIO],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def load_tokenizer(folder: str | Path) -> Any:
    """Read the tokenizer of a model's folder; nothing is fetched, and no code there is run.

    Raises:
        CheckpointError: there is none (Transformers would give an empty one), or it cannot be read.
    """
    if not any((Path(folder) / name).is_file() for name in TOKENIZER_FILES):
        names = ", ".join(TOKENIZER_FILES)
        raise CheckpointError(f"{folder} holds no tokenizer ({names}); give the folder of a whole model")
    try:
        with quiet():
            return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except UNREADABLE as error:
        raise CheckpointError(f"the tokenizer in {folder} cannot be read: {first_line(error)}") from error


def tiny_decoder_config(
    tokenizer: Any, dim: int = 128, layers: int = 3, heads: int = 4, hidden: int | None = None, longest: int = 1024
) -> Any:
    """Describe a small Llama with tied embeddings for a tokenizer.

    Args:
        tokenizer: gives the size of the vocabulary and the ids of padding and end.
        dim: width.
        layers: number of layers.
        heads: attention heads; divides `dim`.
        hidden: width of the feed-forward layers; None takes ``3 * dim``.
        longest: greatest number of positions.

    Raises:
        ConfigError: `dim` is not a multiple of ``2 * heads``.
    """
    if dim % (2 * heads):
        raise ConfigError(f"dim {dim} must be a multiple of twice the {heads} heads (rotary positions come in pairs)")
    return transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=dim,
        intermediate_size=3 * dim if hidden is None else hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=longest,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def add_placeholder(model: Any, tokenizer: Any, token: str = AUDIO) -> int:
    """Add the audio placeholder to a tokenizer, and a row to the embeddings of its causal LM; both are changed.

    Args:
        model: causal LM of Transformers.
        tokenizer: its tokenizer.
        token: the placeholder.

    Returns:
        Its id. A token that is there already is taken as it is.
    """
    if token not in tokenizer.get_vocab():
        tokenizer.add_special_tokens({"additional_special_tokens": [token]})
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        # the new row is never an answer and its place is always taken by audio: the mean of the others is enough
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return int(tokenizer.convert_tokens_to_ids(token))
