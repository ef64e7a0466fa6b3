"""Manifests: Lhotse CutSets in JSON lines, from a CSV or from Python.

Where audio lies below the manifest's folder, its path is written relative to that folder, so the folder can be moved;
the manifests of a run have relative paths to all that lies in the run. Other paths are absolute. `read` resolves them.
Plain Lhotse reads the same file with
``CutSet.from_file(path).with_recording_path_prefix(folder)``. Audio itself is decoded by `auricle.audio.files`, which
also knows formats that Lhotse does not (G.722, GSM).
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.audio.files import probe
from auricle.core.errors import AudioError, DataError
from auricle.core.files import read_jsonl, write_jsonl
from auricle.core.lines import lines
from auricle.data import fields, manifest_paths
from auricle.data.cut_audio import FILE, fingerprint, refuse_sources
from auricle.data.manifest_sum import check_sum, remove_sum, write_sum

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

__all__ = ["ManifestSummary", "cut", "from_csv", "read", "summary", "validate", "write"]

_BONAFIDE = ("bonafide", "bona-fide", "bona_fide", "bona fide", "real", "genuine", "1")
_SPOOF = ("spoof", "fake", "0")
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")
_SHOWN = 20  # problems that a message lists
# Attributes of a Lhotse cut; a custom field of the same name would be hidden by them.
_RESERVED = (
    "id",
    "start",
    "end",
    "duration",
    "channel",
    "type",
    "recording",
    "features",
    "supervisions",
    "custom",
    fields.FINGERPRINT,
)


@dataclass(frozen=True)
class ManifestSummary:
    """What a manifest holds.

    Attributes:
        cuts: number of cuts.
        hours: total length.
        labels: cuts per label; ``""`` where there is none.
        speakers: cuts per speaker.
        generators: cuts per generator.
        dropped: rows that were left out, each with file, line and reason.
        notes: what a reader has to know, one sentence each.
    """

    cuts: int
    hours: float
    labels: dict[str, int]
    speakers: dict[str, int]
    generators: dict[str, int]
    dropped: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        """Say it in a few lines for a terminal."""
        parts = [f"{self.cuts} cuts, {self.hours:.2f} h"]
        for title, counts in (("labels", self.labels), ("speakers", self.speakers), ("generators", self.generators)):
            if counts:
                shown = ", ".join(f"{name or 'none'} {count}" for name, count in list(counts.items())[:_SHOWN])
                more = f", ... {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
                parts.append(f"{title}: {shown}{more}")
        parts += self.notes
        if self.dropped:
            parts += [f"{len(self.dropped)} rows left out:", *self.dropped[:_SHOWN]]
        if len(self.dropped) > _SHOWN:
            parts.append(f"... and {len(self.dropped) - _SHOWN} more")
        return "\n".join(parts)


def _label(text: str) -> str | None:
    spelling = text.strip().lower()
    if spelling in _BONAFIDE:
        return fields.BONAFIDE
    return fields.SPOOF if spelling in _SPOOF else None


def _custom(row: dict[str, str]) -> dict[str, Any]:
    """Turn a row into custom fields; raises ValueError with what was expected."""
    label = _label(row["label"])
    if label is None:
        raise ValueError(
            f"label {row['label']!r}; expected one of {', '.join(_BONAFIDE)} or {', '.join(_SPOOF)} in any case"
        )
    custom: dict[str, Any] = {fields.LABEL: label}
    for name, value in row.items():
        if name in ("path", "label") or not value:
            continue
        custom[name] = value
        if name == fields.SPLIT and value not in fields.SPLITS:
            raise ValueError(f"split {value!r}; expected one of {', '.join(fields.SPLITS)}")
        if name == fields.SYNTHETIC:
            if value.lower() not in _TRUE + _FALSE:
                raise ValueError(f"synthetic {value!r}; expected one of {', '.join(_TRUE + _FALSE)}")
            custom[name] = value.lower() in _TRUE
    return custom


def cut(name: str, path: str | Path, custom: dict[str, Any]) -> Cut:
    """Make a cut over a whole audio file.

    Args:
        name: id of the cut, unique in its manifest.
        path: the audio file.
        custom: custom fields, named as in `auricle.data.fields`; text, speaker and language also go to the
            supervision.

    Raises:
        AudioError: the file cannot be read.
    """
    from lhotse import AudioSource, Recording, SupervisionSegment

    file = Path(os.path.realpath(path))
    info = probe(file)
    channels = list(range(info.channels))
    duration_s = info.frames / info.rate_hz
    recording = Recording(
        id=name,
        sources=[AudioSource(type="file", channels=channels, source=str(file))],
        sampling_rate=info.rate_hz,
        num_samples=info.frames,
        duration=duration_s,
        channel_ids=channels,
    )
    made = recording.to_cut()
    made.custom = {**custom, fields.FINGERPRINT: fingerprint(file)}
    made.supervisions = [
        SupervisionSegment(
            id=name,
            recording_id=name,
            start=0.0,
            duration=duration_s,
            channel=channels if len(channels) > 1 else 0,
            text=custom.get(fields.TEXT),
            speaker=custom.get(fields.SPEAKER),
            language=custom.get(fields.LANGUAGE),
        )
    ]
    return made


def _header(csv_path: Path, names: list[str] | None) -> None:
    given = ", ".join(names) if names else "nothing"
    if not names or "path" not in names or "label" not in names:
        raise DataError(f"{csv_path}, line 1: expected a header with the columns path and label, found {given}")
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise DataError(f"{csv_path}, line 1: the column {double[0]!r} stands there twice")
    bad = [name for name in names if name in _RESERVED or not name.isidentifier()]
    if bad:
        raise DataError(
            f"{csv_path}, line 1: the column {bad[0]!r} cannot become a field of a cut; use a name of letters, digits "
            f"and underscores other than {', '.join(_RESERVED)}"
        )


def _rows(csv_path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yield line number and row; a row that does not fit the header comes as the text of its problem."""
    reader = csv.reader((line + "\n" for line in lines(csv_path)), strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        _header(csv_path, names)
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(names):
                yield reader.line_num, f"{len(values)} columns; expected {len(names)} as in the header"
            else:
                yield reader.line_num, dict(zip(names, (value.strip() for value in values), strict=True))
    except csv.Error as error:
        raise DataError(f"{csv_path}, line {reader.line_num}: not CSV: {error}") from None


def from_csv(csv_path: str | Path, out_path: str | Path, keep_going: bool = False) -> ManifestSummary:
    """Make a manifest from a CSV with the header ``path,label,...``.

    Further columns become custom fields; `text`, `speaker` and `language` also go to the supervision. Relative paths
    are taken from the CSV's folder. Labels may be written bonafide, bona-fide, real, genuine, 1, or spoof, fake, 0.

    Args:
        csv_path: the table, UTF-8, commas.
        out_path: the manifest to write, ``.jsonl``.
        keep_going: leave bad rows out and name them in the summary, instead of refusing the table.

    Returns:
        What the manifest holds.

    Raises:
        DataError: the table cannot be used; one message lists the first 20 bad rows (file, line, what was expected)
            and how many there are. Also with `keep_going` when no row is left.
    """
    csv_path = Path(csv_path)
    problems: list[str] = []
    cuts: list[Cut] = []
    first_line: dict[Path, int] = {}
    for line, row in _rows(csv_path):
        where = f"{csv_path}, line {line}"
        if isinstance(row, str):
            problems.append(f"{where}: {row}")
            continue
        try:
            cuts.append(_row_cut(csv_path.parent, line, row, first_line))
        except (ValueError, AudioError) as error:
            problems.append(f"{where}: {error}")
    if problems and not keep_going:
        more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"{csv_path}: {len(problems)} of {len(problems) + len(cuts)} rows cannot be used:\n"
            + "\n".join(problems[:_SHOWN])
            + more
        )
    if not cuts:
        reason = f"; the first problem: {problems[0]}" if problems else ""
        raise DataError(f"{csv_path} has no row that can be used{reason}")
    write(cuts, out_path)
    return _summary(cuts, tuple(problems))


