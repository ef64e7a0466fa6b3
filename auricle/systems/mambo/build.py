"""Make one real clip and its fakes: the part of `prepare` that runs in parallel, one utterance at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.files import write
from auricle.audio.resample import resample
from auricle.core.errors import AudioError
from auricle.core.files import read_json, write_json
from auricle.core.seed import rng as make_rng
from auricle.data import corpora, embedded, equalise, fields
from auricle.data.building import provenance
from auricle.data.spoof import synthesize
from auricle.systems.mambo.config import DataConfig

TARGET_S = 3.0  # of the other voice; enough for its mean pitch and spectral envelope
CONTROLS = ("recoded", "recoded_foreign")


@dataclass(frozen=True)
class Utterance:
    """One real clip and what is to be made of it.

    Attributes:
        clip: id of the real clip in its corpus.
        group: pseudonymous speaker group.
        split: train, dev or test.
        families: spoof families to apply.
        target: id of a clip of another voice of the same split, for conversion.
    """

    clip: str
    group: str
    split: str
    families: tuple[str, ...]
    target: str | None


@dataclass
class Built:
    """Rows of the files made of one utterance, and what could not be made, with the reason."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def build(task: Utterance, cfg: DataConfig, folder: str) -> Built:
    """Make the real clip, its fakes and its leak controls, as FLAC files below `folder`.

    A file that is already there is not made again, so a killed run goes on. Every draw is named by the clip
    and the family: the same files come out in any order and on any number of processes.

    Args:
        task: what to make.
        cfg: chain, channels and families.
        folder: where the audio goes.

    Returns:
        Rows for the manifests, real first, and the reasons for what was skipped.
    """
    clip = corpora.corpus(cfg.source).clip(task.clip)
    built = Built()
    draws = make_rng(cfg.seed, task.clip)
    before, after = (equalise.draw_channel(cfg.channels, draws) for _ in range(2))
    native = clip.read()
    try:
        # Recoded before synthesis, so that the codec noise a vocoder erases is not what marks real speech.
        source = equalise.through(before, resample(native.mono(), native.rate_hz, cfg.rate_hz), cfg.rate_hz, draws)
        source = equalise.excerpt(source, cfg.rate_hz, cfg.max_clip_s, draws)
    except AudioError as error:
        built.skipped.append(f"{task.clip}: {error}")
        return built
    files = _Files(task, clip, cfg, Path(folder), source, after)
    for name in ("", *task.families, *CONTROLS):
        try:
            built.rows.append(files.make(name))
        except AudioError as error:
            built.skipped.append(f"{task.clip} as {name or 'bona fide'}: {error}")
            if not name:
                return built
    return built


@dataclass(frozen=True)
class _Files:
    """The files of one utterance: "" is the real clip, other names are spoof families and leak controls."""

    task: Utterance
    clip: embedded.Clip
    cfg: DataConfig
    folder: Path
    source: np.ndarray
    codec: str

    def make(self, name: str) -> dict[str, Any]:
        """Make one file and its row, unless both are there."""
        fake = name != "" and name not in CONTROLS
        path = self.folder / f"{self.task.clip}--{name + '-synthetic' if fake else name or 'bonafide'}.flac"
        row_path = path.with_suffix(".json")
        if row_path.exists():
            return dict(read_json(row_path))
        if fake:
            wave, rate_hz, generator = self._spoof(name)
        elif name:
            wave, rate_hz, generator = self._recoded(name)
        else:
            wave, rate_hz, generator = self.source, self.cfg.rate_hz, ""
        wave = equalise.equalise(
            wave,
            rate_hz,
            out_hz=self.cfg.rate_hz,
            longest_s=self.cfg.max_clip_s,
            band_hz=self.cfg.band_hz,
            codec=self.codec,
            snr_db=self.cfg.noise_snr_db,
            rng=make_rng(self.cfg.seed, self.task.clip, name, "chain"),
        )
        write(path, wave, self.cfg.rate_hz)
        row = {
            "id": path.stem,
            "path": path.name,
            fields.LABEL: fields.SPOOF if fake else fields.BONAFIDE,
            fields.FAMILY: name,
            fields.GENERATOR: generator,
            **provenance(self.clip),
            fields.SPEAKER_GROUP: self.task.group,
            fields.TEXT: self.clip.text,
            fields.CHANNEL: self.codec,
            fields.PAIR: self.task.clip,
            fields.SPLIT: self.task.split,
            fields.SYNTHETIC: fake,
        }
        row = {key: value for key, value in row.items() if value not in (None, "")}
        write_json(row_path, row)  # last: a row means that its audio is whole
        return row

    def _spoof(self, family: str) -> tuple[np.ndarray, int, str]:
        target = None
        if self.task.target is not None:
            other = corpora.corpus(self.cfg.source).clip(self.task.target).read()
            target = resample(other.mono(), other.rate_hz, self.cfg.rate_hz)[: round(TARGET_S * self.cfg.rate_hz)]
        draws = make_rng(self.cfg.seed, self.task.clip, family)
        text, language = self.clip.text, self.clip.language
        made = synthesize(family, self.source, self.cfg.rate_hz, draws, target=target, text=text, language=language)
        return made.wave, made.rate_hz, made.generator

    def _recoded(self, name: str) -> tuple[np.ndarray, int, str]:
        names = tuple(channel for channel in self.cfg.channels if channel != "none")
        if name == "recoded_foreign":
            names = self.cfg.foreign_channels
        draws = make_rng(self.cfg.seed, self.task.clip, name)
        channel = equalise.draw_channel(names, draws)
        return equalise.through(channel, self.source, self.cfg.rate_hz, draws), self.cfg.rate_hz, channel
