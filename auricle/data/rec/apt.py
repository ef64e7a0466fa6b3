"""Packages from apt, without root: what the archive has, and its files, each held against apt's own checksum."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from auricle.core.errors import DataError

_OTHERWISE = (
    "Build the corpus on a machine (or in a container) with Debian or Ubuntu and copy its folder here, "
    "or use the embedded corpus, which needs nothing: --data embedded"
)
_LINE = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True)
class Archive:
    """A package file as the archive describes it: its name, version, size in bytes and checksum."""

    package: str
    file: str
    version: str
    size: int
    sha256: str


class Downloader(Protocol):
    """What the build asks for packages."""

    def look_up(self, packages: Sequence[str]) -> dict[str, Archive]:
        """Describe the packages, without fetching them."""

    def fetch(self, archives: Sequence[Archive], folder: Path) -> None:
        """Put the files of packages into a folder."""


def need_programs(programs: Sequence[str]) -> None:
    """Check that programs are there.

    Raises:
        DataError: one or more are missing; the message names them and another way.
    """
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        names = " and ".join(missing)
        raise DataError(f"the large corpus is made with {names}, not found on this machine. {_OTHERWISE}")


def whole(file: Path, archive: Archive) -> bool:
    """Say whether a file is the one that the archive describes."""
    if not file.is_file() or file.stat().st_size != archive.size:
        return False
    with open(file, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest() == archive.sha256


class Apt:
    """Packages by ``apt-get download``, which needs neither root nor the packages' dependencies."""

    def look_up(self, packages: Sequence[str]) -> dict[str, Archive]:
        """Describe packages by apt's own lists.

        Raises:
            DataError: apt has no lists, or one of the packages is not in them.
        """
        need_programs(["apt-get", "dpkg-deb"])
        # in an empty folder: a package that lies in the present one is not printed
        with tempfile.TemporaryDirectory() as empty:
            done = _apt(["--print-uris", *packages], Path(empty))
        found = {}
        for match in _LINE.finditer(done.stdout):
            name, version, _ = match["file"].split("_", 2)
            found[name] = Archive(name, match["file"], version.replace("%3a", ":"), int(match["size"]), match["sha256"])
        absent = [name for name in packages if name not in found]
        if len(absent) == len(packages):
            raise DataError(
                "apt knows none of the packages: it has no package lists. Run `apt-get update` as root once, "
                f"then this command again as yourself (apt said: {_said(done)}). {_OTHERWISE}"
            )
        if absent:
            raise DataError(
                f"apt has no package {', '.join(absent)} (it said: {_said(done)}). The corpus is made from Debian 12; "
                f"check that the component 'main' is in its sources and run `apt-get update` as root. {_OTHERWISE}"
            )
        return found

    def fetch(self, archives: Sequence[Archive], folder: Path) -> None:
        """Fetch packages in one call, since apt reads its lists for a second each time; it checks them against these.

        Raises:
            DataError: the download failed; the packages that came before are kept.
        """
        done = _apt([archive.package for archive in archives], folder)
        if done.returncode != 0:
            names = ", ".join(archive.package for archive in archives)
            raise DataError(
                f"not all of {names} could be fetched: {_said(done)}. Free space: "
                f"{shutil.disk_usage(folder).free / 1e9:.1f} GB. The same command goes on from here"
            )


def _apt(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["apt-get", "-q", "-o", "Dpkg::Use-Pty=0", "download", *arguments]
    # messages in English: they go into our own
    surroundings = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=surroundings)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()
    return " ".join(" ".join(lines[-3:]).split()) or f"exit status {done.returncode}"
