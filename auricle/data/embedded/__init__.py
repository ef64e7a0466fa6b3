"""The embedded corpus: real recordings that come with the package, each with its author and licence.

Everything about a clip stands in ``clips.jsonl``; ``README.md`` tells where the recordings come from and
``LICENSES`` holds the licence texts. `clips` reads the table only; a recording is decoded by `Clip.read`.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

from auricle.audio.files import Audio, read
from auricle.core.errors import ConfigError, DataError
from auricle.core.files import read_json, read_jsonl

__all__ = ["KINDS", "Clip", "clip", "clips", "export", "folder", "hrtf_path", "overview", "speakers", "verify"]

KINDS = ("speech", "sound", "music")


@dataclass(frozen=True)
class Clip:
    """One recording of the corpus; a field that does not apply, or is not certain, is empty.

    Attributes:
        id: unique name, such as ``en-a-vm-goodbye``.
        path: file below the corpus folder.
        kind: ``speech``, ``sound`` or ``music``.
        rate_hz: sampling rate in Hz.
        duration_s: length in seconds.
        package: Debian package it comes from.
        version: version of that package.
        source_path: file inside the package; after ``!`` the entry of an archive.
        author: who made it; to be named wherever it is used.
        licence: SPDX expression; a ``LicenseRef-`` is a file in ``LICENSES``.
        changes: what was done to it.
        sha256: checksum of the file.
        speaker: pseudonymous voice, such as ``en-a``; speech only.
        speaker_group: voices that are one person, or that a speaker encoder cannot tell apart, share a group.
        language: ISO 639-1 code; speech only.
        text: the words, where they are certain.
        prompt: name of the telephone prompt; voices with the same prompt say the same thing.
        label: class of a sound, digit or letter of a spoken word; empty for sentences.
        detail: finer than the label, such as the ground of footsteps.
    """

    id: str
    path: str
    kind: str
    rate_hz: int
    duration_s: float
    package: str
    version: str
    source_path: str
    author: str
    licence: str
    changes: str
    sha256: str
    speaker: str = ""
    speaker_group: str = ""
    language: str = ""
    text: str = ""
    prompt: str = ""
    label: str = ""
    detail: str = ""

    @property
    def coding(self) -> str:
        """How the source coded the recording: the suffix of its file."""
        return Path(self.path).suffix.removeprefix(".")

    @property
    def split_group(self) -> str:
        """What must not be in two splits: the speaker group, or more where two groups may be one person."""
        return self.speaker_group

    def file(self) -> Path:
        """Give the place of the coded file."""
        return folder() / self.path

    def read(self) -> Audio:
        """Decode the recording.

        Raises:
            AudioError: the file is missing or damaged.
        """
        return read(self.file())


def folder() -> Path:
    """Give the corpus folder inside the installed package."""
    return Path(__file__).resolve().parent


@functools.cache
def _table() -> tuple[Clip, ...]:
    known = {field.name for field in fields(Clip)}
    rows = []
    for number, row in enumerate(read_jsonl(folder() / "clips.jsonl"), 1):
        unknown = sorted(row.keys() - known)
        if unknown:
            raise DataError(f"clips.jsonl, line {number}: unknown field {unknown[0]!r}; known are {sorted(known)}")
        rows.append(Clip(**row))
    return tuple(rows)


def clips(kind: str | None = None, language: str | None = None) -> list[Clip]:
    """List the clips of the corpus in a fixed order.

    Args:
        kind: ``speech``, ``sound`` or ``music``; None for all.
        language: ISO 639-1 code such as ``it``; None for all, and for clips without speech.

    Raises:
        ConfigError: a kind or a language that the corpus does not have.
    """
    table = _table()
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"kind {kind!r} is not in the embedded corpus; use one of {', '.join(KINDS)}")
    languages = sorted({item.language for item in table if item.language})
    if language is not None and language not in languages:
        raise ConfigError(f"language {language!r} is not in the embedded corpus; use one of {', '.join(languages)}")
    return [item for item in table if kind in (None, item.kind) and language in (None, item.language)]


@functools.cache
def _by_id() -> dict[str, Clip]:
    return {item.id: item for item in _table()}


def clip(name: str) -> Clip:
    """Give one clip by its id.

    Raises:
        DataError: the corpus has no such clip.
    """
    if name not in _by_id():
        raise DataError(f"the embedded corpus has no clip {name!r}; `auricle.data.embedded.clips()` lists them")
    return _by_id()[name]


def overview(kind: str | None = None) -> list[tuple[str, str, str, str, str, str]]:
    """Give a table of the corpus: kind, voice or label, language, number of clips, minutes, licence.

    Args:
        kind: ``speech``, ``sound`` or ``music``; None for all.
    """
    rows: dict[tuple[str, str, str], list[Clip]] = {}
    for item in clips(kind):
        rows.setdefault((item.kind, item.speaker or item.label, item.language), []).append(item)
    return [
        (
            *key,
            str(len(found)),
            f"{sum(item.duration_s for item in found) / 60:.1f}",
            ", ".join(sorted({item.licence for item in found})),
        )
        for key, found in rows.items()
    ]


def export(target: str | Path) -> str:
    """Write every clip as FLAC into a folder, with a Lhotse manifest and the licences.

    Args:
        target: the folder; made if it is not there.

    Returns:
        What was written, in one sentence.

    Raises:
        DataError: the folder is a file.
    """
    from auricle.data.embedded.plain_files import export_corpus

    return export_corpus(Path(target))


def speakers() -> dict[str, str]:
    """Give the speaker group of each voice, by voice; split data by group, never by voice."""
    return {item.speaker: item.speaker_group for item in _table() if item.speaker}


def hrtf_path() -> Path:
    """Give the SOFA file with head-related impulse responses of the KEMAR dummy head (Gardner and Martin, 1994).

    It holds 710 directions, 2 ears, 512 taps at 44.1 kHz; reading it needs h5py (extra ``spatial``).
    """
    return folder() / str(read_json(folder() / "hrtf" / "hrtf.json")["path"])


def verify() -> None:
    """Compare every file of the corpus with its checksum.

    Raises:
        DataError: a file is missing or changed; the message names the first one and how many there are.
    """
    hrtf = read_json(folder() / "hrtf" / "hrtf.json")
    wanted = {item.path: item.sha256 for item in _table()} | {hrtf["path"]: hrtf["sha256"]}
    broken = []
    for path, sha256 in wanted.items():
        file = folder() / path
        if not file.is_file():
            broken.append(f"{path} is missing")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
            broken.append(f"{path} has changed")
    if broken:
        raise DataError(
            f"the embedded corpus is damaged: {broken[0]} ({len(broken)} of {len(wanted)} files); install Auricle again"
        )
