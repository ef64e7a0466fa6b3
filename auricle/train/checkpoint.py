"""Checkpoint folders: a folder is whole or absent, and nothing in it is ever executed.

A model folder holds ``model.safetensors`` and ``meta.json``; a resumable state holds ``state.pt`` (optimiser,
generator states, position) beside them. ``meta.json`` carries a SHA-256 of each file and of its own content, so that a
damaged one is found out when it is read and not by its results.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.files import read_json, write_json
from auricle.core.leftovers import abandoned, is_part, part_path

MODEL, META, STATE = "model.safetensors", "meta.json", "state.pt"
SUMS = "sha256"


def save_model(folder: str | Path, model: nn.Module, meta: Mapping[str, Any]) -> Path:
    """Write a model's weights and buffers as a folder that is either whole or absent.

    Args:
        folder: where; an older folder of that name stays until the new one is complete on disk.
        model: its `state_dict` is written; tensors that several names share are written once.
        meta: JSON data to stand beside it, such as the step and the config. The key ``sha256`` is ours.

    Returns:
        The folder.

    Raises:
        ConfigError: `meta` is not JSON.
        CheckpointError: a weight is NaN or infinite, or the disk refused (full, read-only).
    """
    return _write_folder(Path(folder), {MODEL: _model_writer(folder, model)}, meta)


def load_model(folder: str | Path, model: nn.Module, strict: bool = True) -> dict[str, Any]:
    """Load what `save_model` wrote into a model built the same way.

    Args:
        folder: the checkpoint folder.
        model: changed in place, only after every check has passed.
        strict: refuse missing and unexpected keys too; a shape that differs is always refused.

    Returns:
        The meta data, without the checksums.

    Raises:
        CheckpointError: no such folder, a damaged file, or keys or shapes that do not fit the model.
    """
    folder = Path(folder)
    meta, sums = _meta_and_sums(folder)
    load_weights(model, _read_weights(folder, sums), source=folder, strict=strict)
    return meta


def load_weights(
    model: nn.Module, weights: Mapping[str, Tensor], source: str | Path = "the given weights", strict: bool = True
) -> None:
    """Copy named tensors into a model, or say exactly which ones do not fit.

    Args:
        model: changed in place.
        weights: name to tensor, as from `average`.
        source: what to call them in an error.
        strict: refuse missing and unexpected names; a shape that differs is always refused.

    Raises:
        CheckpointError: naming the missing, unexpected and differently shaped keys.
    """
    own = model.state_dict()
    # a tied weight was written under its first name only: the other names are not missing
    present = {_identity(own[name]) for name in weights if name in own}
    missing = [name for name, tensor in own.items() if name not in weights and _identity(tensor) not in present]
    unexpected = [name for name in weights if name not in own]
    shapes = [
        f"{name} is {tuple(tensor.shape)} there and {tuple(own[name].shape)} in the model"
        for name, tensor in weights.items()
        if name in own and tensor.shape != own[name].shape
    ]
    faults = [f"wrong shape: {_some(shapes)}"] if shapes else []
    if strict:
        faults += [f"missing: {_some(missing)}"] if missing else []
        faults += [f"unexpected: {_some(unexpected)}"] if unexpected else []
    if faults:
        raise CheckpointError(
            f"{source} does not fit this {type(model).__name__}: {'; '.join(faults)}. "
            "Build the model from the config of the run that wrote it"
        )
    model.load_state_dict(dict(weights), strict=False)


def save_state(
    folder: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Mapping[str, Any],
    meta: Mapping[str, Any],
) -> Path:
    """Write everything that is needed to go on as if never stopped, as one atomic folder.

    Args:
        folder: where, such as ``checkpoints/state-000300``.
        model: weights and buffers go into ``model.safetensors``, so the folder is a model folder too.
        optimizer: its `state_dict`.
        progress: position and generator states: tensors, numbers, strings, lists, tuples and dicts only.
        meta: JSON data, as in `save_model`.

    Returns:
        The folder.

    Raises:
        ConfigError: `meta` is not JSON.
        CheckpointError: a weight is NaN or infinite, or the disk refused (full, read-only).
    """
    content = {"optimizer": optimizer.state_dict(), "progress": dict(progress)}

    def write(path: Path) -> None:
        with open(path, "wb") as out:
            torch.save(content, out)

    return _write_folder(Path(folder), {MODEL: _model_writer(folder, model), STATE: write}, meta)


def load_state(folder: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Load what `save_state` wrote into a model and an optimiser built the same way.

    Args:
        folder: the state folder.
        model: changed in place, on its own device.
        optimizer: changed in place.

    Returns:
        The `progress` that was saved.

    Raises:
        CheckpointError: no such folder, a damaged file, or one that does not fit.
    """
    folder = Path(folder)
    _, sums = _meta_and_sums(folder)
    weights = _read_weights(folder, sums)
    _verify(folder, STATE, sums)
    try:
        content = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        optimizer_state, progress = content["optimizer"], content["progress"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{folder / STATE} is not a training state: {_first_line(error)}") from error
    load_weights(model, weights, source=folder)
    try:
        optimizer.load_state_dict(optimizer_state)
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{folder / STATE} belongs to another optimiser: {_first_line(error)}") from error
    return dict(progress)


def average(paths: Sequence[str | Path]) -> dict[str, Tensor]:
    """Average the weights of several checkpoints, as for "average of the k best".

    Args:
        paths: checkpoint folders of one architecture, at least one.

    Returns:
        Name to tensor for `load_weights`: the mean (summed in float64) in the first one's dtype; integer and
        boolean buffers are the first one's.

    Raises:
        ConfigError: no path was given.
        CheckpointError: a folder cannot be read, or its keys or shapes are not the first one's.
    """
    if not paths:
        raise ConfigError("average() was given no checkpoint; give at least one folder")
    first: dict[str, Tensor] = {}
    sums: dict[str, Tensor] = {}
    for path in map(Path, paths):
        weights = _read_weights(path, _meta_and_sums(path)[1])
        if not first:
            first = weights
            sums = {name: tensor.double() for name, tensor in weights.items() if tensor.is_floating_point()}
            continue
        differ = sorted(first.keys() ^ weights.keys())
        differ += [name for name in first if name in weights and first[name].shape != weights[name].shape]
        if differ:
            raise CheckpointError(
                f"{path} and {paths[0]} are checkpoints of different models: they differ in {_some(differ)}"
            )
        for name, total in sums.items():
            total += weights[name].double()
    return {name: (sums[name] / len(paths)).to(t.dtype) if name in sums else t for name, t in first.items()}


def read_meta(folder: str | Path) -> dict[str, Any]:
    """Read the meta data of a checkpoint folder alone.

    Raises:
        CheckpointError: no such folder, or its meta data are damaged.
    """
    return _meta_and_sums(Path(folder))[0]


def discard(folder: Path) -> None:
    """Delete a checkpoint folder so that nobody ever sees half of it.

    Raises:
        CheckpointError: the file system refuses.
    """
    try:
        aside = part_path(folder)
        aside.mkdir()
        os.rename(folder, aside / folder.name)
        shutil.rmtree(aside)
    except OSError as error:
        raise CheckpointError(
            f"cannot delete {folder}: {error.strerror or error}; check the folder's rights"
        ) from error


def sweep(parent: Path) -> None:
    """Make the folder of a run's checkpoints, or clear it of what a killed process had half written.

    Raises:
        CheckpointError: the file system refuses.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for leftover in parent.glob(".*-*"):
            if leftover.is_dir() and (abandoned(leftover) or not is_part(leftover)):
                shutil.rmtree(leftover)
    except OSError as error:
        raise CheckpointError(f"cannot write to {parent}: {error.strerror or error}; choose another folder") from error


def _model_writer(folder: str | Path, model: nn.Module) -> Callable[[Path], None]:
    """Check the weights now and give what writes them."""
    tensors: dict[str, Tensor] = {}
    seen: set[object] = set()
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{folder} was not written: the weight {name} is NaN or infinite")
        if _identity(tensor) in seen:
            continue
        seen.add(_identity(tensor))
        flat = tensor.detach().cpu().contiguous()
        # safetensors refuses views that share memory with another tensor
        tensors[name] = flat if flat.untyped_storage().nbytes() == flat.nbytes else flat.clone()
    return lambda path: save_file(tensors, path)


def _write_folder(folder: Path, writers: Mapping[str, Callable[[Path], None]], meta: Mapping[str, Any]) -> Path:
    """Write files and their checksums beside `folder`, then rename the whole into place."""
    try:
        plain = json.loads(json.dumps(dict(meta), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the meta data for {folder} are not JSON: {error}") from error
    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = part_path(folder)
        whole = temporary / folder.name
        whole.mkdir(parents=True)
        mode = stat.S_IMODE(whole.stat().st_mode) & 0o666  # the umask's; safetensors makes private files
        sums = {META: _sum_of(plain)}
        for name, write in writers.items():
            write(whole / name)
            (whole / name).chmod(mode)
            _fsync(whole / name)
            sums[name] = _sha256(whole / name)
        write_json(whole / META, {**plain, SUMS: sums})
        _fsync(whole)
        _swap(whole, folder, aside=temporary / "old")
        _fsync(folder.parent)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot write {folder}: {_first_line(error)}. What was on disk before is untouched; "
            "make room or choose another folder, and start the same command again"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _swap(whole: Path, folder: Path, aside: Path) -> None:
    """Rename `whole` to `folder`; put an older folder back if that fails."""
    if not folder.exists():
        os.rename(whole, folder)
        return
    os.rename(folder, aside)
    try:
        os.rename(whole, folder)
    except OSError:
        os.rename(aside, folder)
        raise


def _meta_and_sums(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Read the meta data and the checksums of a checkpoint folder."""
    if not folder.is_dir():
        raise CheckpointError(f"{folder} does not exist; give a checkpoint folder that holds {MODEL} and {META}")
    try:
        meta = read_json(folder / META)
    except DataError as error:
        raise CheckpointError(f"{folder} is not a whole checkpoint: {error}") from error
    sums = meta.pop(SUMS, None) if isinstance(meta, dict) else None
    if not isinstance(sums, dict):
        raise CheckpointError(f"{folder / META} has no '{SUMS}' table; only folders written by Auricle can be loaded")
    if META in sums and sums[META] != _sum_of(meta):
        raise CheckpointError(
            f"{folder / META} is damaged or was changed since it was written: its own checksum is another one. "
            "Use another checkpoint of the run, or train again"
        )
    return meta, sums


def _read_weights(folder: Path, sums: Mapping[str, str]) -> dict[str, Tensor]:
    """Read verified weights to the CPU."""
    _verify(folder, MODEL, sums)
    try:
        return load_file(folder / MODEL)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / MODEL} is not a safetensors file: {_first_line(error)}") from error


def _verify(folder: Path, name: str, sums: Mapping[str, str]) -> None:
    """Refuse a file that is missing or not the one that was written."""
    path = folder / name
    try:
        found = _sha256(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if found != sums.get(name):
        raise CheckpointError(
            f"{path} is damaged (truncated or changed since it was written): its SHA-256 is not the one in {META}. "
            "Use another checkpoint of the run, or train again"
        )


def _sum_of(meta: Mapping[str, Any]) -> str:
    """Sum up meta data as JSON gives them back, however the file is laid out."""
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    """Flush a file or a folder's list of names to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _identity(tensor: Tensor) -> object:
    """Tell whether two names mean the same memory; empty and meta tensors are never shared."""
    if tensor.device.type == "meta" or tensor.numel() == 0:
        return object()
    return (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)


def _some(names: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
