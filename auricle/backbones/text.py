"""Sentences to embeddings: all-MiniLM-L6-v2, whose weights come in a package (Apache-2.0)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from auricle.backbones.speaker.state import read_state
from auricle.backbones.speech import quiet
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.extras import require, require_weights
from auricle.core.files import read_json

PURPOSE = "A sentence encoder"
LONGEST = 256  # tokens of a text that are read
HINT = "the folder that comes with: auricle models add minilm"
# A head that is in the file and never used: the embedding is a mean over tokens.
UNUSED = ("embeddings.position_ids",)


class SentenceEncoder:
    """Sentences to embeddings whose cosine says how alike their meanings are.

    Args:
        folder: ``config.json``, ``model.safetensors`` and ``tokenizer.json`` of a BERT; the installed package's by
            default.

    Attributes:
        dim: width D of an embedding.

    Raises:
        MissingWeights: the package is not installed.
        ConfigError: a model of another kind.
        CheckpointError: a file that cannot be read or does not fit.
        MissingExtra: Transformers is not installed.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        transformers = require("transformers", "hf", PURPOSE)
        place = require_weights("minilm", PURPOSE).parent if folder is None else Path(folder)
        try:
            about = read_json(place / "config.json")
            if about.get("model_type") != "bert":
                raise ConfigError(f"{place} is a model of type {about.get('model_type')!r}; give a BERT")
            with quiet(), torch.random.fork_rng(devices=[]):
                self.model = transformers.BertModel(transformers.BertConfig(**about)).eval().requires_grad_(False)
            self._tokenizer = _tokenizer(place / "tokenizer.json")
        except (DataError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{place} holds no BERT: {error}; give {HINT}") from error
        state = read_state(place / "model.safetensors", HINT)
        try:
            given = {name: value for name, value in state.items() if name not in UNUSED}
            self.model.load_state_dict(given, strict=True)
        except (RuntimeError, TypeError) as error:
            lines = " ".join(str(error).split())[:300]
            raise CheckpointError(f"the weights in {place} do not fit its config.json: {lines}; give {HINT}") from error
        self.dim = int(self.model.config.hidden_size)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], batch: int = 32) -> npt.NDArray[np.float32]:
        """Embed texts; of a long one the first 256 tokens count. Batch mates do not change an embedding.

        Args:
            texts: N texts.
            batch: texts that go through the network together.

        Returns:
            (N, D) float32, rows of unit length.

        Raises:
            DataError: something that is no text.
        """
        for number, text in enumerate(texts, 1):
            if not isinstance(text, str):
                raise DataError(f"text {number} is a {type(text).__name__}; give strings")
        made = [torch.zeros(0, self.dim)]
        for start in range(0, len(texts), batch):
            rows = self._tokenizer.encode_batch(list(texts[start : start + batch]))
            longest = max(len(row.ids) for row in rows)
            ids, mask = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest)
            for place, row in enumerate(rows):
                ids[place, : len(row.ids)] = torch.tensor(row.ids)
                mask[place, : len(row.ids)] = 1
            states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            made.append(torch.nn.functional.normalize(mean, dim=1))
        found: npt.NDArray[np.float32] = torch.cat(made).numpy()
        return found


def _tokenizer(file: Path) -> Any:
    tokenizers = require("tokenizers", "hf", PURPOSE)
    if not file.is_file():
        raise DataError(f"{file} does not exist")
    try:
        found = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"{file} cannot be read: {error}") from None
    found.no_padding()
    found.enable_truncation(LONGEST)
    return found
