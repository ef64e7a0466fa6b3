"""Debian packages read in plain Python: an ``ar`` archive that holds a tar file."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from auricle.core.errors import DataError

_MAGIC = b"!<arch>\n"
_HEADER = 60  # bytes of one ar member header


def ar_members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each member of an ``ar`` archive.

    Args:
        data: the whole archive.

    Raises:
        DataError: not an ``ar`` archive, or cut short.
    """
    if not data.startswith(_MAGIC):
        raise DataError("not a Debian package: it does not start with the ar signature '!<arch>'")
    position = len(_MAGIC)
    while position < len(data):
        header = data[position : position + _HEADER]
        if len(header) < _HEADER or header[58:60] != b"`\n":
            raise DataError(f"damaged Debian package: no member header at byte {position}")
        size = int(header[48:58])
        start = position + _HEADER
        if start + size > len(data):
            raise DataError(f"damaged Debian package: the member at byte {position} is cut short")
        yield header[:16].decode("ascii").strip().rstrip("/"), data[start : start + size]
        position = start + size + size % 2  # members begin at even offsets


@dataclass(frozen=True)
class Package:
    """One Debian package: what it is called, which version, and its files by path."""

    name: str
    version: str
    files: Mapping[str, bytes] = field(repr=False)

    def read(self, path: str) -> bytes:
        """Give the content of one file.

        Raises:
            DataError: the package has no such file.
        """
        if path not in self.files:
            raise DataError(f"package {self.name} {self.version} has no file {path}")
        return self.files[path]

    def copyright_text(self) -> str:
        """Give the package's Debian copyright file."""
        return self.read(f"usr/share/doc/{self.name}/copyright").decode("utf-8")

    def under(self, folder: str, suffix: str) -> list[str]:
        """List the files below `folder` whose name ends in `suffix`, sorted."""
        return sorted(path for path in self.files if path.startswith(folder) and path.endswith(suffix))


def _tar_files(data: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = PurePosixPath(member.name).as_posix()
            if member.isfile():
                handle = archive.extractfile(member)
                files[path] = handle.read() if handle else b""
            elif member.islnk():
                links[path] = PurePosixPath(member.linkname).as_posix()
    files.update({path: files[target] for path, target in links.items() if target in files})
    return files


def read_package(path: Path, sha256: str | None = None) -> Package:
    """Read a ``.deb`` file into memory.

    Args:
        path: the package file.
        sha256: what the file's checksum must be; None skips the check.

    Raises:
        DataError: the file is missing, damaged, or not the one expected.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; fetch it with `apt-get download` (see the README beside the corpus)")
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise DataError(f"{path} has the SHA-256 {found}, expected {sha256}: another version, or a damaged download")
    members = dict(ar_members(data))
    control = next((name for name in members if name.startswith("control.tar")), None)
    content = next((name for name in members if name.startswith("data.tar")), None)
    if control is None or content is None:
        raise DataError(f"{path} is not a Debian package: it holds {sorted(members)}, not control.tar and data.tar")
    fields = dict(
        line.split(": ", 1) for line in _tar_files(members[control])["control"].decode().splitlines() if ": " in line
    )
    return Package(fields["Package"], fields["Version"], _tar_files(members[content]))
