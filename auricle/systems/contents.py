"""What lies behind the paths that a config names: by content, so that a change behind the same path is noticed."""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from auricle.core.cache import combined_key, content_key
from auricle.core.config import Config
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.extras import WEIGHTS
from auricle.core.files import read_jsonl
from auricle.core.run import FINAL, RunFolder, seed_zero
from auricle.data import corpora, fields
from auricle.data.cut_audio import FILE, fingerprint

# The last part of the keys of settings that may name a file or a folder.
PATHS = (
    "source",
    "encoder",
    "decoder",
    "backbone",
    "spec",
    "run",
    "start",
    "scores",
    "vocoder",
    "peers",
    "codec",
    "start",
)
EVALUATION = "eval."  # begins the keys that decide what is measured, and not what is trained
_SHOWN = 3
_PEER = re.compile(r"(?:[^=/]+=)?(.+?)(?:@\d+)?")  # NAME=FOLDER@CODEBOOKS


def contents(config: Config | Mapping[str, Any], keys: Collection[str] | None = None) -> dict[str, str]:
    """Name what lies behind the paths of a config.

    Args:
        config: a config, or its plain values.
        keys: the settings that are asked for; None for all.

    Returns:
        Key of a setting -> 64 hexadecimal digits, of those that name a file or a folder that is there. Of the folder of
        a run, its config and its final checkpoint count; of an ONNX model, the files of its numbers beside it too.
    """
    values = config.model_dump(mode="json") if isinstance(config, Config) else config
    found: dict[str, str] = {}
    for key, value in values_of(values).items():
        if key.rsplit(".", 1)[-1] not in PATHS or (keys is not None and key not in keys):
            continue
        given = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        places = [place for one in given if isinstance(one, str) and (place := _place(one)) is not None]
        if places:
            found[key] = combined_key(map(_content, places))
    return found


def values_of(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give the plain values of a config by their dotted keys.

    Args:
        config: its plain values, groups in groups.
        prefix: put before the keys.
    """
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= values_of(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def changed(before: Mapping[str, str], config: Config) -> list[str]:
    """Name the settings of a config behind whose paths another content lies than there was.

    Args:
        before: as from `contents`; what is not there any more counts as unchanged.
        config: the config.
    """
    now = contents(config, before)
    return [key for key, name in before.items() if now.get(key, name) != name]


def refuse_changed(run: RunFolder, config: Config, command: str) -> None:
    """Refuse to go on with a run behind whose paths other contents lie than when it was prepared.

    Args:
        run: the run.
        config: its config.
        command: what makes it anew, for the message.

    Raises:
        ConfigError: something changed; the message names it.
    """
    before = run.facts("prepare").get("contents")
    keys = changed(_training(before), config) if isinstance(before, dict) else []
    if keys:
        raise _stale(run, _named(keys, config), command)


def need_unchanged(config: Config, known: Mapping[str, str], keys: Collection[str], command: str) -> None:
    """Refuse a model whose parts are no longer those that it was trained with; what is gone says so where it is needed.

    Args:
        config: of the run.
        known: `contents` when it was trained.
        keys: the settings that matter.
        command: what trains it anew, for the message.

    Raises:
        CheckpointError: something changed; the message names it.
    """
    other = changed({key: name for key, name in known.items() if key in keys}, config)
    if other:
        raise CheckpointError(
            f"{_named(other, config)}: what lies there is no longer what this run was trained with; put it back, or "
            f"train again ({command} with --overwrite)"
        )


def _named(keys: Iterable[str], config: Config) -> str:
    values = values_of(config.model_dump(mode="json"))
    return ", ".join(f"{key}={values[key]}" for key in keys)


def refuse_changed_audio(run: RunFolder, command: str) -> None:
    """Refuse a report whose audio was changed after it was made; only files of a later date are read.

    Args:
        run: a run with a report.
        command: what makes it anew, for the message.

    Raises:
        ConfigError: a file changed; the message names the first ones.
    """
    made_ns = (run.path / "report.json").stat().st_mtime_ns
    other = [
        path
        for path, before in _prepared(run)
        if os.path.isfile(path) and os.stat(path).st_mtime_ns > made_ns and _now(path) != before
    ]
    if other:
        more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
        raise _stale(run, ", ".join(other[:_SHOWN]) + more, command)


def _stale(run: RunFolder, what: str, command: str) -> ConfigError:
    return ConfigError(
        f"{what}: the content has changed since {run.path} was prepared, so parts of the run would not fit together; "
        f"give another --run, or make it anew: {command} --overwrite"
    )


def _training(found: Mapping[str, str]) -> dict[str, str]:
    return {key: name for key, name in found.items() if not key.startswith(EVALUATION)}


def _prepared(run: RunFolder) -> Iterator[tuple[str, str]]:
    """Give the files of the run's manifests that say what they hold, each with that."""
    for manifest in sorted(run.manifests.glob("*.jsonl")):
        for row in read_jsonl(manifest):
            custom, recording = row.get("custom") or {}, row.get("recording") or {}
            sources = recording.get("sources") or []
            if fields.FINGERPRINT in custom and len(sources) == 1 and sources[0].get("type") == FILE:
                yield str(run.manifests.resolve() / sources[0]["source"]), custom[fields.FINGERPRINT]


def _now(path: str) -> str | None:
    try:
        return fingerprint(path)
    except DataError:
        return None


def _place(value: str) -> Path | None:
    """Find the file or folder that a setting names, with what may stand around it: ``ecapa:PATH``, ``NAME=PATH@8``."""
    if value in corpora.NAMES or value in WEIGHTS:
        return None
    around = _PEER.fullmatch(value)
    for text in (value, value.partition(":")[2], around[1] if around else ""):
        if text and os.path.exists(text):
            return Path(text)
    return None


def _content(place: Path) -> str:
    if not place.is_dir():
        # a large ONNX model has its numbers in a file beside it: x.onnx.data, x.onnx_data
        beside = sorted(place.parent.glob(f"{glob.escape(place.name)}?*")) if place.suffix == ".onnx" else []
        return combined_key(map(_of_file, [place, *beside])) if beside else _of_file(place)
    folder, parts = seed_zero(place), list[str]()
    for file in _deciding(folder):
        parts += [file.relative_to(folder).as_posix(), _of_file(file)]
    return combined_key(parts)


def _deciding(folder: Path) -> Sequence[Path]:
    final = folder / "checkpoints" / FINAL
    if (folder / "config.json").is_file() and final.is_dir():
        return [folder / "config.json", *_files(final)]
    return _files(folder)


def _files(folder: Path) -> list[Path]:
    return sorted(Path(root, name) for root, _, names in os.walk(folder) for name in names)


def _of_file(path: Path) -> str:
    try:
        status = os.stat(path)
        return _key(path.absolute(), status.st_size, status.st_mtime_ns)
    except (OSError, DataError):
        return "cannot be read"  # who needs it says why


@functools.lru_cache(maxsize=4096)
def _key(path: Path, size: int, changed_ns: int) -> str:
    """Name a file by its content; size and time make a changed file another question."""
    return content_key(path)
