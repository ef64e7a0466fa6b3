"""Build the large corpus: fetch packages, unpack, convert in parallel, write the table; killed, it goes on."""

from __future__ import annotations

import contextlib
import errno
import math
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.core.errors import ConfigError, DataError
from auricle.core.files import digest, read_json, read_jsonl, write_json, write_jsonl
from auricle.data.rec.apt import Apt, Archive, Downloader, whole
from auricle.data.rec.packages import PROFILES, Source
from auricle.data.rec.parts import Part, damaged, do_part, part_rows, start_converter, work_folder
from auricle.data.rec.place import corpus_folder
from auricle.data.rec.unpacked import unpack

FORMAT = 1
"""Number of the corpus's layout and rules; another one builds everything again."""
COMPLETED = ".completed"
_PART_BYTES = 8_000_000
_BATCH_BYTES = 70_000_000
_DISK_FACTOR = 5.0  # peak size of everything against the packages alone, measured 4.6
_FULL = (errno.ENOSPC, errno.EDQUOT)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """What a finished corpus holds.

    Attributes:
        folder: where it lies.
        clips: number of recordings.
        hours: their total length.
        speech_hours: length of the speech among them.
        speaker_groups: groups with at least 40 s of speech.
        languages: languages with a clip.
        left_out: recordings that were not usable audio, or whose package names no licence for them.
        size: bytes of the files.
    """

    folder: str
    clips: int
    hours: float
    speech_hours: float
    speaker_groups: int
    languages: int
    left_out: int
    size: int

    def __str__(self) -> str:
        """Say it in a sentence for a terminal."""
        return (
            f"{self.clips} clips, {self.hours:.1f} h ({self.speech_hours:.1f} h of speech), {self.speaker_groups} "
            f"speaker groups with 40 s or more, {self.languages} languages, {self.size / 1e6:.0f} MB in {self.folder}; "
            f"{self.left_out} recordings left out, with reasons in left_out.jsonl"
        )


def build(
    profile: str = "rec",
    downloader: Downloader | None = None,
    workers: int | None = None,
    say: Say = lambda text: None,
    sources: tuple[Source, ...] | None = None,
    folder: Path | None = None,
) -> Built:
    """Build a corpus from Debian packages, or say what is in the one that is there.

    Args:
        profile: ``rec``.
        downloader: where packages come from; apt by default.
        workers: processes that convert; one per processor by default, eight at most.
        say: receives progress, a line at a time.
        sources: other packages than those of the profile.
        folder: where to build; the profile's folder below the cache by default.

    Raises:
        ConfigError: no such profile, or fewer than one worker.
        DataError: apt or a package is missing, a package is damaged, the disk is full, or another build is running.
    """
    if profile not in PROFILES:
        raise ConfigError(f"there is no profile {profile!r}; profiles: {', '.join(PROFILES)}")
    if workers is not None and workers < 1:
        raise ConfigError(f"{workers} workers; give 1 or more")
    place = folder or corpus_folder(profile)
    if (place / COMPLETED).is_file():
        facts = read_json(place / COMPLETED)
        if facts["format"] == FORMAT:
            say(f"{place} is complete; delete the folder to build it again")
            return Built(str(place), **facts["built"])
    chosen = sources or PROFILES[profile]
    with _clear_errors(place), _only_one(place):
        return _build(place, chosen, downloader or Apt(), workers or min(8, _processors()), say)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _clear_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        raise DataError(
            "a converting process was ended from outside, perhaps for want of memory; the same command goes on from "
            "here, with --workers 1 in the least memory"
        ) from None
    except OSError as error:
        if error.errno in _FULL:
            free = shutil.disk_usage(_existing(place)).free
            raise DataError(
                f"the disk of {place} is full ({free / 1e9:.1f} GB free); make room, or set AURICLE_CACHE to a folder "
                "on another disk. What is done stays, and the same command goes on from there"
            ) from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise DataError(
                f"{place} cannot be written ({error.strerror}: {error.filename}); set AURICLE_CACHE to another folder"
            ) from None
        raise


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


