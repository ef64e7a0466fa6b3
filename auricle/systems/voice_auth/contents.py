"""What a config names by a path, named by its content: so what changes behind a path is noticed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from auricle.backbones.speaker.load import weights_files
from auricle.core.cache import combined_key, content_key
from auricle.core.errors import CheckpointError
from auricle.core.run import FINAL, seed_zero
from auricle.systems.voice_auth.config import VoiceAuthConfig

SETTINGS = ("verifier.spec", "detector.run", "detector.scores", "detector.encoder", "detector.start")


def contents(cfg: VoiceAuthConfig, names: Sequence[str] = SETTINGS) -> dict[str, str]:
    """Name the content behind the paths of a config: 64 hexadecimal digits a setting, none where nothing lies there.

    Args:
        cfg: of a run.
        names: which settings.
    """
    detector = cfg.detector
    places = {
        "verifier.spec": weights_files(cfg.verifier.spec),
        "detector.run": [] if detector.run is None else _checkpoint(Path(detector.run)),
        "detector.scores": [] if detector.scores is None else [Path(detector.scores)],
        "detector.start": [] if detector.start is None else _checkpoint(Path(detector.start)),
        "detector.encoder": [] if detector.encoder is None else sorted(Path(detector.encoder).glob("*")),
    }
    return {name: key for name in names if (key := _key(places[name]))}


def _checkpoint(folder: Path) -> list[Path]:
    run = seed_zero(folder)
    return [run / "config.json", *sorted((run / "checkpoints" / FINAL).glob("*"))]


def _key(files: Iterable[Path]) -> str:
    found = [file for file in files if file.is_file()]
    return combined_key([part for file in found for part in (file.name, content_key(file))]) if found else ""


def need_unchanged(cfg: VoiceAuthConfig, known: Mapping[str, str], names: Sequence[str]) -> None:
    """Refuse a run whose parts are no longer those that it was trained with; what is gone says so where it is needed.

    Args:
        cfg: of the run.
        known: `contents` when it was trained; empty in runs of before they were kept.
        names: the settings that matter.

    Raises:
        CheckpointError: naming the setting.
    """
    for name, now in contents(cfg, names).items():
        if known.get(name, now) != now:
            group, key = name.split(".")
            raise CheckpointError(
                f"{name}={getattr(getattr(cfg, group), key)}: what lies there is no longer what this run was trained "
                "with; put it back, or train again (auricle run voice_auth with --overwrite)"
            )
