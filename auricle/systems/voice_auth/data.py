"""`prepare`: from a corpus of real speech to enrolments, genuine clips, attacks and leak controls."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from auricle.core.errors import ConfigError, DataError
from auricle.core.files import digest
from auricle.core.run import RunFolder
from auricle.data import corpora, fields, manifest
from auricle.data.clips import Clips, load_clips
from auricle.data.spoof import FAMILIES
from auricle.systems.voice_auth.build import ROLE, build
from auricle.systems.voice_auth.config import DataConfig, VoiceAuthConfig
from auricle.systems.voice_auth.detectors import handed_in
from auricle.systems.voice_auth.embeddings import Embedder
from auricle.systems.voice_auth.plan import ENROL, SPOOF, TEST, Plan, Task, plan

CLIPS, CONTROLS = "clips", "controls"  # the manifests


def prepare(cfg: VoiceAuthConfig, run: RunFolder) -> dict[str, Any]:
    """Write ``manifests/clips.jsonl`` (enrolment, test and spoof files) and ``controls.jsonl`` for the leak check.

    Args:
        cfg: ``data.source`` names a corpus.
        run: the run folder; audio goes to its cache.

    Returns:
        Counts, and what was left out, each with its reason.

    Raises:
        ConfigError: an unknown corpus, verifier or spoof family.
        MissingExtra: the verifier's weights are not installed.
        CheckpointError: ``detector.run`` is no run that scores audio.
        DataError: too few voices, or a voice of which too little could be made.
    """
    if cfg.data.source not in corpora.NAMES:
        raise ConfigError(
            f"--data {cfg.data.source}: voice_auth makes its own attacks of a corpus ({', '.join(corpora.NAMES)}); to "
            "audit scores of your own clips give them to: auricle evaluate voice_auth --scores FILE --key FILE"
        )
    unknown = [name for name in cfg.data.families if name not in FAMILIES]
    if unknown:
        raise ConfigError(f"no spoof family {', '.join(unknown)}; families: {', '.join(FAMILIES)}")
    # what is missing is told before anything is made
    Embedder(cfg, run).verifier  # noqa: B018
    if cfg.detector.run is not None:
        handed_in(cfg.detector.run)
    chosen = plan(cfg.data)
    folder = audio_folder(run, cfg.data)
    folder.mkdir(parents=True, exist_ok=True)
    built = list(_build_all(chosen, cfg.data, folder))
    rows = [row for row in built if isinstance(row, dict)]
    skipped = [reason for reason in built if isinstance(reason, str)]
    _need_whole_voices(chosen, rows)
    main = [row for row in rows if row[ROLE] in (ENROL, TEST, SPOOF)]
    for name, some in ((CLIPS, main), (CONTROLS, [row for row in rows if row not in main])):
        manifest.write([_cut(row, folder) for row in some], run.manifests / f"{name}.jsonl")
    return {
        "voices": len(chosen.voices),
        "speaker_groups": len({voice.group for voice in chosen.voices.values()}),
        "splits": dict(sorted(Counter(voice.split for voice in chosen.voices.values()).items())),
        "roles": dict(sorted(Counter(row[ROLE] for row in rows).items())),
        "families": dict(sorted(Counter(row[fields.FAMILY] for row in rows if row[ROLE] == SPOOF).items())),
        "left_out": list(chosen.left_out),
        "skipped": len(skipped),
        "skipped_why": skipped[:20],
    }


def load(cfg: VoiceAuthConfig, run: RunFolder, name: str = CLIPS) -> Clips:
    """Read a manifest's clips into memory.

    Raises:
        DataError: it was not prepared, or audio cannot be read.
    """
    return load_clips(manifest.read(run.manifests / f"{name}.jsonl"), cfg.data.rate_hz)


def audio_folder(run: RunFolder, cfg: DataConfig) -> Path:
    """Name a run's prepared audio by what decides its content; what only groups it does not count."""
    return run.cache / f"audio-{digest(cfg.model_dump(mode='json', exclude={'workers'}))}"


def _cut(row: dict[str, Any], folder: Path) -> Any:
    return manifest.cut(
        row["id"], folder / row["path"], {key: value for key, value in row.items() if key not in ("id", "path")}
    )


def _need_whole_voices(chosen: Plan, rows: Sequence[dict[str, Any]]) -> None:
    """Refuse a voice that cannot be enrolled or tried, by name."""
    held = Counter((row["target"], row[ROLE]) for row in rows)
    bad = [name for name in chosen.voices for role in (ENROL, TEST) if not held[name, role]]
    if bad:
        raise DataError(f"no usable clip to enrol or to test of {', '.join(sorted(set(bad)))}; lower data.min_clip_s")


def _build_all(chosen: Plan, cfg: DataConfig, folder: Path) -> Iterator[dict[str, Any] | str]:
    """Build on every core; a worker starts fresh and keeps its libraries to one thread."""
    make = partial(_build, voices=chosen.voices, cfg=cfg, folder=str(folder))
    workers = min(cfg.workers or os.cpu_count() or 1, len(chosen.tasks))
    console = Console(stderr=True)
    show = partial(
        track, description="building clips", total=len(chosen.tasks), console=console, disable=not console.is_terminal
    )
    if workers == 1:
        yield from show(map(make, chosen.tasks))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        yield from show(pool.map(make, chosen.tasks, chunksize=4))


def _build(task: Task, voices: dict[str, Any], cfg: DataConfig, folder: str) -> dict[str, Any] | str:
    return build(task, voices, cfg, folder)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
