"""The audio of a cut: the one place where a cut's channel, segment, files and perturbation are honoured or refused.

Read are cuts of one recording, in one file or in one file a channel, as they lie on disk, or as bytes in shards of
ours. Speed, volume and resampling are applied; every other transform, and mixed and padded cuts, are refused by name.
Nothing in a manifest is ever executed or fetched: sources of another type than ``file`` are refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from auricle.audio.check import MAX_RATE_HZ, MIN_RATE_HZ, Float, Warn, check
from auricle.audio.files import Audio, decode, read
from auricle.audio.resample import resample
from auricle.core.errors import AudioError, DataError
from auricle.core.lines import open_regular
from auricle.data import fields

FILE, MEMORY, SHAR = "file", "memory", "shar"  # types of Lhotse's sources
# A segment may end past its file by this: lengths in manifests are rounded (Lhotse's own limit), and an MPEG stream
# without an index is known to a frame.
TOLERANCE_S, TOLERANCE_FRAMES = 0.025, 1152
_EDGE_BYTES = 65_536
_SPEED, _VOLUME, _RESAMPLE = "Speed", "Volume", "Resample"
# what each takes, and from where to where
_HONOURED = {
    _SPEED: (("factor",), 0.1, 10.0),
    _VOLUME: (("factor",), 1e-4, 1e4),
    _RESAMPLE: (("source_sampling_rate", "target_sampling_rate"), MIN_RATE_HZ, MAX_RATE_HZ),
}


class CutAudio(NamedTuple):
    """Samples (C, T) float32 of a cut's channels, their rate in Hz, and the warnings of the files."""

    wave: Float
    rate_hz: int
    warnings: tuple[str, ...]


