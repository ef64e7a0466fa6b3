"""Opening audio files: only regular files, decoded in pieces, headers never trusted."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from auricle.audio.check import check_header, shown
from auricle.audio.decoders import Source
from auricle.audio.media import missing_av
from auricle.audio.memory import memory_file
from auricle.audio.opening import layout_of, open_plain
from auricle.audio.supervised import SupervisedSource
from auricle.core.errors import AudioError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/{1,3}[^/]")
# A file is called sparse from this size on, where less than a hundredth of it was ever written.
_SPARSE_BYTES = 1 << 30
_EXTENTS = 64


def _source(handle: BinaryIO, suffix: str, size_bytes: int) -> Source:
    if size_bytes == 0:
        raise AudioError("the file is empty (0 bytes)")
    try:
        layout = layout_of(handle, size_bytes, suffix)
    except OSError as error:  # of the disk or the network
        raise AudioError(f"cannot be read: {error.strerror or error}") from None
    if layout.media and (missing := missing_av(layout.kind)):
        raise AudioError(missing)
    source = None
    if layout.plain:
        try:
            source = open_plain(handle, size_bytes, suffix, layout)
        except AudioError:
            if layout.demuxer is None:
                raise
    if source is None:  # also what libsndfile refuses: there may be another decoder
        source = SupervisedSource(handle, size_bytes, suffix)
    try:
        check_header(source.rate_hz, source.channels, source.frames, size_bytes)
    except AudioError:
        source.close()
        raise
    return source


@contextlib.contextmanager
def open_source(path: str | Path) -> Iterator[Source]:
    """Open an audio file for decoding in pieces.

    Pipes, devices, sockets and folders are refused without being read, so nothing can hang. Common kinds of files whose
    headers are sane are decoded in this process, all others in one that may be ended.

    Args:
        path: the file; `.g722` and `.gsm` are read as raw codecs, all others by their content.

    Yields:
        The open source.

    Raises:
        AudioError: the file cannot be opened or is refused; the message starts with its name.
    """
    with naming(path), open(_regular(path), "rb", buffering=0) as handle:
        source = _source(handle, Path(path).suffix.lower(), os.fstat(handle.fileno()).st_size)
        try:
            yield source
        finally:
            source.close()


def _regular(path: str | Path) -> int:
    """Open a regular file; gives its descriptor."""
    # non-blocking, or opening a pipe would wait for a writer
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(located(path), flags)
    except (OSError, ValueError) as error:
        if is_url(path):
            raise AudioError("URLs are not fetched; download the file and give its path") from None
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AudioError(f"cannot be opened: {reason}") from None
    status = os.fstat(descriptor)
    refusal = None
    if stat.S_ISDIR(status.st_mode):
        refusal = "it is a folder; give the files in it, or search it with find_audio"
    elif not stat.S_ISREG(status.st_mode):
        refusal = "not a regular file (a pipe, a socket or a device)"
    elif status.st_size >= _SPARSE_BYTES and (written := _written(descriptor, status.st_size)) is not None:
        refusal = f"of its {status.st_size} bytes only {written} were ever written; the rest are holes"
    if refusal is not None:
        os.close(descriptor)
        raise AudioError(refusal)
    return descriptor


def _written(descriptor: int, size_bytes: int) -> int | None:
    """Count the bytes of a file that are not holes; None if they are not few."""
    if not hasattr(os, "SEEK_DATA"):
        return None
    at = written = 0
    try:
        for _ in range(_EXTENTS):
            start = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, start, os.SEEK_HOLE)
            written += at - start
            if 100 * written >= size_bytes:
                return None
    except OSError:  # no data from here on
        return written
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return None


def is_url(path: str | Path) -> bool:
    """Whether a name that stands for no file is a URL; a `Path` has lost one of its slashes.

    Args:
        path: a name as it was given.
    """
    return bool(_URL.match(str(path)))


def located(path: str | Path) -> str | Path:
    """Find a file whose name is written with composed or decomposed characters, whichever the path has.

    Args:
        path: a path; one that exists is given back as it is.

    Returns:
        The path of the file that has this name in another form; `path` itself if there is none.
    """
    text = os.fspath(path)
    if text.isascii() or "\0" in text or os.path.lexists(path):
        return path
    found = ""
    for part in Path(text).parts:
        step = os.path.join(found, part)
        if not os.path.lexists(step):
            step = os.path.join(found, _same_name(found or ".", part) or part)
        found = step
    return Path(found) if os.path.lexists(found) else path


def _same_name(folder: str, name: str) -> str | None:
    wanted = unicodedata.normalize("NFC", name)
    with contextlib.suppress(OSError):
        return next((other for other in os.listdir(folder) if unicodedata.normalize("NFC", other) == wanted), None)
    return None


@contextlib.contextmanager
def open_bytes(data: bytes, suffix: str) -> Iterator[Source]:
    """Open audio that lies in memory, as `open_source` opens a file.

    Args:
        data: the coded bytes.
        suffix: the suffix the file would have, such as ``.g722``; it only matters for raw codecs.
    """
    with naming(f"<{len(data)} bytes of {suffix}>"), memory_file(data) as handle:
        source = _source(handle, suffix.lower(), len(data))
        try:
            yield source
        finally:
            source.close()


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Put the file's name in front of an error's text."""
    try:
        yield
    except AudioError as error:
        name = shown(path)
        text = str(error)
        raise AudioError(text if text.startswith(f"{name}: ") else f"{name}: {text}") from None
