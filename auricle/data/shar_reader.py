"""Shards read one after the other, each member judged before it is used: its name, its kind, what it says of audio.

Lhotse's own reader runs a shell command or fetches a URL where a shard says so; here a shard gives cuts, recordings
and bytes of audio, and everything else in it is refused by name.
"""

from __future__ import annotations

import random
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from auricle.audio.files import SUFFIXES
from auricle.core.errors import DataError
from auricle.core.files import read_jsonl
from auricle.core.lines import open_regular, parse_json, text_lines
from auricle.data.cut_audio import MEMORY, SHAR, refuse_sources

if TYPE_CHECKING:
    from lhotse.cut import Cut

_META_BYTES = 1 << 24
_AUDIO_BYTES = 1 << 31


def safe_name(name: str) -> str:
    """Give a cut's id as a name that stays inside a folder; one that does already comes back as it is."""
    if name and str(PurePosixPath(name)) == name and not _leaves(name):
        return name
    odd = {"": "%2F", ".": "%2E", "..": "%2E%2E"}
    return "/".join(odd.get(part, part) for part in name.split("/"))


def _leaves(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name


class Shards:
    """The cuts of pairs of files, ``cuts.*.jsonl.gz`` and ``recording.*.tar``; may be gone through again and again."""

    def __init__(self, pairs: Sequence[tuple[Path, Path]], split: bool, shuffle: bool, seed: int) -> None:
        """Open nothing yet.

        Args:
            pairs: files of cuts and of audio.
            split: each process and data-loader worker takes its own pairs.
            shuffle: pairs in another order at each pass.
            seed: of that order.
        """
        self.pairs, self.split, self.shuffle, self.seed = list(pairs), split, shuffle, seed
        self.epoch = 0
        self._len: int | None = None

    def __len__(self) -> int:
        if self._len is None:
            self._len = sum(1 for cuts, _ in self.pairs for _ in text_lines(cuts))
        return self._len

    def __iter__(self) -> Iterator[Cut]:
        """Go through the cuts.

        Raises:
            DataError: a shard that is damaged, or holds something other than cuts and their audio.
        """
        pairs = list(self.pairs)
        if self.shuffle:
            random.Random(self.seed + self.epoch).shuffle(pairs)
        if self.split:
            from lhotse.shar.readers.utils import split_by_node, split_by_worker

            pairs = split_by_worker(split_by_node(pairs))
        for cuts, audio in pairs:
            for cut in _shard(cuts, audio):
                cut.shard_origin, cut.shar_epoch = str(cuts), self.epoch
                yield cut
        self.epoch += 1


def _shard(cuts: Path, audio: Path) -> Iterator[Any]:
    with open_regular(audio) as handle:
        try:
            members = _members(audio, handle)
            for number, row in enumerate(read_jsonl(cuts), 1):
                cut = _cut(row, f"{cuts}, entry {number}")
                cut.recording = _recording(audio, cut.id, next(members, None), next(members, None))
                yield cut
            left = next(members, None)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DataError(f"{audio} is damaged: {error}; export it again") from None
        if left is not None:
            raise DataError(f"{audio}: {left[0]} belongs to no cut of {cuts.name}; export it again")


def _members(path: Path, handle: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Give name and bytes of each member; only plain files with names that stay inside a folder."""
    with tarfile.open(fileobj=handle, mode="r|") as tar:
        for member in tar:
            if not member.isreg() or member.issparse():
                raise DataError(f"{path}: {member.name!r} is no plain file; shards hold audio and its description only")
            if _leaves(member.name):
                raise DataError(f"{path}: {member.name!r} is a name outside its folder; this shard is not read")
            most = _META_BYTES if member.name.endswith(".json") else _AUDIO_BYTES
            if member.size > most:
                raise DataError(f"{path}: {member.name!r} has {member.size} bytes; at most {most} are read")
            opened = tar.extractfile(member)
            yield member.name, b"" if opened is None else opened.read()


def _cut(row: Any, where: str) -> Any:
    from lhotse.serialization import deserialize_item

    refuse_sources(row, where, SHAR)
    try:
        cut = deserialize_item(row)
        if type(cut).__name__ not in ("MonoCut", "MultiCut"):
            raise TypeError(f"found a {type(cut).__name__}")
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise DataError(f"{where}: expected a Lhotse cut of one recording: {error!r}") from None
    return cut


def _recording(path: Path, name: str, audio: tuple[str, bytes] | None, meta: tuple[str, bytes] | None) -> Any:
    """Join the two members of a cut: its audio, and what a manifest says of it."""
    from lhotse import AudioSource, Recording

    if audio is None or meta is None:
        raise DataError(f"{path}: no audio for the cut {name!r}; the shard is cut off, export it again")
    suffix = PurePosixPath(audio[0]).suffix
    if suffix.lower() not in SUFFIXES or not meta[0].endswith(".json"):
        odd = audio[0] if suffix.lower() not in SUFFIXES else meta[0]
        raise DataError(f"{path}: {odd!r} where audio and its .json of the cut {name!r} belong; it is not read")
    if (audio[0], meta[0]) != (f"{name}{suffix}", f"{name}.json"):
        raise DataError(f"{path}: found {audio[0]!r} and {meta[0]!r} where the cut {name!r} belongs; export it again")
    where = f"{path}, {meta[0]}"
    try:
        row = parse_json(meta[1].decode("utf-8"), where)
        refuse_sources(row, where, SHAR)
        recording = Recording.from_dict(row)
    except (UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise DataError(f"{where}: expected a Lhotse recording: {error!r}") from None
    if len(recording.sources) != 1 or recording.transforms:
        raise DataError(f"{where}: expected a recording of one source, without transforms")
    channels = list(recording.sources[0].channels)
    recording.sources = [AudioSource(type=MEMORY, channels=channels, source=audio[1])]
    return recording
