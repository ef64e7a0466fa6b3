"""The large corpus: about 15 hours of real recordings in over 20 languages, built from Debian packages on this machine.

``auricle data build --profile rec`` (or `build`) makes it in the user's cache folder; nothing of it is part of
Auricle. Each clip is mono FLAC at 16 kHz, or at its own rate where that is lower; where it is higher, the file as it
came lies under `Clip.original`. The recordings stay under their packages' licences, kept in ``LICENSES`` beside them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.audio.files import Audio, read
from auricle.core.errors import ConfigError, DataError
from auricle.core.files import read_jsonl
from auricle.data import embedded
from auricle.data.embedded import KINDS
from auricle.data.rec.place import corpus_folder

if TYPE_CHECKING:
    from auricle.data.rec.apt import Downloader
    from auricle.data.rec.construction import Built, Say

__all__ = ["KINDS", "Clip", "build", "clip", "clips", "folder", "speakers", "verify"]


@dataclass(frozen=True)
class Clip(embedded.Clip):
    """One recording; the fields of `auricle.data.embedded.Clip`, and where the untouched file is.

    A speaker is named only where the package tells who speaks; clips without one have no place in speaker tasks.

    Attributes:
        source_rate_hz: sampling rate in Hz before conversion.
        original: file as it came, below the corpus folder; empty where its rate is 16 kHz or less.
        original_sha256: checksum of that file.
    """

    source_rate_hz: int = 0
    original: str = ""
    original_sha256: str = ""

    @property
    def coding(self) -> str:
        """How the source coded the recording: the suffix of the file in its package."""
        return Path(self.source_path).suffix.removeprefix(".")

    @property
    def split_group(self) -> str:
        """The speaker group; one for the nameless letters (k) and the volunteer (t) of a language, who may be one."""
        return f"kt-{self.language}" if self.speaker_group.startswith(("k-", "t-")) else self.speaker_group

    def file(self) -> Path:
        """Give the place of the FLAC file."""
        return folder() / self.path

    def read_original(self) -> Audio:
        """Decode the recording at its own rate, with all its channels where it had a rate above 16 kHz.

        Raises:
            AudioError: the file is missing or damaged.
        """
        return read(folder() / (self.original or self.path))


def folder() -> Path:
    """Give the corpus folder in the user's cache.

    Raises:
        DataError: the cache folder is set to a place inside Auricle's source tree.
    """
    return corpus_folder("rec")


@functools.lru_cache(maxsize=4)
def _table(place: Path, changed_ns: int) -> tuple[Clip, ...]:
    known = {field.name for field in fields(Clip)}
    rows = []
    for number, row in enumerate(read_jsonl(place / "clips.jsonl"), 1):
        if not isinstance(row, dict) or not row.keys() <= known:
            raise DataError(f"{place / 'clips.jsonl'}, line {number}: not a clip of this version; {_ADVICE}")
        rows.append(Clip(**row))
    return tuple(rows)


_ADVICE = "delete the folder and run `auricle data build --profile rec`"


@functools.lru_cache(maxsize=4)
def _by_id(place: Path, changed_ns: int) -> dict[str, Clip]:
    return {item.id: item for item in _table(place, changed_ns)}


def _built() -> tuple[Path, int]:
    """Give the corpus folder and when its build was completed; together they name what is in it."""
    place = folder()
    mark = place / ".completed"
    if not mark.is_file():
        state = "is not complete" if place.is_dir() else "is not there"
        raise DataError(
            f"the large corpus {state} ({place}); run `auricle data build --profile rec`, a few minutes and 3 GB "
            "for a while, where apt exists, or use --data embedded"
        )
    return place, mark.stat().st_mtime_ns


def clips(kind: str | None = None, language: str | None = None) -> list[Clip]:
    """List the clips of the large corpus in a fixed order.

    Args:
        kind: ``speech``, ``sound`` or ``music``; None for all.
        language: ISO 639-1 code such as ``cs`` (``nds`` for Low Saxon, which has none); None for all.

    Raises:
        ConfigError: a kind or a language that the corpus does not have.
        DataError: the corpus was not built on this machine.
    """
    table = _table(*_built())
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"kind {kind!r} is not in the large corpus; use one of {', '.join(KINDS)}")
    languages = sorted({item.language for item in table if item.language})
    if language is not None and language not in languages:
        raise ConfigError(f"language {language!r} is not in the large corpus; use one of {', '.join(languages)}")
    return [item for item in table if kind in (None, item.kind) and language in (None, item.language)]


def clip(name: str) -> Clip:
    """Give one clip by its id.

    Raises:
        DataError: the corpus has no such clip, or was not built.
    """
    found = _by_id(*_built()).get(name)
    if found is None:
        raise DataError(f"the large corpus has no clip {name!r}; `auricle.data.rec.clips()` lists them")
    return found


def speakers() -> dict[str, str]:
    """Give the speaker group of each voice, by voice; split data by group, never by voice."""
    return {item.speaker: item.speaker_group for item in _table(*_built()) if item.speaker}


def verify() -> int:
    """Compare every file with its checksum.

    Returns:
        The number of clips.

    Raises:
        DataError: the corpus was not built, or a file is missing or changed.
    """
    from auricle.data.rec.parts import damaged

    table = _table(*_built())
    problems = damaged(folder(), [vars(item) for item in table])
    if problems:
        raise DataError(f"the large corpus is damaged: {problems[0]} ({len(problems)} files); {_ADVICE}")
    return len(table)


def build(
    profile: str = "rec", downloader: Downloader | None = None, workers: int | None = None, say: Say | None = None
) -> Built:
    """Build the corpus in the cache folder; see `auricle.data.rec.construction.build`."""
    from auricle.data.rec.construction import build as construct

    return construct(profile, downloader, workers, say or (lambda text: None))
