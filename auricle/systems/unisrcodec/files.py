"""Folders of audio to folders of token files and back; a bad file is named and the rest goes on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.audio import token_files
from auricle.audio.check import shown
from auricle.audio.files import located
from auricle.core.answers import Refused
from auricle.core.errors import AudioError, DataError
from auricle.core.files import atomic_path, disk_fault
from auricle.systems.requests import requests
from auricle.systems.unisrcodec import SPEC
from auricle.systems.unisrcodec.infer import Coder

WAV = ".wav"
# of one file alone; a full or failing disk ends the command
_OF_A_FILE = {errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.EEXIST}


@dataclass(frozen=True)
class Written:
    """A file that was made of an input.

    Attributes:
        path: the file.
        summary: the file and what it holds, in one line.
    """

    path: Path
    summary: str


def encode_files(
    coder: Coder,
    inputs: Iterable[str | Path],
    out: Path,
    arrays: bool = False,
    unread: list[Path] | None = None,
) -> Iterator[Written | Refused]:
    """Write a token file for each audio file, in constant memory whatever its length.

    Args:
        coder: the codec.
        inputs: audio files, or folders whose audio files are taken in sorted order; `out` gets the same folders.
        out: folder to write to; made if it is not there.
        arrays: also write the indices as ``.npy``, (columns, tokens).
        unread: gets the files of folders that look like audio and are left out.

    Raises:
        OSError: the disk is full or read-only.
    """
    written: dict[Path, Path] = {}
    for given in inputs:
        for asked in requests(SPEC, [given], unread=unread):
            if isinstance(asked, Refused):
                yield asked
                continue
            path = Path(asked.input)
            place = _below(path, given)
            try:
                target = _free(out / place.with_name(place.name + token_files.SUFFIX), path, written)
                done = _encoded(coder, path, target, arrays)
            except (AudioError, DataError, OSError) as error:
                yield _refused(path, error)
                continue
            written[target] = path
            yield done


def _encoded(coder: Coder, path: Path, target: Path, arrays: bool) -> Written:
    coded, _ = coder.encode_file(path)
    size = token_files.write(target, coded)
    if arrays:
        with atomic_path(target.with_suffix(".npy")) as part, open(part, "wb") as handle:
            np.save(handle, coded.indices)
    seconds, rate = coded.duration_s, coded.payload_bits / coded.duration_s
    return Written(target, f"{target}: {seconds:.2f} s, {coded.indices.size} tokens, {rate:.0f} bit/s, {size} bytes")


def decode_files(
    coder: Coder, inputs: Iterable[str | Path], out: Path, overwrite: bool = False
) -> Iterator[Written | Refused]:
    """Write a WAV file for each token file: ``x.wav.ausr`` becomes ``x.wav``, ``x.flac.ausr`` ``x.flac.wav``.

    Args:
        coder: the codec that made them.
        inputs: token files, or folders whose token files are taken in sorted order; `out` gets the same folders.
        out: folder to write to; made if it is not there.
        overwrite: replace files that are there, which may be the recordings themselves.

    Raises:
        OSError: the disk is full or read-only.
    """
    written: dict[Path, Path] = {}
    for given in inputs:
        paths = sorted(_token_files(Path(given))) if os.path.isdir(given) else [Path(given)]
        if not paths:
            yield Refused(str(given), f"{shown(given)}: a folder without token files (*{token_files.SUFFIX})")
        for path in paths:
            place = _below(path, given)
            name = place.name.removesuffix(token_files.SUFFIX)
            name = name if name.lower().endswith(WAV) else name + WAV
            try:
                coded = token_files.read(path)
                target = _free(out / place.with_name(name), path, written)
                if os.path.lexists(target) and not overwrite:
                    raise DataError(f"{shown(path)}: {shown(target)} is there; give another --out, or --overwrite")
                coder.decode_to(coded, target)
            except (DataError, OSError) as error:
                yield _refused(path, error)
                continue
            written[target] = path
            yield Written(target, str(target))


def _token_files(folder: Path) -> Iterator[Path]:
    """Find token files below a folder; hidden names are left out and links to folders are not followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (
            Path(root, name) for name in names if name.endswith(token_files.SUFFIX) and not name.startswith(".")
        )


def _below(path: Path, given: str | Path) -> Path:
    """Give the place of a file in the folder that was given; its name where it was given itself."""
    return path.relative_to(located(given)) if os.path.isdir(located(given)) else Path(path.name)


def _free(target: Path, source: Path, written: dict[Path, Path]) -> Path:
    """Keep two sources of one name from being written over each other."""
    if target in written:
        raise DataError(
            f"{shown(source)}: {shown(target)} has just been written from {shown(written[target])}; give another --out"
        )
    return target


def _refused(path: Path, error: Exception) -> Refused:
    """Make a refusal of what is wrong with one file; anything else is raised."""
    if isinstance(error, OSError):
        if error.errno not in _OF_A_FILE:
            raise error
        return Refused(str(path), f"{shown(path)}: {disk_fault(error) or error.strerror}")
    return Refused(str(path), str(error))
