"""The tokens of Whisper models, and loops of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from auricle.backbones.speech import quiet
from auricle.backbones.whisper import PURPOSE, whisper_source
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.extras import require

ENGLISH = "en"
# So many tokens of nothing but one phrase, said at least so many times, are a loop.
LOOP_TOKENS, LOOP_TIMES, LOOP_PHRASE = 16, 4, 24


class Vocabulary:
    """The tokens of a Whisper model: which begin and end a text, which are never written, and what they mean.

    Args:
        model: of Transformers.
        name_or_folder: where it came from, as `load_whisper` takes it.
        revision: commit of a Hub id.

    Attributes:
        start: the first token of all.
        plain: the token that asks for no timestamps.
        end: the token after the last word.
        no_speech: the token whose probability says that nobody speaks; None where there is none.
        languages: ISO 639-1 code -> token; empty for an English model.
        heads: (layer, head) of the decoder whose attention follows the speech.
        never: 0, or minus infinity at tokens that are never written, (V,).
        never_first: the same for the first token.

    Raises:
        CheckpointError: there is no tokenizer of Whisper.
    """

    def __init__(self, model: Any, name_or_folder: str, revision: str | None) -> None:
        transformers = require("transformers", "hf", PURPOSE)
        where = whisper_source(name_or_folder, revision)
        local = Path(where).is_dir()
        try:
            with quiet():
                self.tokenizer = transformers.AutoTokenizer.from_pretrained(
                    where, revision=None if local else revision, local_files_only=local, trust_remote_code=False
                )
            known = self.tokenizer.get_vocab()
            self.start, self.plain = known["<|startoftranscript|>"], known["<|notimestamps|>"]
            self.end = known["<|endoftext|>"]
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{where} holds no tokenizer of Whisper: {error}") from error
        own, size = model.generation_config, model.config.vocab_size
        many = getattr(own, "is_multilingual", None)
        many = size >= 51_865 if many is None else many
        found = {name[2:-2]: place for name, place in known.items() if re.fullmatch(r"<\|[a-z]{2,3}\|>", name)}
        self.languages: dict[str, int] = found if many else {}
        self.task = known.get("<|transcribe|>", self.plain)
        self.no_speech = next((known[name] for name in ("<|nospeech|>", "<|nocaptions|>") if name in known), None)
        heads = getattr(own, "alignment_heads", None)
        layers, each = model.config.decoder_layers, model.config.decoder_attention_heads
        self.heads = heads or [(layer, head) for layer in range(layers // 2, layers) for head in range(each)]
        special = [place for name, place in known.items() if re.fullmatch(r"<\|.*\|>", name) and place != self.end]
        never = [*special, *range(len(known), size), *(getattr(own, "suppress_tokens", None) or ())]
        first = getattr(own, "begin_suppress_tokens", None) or ()
        self.never = torch.zeros(size).index_fill(0, torch.tensor(never, dtype=torch.long), float("-inf"))
        self.never_first = self.never.index_fill(0, torch.tensor(list(first), dtype=torch.long), float("-inf"))

    def checked(self, language: str | None) -> str | None:
        """Refuse a language that the model does not have.

        Raises:
            ConfigError: naming those that it has.
        """
        allowed = sorted(self.languages) or [ENGLISH]
        if language is not None and language not in allowed:
            raise ConfigError(f"this Whisper has no language {language!r}; it has {', '.join(allowed)}")
        return language

    def decode(self, tokens: Sequence[int]) -> str:
        """Give the text of tokens, with the space in front.

        Args:
            tokens: special ones are left out.
        """
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def prompts(self, languages: Sequence[str]) -> Tensor:
        """Give what the decoder begins with, a row for each language, (B, P).

        Args:
            languages: codes; an English model looks at their number alone.
        """
        if not self.languages:
            return torch.tensor([[self.start, self.plain]] * len(languages))
        return torch.tensor([[self.start, self.languages[name], self.task, self.plain] for name in languages])


def loop(tokens: Sequence[int]) -> int:
    """Find a loop at the end of a text: one phrase of up to 24 tokens said at least four times, 16 tokens or more.

    Args:
        tokens: the text so far.

    Returns:
        Tokens to keep: those up to the end of the first turn; 0 when there is no loop.
    """
    for size in range(1, min(LOOP_PHRASE, len(tokens) // LOOP_TIMES) + 1):
        turns = max(LOOP_TIMES, -(-LOOP_TOKENS // size))
        if len(tokens) >= turns * size:
            tail = tokens[-turns * size :]
            if all(tail[place] == tail[place % size] for place in range(size, len(tail))):
                return len(tokens) - len(tail) + size
    return 0
