"""Make the files of a plan: the part of `prepare` that runs in parallel, one file at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.files import write
from auricle.audio.level import set_level
from auricle.audio.resample import resample
from auricle.core.errors import AudioError
from auricle.core.files import read_json, write_json
from auricle.core.seed import rng as make_rng
from auricle.data import corpora, equalise, fields
from auricle.data.spoof import synthesize
from auricle.systems.voice_auth.config import DataConfig
from auricle.systems.voice_auth.plan import SPOOF, Task, Voice

TARGET, TARGET_GROUP, ATTACK, ROLE = "target", "target_group", "attack", "role"
PLAIN = ("plain", "plain_recoded")  # controls that leave the chain out


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
    draws = make_rng(cfg.seed, task.clip)
    before, after = (equalise.draw_channel(cfg.channels, draws) for _ in range(2))
    try:
        wave, rate_hz, generator = _made(task, voices, cfg, before, draws)
        if task.role in PLAIN:
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
                rng=make_rng(cfg.seed, task.id, "chain"),
            )
    except AudioError as error:
        return f"{task.id}: {error}"
    write(path, wave, cfg.rate_hz)
    row = _row(task, voices, cfg, path, generator, after)
    write_json(row_path, row)  # last: a row means that its audio is whole
    return row


def _made(
    task: Task, voices: dict[str, Voice], cfg: DataConfig, before: str, draws: np.random.Generator
) -> tuple[np.ndarray, int, str]:
    """Give what goes into the chain: the clip, or what an attacker makes of it."""
    rate_hz = cfg.rate_hz
    source = _read(task.clip, cfg)
    if task.role in PLAIN:
        if task.role == "plain":
            return source, rate_hz, ""
        name = equalise.draw_channel(cfg.foreign_channels, make_rng(cfg.seed, task.clip, task.role))
        return equalise.through(name, source, rate_hz, draws), rate_hz, name
    # recoded before synthesis, so that the codec noise a vocoder erases is not what marks real speech
    source = equalise.excerpt(equalise.through(before, source, rate_hz, draws), rate_hz, cfg.max_clip_s, draws)
    if task.role == "recoded":
        names = tuple(name for name in cfg.channels if name != "none") or cfg.foreign_channels
        name = equalise.draw_channel(names, make_rng(cfg.seed, task.clip, task.role))
        return equalise.through(name, source, rate_hz, draws), rate_hz, name
    if task.role != SPOOF:
        return source, rate_hz, ""
    target = None
    if task.attack == "conversion":
        parts = [_read(clip, cfg) for clip in voices[task.voice].material]
        target = np.concatenate(parts)[: round(cfg.material_s * rate_hz)]
    clip = corpora.corpus(cfg.source).clip(task.clip)
    made = synthesize(
        task.family, source, rate_hz, make_rng(cfg.seed, task.id), target=target, text=clip.text, language=clip.language
    )
    return made.wave, made.rate_hz, made.generator


def _read(clip: str, cfg: DataConfig) -> np.ndarray:
    native = corpora.corpus(cfg.source).clip(clip).read()
    return np.asarray(resample(native.mono(), native.rate_hz, cfg.rate_hz), np.float32)


def _row(
    task: Task, voices: dict[str, Voice], cfg: DataConfig, path: Path, generator: str, codec: str
) -> dict[str, Any]:
    """Give the facts of a file, as its cut's fields."""
    clip = corpora.corpus(cfg.source).clip(task.clip)
    voice = voices[task.voice]
    fake = task.role == SPOOF
    row = {
        "id": path.stem,
        "path": path.name,
        ROLE: task.role,
        fields.LABEL: fields.SPOOF if fake else fields.BONAFIDE,
        fields.FAMILY: task.family,
        fields.GENERATOR: generator,
        ATTACK: task.attack,
        TARGET: task.voice,
        TARGET_GROUP: voice.group,
        # a synthetic voice is nobody's; otherwise it is the one whose clip it was made of
        fields.SPEAKER: f"tts-{generator}" if task.attack == "tts" else task.speaker,
        fields.SPEAKER_GROUP: f"tts-{generator}" if task.attack == "tts" else voices[task.speaker].group,
        fields.LANGUAGE: clip.language,
        fields.SOURCE: clip.package,
        fields.CODING: clip.coding,
        fields.LICENCE: clip.licence,
        fields.AUTHOR: clip.author,
        fields.CHANNEL: "" if task.role in PLAIN else codec,
        fields.PAIR: task.clip,
        fields.SPLIT: voice.split,
        fields.SYNTHETIC: fake,
    }
    return {key: value for key, value in row.items() if value not in (None, "")}
