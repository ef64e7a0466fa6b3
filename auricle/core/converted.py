"""Weights that are converted once: a folder in the user's cache that is whole or not there, with its source beside."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.extras import CONVERTED, WEIGHTS, converted_folder
from auricle.core.files import write_json


def convert_once(name: str, kind: str, source: Path, make: Callable[[Path, Path], None]) -> str:
    """Turn the file of an installed package into a folder in the user's cache, if that was not done before.

    Args:
        name: a key of `WEIGHTS`.
        kind: the format that `make` reads, as the table of weights names it.
        source: the file, whose content is the known one.
        make: writes (file, folder that is there); it raises where the result is not as it must be.

    Returns:
        What was done, in one sentence.

    Raises:
        ConfigError: weights that are used as they are, or come in another format.
        CheckpointError: what `make` raises, or a cache that cannot be written.
    """
    weights, folder = WEIGHTS[name], converted_folder(name)
    if weights.converted != kind:
        how = f"come as {weights.converted}, not as {kind}" if weights.converted else "are used as they are"
        raise ConfigError(f"the weights {name!r} {how}; there is nothing to convert")
    if (folder / CONVERTED).is_file():
        return f"{name}: already converted ({folder}, {_megabytes(folder)} MB); nothing was done"
    about = {"package": weights.package, "version": weights.version, "file": weights.file}
    about |= {"sha256": weights.sha256, "licence": weights.licence}
    try:
        with _whole_or_nothing(folder) as temporary:
            make(source, temporary)
            write_json(temporary / CONVERTED, about)
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written: {error.strerror}; set AURICLE_CACHE") from error
    size = round(source.stat().st_size / 1e6)
    return f"{name}: converted {source.name} ({size} MB) into {folder} ({_megabytes(folder)} MB in float32), once"


@contextlib.contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder` that takes its place when the block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        for file in temporary.iterdir():
            with open(file, "rb+") as written:
                os.fsync(written.fileno())
            file.chmod(0o666 & ~umask)
        temporary.chmod(0o777 & ~umask)  # mkdtemp makes private ones
        if folder.exists() and not (folder / CONVERTED).is_file():
            shutil.rmtree(folder)
        if not folder.exists():  # else another process was as quick
            os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _megabytes(folder: Path) -> int:
    return round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6)