def fingerprint(path: str | Path) -> str:
    """Name a file's content cheaply: its size, and a checksum of its first and last 64 KiB.

    Raises:
        DataError: it cannot be opened.
    """
    with open_regular(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        found = hashlib.sha256(handle.read(_EDGE_BYTES))
        handle.seek(max(_EDGE_BYTES, size - _EDGE_BYTES))
        found.update(handle.read(_EDGE_BYTES))
    return f"{size}-{found.hexdigest()[:16]}"


def refuse_sources(row: Any, where: str, kind: str = FILE) -> None:
    """Refuse a cut, as its JSON has it, with audio from anything but plain files, wherever in it that stands.

    Args:
        row: what the JSON holds.
        where: file and line, for the message.
        kind: the type that sources must have: `FILE` in a manifest, `SHAR`, without a path, in a shard.

    Raises:
        DataError: a source of another type, or one without a path.
    """
    waiting = [row]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
            continue
        if not isinstance(value, dict):
            continue
        waiting += value.values()
        sources = value.get("sources")
        for source in sources if isinstance(sources, list) else ():
            found = source.get("type") if isinstance(source, dict) else type(source).__name__
            if found != kind:
                only = "only files are read (type 'file')" if kind == FILE else "in a shard only its own audio is read"
                raise DataError(
                    f"{where}: audio from a source of type {found!r}; {only}: nothing received is executed or fetched"
                )
            name = source.get("source")
            if not isinstance(name, str) or bool(name) != (kind == FILE) or "\0" in name:
                raise DataError(f"{where}: a source of type {kind!r} with {name!r} for a path")


def check_cut(cut: Any) -> None:
    """Refuse a cut whose audio cannot be had as it says; nothing is read.

    Raises:
        DataError: it is mixed or padded, has no recording, a source that is no file, no such channel, a segment
            without length, or a transform other than speed, volume and resampling; the message starts with its id.
    """
    kind = type(cut).__name__
    if kind not in ("MonoCut", "MultiCut"):
        raise DataError(
            f"{cut.id}: a {kind}; only cuts of one recording are read (mix or pad, write audio, then make a manifest)"
        )
    recording = cut.recording
    if recording is None or not recording.sources:
        raise DataError(f"{cut.id}: it has no recording; expected a cut of an audio file")
    for source in recording.sources:
        if source.type != FILE and not (source.type == MEMORY and isinstance(source.source, bytes)):
            raise DataError(
                f"{cut.id}: audio from a source of type {source.type!r}; only files and the audio in shards are read: "
                "nothing is executed or fetched"
            )
    known = [channel for source in recording.sources for channel in source.channels]
    unknown = [channel for channel in _channels(cut) if channel not in known]
    if unknown or len(set(known)) != len(known) or not _channels(cut):
        raise DataError(
            f"{cut.id}: channel {unknown or _channels(cut)}; its recording has {', '.join(map(str, known))}"
        )
    if not (cut.start >= 0 and 0 < cut.duration < float("inf")):
        raise DataError(f"{cut.id}: a segment from {cut.start} s, {cut.duration} s long; it must have a length")
    for name, values in _transforms(recording):
        if name not in _HONOURED:
            raise DataError(
                f"{cut.id}: its recording is changed by {name}, which is not read; write the changed audio to files "
                "and make a manifest of those (speed, volume and resampling are read)"
            )
        keys, low, high = _HONOURED[name]
        if any(not isinstance(values.get(key), int | float) or not low <= values[key] <= high for key in keys):
            raise DataError(f"{cut.id}: {name} with {dict(values)}; expected {' and '.join(keys)} from {low} to {high}")


def read_cut(cut: Any, judge: bool = True) -> CutAudio:
    """Read the channels and the segment that a cut names.

    Args:
        cut: a Lhotse cut.
        judge: refuse digital silence and less than 0.1 s, in the cut's own channels and segment.

    Raises:
        DataError: as `check_cut`; audio that is refused, truncated, or is not what the manifest was made of; a segment
            past the end of its file. The message starts with the cut's id.
    """
    check_cut(cut)
    try:
        wave, rate_hz, warnings = _read(cut)
        if judge:
            warnings = (*warnings, *check(wave, rate_hz))
    except AudioError as error:
        raise DataError(f"{cut.id}: {error}") from None
    return CutAudio(wave, rate_hz, tuple(dict.fromkeys(warnings)))


def mono_cut(cut: Any, rate_hz: int | None = None) -> tuple[Float, int, tuple[str, ...]]:
    """Read a cut as one channel at one rate: its own, or the loudest of its channels.

    Args:
        cut: a Lhotse cut.
        rate_hz: wanted rate in Hz; the recording's own by default.

    Returns:
        Samples (T,), their rate in Hz, and the warnings.

    Raises:
        DataError: as `read_cut`.
    """
    wave, rate, warnings = read_cut(cut)
    one = Audio(wave, rate, cut.id).mono()
    if rate_hz is None or rate_hz == rate:
        return one, rate, warnings
    try:
        found = resample(one, rate, rate_hz).astype(np.float32, copy=False)
    except AudioError as error:
        raise DataError(f"{cut.id}: {error}") from None
    return found[: max(1, round(cut.duration * rate_hz))], rate_hz, warnings


def first_path(cut: Any) -> str:
    """Give the path of a cut's first file; ``""`` where its audio lies in a shard."""
    source = cut.recording.sources[0]
    return str(source.source) if source.type == FILE else ""


def _channels(cut: Any) -> list[int]:
    return list(cut.channel) if isinstance(cut.channel, list) else [cut.channel]


def _transforms(recording: Any) -> list[tuple[str, Mapping[str, Any]]]:
    rows = [one if isinstance(one, dict) else one.to_dict() for one in recording.transforms or ()]
    return [(str(row.get("name")), row.get("kwargs") or {}) for row in rows]


def _read(cut: Any) -> tuple[Float, int, tuple[str, ...]]:
    recording = cut.recording
    changes = _transforms(recording)
    speed = float(np.prod([values["factor"] for name, values in changes if name == _SPEED]))
    whole = cut.start == 0 and abs(cut.duration - recording.duration) * recording.sampling_rate < 0.5
    start_s, duration_s = cut.start * speed, None if whole else cut.duration * speed
    rates = [int(values["source_sampling_rate"]) for name, values in changes if name == _RESAMPLE]
    rate_hz = rates[0] if rates else int(recording.sampling_rate)
    parts: dict[int, Float] = {}
    warnings: list[str] = []
    for source in recording.sources:
        wanted = [channel for channel in _channels(cut) if channel in source.channels]
        if not wanted:
            continue
        audio = _file(cut, source, start_s, duration_s)
        if audio.rate_hz != rate_hz:
            raise DataError(f"{cut.id}: {audio.path} is at {audio.rate_hz} Hz; the manifest says {rate_hz} Hz")
        if len(audio.wave) != len(source.channels):
            raise DataError(
                f"{cut.id}: {audio.path} has {len(audio.wave)} channels; the manifest says {len(source.channels)}"
            )
        warnings += audio.warnings
        _need_length(cut, audio, cut.duration * speed)
        parts |= {channel: audio.wave[source.channels.index(channel)] for channel in wanted}
    length = min(len(part) for part in parts.values())
    wave = np.stack([parts[channel][:length] for channel in _channels(cut)])
    wave, rate_hz = _changed(wave, rate_hz, changes)
    return wave[:, : max(1, round(cut.duration * rate_hz))], rate_hz, tuple(warnings)


def _file(cut: Any, source: Any, start_s: float, duration_s: float | None) -> Audio:
    """Read a stretch of one source; audio that is cut off, or is another than the manifest was made of, is refused."""
    if source.type == MEMORY:
        audio = decode(source.source, "", check=False)
        begin = round(start_s * audio.rate_hz)
        end = None if duration_s is None else begin + max(1, round(duration_s * audio.rate_hz))
        audio = Audio(audio.wave[:, begin:end], audio.rate_hz, audio.path, audio.warnings)
    else:
        made_of = (cut.custom or {}).get(fields.FINGERPRINT)
        if made_of is not None and len(cut.recording.sources) == 1 and _now(source.source) not in (made_of, None):
            raise DataError(
                f"{cut.id}: {source.source} has changed since its manifest was made; prepare it again, or make the "
                "manifest again"
            )
        audio = read(source.source, start_s, duration_s, check=False)
    cut_off = [text for text in audio.warnings if text.startswith(Warn.TRUNCATED)]
    if cut_off:
        raise DataError(f"{cut.id}: {audio.path} is damaged: {cut_off[0]}")
    return audio


def _now(path: str) -> str | None:
    """Give a file's fingerprint; None where it cannot be opened, which the decoder says better."""
    try:
        return fingerprint(path)
    except DataError:
        return None


def _need_length(cut: Any, audio: Audio, wanted_s: float) -> None:
    if audio.duration_s < wanted_s - max(TOLERANCE_S, TOLERANCE_FRAMES / audio.rate_hz):
        raise DataError(
            f"{cut.id}: its segment of {wanted_s:.3f} s lies past the end of {audio.path}, which has "
            f"{audio.duration_s:.3f} s of it; mend the manifest, or the file if it was cut off"
        )


def _changed(wave: Float, rate_hz: int, changes: Iterable[tuple[str, Mapping[str, Any]]]) -> tuple[Float, int]:
    """Apply the transforms of a recording in their order, as Lhotse does, with our own resampler."""
    for name, values in changes:
        if name == _VOLUME:
            wave = (wave * np.float32(values["factor"])).astype(np.float32, copy=False)
        elif name == _SPEED:
            wave = resample(wave, round(rate_hz * values["factor"]), rate_hz).astype(np.float32, copy=False)
        else:
            rate_hz = int(values["target_sampling_rate"])
            wave = resample(wave, int(values["source_sampling_rate"]), rate_hz).astype(np.float32, copy=False)
    return wave, rate_hz
