"""`prepare`: recordings of three kinds, split by source; and their log-mels in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.audio.files import read
from auricle.audio.level import bandwidth_hz
from auricle.audio.vocoder_mel import MelContract, VocoderMel
from auricle.core.errors import ConfigError, DataError
from auricle.core.run import RunFolder
from auricle.core.seed import rng
from auricle.data import corpora, fields, manifest
from auricle.data.building import provenance
from auricle.data.cut_audio import mono_cut
from auricle.data.embedded import KINDS, Clip
from auricle.data.splits import split_groups
from auricle.systems.unisrcodec.config import CodecConfig, DataConfig

RECORDINGS = "recordings"
KIND, BAND = "kind", "bandwidth_hz"
SHARES = {"train": 0.58, "dev": 0.12, "test": 0.3}  # of the minutes of a kind
PARTS = tuple(SHARES)


@dataclass(frozen=True)
class Recording:
    """One recording in memory.

    Attributes:
        name: its id.
        kind: ``speech``, ``sound`` or ``music``.
        band_hz: up to where it has content.
        wave: (T,) float32 at 44.1 kHz, at its own level.
        language: ISO 639-1 code of speech; "" where nobody knows it.
        speaker: its voice, likewise.
        text: its words, likewise.
    """

    name: str
    kind: str
    band_hz: float
    wave: np.ndarray
    language: str = ""
    speaker: str = ""
    text: str = ""


def prepare(cfg: CodecConfig, run: RunFolder) -> dict[str, Any]:
    """Write ``manifests/recordings.jsonl``: which recordings train, tune and test, and how far up each reaches.

    Raises:
        ConfigError: an unknown corpus, sizes that do not fit, or a vocoder of another mel.
        CheckpointError: a vocoder or a peer that is not there or cannot be read.
        DataError: a kind with too few sources, a split that is empty, or no folder of a peer.
        MissingExtra: a peer needs Transformers.
    """
    if cfg.data.source not in corpora.NAMES:
        raise ConfigError(f"--data {cfg.data.source}: unisrcodec trains on a corpus: {', '.join(corpora.NAMES)}")
    from auricle.systems.unisrcodec.checks import check_parts  # which imports this file

    check_parts(cfg)
    chosen: list[tuple[Clip, str]] = []
    for kind in KINDS:
        chosen += _of_kind(list(corpora.corpus(cfg.data.source).clips(kind)), kind, cfg.data)
    with ThreadPoolExecutor(4) as pool:
        bands = list(pool.map(lambda row: _band_hz(row[0], cfg.data), chosen))
    cuts = [
        manifest.cut(clip.id, clip.file(), {fields.SPLIT: part, KIND: clip.kind, BAND: round(band), **_known(clip)})
        for (clip, part), band in zip(chosen, bands, strict=True)
    ]
    counts = Counter(f"{clip.kind} {part}" for clip, part in chosen)
    empty = [f"{kind} {part}" for kind in KINDS for part in PARTS if not counts[f"{kind} {part}"]]
    if empty:
        raise DataError(f"no recording for {', '.join(empty)}; raise data.minutes or lower data.shortest_s")
    manifest.write(cuts, run.manifests / f"{RECORDINGS}.jsonl")
    minutes = dict.fromkeys(PARTS, 0.0)
    for clip, part in chosen:
        minutes[part] += min(clip.duration_s, cfg.data.longest_s) / 60
    full = sum(band >= cfg.data.band_hz for band in bands)
    return {
        "recordings": dict(sorted(counts.items())),
        "minutes": {part: round(minutes[part], 1) for part in PARTS},
        "pass_the_screen": f"{full} of {len(bands)}",
    }


def _known(clip: Clip) -> dict[str, Any]:
    return {**provenance(clip), **({fields.TEXT: clip.text} if clip.text else {})}


def source_of(clip: Clip) -> str:
    """Name what must not be in two splits: a voice, a piece of music, one author's recordings of one thing."""
    if clip.kind == "speech":
        return clip.split_group or clip.speaker or clip.id
    return f"{clip.package}: {clip.author}: {clip.detail if clip.kind == 'music' else clip.label}"


def _of_kind(clips: Sequence[Clip], kind: str, cfg: DataConfig) -> list[tuple[Clip, str]]:
    """Choose recordings of one kind, up to the minutes, and assign their sources."""
    usable = [clip for clip in clips if clip.duration_s >= cfg.shortest_s]
    parts = split_groups({source_of(clip): kind for clip in usable}, cfg.split)
    chosen: list[tuple[Clip, str]] = []
    for part, share in SHARES.items():
        of_part = [clip for clip in usable if parts[source_of(clip)] == part]
        left_s = 60 * cfg.minutes * share
        for index in rng(cfg.split, "recordings", kind, part).permutation(len(of_part)):
            if left_s <= 0:
                break
            chosen.append((of_part[index], part))
            left_s -= min(of_part[index].duration_s, cfg.longest_s)
    return chosen


def _band_hz(clip: Clip, cfg: DataConfig) -> float:
    audio = read(clip.file(), duration_s=cfg.longest_s)
    return bandwidth_hz(audio.mono(), audio.rate_hz)


