"""Reader of CTranslate2's model files: named arrays, read with bounded sizes; nothing in a file is executed."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from auricle.core.errors import CheckpointError

VERSION = 6
# The codes of CTranslate2's types; the others (int32, bfloat16 and packed ones) are refused by name.
TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("<i1"),
    2: np.dtype("<i2"),
    4: np.dtype("<f2"),
}
OTHER_TYPES = {3: "int32", 5: "bfloat16"}
MOST_VARIABLES = 20_000
MOST_DIMS = 4
LONGEST_NAME = 512
SCALE = "_scale"  # what is added to a name for the scale of its integers

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Stored:
    """What such a file holds.

    Attributes:
        path: the file.
        spec: kind of model, such as ``WhisperSpec``.
        revision: of that kind.
        flags: scalars, such as a number of heads.
        weights: arrays in float32; integers are divided by their scale, which is then not listed itself.
        aliases: other name -> name.
    """

    path: Path
    spec: str
    revision: int
    flags: dict[str, float]
    weights: dict[str, Array]
    aliases: dict[str, str]


def read_ctranslate2(path: str | Path) -> Stored:
    """Read a ``model.bin`` of CTranslate2, version 6, with weights in float32, float16, int16 or int8.

    Args:
        path: the file.

    Raises:
        CheckpointError: no such file, another format or version, a file that is cut off or longer than it says, a name
            that is there twice, a type that is not read, or a number that is not finite.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            return _Reader(path, file, os.fstat(file.fileno()).st_size).stored()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


class _Reader:
    """Takes a file apart from front to back; a size is believed only if the file is long enough for it."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self.path, self.file, self.left = path, file, size

    def stored(self) -> Stored:
        version = self.number("I", "the version")
        if version != VERSION:
            raise self.refusal(f"its version is {version}, and only version {VERSION} of the format is read")
        spec, revision = self.text("the name of the model"), self.number("I", "the revision")
        raw: dict[str, npt.NDArray[Any]] = {}
        for _ in range(self.count("variables")):
            name = self.text("the name of a variable")
            if name in raw:
                raise self.refusal(f"{name} is there twice")
            raw[name] = self.array(name)
        aliases: dict[str, str] = {}
        for _ in range(self.count("aliases")):
            alias, name = self.text("an alias"), self.text("the target of an alias")
            if alias in raw or alias in aliases or name not in raw:
                raise self.refusal(f"the alias {alias} of {name} is there already, or what it stands for is not")
            aliases[alias] = name
        if self.left:
            raise self.refusal(f"{self.left} bytes follow after its end")
        flags = {name: float(value) for name, value in raw.items() if value.ndim == 0 and not name.endswith(SCALE)}
        return Stored(self.path, spec, revision, flags, self.weights(raw), aliases)

    def array(self, name: str) -> npt.NDArray[Any]:
        rank = self.number("B", f"the rank of {name}")
        if rank > MOST_DIMS:
            raise self.refusal(f"{name} has {rank} dimensions; at most {MOST_DIMS} are allowed")
        shape = tuple(self.number("I", f"the shape of {name}") for _ in range(rank))
        code, size = self.number("B", f"the type of {name}"), self.number("I", f"the size of {name}")
        if code not in TYPES:
            kind = OTHER_TYPES.get(code, f"the unknown type {code}")
            raise self.refusal(f"{name} is stored as {kind}; float32, float16, int16 and int8 are read")
        if math.prod(shape) * TYPES[code].itemsize != size:
            raise self.refusal(f"{name} says {size} bytes for the shape {shape} of {TYPES[code].name}")
        return np.frombuffer(self.bytes(size, name), TYPES[code]).reshape(shape)

    def weights(self, raw: Mapping[str, npt.NDArray[Any]]) -> dict[str, Array]:
        """Give all that is no scalar in float32, integers by their scale."""
        found: dict[str, Array] = {}
        scales = {name + SCALE for name, value in raw.items() if value.ndim and value.dtype.kind == "i"}
        for name, value in raw.items():
            if name in scales or (value.ndim == 0 and not name.endswith(SCALE)):
                continue
            if value.ndim == 0:
                raise self.refusal(f"{name} is the scale of nothing")
            made = value.astype(np.float32)
            if value.dtype.kind == "i":
                made /= self.scale(name, value, raw)
            if not np.isfinite(made).all():
                raise self.refusal(f"{name} has numbers that are not finite")
            found[name] = made
        return found

    def scale(self, name: str, value: npt.NDArray[Any], raw: Mapping[str, npt.NDArray[Any]]) -> Array:
        """Give what integers are divided by: one number, or one for each row."""
        given = raw.get(name + SCALE)
        if given is None:
            raise self.refusal(f"{name} is stored in {value.dtype.name} without its scale {name}{SCALE}")
        scale = given.astype(np.float32)
        if scale.shape not in ((), (1,), value.shape[:1]) or given.dtype.kind != "f" or not (scale > 0).all():
            raise self.refusal(f"{name}{SCALE} of shape {scale.shape} is no scale above 0 for the rows of {name}")
        rows: Array = scale.reshape(-1, *[1] * (value.ndim - 1))
        return rows

    def count(self, what: str) -> int:
        found = self.number("I", f"the number of {what}")
        if found > MOST_VARIABLES:
            raise self.refusal(f"it claims {found} {what}; at most {MOST_VARIABLES} are allowed")
        return found

    def text(self, what: str) -> str:
        """Read a name: its length with the NUL at the end, then its bytes."""
        size = self.number("H", what)
        if not 1 < size <= LONGEST_NAME:
            raise self.refusal(f"{what} is {size} bytes long; 2 to {LONGEST_NAME} are allowed")
        found = self.bytes(size, what)
        try:
            text = found[:-1].decode("ascii")
        except UnicodeDecodeError:
            text = "\0"
        if found[-1:] != b"\0" or not text.isprintable():
            raise self.refusal(f"{what} is no plain text")
        return text

    def number(self, kind: str, what: str) -> int:
        return int(struct.unpack(f"<{kind}", self.bytes(struct.calcsize(f"<{kind}"), what))[0])

    def bytes(self, size: int, what: str) -> bytes:
        if size > self.left:
            raise self.refusal(f"it ends within {what}: {size} bytes are due and {self.left} are left")
        found = self.file.read(size)
        if len(found) != size:
            raise self.refusal(f"it ends within {what}")
        self.left -= size
        return found

    def refusal(self, why: str) -> CheckpointError:
        return CheckpointError(f"{self.path} is no model file of CTranslate2 that can be read: {why}")