def _row_cut(folder: Path, line: int, row: dict[str, str], first_line: dict[Path, int]) -> Cut:
    """Make the cut of one row; raises ValueError or AudioError with what was expected."""
    if not row["path"]:
        raise ValueError("the column path is empty; expected an audio file")
    file = Path(os.path.realpath(folder / row["path"]))  # `Path.resolve` ends at a loop of links
    if file in first_line:
        raise ValueError(f"{row['path']} stands in line {first_line[file]} already; expected each file once")
    first_line[file] = line
    if not os.path.isfile(file):  # false too for names that the system refuses
        raise ValueError(f"{row['path']} is not a file; expected an audio file (relative paths start at {folder})")
    custom = _custom(row)
    return cut(Path(row["path"]).as_posix(), file, custom)


def _sources(value: Any) -> Iterator[dict[str, Any]]:
    """Find the audio sources in a cut's dictionary, however the cut is mixed."""
    if isinstance(value, dict):
        if value.get("type") == FILE and "source" in value:
            yield value
        for inner in value.values():
            yield from _sources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _sources(inner)


def write(cuts: Iterable[Cut], path: str | Path) -> None:
    """Write a manifest atomically, and beside it ``NAME.jsonl.sha256``, by which `read` notices damage.

    Args:
        cuts: a CutSet, or any cuts.
        path: the file, ``.jsonl``.

    Raises:
        DataError: the name does not end in ``.jsonl``, two cuts have the same id, or audio is no file.
    """
    path = Path(path)
    if path.suffix != ".jsonl":
        raise DataError(f"{path}: a manifest is written as JSON lines; give a name that ends in .jsonl")
    folder = path.parent.resolve()
    rows = []
    seen: set[str] = set()
    for cut in cuts:
        if cut.id in seen:
            raise DataError(f"{path}: two cuts have the id {cut.id!r}; ids must differ")
        seen.add(cut.id)
        row = cut.to_dict()
        refuse_sources(row, str(cut.id))
        for source in _sources(row):
            source["source"] = manifest_paths.written(source["source"], folder)
        rows.append(row)
    remove_sum(path)  # never an old sum beside a new manifest, whenever this is stopped
    write_jsonl(path, rows)
    write_sum(path)