def load(cfg: CodecConfig, run: RunFolder, part: str, seconds: float | None = None) -> list[Recording]:
    """Read the recordings of a split at 44.1 kHz, at their own level.

    Args:
        cfg: the run's config.
        run: a prepared run.
        part: ``train``, ``dev`` or ``test``.
        seconds: of each kind at most; None for all.

    Raises:
        DataError: nothing was prepared, or a file cannot be read.
    """
    cuts = _cuts(run, part)
    if seconds is not None:
        cuts = list(_up_to(cuts, seconds, cfg.data.longest_s))
    if not cuts:
        raise DataError(f"no recording of {part} was prepared")
    return _read_all(cuts, cfg.data)


def load_speech(cfg: CodecConfig, run: RunFolder, language: str, least_s: float, most: int) -> list[Recording]:
    """Read test recordings of speech in one language, drawn by the run's seed.

    Args:
        cfg: the run's config.
        run: a prepared run.
        language: ISO 639-1 code.
        least_s: of a recording, in seconds.
        most: recordings at most.
    """
    cuts = [
        cut
        for cut in _cuts(run, "test")
        if (cut.custom[KIND], cut.custom.get(fields.LANGUAGE)) == ("speech", language) and cut.duration >= least_s
    ]
    drawn = sorted(rng(cfg.seed, "speech", language).permutation(len(cuts))[:most])
    return _read_all([cuts[index] for index in drawn], cfg.data)


def _cuts(run: RunFolder, part: str) -> list[Any]:
    return [cut for cut in manifest.read(run.manifests / f"{RECORDINGS}.jsonl") if cut.custom[fields.SPLIT] == part]


def _read_all(cuts: Sequence[Any], cfg: DataConfig) -> list[Recording]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda cut: _read(cut, cfg), cuts))


def _up_to(cuts: Iterable[Any], seconds: float, longest_s: float) -> Iterable[Any]:
    taken_s = Counter[str]()
    for cut in cuts:
        kind = cut.custom[KIND]
        if taken_s[kind] < seconds:
            taken_s[kind] += min(cut.duration, longest_s)
            yield cut


def _read(cut: Any, cfg: DataConfig) -> Recording:
    whole, custom = cut.duration <= cfg.longest_s, cut.custom
    wave, _, _ = mono_cut(cut if whole else cut.truncate(duration=cfg.longest_s), MelContract().rate_hz)
    facts = [custom.get(name, "") for name in (fields.LANGUAGE, fields.SPEAKER, fields.TEXT)]
    # of a beginning nobody knows the words
    return Recording(cut.id, custom[KIND], float(custom[BAND]), wave, *(facts if whole else [*facts[:2], ""]))


def load_mels(cfg: CodecConfig, run: RunFolder, part: str) -> tuple[list[Recording], list[Tensor]]:
    """Read the recordings of a split, and give the log-mel (frames, n_mels) of each, whole columns."""
    clips, front_end = load(cfg, run, part), VocoderMel()
    return clips, [log_mel(front_end, clip.wave, cfg.model.step) for clip in clips]


@torch.no_grad()
def log_mel(mel: VocoderMel, wave: np.ndarray, step: int) -> Tensor:
    """Give the log-mel of a wave (T,), filled up with zeros to whole columns, (frames, n_mels)."""
    column = step * mel.hop
    padded = np.pad(wave, (0, -len(wave) % column if len(wave) else column)).astype(np.float32, copy=False)
    frames: Tensor = mel(torch.from_numpy(padded)[None])
    return frames[0]


class Cuts:
    """Random cuts of log-mels: the kinds alike often, recordings by their length; the same for the same epoch."""

    def __init__(self, mels: Sequence[Tensor], kinds: Sequence[str], frames: int, batch: int, seed: int) -> None:
        """Take the training set: log-mels (frames, n_mels) and their kinds.

        Args:
            mels: of the recordings.
            kinds: of the recordings.
            frames: of a cut; shorter recordings are repeated.
            batch: cuts a batch.
            seed: of the draws.
        """
        self.mels, self.frames, self.batch, self.seed = list(mels), frames, batch, seed
        counts = Counter[str]()
        for mel, kind in zip(mels, kinds, strict=True):
            counts[kind] += len(mel)
        weights = np.array([len(mel) / counts[kind] for mel, kind in zip(mels, kinds, strict=True)])
        self.weights = weights / weights.sum()
        self.batches = max(1, sum(len(mel) for mel in mels) // (frames * batch))

    def __call__(self, epoch: int) -> Iterable[Tensor]:
        """Give the batches (batch, frames, n_mels) of an epoch."""
        draws = rng(self.seed, "cuts", epoch)
        for _ in range(self.batches):
            chosen = draws.choice(len(self.mels), self.batch, p=self.weights)
            yield torch.stack([self._cut(self.mels[index], draws) for index in chosen])

    def _cut(self, mel: Tensor, draws: np.random.Generator) -> Tensor:
        if len(mel) <= self.frames:
            return mel.repeat(-(-self.frames // len(mel)), 1)[: self.frames]
        start = int(draws.integers(len(mel) - self.frames + 1))
        return mel[start : start + self.frames]
