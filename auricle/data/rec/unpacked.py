"""A Debian package unpacked on disk by dpkg-deb, its files read when they are asked for."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from auricle.core.errors import DataError
from auricle.data.embedded.build.deb import Package


class DiskFiles(Mapping[str, bytes]):
    """Files below a folder by their path, with slashes; links are left out."""

    def __init__(self, folder: Path) -> None:
        """List the folder once."""
        self._folder = folder
        found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        self._paths = dict.fromkeys(sorted(path.relative_to(folder).as_posix() for path in found))

    def __getitem__(self, path: str) -> bytes:
        if path not in self._paths:
            raise KeyError(path)
        return (self._folder / path).read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, path: object) -> bool:
        # the one of Mapping would read the file
        return path in self._paths


def unpack(deb: Path, folder: Path) -> None:
    """Unpack a package; a folder that is there already is whole and stays.

    Raises:
        DataError: dpkg-deb cannot read the package.
        OSError: the disk is full.
    """
    if folder.is_dir():
        return
    partial = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["dpkg-deb", "-x", str(deb), str(partial)], capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(partial, ignore_errors=True)
        reason = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise DataError(f"{deb} cannot be unpacked: {reason}; check the free space, delete the file and build again")
    partial.rename(folder)


def open_unpacked(package: str, version: str, folder: Path) -> Package:
    """Give an unpacked package by name, version and folder."""
    return Package(package, version, DiskFiles(folder))