@contextlib.contextmanager
def _only_one(place: Path) -> Iterator[None]:
    """Hold a lock while the block runs; the system lets go of it when the process dies, however that happens."""
    import fcntl

    place.mkdir(parents=True, exist_ok=True)
    with open(place / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another build is running in {place}; wait for it, or end it first") from None
        yield


def _build(place: Path, sources: tuple[Source, ...], downloader: Downloader, workers: int, say: Say) -> Built:
    archives = downloader.look_up(_needed(sources))
    _room(place, archives)
    (place / COMPLETED).unlink(missing_ok=True)
    work = work_folder(place)
    log = work / "decoder.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    parts = {source: _parts(place, source, archives) for source in sources}
    waiting: dict[Future[int], Part] = {}
    begin = (str(log), os.getpid())
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_converter, initargs=begin) as pool:
        try:
            for batch in _batches(sources, archives):
                todo = {source: [part for part in parts[source] if part_rows(part) is None] for source in batch}
                unfinished = [source for source in batch if todo[source]]
                _fetch([archives[name] for name in _needed(unfinished)], downloader, work, say)
                for source in batch:
                    if source in unfinished:
                        for name in _needed([source]):
                            _unpack(archives[name], work)
                        _copy_documents(work / "unpacked" / source.package, source.package, place)
                        waiting.update({pool.submit(do_part, part): part for part in todo[source]})
                    say(f"{source.package}: {'unpacked' if source in unfinished else 'done before'}")
            for number, future in enumerate(as_completed(waiting), 1):
                clips = future.result()
                say(f"part {number} of {len(waiting)}: {clips} clips of {waiting[future].source.package}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _finish(place, [part for own in parts.values() for part in own], archives)


def _needed(sources: Sequence[Source]) -> list[str]:
    return list(dict.fromkeys(name for source in sources for name in (source.package, *source.helps)))


def _batches(sources: Sequence[Source], archives: dict[str, Archive]) -> Iterator[list[Source]]:
    """Group packages that are fetched together; the others are converted while the next group comes."""
    batch: list[Source] = []
    for source in sources:
        batch.append(source)
        if sum(archives[item.package].size for item in batch) >= _BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _room(place: Path, archives: dict[str, Archive]) -> None:
    there = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    needed = _DISK_FACTOR * sum(archive.size for archive in archives.values()) - there
    free = shutil.disk_usage(_existing(place)).free
    if free < needed:
        raise DataError(
            f"building in {place} needs up to {needed / 1e9:.1f} GB for a while, {free / 1e9:.1f} GB are free; make "
            "room, or set AURICLE_CACHE to a folder on another disk"
        )


def _parts(place: Path, source: Source, archives: dict[str, Archive]) -> list[Part]:
    needed = [archives[name] for name in (source.package, *source.helps)]
    count = max(1, math.ceil(needed[0].size / _PART_BYTES))
    key = digest([FORMAT, [archive.sha256 for archive in needed]])
    versions = tuple(archive.version for archive in needed)
    markers = work_folder(place) / "parts"
    return [
        Part(source, versions, place, index, count, markers / f"{source.package}-{key}-{index}-of-{count}.jsonl")
        for index in range(count)
    ]


def _unpacked(archive: Archive, work: Path) -> bool:
    """Say whether a package is unpacked, in the version that is asked for."""
    stamp = work / "unpacked" / f"{archive.package}.sha256"
    return (work / "unpacked" / archive.package).is_dir() and stamp.is_file() and stamp.read_text() == archive.sha256


def _fetch(archives: list[Archive], downloader: Downloader, work: Path, say: Say) -> None:
    """Fetch the packages that are not there."""
    folder = work / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    absent = [
        archive for archive in archives if not _unpacked(archive, work) and not whole(folder / archive.file, archive)
    ]
    if not absent:
        return
    say(f"fetching {len(absent)} packages, {sum(archive.size for archive in absent) / 1e6:.0f} MB")
    for archive in absent:
        (folder / archive.file).unlink(missing_ok=True)
    downloader.fetch(absent, folder)
    for archive in absent:
        if not whole(folder / archive.file, archive):
            raise DataError(
                f"{folder / archive.file} is not what the archive describes ({archive.size} bytes, SHA-256 "
                f"{archive.sha256}); run the command again, and if that does not help, `apt-get update` as root"
            )


def _unpack(archive: Archive, work: Path) -> None:
    if _unpacked(archive, work):
        return
    target = work / "unpacked" / archive.package
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    # first the stamp: the folder itself appears whole and last
    (target.parent / f"{archive.package}.sha256").write_text(archive.sha256)
    unpack(work / "packages" / archive.file, target)


def _copy_documents(unpacked: Path, package: str, place: Path) -> None:
    """Keep what the package says about authors and licences."""
    documents = unpacked / "usr" / "share" / "doc" / package
    if documents.is_dir():
        shutil.copytree(documents, place / "LICENSES" / package, symlinks=True, dirs_exist_ok=True)


def _finish(place: Path, parts: list[Part], archives: dict[str, Archive]) -> Built:
    rows: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    for part in parts:
        for row in read_jsonl(part.marker):
            (left_out if "left_out" in row else rows).append(row)
    double = [name for name, count in Counter(row["id"] for row in rows).items() if count > 1]
    if double:
        raise DataError(f"{len(double)} ids stand for several recordings, the first: {double[0]}; please report this")
    rows.sort(key=lambda row: (row["kind"], row["id"]))
    if hasattr(os, "sync"):
        os.sync()  # the clips were written without a flush; none may be lost behind a table that names it
    problems = damaged(place, rows)
    if problems:
        raise DataError(f"{problems[0]} ({len(problems)} files); run the command again")
    write_jsonl(place / "left_out.jsonl", sorted(left_out, key=lambda row: row["left_out"]))
    write_jsonl(place / "clips.jsonl", rows)
    built = _summary(place, rows, left_out)
    packages = [{"package": a.package, "version": a.version, "sha256": a.sha256} for a in archives.values()]
    facts = {name: value for name, value in vars(built).items() if name != "folder"}
    write_json(place / COMPLETED, {"format": FORMAT, "packages": packages, "built": facts})
    shutil.rmtree(work_folder(place), ignore_errors=True)
    return built


def _summary(place: Path, rows: list[dict[str, Any]], left_out: list[dict[str, Any]]) -> Built:
    seconds: dict[str, float] = {}
    for row in rows:
        if row.get("speaker_group"):
            seconds[row["speaker_group"]] = seconds.get(row["speaker_group"], 0.0) + row["duration_s"]
    return Built(
        folder=str(place),
        clips=len(rows),
        hours=sum(row["duration_s"] for row in rows) / 3600,
        speech_hours=sum(row["duration_s"] for row in rows if row["kind"] == "speech") / 3600,
        speaker_groups=sum(total >= 40 for total in seconds.values()),
        languages=len({row["language"] for row in rows if row.get("language")}),
        left_out=len(left_out),
        size=sum((place / row[key]).stat().st_size for row in rows for key in ("path", "original") if row[key]),
    )
