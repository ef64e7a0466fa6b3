"""Other codecs on the same recordings, under their own names: neural ones from a folder, any by its decoded files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from auricle.audio.files import read
from auricle.audio.resample import resample
from auricle.core.errors import AudioError, ConfigError, DataError
from auricle.systems.unisrcodec.data import Recording

OURS = ""  # our codec in a table of codecs; a report's row of ours names no baseline
CEILING, OPUS, PCA, LOG_MEL, MAJORITY = "vocoder_ceiling", "opus", "pca_vq", "log_mel", "majority"
ENTRY = re.compile(r"(?:(?P<name>[A-Za-z0-9][\w.+-]*)=)?(?P<folder>.+?)(?:@(?P<stages>\d+))?")
SUFFIXES = (".wav", ".flac")
SHORT_S = 0.1  # decoded files may end so much before the recording


@dataclass(frozen=True)
class Peer:
    """Another codec.

    Attributes:
        name: under which its rows stand.
        code: gives what it makes of a recording, (T,) at a rate in Hz, and its bits; None where nobody knows them.
    """

    name: str
    code: Callable[[Recording, int], tuple[np.ndarray, int | None]]


def decoded_file(folder: Path, recording: str) -> Path | None:
    """Find what a codec decoded of a recording by its id."""
    paths = (folder / f"{recording}{suffix}" for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def read_decoded(name: str, folder: Path, clip: Recording, rate_hz: int) -> tuple[np.ndarray, None]:
    """Read what the codec `name` decoded of a recording; nobody knows its bits.

    Raises:
        DataError: no audio, or shorter than the recording.
    """
    path, length = decoded_file(folder, clip.name), len(clip.wave)
    if path is None:
        raise DataError(f"the peer {name!r} has no decoded file of {clip.name}; add {folder}/{clip.name}.wav or .flac")
    try:
        audio = read(str(path), duration_s=length / rate_hz + SHORT_S)
    except AudioError as error:
        raise DataError(f"the peer {name!r}: {error}") from None
    wave = resample(audio.mono(), audio.rate_hz, rate_hz)[:length].astype(np.float32)
    if len(wave) < length - SHORT_S * rate_hz:
        raise DataError(
            f"the peer {name!r}: {path} lasts {len(wave) / rate_hz:.2f} s and the recording "
            f"{length / rate_hz:.2f} s; give decoded files as long as the recordings"
        )
    return np.pad(wave, (0, length - len(wave))), None


def load_peers(entries: Sequence[str], recordings: Sequence[str]) -> list[Peer]:
    """Load all peers.

    Args:
        entries: ``[NAME=]FOLDER[@CODEBOOKS]``. A folder with a ``config.json`` is a codec as Transformers writes it, by
            default named by its kind; any other one holds decoded files and is by default named as it is.
        recordings: ids of the recordings that decoded files are needed of.

    Raises:
        ConfigError: an entry that says nothing, a name twice or taken, or codebooks where there are none.
        CheckpointError: a codec that cannot be read.
        DataError: no such folder, or decoded files that are missing, by name.
        MissingExtra: Transformers is not installed.
    """
    peers = [_load(entry, recordings) for entry in entries]
    _refuse_twice([peer.name for peer in peers])
    return peers


def check_peers(entries: Sequence[str]) -> None:
    """Refuse peers that cannot be had, before anything is built; decoded files may still be made.

    Args:
        entries: as in `load_peers`.

    Raises:
        ConfigError: as `load_peers`.
        CheckpointError: as `load_peers`.
        DataError: no such folder.
        MissingExtra: Transformers is not installed.
    """
    _refuse_twice([_load(entry, ()).name for entry in entries])


def _refuse_twice(names: Sequence[str]) -> None:
    taken = [name for name in names if names.count(name) > 1 or name in (CEILING, OPUS, PCA, LOG_MEL, MAJORITY)]
    if taken:
        raise ConfigError(f"eval.peers: the name {taken[0]!r} is taken; give another one with NAME=FOLDER")


def _load(entry: str, recordings: Sequence[str]) -> Peer:
    parts = ENTRY.fullmatch(entry)
    if parts is None:
        raise ConfigError(f"eval.peers: {entry!r} names no folder; give FOLDER, NAME=FOLDER or NAME=FOLDER@CODEBOOKS")
    folder = Path(parts["folder"])
    stages = None if parts["stages"] is None else int(parts["stages"])
    if not folder.is_dir():
        raise DataError(
            f"eval.peers: there is no folder {folder}; make it, also if its decoded files are still to come"
        )
    if (folder / "config.json").is_file():
        from auricle.backbones.codecs import load_codec

        codec = load_codec(folder, stages)
        return Peer(parts["name"] or codec.kind, lambda clip, rate_hz: codec.code(clip.wave, rate_hz))
    if stages is not None:
        raise ConfigError(f"eval.peers: {entry!r} has codebooks, but {folder} has no config.json and so is no codec")
    missing = [name for name in recordings if decoded_file(folder, name) is None]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"eval.peers: {folder} has no decoded file for {len(missing)} of {len(recordings)} test recordings: "
            f"{', '.join(missing[:5])}{more}; name them ID.wav or ID.flac with the ids of manifests/recordings.jsonl. "
            "(The folder of a neural codec has a config.json.)"
        )
    name = parts["name"] or folder.resolve().name
    return Peer(name, partial(read_decoded, name, folder))
