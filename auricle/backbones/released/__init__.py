"""Weights that the authors of a paper released, read under our names: one file a release.

A file is read as tensors and nothing else: code in it is refused, not run. Each map is strict both ways, and tells the
sizes of a network from the names and shapes alone.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from auricle.core.errors import CheckpointError

WRAPPERS = ("model", "state_dict", "model_state_dict")  # keys under which training scripts keep the weights
COMPILED, PARALLEL = "_orig_mod.", "module."  # what torch.compile and data-parallel training put before names
OLD = b"\x80\x02\x8a\x0a\x6c\xfc"  # what torch.save's pickles begin with, from before it wrote archives
SAVE = "save the weights alone: torch.save(model.state_dict(), PATH)"


@dataclass(frozen=True)
class Released:
    """Released weights under our names.

    Attributes:
        settings: dotted settings over the system's ``paper`` preset, such as ``{"model.topology": "mambo3"}``.
        state: name to tensor, every name that our network has.
        notes: what cannot be the same as in the release, a sentence each.
    """

    settings: dict[str, Any]
    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read a released file: what ``torch.save`` wrote of a ``state_dict``, or safetensors.

    Args:
        path: the file.

    Returns:
        Name to tensor on the CPU, without the prefixes of compiled and of data-parallel models.

    Raises:
        CheckpointError: there is no such file, it is damaged, holds code, or is no state.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} is no file; give the released checkpoint, such as model.pth")
    content = _unwrapped(_safetensors(path) if path.suffix == ".safetensors" else _pickled(path))
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds no weights: it is {_kind(content)}; {SAVE}")
    other = [str(name) for name, value in content.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if other:
        shown = ", ".join(f"{name} ({_kind(content.get(name))})" for name in other[:3])
        raise CheckpointError(f"{path} holds more than named tensors: {shown}; {SAVE}")
    state = {name.replace(COMPILED, ""): tensor for name, tensor in content.items()}
    while all(name.startswith(PARALLEL) for name in state):
        state = {name.removeprefix(PARALLEL): tensor for name, tensor in state.items()}
    if len(state) != len(content):
        raise CheckpointError(f"{path} has the same weight with and without '{COMPILED}'; {SAVE}")
    return state


def some(names: list[str], limit: int = 5) -> str:
    """List the first names of many, for an error."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd pickles, which are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, OSError, RuntimeError, EOFError, LookupError, ValueError, AttributeError) as error:
        code = re.search(r"GLOBAL (\w[\w.]*\w)", str(error))
        with open(path, "rb") as content:
            begun = content.read(len(OLD))
        foreign = begun[:1] == OLD[:1] and begun != OLD
        if code is not None or foreign:
            what = code[1] if code is not None else "a pickle that torch.save did not write"
            raise CheckpointError(
                f"{path} holds Python code or objects ({what}), which are never run here; {SAVE}"
            ) from None
        raise CheckpointError(
            f"{path} is no checkpoint of torch, or a truncated one ({path.stat().st_size} bytes); download it again"
        ) from None


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is no safetensors file, or a truncated one: {str(error).splitlines()[0]}; download it again"
        ) from None


def _unwrapped(content: Any) -> Any:
    """Take the weights out of what a training script saved beside them."""
    while isinstance(content, Mapping):
        inner = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = inner[0]
    return content


def _kind(value: Any) -> str:
    return "an empty table" if isinstance(value, Mapping) and not value else f"a {type(value).__name__}"
