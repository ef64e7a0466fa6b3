"""Named tensors from files of others; nothing in a file is executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from auricle.core.errors import CheckpointError


def read_state(file: Path, wanted: str) -> dict[str, Any]:
    """Read what a ``.safetensors`` file or a file of `torch.save` holds.

    Args:
        file: its place.
        wanted: what to give instead, for the error.

    Returns:
        The dict in the file; its values are not checked.

    Raises:
        CheckpointError: no such file, a damaged one, one with code in it, or one that holds no dict.
    """
    if not file.is_file():
        raise CheckpointError(f"{file} does not exist; give {wanted}")
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # what is no pickle makes the reader fail in any way, IndexError included
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{file} cannot be read as weights: {first}; give {wanted}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{file} holds a {type(found).__name__}, not named tensors; give {wanted}")
    return found
