"""Folders of audio to folders of token files and back; a bad file is named and the rest goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.audio.ahead import Decoded, found
from auricle.core.errors import AudioError, DataError
from auricle.systems.unisrcodec import tokens
from auricle.systems.unisrcodec.infer import Coder


@dataclass(frozen=True)
class Done:
    """What became of one input: `said` tells it in a line; `written` is None where it was refused."""

    said: str
    written: Path | None = None


class _Targets:
    """Keeps two inputs of one name from being written over each other."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.of: dict[Path, Path] = {}
        out.mkdir(parents=True, exist_ok=True)

    def take(self, source: Path, name: str) -> Path:
        """Give where a source goes.

        Raises:
            DataError: another one went there.
        """
        target = self.out / name
        if target in self.of:
            raise DataError(f"{source}: {target} has just been written from {self.of[target]}; give another --out")
        self.of[target] = source
        return target


def encode_files(coder: Coder, inputs: Iterable[str | Path], out: Path, arrays: bool = False) -> Iterator[Done]:
    """Write a token file for each audio file, in constant memory whatever its length.

    Args:
        coder: the codec.
        inputs: audio files, or folders whose audio files are taken in sorted order.
        out: folder to write to; made if it is not there.
        arrays: also write the indices as ``.npy``, (columns, tokens).
    """
    targets = _Targets(out)
    for path in found(inputs):
        if isinstance(path, Decoded):
            yield Done(path.error or f"{path.path}: not audio")
            continue
        try:
            target = targets.take(path, path.name + tokens.SUFFIX)
            coded, _ = coder.encode_file(path)
        except (AudioError, DataError) as error:
            yield Done(str(error))
            continue
        size = tokens.write(target, coded)
        if arrays:
            np.save(target.with_suffix(".npy"), coded.indices)
        seconds = coded.samples / coded.rate_hz
        rate = coded.payload_bits / seconds
        yield Done(
            f"{target}: {seconds:.2f} s, {coded.indices.size} tokens, {rate:.0f} bit/s, {size} bytes", target
        )  # fmt: skip


def decode_files(coder: Coder, inputs: Iterable[str | Path], out: Path) -> Iterator[Done]:
    """Write a WAV file for each token file.

    Args:
        coder: the codec that made them.
        inputs: token files, or folders whose token files are taken in sorted order.
        out: folder to write to; made if it is not there.
    """
    targets = _Targets(out)
    for given in map(Path, inputs):
        paths = sorted(given.glob(f"*{tokens.SUFFIX}")) if given.is_dir() else [given]
        if not paths:
            yield Done(f"{given}: a folder without token files (*{tokens.SUFFIX})")
        for path in paths:
            try:
                target = targets.take(path, path.name.removesuffix(tokens.SUFFIX) + ".wav")
                coder.decode_to(tokens.read(path), target)
            except DataError as error:
                yield Done(str(error))
                continue
            yield Done(str(target), target)
