"""The token file: a header, the indices packed to the bit, a checksum. Little endian.

``AUSR``, version (1 byte), bits of an index (1), tokens a column (2), stages (1), frames of a column (2), hop (2), rate
in Hz (4), samples (8), columns (4), model (16): then the indices, column by column, in each from low to high frequency,
most significant bit first, filled up with zeros to a byte: then the first 8 bytes of the SHA-256 of all before.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from auricle.audio.check import shown
from auricle.core.errors import DataError
from auricle.core.files import atomic_path
from auricle.core.lines import open_regular

MAGIC, VERSION = b"AUSR", 1
SUFFIX = ".ausr"
_HEADER = struct.Struct("<4sBBHBHHIQI16s")
_SUM, _MOST_BITS = 8, 32
MAX_BYTES = 1 << 26  # of a file; at the codec's rates hundreds of hours
_AT_ONCE = 1 << 16  # indices unpacked at once: a bit takes a byte on its way


@dataclass(frozen=True, repr=False)
class Tokens:
    """The tokens of one recording.

    Attributes:
        indices: (T', F'), or (T', F', stages) of a residual stack, int64.
        samples: length of the recording at `rate_hz`.
        rate_hz: sampling rate in Hz.
        hop: samples a frame.
        step: frames a column.
        bits: bits an index.
        model: fingerprint of the codec, 32 hex digits; others cannot decode it.
    """

    indices: npt.NDArray[np.int64]
    samples: int
    rate_hz: int
    hop: int
    step: int
    bits: int
    model: str

    def __repr__(self) -> str:
        """Say in one line what they are."""
        return f"<{self.indices.size} tokens, indices {self.indices.shape}, {self.duration_s:.2f} s, {self.model[:12]}>"

    @property
    def duration_s(self) -> float:
        """Length of the recording in seconds."""
        return self.samples / self.rate_hz

    @property
    def payload_bits(self) -> int:
        """Bits of the indices alone, without header."""
        return self.indices.size * self.bits


def dumps(tokens: Tokens) -> bytes:
    """Pack tokens.

    Args:
        tokens: what is packed.

    Returns:
        A whole token file.

    Raises:
        DataError: indices that do not fit the bits, or another shape than columns need.
    """
    indices = np.asarray(tokens.indices)
    stages = indices.shape[2] if indices.ndim == 3 else 1
    if indices.ndim not in (2, 3) or (indices.size and not 0 <= indices.min() <= indices.max() < 1 << tokens.bits):
        raise DataError(f"indices of shape {indices.shape}; give (columns, tokens) of at most {tokens.bits} bits")
    columns, rows = indices.shape[:2]
    shape = (tokens.bits, rows, stages, tokens.step, tokens.hop, tokens.rate_hz, tokens.samples, columns)
    header = _HEADER.pack(MAGIC, VERSION, *shape, bytes.fromhex(tokens.model))
    positions = np.arange(tokens.bits - 1, -1, -1)
    packed = np.packbits(((indices.reshape(-1, 1) >> positions) & 1).astype(np.uint8))
    body = header + packed.tobytes()
    return body + hashlib.sha256(body).digest()[:_SUM]


def loads(data: bytes, name: str = "<bytes>") -> Tokens:
    """Unpack tokens.

    Args:
        data: a whole token file.
        name: what to call it in an error.

    Raises:
        DataError: no token file, one of another version, a cut one, or one with a changed bit.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise DataError(f"{name} is no token file: it does not begin with {MAGIC.decode()}; make one with codec encode")
    if len(data) < _HEADER.size + _SUM:
        raise DataError(f"{name} is cut short: {len(data)} bytes do not hold a header; copy or encode it again")
    _, version, bits, rows, stages, step, hop, rate, samples, columns, model = _HEADER.unpack_from(data)
    if version != VERSION:
        raise DataError(f"{name} is of version {version}; this Auricle reads version {VERSION}")
    count = columns * rows * stages
    wanted = _HEADER.size + -(-count * bits // 8) + _SUM
    if len(data) != wanted:
        what = "is cut short" if len(data) < wanted else "has something behind its end"
        raise DataError(f"{name} {what}: {len(data)} bytes instead of {wanted}; copy or encode it again")
    if hashlib.sha256(data[:-_SUM]).digest()[:_SUM] != data[-_SUM:]:
        raise DataError(f"{name} is damaged: its checksum does not fit; copy or encode it again")
    if not (rate and hop and step and 1 <= bits <= _MOST_BITS):
        raise DataError(f"{name} is damaged: a rate of {rate} Hz, {bits} bits an index; copy or encode it again")
    shape = (columns, rows) if stages == 1 else (columns, rows, stages)
    indices = _unpacked(data, count, bits).reshape(shape)
    return Tokens(indices, samples, rate, hop, step, bits, model.hex())


def _unpacked(data: bytes, count: int, bits: int) -> npt.NDArray[np.int64]:
    packed = np.frombuffer(data, np.uint8, len(data) - _HEADER.size - _SUM, _HEADER.size)
    weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.int64)
    indices = np.empty(count, np.int64)
    for start in range(0, count, _AT_ONCE):  # begins at a whole byte
        number = min(_AT_ONCE, count - start)
        flat = np.unpackbits(packed[start * bits // 8 :][: -(-number * bits // 8)])[: number * bits]
        indices[start : start + number] = flat.reshape(number, bits) @ weights
    return indices


def write(path: str | Path, tokens: Tokens) -> int:
    """Write a token file, atomically; give its size in bytes.

    Args:
        path: where to.
        tokens: what is written.

    Raises:
        DataError: as `dumps`.
        OSError: the file system refuses it.
    """
    data = dumps(tokens)
    with atomic_path(path) as part:
        Path(part).write_bytes(data)
    return len(data)


def read(path: str | Path) -> Tokens:
    """Read a token file.

    Args:
        path: the file.

    Raises:
        DataError: it is not there or no regular file, too large, or as `loads`.
    """
    name = shown(path)
    try:
        with open_regular(path) as handle:
            head = handle.read(len(MAGIC))
            if head != MAGIC:  # of another file no more is read
                return loads(head, name)
            data = head + handle.read(MAX_BYTES)
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise DataError(f"{name} has more than {MAX_BYTES >> 20} MiB; no token file of a recording has")
    return loads(data, name)
