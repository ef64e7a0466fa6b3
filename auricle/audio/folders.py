"""Finding audio files: what a folder is searched for, and what was left out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from auricle.audio.check import shown
from auricle.audio.sources import is_url, located
from auricle.core.errors import AudioError

# What a folder is searched for. A file that is named itself is opened whatever its suffix: the bytes decide.
SUFFIXES = (
    ".wav",
    ".flac",
    ".mp3",
    ".ogg",
    ".oga",
    ".opus",
    ".aif",
    ".aiff",
    ".aifc",
    ".au",
    ".snd",
    ".caf",
    ".w64",
    ".rf64",
    ".sph",
    ".nist",
    ".voc",
    ".ircam",
    ".mp1",
    ".mp2",
    ".g722",
    ".gsm",
    # through PyAV
    ".m4a",
    ".m4b",
    ".aac",
    ".mp4",
    ".m4v",
    ".mov",
    ".3gp",
    ".3g2",
    ".webm",
    ".mkv",
    ".mka",
    ".wma",
    ".asf",
    ".wmv",
    ".amr",
    ".awb",
    ".ac3",
    ".eac3",
    ".spx",
    ".ogv",
    ".ogx",
    ".avi",
    ".flv",
    ".f4v",
    ".mpg",
    ".mpeg",
    ".vob",
    ".m2ts",
    ".mts",
    ".ape",
    ".wv",
    ".tta",
    ".dsf",
    ".mpc",
    ".dts",
    ".rm",
    ".ra",
)
# Names of audio and video that nothing here reads: encrypted, notes instead of sound, or without a header.
_UNREAD = (
    ".aa",
    ".aax",
    ".m4p",
    ".mid",
    ".midi",
    ".rmi",
    ".dff",
    ".dss",
    ".ds2",
    ".dvf",
    ".msv",
    ".qcp",
    ".vox",
    ".silk",
    ".evs",
    ".sd2",
    ".ram",
    ".rmvb",
    ".divx",
    ".tak",
    ".ofr",
    ".shn",
    ".pcm",
    ".ulaw",
    ".alaw",
    ".g723",
    ".g726",
    ".g729",
    ".ilbc",
    ".mxf",
)
# First bytes of audio and video, for files whose names do not say what they are.
_MAGIC = (
    b"fLaC",
    b"OggS",
    b"ID3",
    b"caff",
    b".snd",
    b"#!AMR",
    b"\x1aE\xdf\xa3",
    b"0&\xb2u\x8ef\xcf\x11",
    b"FLV\x01",
    b"wvpk",
    b"MAC ",
    b"TTA1",
    b"DSD ",
    b"MPCK",
    b"MThd",
    b".RMF",
)
_HEAD_BYTES = 377


def find_audio(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """List audio files: files as they are given, folders searched.

    Args:
        paths: files and folders. A file is taken whatever its suffix. A folder is searched recursively, in sorted
            order, for names with one of `SUFFIXES`; hidden names (``._x.wav`` of other systems) are left out and
            links to folders are not followed. Files in it that cannot be read are listed too: `read` says why.

    Returns:
        The files, in the order of `paths`.

    Raises:
        AudioError: a path does not exist or is a URL, or a folder has no audio.
    """
    found: list[Path] = []
    for path in map(located, [paths] if isinstance(paths, str | Path) else paths):
        if not os.path.isdir(path):
            found.append(_single(path))
            continue
        inside = sorted(file for file in _names(Path(path)) if file.suffix.lower() in SUFFIXES)
        if not inside:
            raise AudioError(f"{shown(path)}: no audio in this folder; looked for {' '.join(SUFFIXES)}")
        found += inside
    return found


def _single(path: str | Path) -> Path:
    try:
        os.stat(path)
    except FileNotFoundError:
        if is_url(path):
            raise AudioError(f"{shown(path)}: URLs are not fetched; download the file and give its path") from None
        what = "is a link that leads nowhere" if os.path.islink(path) else "does not exist"
        raise AudioError(f"{shown(path)} {what}") from None
    except (OSError, ValueError) as error:  # a loop of links, a name that is too long or has a zero in it
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AudioError(f"{shown(path)}: cannot be opened: {reason}") from None
    return Path(path)


def left_out(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Name the files that look like audio or video and that `find_audio` does not list.

    They are those whose suffix says so but which nothing here reads (MIDI, protected or headerless audio), and those
    whose first bytes say so but whose suffix does not; the latter can be read when they are named.

    Args:
        paths: files and folders, as for `find_audio`; only folders can leave something out.

    Returns:
        The files, sorted within each folder; to be counted and named.
    """
    found: list[Path] = []
    for path in map(located, [paths] if isinstance(paths, str | Path) else paths):
        if os.path.isdir(path):
            found += sorted(file for file in _names(Path(path)) if _looks_like_audio(file))
    return found


def _names(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in names if not name.startswith("."))


def _looks_like_audio(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return False
    head = _head(path)
    magic = head.startswith(_MAGIC) or head[4:8] == b"ftyp" or head[8:12] in (b"WAVE", b"AVI ", b"AIFF", b"AIFC")
    if suffix == ".ts":  # also the suffix of TypeScript
        return head[:1] == b"G" and head[188:189] == b"G" and head[376:377] == b"G"
    return magic or suffix in _UNREAD


def _head(path: Path) -> bytes:
    """Read the first bytes of a regular file; nothing of anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return b""
    with open(descriptor, "rb", buffering=0) as handle:
        return handle.read(_HEAD_BYTES) or b"" if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
