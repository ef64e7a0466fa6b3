"""Folders of audio to folders of token files and back; a bad file is named and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.core.answers import Refused
from auricle.core.errors import AudioError, DataError
from auricle.systems.requests import requests
from auricle.systems.unisrcodec import SPEC, tokens
from auricle.systems.unisrcodec.infer import Coder


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
    coder: Coder, inputs: Iterable[str | Path], out: Path, arrays: bool = False
) -> Iterator[Written | Refused]:
    """Write a token file for each audio file, in constant memory whatever its length.

    Args:
        coder: the codec.
        inputs: audio files, or folders whose audio files are taken in sorted order.
        out: folder to write to; made if it is not there.
        arrays: also write the indices as ``.npy``, (columns, tokens).
    """
    out.mkdir(parents=True, exist_ok=True)
    sources: dict[Path, Path] = {}
    for asked in requests(SPEC, inputs):
        if isinstance(asked, Refused):
            yield asked
            continue
        path = Path(asked.input)
        try:
            target = _claim(out / f"{path.name}{tokens.SUFFIX}", path, sources)
            coded, _ = coder.encode_file(path)
        except (AudioError, DataError) as error:
            yield Refused(asked.input, str(error))
            continue
        size = tokens.write(target, coded)
        if arrays:
            np.save(target.with_suffix(".npy"), coded.indices)
        seconds, rate = coded.duration_s, coded.payload_bits / coded.duration_s
        summary = f"{target}: {seconds:.2f} s, {coded.indices.size} tokens, {rate:.0f} bit/s, {size} bytes"
        yield Written(target, summary)


def decode_files(coder: Coder, inputs: Iterable[str | Path], out: Path) -> Iterator[Written | Refused]:
    """Write a WAV file for each token file.

    Args:
        coder: the codec that made them.
        inputs: token files, or folders whose token files are taken in sorted order.
        out: folder to write to; made if it is not there.
    """
    out.mkdir(parents=True, exist_ok=True)
    sources: dict[Path, Path] = {}
    for given in map(Path, inputs):
        paths = sorted(given.glob(f"*{tokens.SUFFIX}")) if given.is_dir() else [given]
        if not paths:
            yield Refused(str(given), f"{given}: a folder without token files (*{tokens.SUFFIX})")
        for path in paths:
            try:
                target = _claim(out / f"{path.name.removesuffix(tokens.SUFFIX)}.wav", path, sources)
                coder.decode_to(tokens.read(path), target)
            except DataError as error:
                yield Refused(str(path), str(error))
            else:
                yield Written(target, str(target))


def _claim(target: Path, source: Path, sources: dict[Path, Path]) -> Path:
    """Keep two sources of one name from being written over each other."""
    if target in sources:
        raise DataError(f"{source}: {target} has just been written from {sources[target]}; give another --out")
    sources[target] = source
    return target