def read(path: str | Path) -> CutSet:
    """Read a manifest, plain or gzip; relative audio paths are taken from its folder.

    Raises:
        DataError: the file is missing, damaged (by the sum that `write` leaves beside it), a line is not a cut, or a
            cut has audio that is no file (a command, a URL): nothing in a manifest is executed or fetched.
    """
    from lhotse import CutSet
    from lhotse.serialization import deserialize_item

    path = Path(path)
    folder = path.parent.resolve()
    cuts = []
    check_sum(path)
    for number, row in enumerate(read_jsonl(path), 1):
        refuse_sources(row, f"{path}, entry {number}")
        for source in _sources(row):
            source["source"] = manifest_paths.found(source["source"], folder)
        try:
            cut = deserialize_item(row)
            if not hasattr(cut, "supervisions"):
                raise TypeError(f"found a {type(cut).__name__}")
            cuts.append(cut)
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise DataError(f"{path}, entry {number}: expected a Lhotse cut: {error!r}") from None
    return CutSet.from_cuts(cuts)


def validate(cuts: Iterable[Cut]) -> list[str]:
    """Name what is wrong with a manifest for a detection task; an empty list means nothing.

    Looked for: ids that occur twice, cuts without audio, files that are not there, labels other than `fields.LABELS`,
    splits other than `fields.SPLITS`, bona fide cuts with a generator, speaker groups in several splits.
    """
    problems: list[str] = []
    ids: set[str] = set()
    splits: dict[str, set[str]] = {}
    for cut in cuts:
        custom = cut.custom or {}
        if cut.id in ids:
            problems.append(f"{cut.id}: the id occurs twice")
        ids.add(cut.id)
        sources = list(_sources(cut.to_dict()))
        if not sources:
            problems.append(f"{cut.id}: no audio file")
        problems += [
            f"{cut.id}: {item['source']} is not a file" for item in sources if not Path(item["source"]).is_file()
        ]
        label, split = custom.get(fields.LABEL), custom.get(fields.SPLIT)
        if label not in fields.LABELS:
            problems.append(f"{cut.id}: label {label!r}; expected one of {', '.join(fields.LABELS)}")
        if label == fields.BONAFIDE and custom.get(fields.GENERATOR):
            problems.append(f"{cut.id}: bona fide, but made by {custom[fields.GENERATOR]!r}")
        if split is not None and split not in fields.SPLITS:
            problems.append(f"{cut.id}: split {split!r}; expected one of {', '.join(fields.SPLITS)}")
        if split is not None and fields.SPEAKER_GROUP in custom:
            splits.setdefault(custom[fields.SPEAKER_GROUP], set()).add(split)
    problems += [
        f"speaker group {group} is in several splits: {', '.join(sorted(found))}"
        for group, found in sorted(splits.items())
        if len(found) > 1
    ]
    return problems


def _speaker(cut: Cut) -> str | None:
    custom = cut.custom or {}
    return custom.get(fields.SPEAKER) or next((item.speaker for item in cut.supervisions if item.speaker), None)


def _summary(cuts: Iterable[Cut], dropped: tuple[str, ...] = ()) -> ManifestSummary:
    cuts = list(cuts)
    custom = [cut.custom or {} for cut in cuts]
    named = Counter(speaker for speaker in map(_speaker, cuts) if speaker)
    return ManifestSummary(
        cuts=len(cuts),
        hours=sum(cut.duration for cut in cuts) / 3600,
        labels=dict(sorted(Counter(str(item.get(fields.LABEL, "")) for item in custom).items())),
        speakers=dict(sorted(named.items())),
        generators=dict(sorted(Counter(item[fields.GENERATOR] for item in custom if fields.GENERATOR in item).items())),
        dropped=dropped,
    )


def summary(cuts: Iterable[Cut]) -> ManifestSummary:
    """Count a manifest's cuts, hours, labels, speakers and generators."""
    return _summary(cuts)
