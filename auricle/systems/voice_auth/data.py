"""`prepare`: from a corpus of real speech to enrolments, genuine clips, attacks and leak controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.files import write
from auricle.audio.level import set_level
from auricle.audio.resample import resample
from auricle.core.cache import content_key
from auricle.core.errors import AudioError, DataError
from auricle.core.files import read_json, write_json
from auricle.core.run import RunFolder
from auricle.core.seed import rng
from auricle.data import corpora, equalise, fields, manifest, rec
from auricle.data.building import audio_folder, build_all, provenance
from auricle.data.clips import Clips, load_clips
from auricle.data.spoof import synthesize
from auricle.systems.voice_auth.checks import need_cohort, need_workable
from auricle.systems.voice_auth.clips import ATTACK, ENROL, ROLE, SPOOF, TARGET, TARGET_GROUP, TEST
from auricle.systems.voice_auth.config import DataConfig, VoiceAuthConfig
from auricle.systems.voice_auth.plan import Plan, Task, Voice, plan

CLIPS, CONTROLS = "clips", "controls"  # the manifests
UNCHAINED = ("plain", "plain_recoded")  # leak controls that leave the chain out


def prepare(cfg: VoiceAuthConfig, run: RunFolder) -> dict[str, Any]:
    """Write ``manifests/clips.jsonl`` (enrolment, test and spoof files) and ``controls.jsonl`` for the leak check.

    Args:
        cfg: ``data.source`` names a corpus.
        run: the run folder; audio goes to its cache.

    Returns:
        Counts, and what was left out, each with its reason.

    Raises:
        ConfigError, MissingExtra, CheckpointError: what `checks.need_workable` refuses.
        DataError: too few voices, or a voice of which too little could be made.
    """
    need_workable(cfg, str(run.saved_config()["preset"]))
    planned = plan(cfg.data)
    need_cohort(cfg, planned)
    folder = audio_folder(run, _deciding(cfg.data))
    folder.mkdir(parents=True, exist_ok=True)
    make = partial(build, voices=planned.voices, cfg=cfg.data, folder=str(folder))
    results = list(build_all(make, planned.tasks, cfg.data.workers))
    rows = [row for row in results if isinstance(row, dict)]
    skipped = [reason for reason in results if isinstance(reason, str)]
    _need_whole_voices(planned, rows)
    main = [row for row in rows if row[ROLE] in (ENROL, TEST, SPOOF)]
    for name, listed in ((CLIPS, main), (CONTROLS, [row for row in rows if row not in main])):
        manifest.write([_cut(row, folder) for row in listed], run.manifests / f"{name}.jsonl")
    return {
        "voices": len(planned.voices),
        "speaker_groups": len({voice.group for voice in planned.voices.values()}),
        "splits": dict(sorted(Counter(voice.split for voice in planned.voices.values()).items())),
        "roles": dict(sorted(Counter(row[ROLE] for row in rows).items())),
        "families": dict(sorted(Counter(row[fields.FAMILY] for row in rows if row[ROLE] == SPOOF).items())),
        "left_out": list(planned.left_out),
        "skipped": len(skipped),
        "skipped_why": skipped[:20],
    }


def _deciding(cfg: DataConfig) -> dict[str, Any]:
    """Give what decides the audio: the settings, and the content of a corpus that was built on this machine."""
    built = {"corpus": content_key(rec.folder() / "clips.jsonl")} if cfg.source == "rec" else {}
    return {**cfg.model_dump(mode="json"), **built}


def load(cfg: VoiceAuthConfig, run: RunFolder, name: str = CLIPS) -> Clips:
    """Read a manifest's clips into memory.

    Raises:
        DataError: it was not prepared, or audio cannot be read.
    """
    return load_clips(manifest.read(run.manifests / f"{name}.jsonl"), cfg.data.rate_hz)


def _cut(row: dict[str, Any], folder: Path) -> Any:
    facts = {key: value for key, value in row.items() if key not in ("id", "path")}
    return manifest.cut(row["id"], folder / row["path"], facts)


def _need_whole_voices(planned: Plan, rows: Sequence[dict[str, Any]]) -> None:
    """Refuse a voice that cannot be enrolled or tried, by name."""
    counts = Counter((row[TARGET], row[ROLE]) for row in rows)
    bad = {name for name in planned.voices for role in (ENROL, TEST) if not counts[name, role]}
    if bad:
        raise DataError(f"no usable clip to enrol or to test of {', '.join(sorted(bad))}; lower data.min_clip_s")


def build(task: Task, voices: dict[str, Voice], cfg: DataConfig, folder: str) -> dict[str, Any] | str:
    """Make one file below `folder`, unless it is there, and give its row; or say why it cannot be made.

    Every draw is named by the clip and what is made of it: the same files come out in any order, on any number of
    processes, and after a kill.

    Args:
        task: what to make.
        voices: of the plan.
        cfg: chain, channels and material.
        folder: where the audio goes.
    """
    path = Path(folder) / f"{task.id}.flac"
    row_path = path.with_suffix(".json")
    if row_path.exists():
        return dict(read_json(row_path))
    draws = rng(cfg.seed, task.clip)
    before, after = (equalise.draw_channel(cfg.channels, draws) for _ in range(2))
    try:
        wave, rate_hz, generator = _unchained(task, voices, cfg, before, draws)
        if task.role in UNCHAINED:
            wave = set_level(equalise.excerpt(wave, rate_hz, cfg.max_clip_s, draws))
        else:
            wave = equalise.equalise(
                wave,
                rate_hz,
                out_hz=cfg.rate_hz,
                longest_s=cfg.max_clip_s,
                band_hz=cfg.band_hz,
                codec=after,
                snr_db=cfg.noise_snr_db,
                rng=rng(cfg.seed, task.id, "chain"),
            )
    except AudioError as error:
        return f"{task.id}: {error}"
    write(path, wave, cfg.rate_hz)
    row = {"id": path.stem, "path": path.name, **_facts(task, voices, cfg, generator, after)}
    write_json(row_path, row)  # last: a row means that its audio is whole
    return row


def _unchained(
    task: Task, voices: dict[str, Voice], cfg: DataConfig, codec: str, draws: np.random.Generator
) -> tuple[np.ndarray, int, str]:
    """Give the wave (T,) that goes into the chain, its rate, and what generated it: the clip, or an attack."""
    rate_hz = cfg.rate_hz
    source = _read(task.clip, cfg)
    if task.role == "plain":
        return source, rate_hz, ""
    if task.role == "plain_recoded":
        name = equalise.draw_channel(cfg.foreign_channels, rng(cfg.seed, task.clip, task.role))
        return equalise.through(name, source, rate_hz, draws), rate_hz, name
    # recoded before synthesis, so that the codec noise a vocoder erases is not what marks real speech
    source = equalise.excerpt(equalise.through(codec, source, rate_hz, draws), rate_hz, cfg.max_clip_s, draws)
    if task.role == "recoded":
        names = tuple(name for name in cfg.channels if name != "none") or cfg.foreign_channels
        name = equalise.draw_channel(names, rng(cfg.seed, task.clip, task.role))
        return equalise.through(name, source, rate_hz, draws), rate_hz, name
    if task.role != SPOOF:
        return source, rate_hz, ""
    target = None
    if task.attack == "conversion":
        parts = [_read(clip, cfg) for clip in voices[task.voice].material]
        target = np.concatenate(parts)[: round(cfg.material_s * rate_hz)]
    clip = corpora.corpus(cfg.source).clip(task.clip)
    spoof = synthesize(
        task.family, source, rate_hz, rng(cfg.seed, task.id), target=target, text=clip.text, language=clip.language
    )
    return spoof.wave, spoof.rate_hz, spoof.generator


def _read(clip: str, cfg: DataConfig) -> np.ndarray:
    native = corpora.corpus(cfg.source).clip(clip).read()
    return np.asarray(resample(native.mono(), native.rate_hz, cfg.rate_hz), np.float32)


def _facts(task: Task, voices: dict[str, Voice], cfg: DataConfig, generator: str, codec: str) -> dict[str, Any]:
    """Give the facts of a file, as its cut's fields."""
    clip = corpora.corpus(cfg.source).clip(task.clip)
    fake = task.role == SPOOF
    # a synthetic voice is nobody's; otherwise the speaker is the one whose clip it was made of
    nobody = f"tts-{generator}" if task.attack == "tts" else None
    facts = {
        **provenance(clip),
        ROLE: task.role,
        fields.LABEL: fields.SPOOF if fake else fields.BONAFIDE,
        fields.FAMILY: task.family,
        fields.GENERATOR: generator,
        ATTACK: task.attack,
        TARGET: task.voice,
        TARGET_GROUP: voices[task.voice].group,
        fields.SPEAKER: nobody or task.speaker,
        fields.SPEAKER_GROUP: nobody or voices[task.speaker].group,
        fields.CHANNEL: "" if task.role in UNCHAINED else codec,
        fields.PAIR: task.clip,
        fields.SPLIT: voices[task.voice].split,
        fields.SYNTHETIC: fake,
    }
    return {key: value for key, value in facts.items() if value not in (None, "")}
