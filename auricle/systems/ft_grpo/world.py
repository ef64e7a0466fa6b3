"""The artefact world of four types: which recordings each split has, and how a pair of real and fake is made of them.

Speech is recorded. Singing is that speech by WORLD on a melody, music is half recorded and half procedural, sounds are
recorded over procedural noise: for these three "real" means that no artefact was put in. Both clips of a pair go
through one chain, so that they differ by the artefact (or the vocoder) and by draws of noise and level.
"""

from __future__ import annotations

import functools
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.audio import channel, level, noise
from auricle.audio.files import read_mono
from auricle.core.errors import AudioError, DataError
from auricle.core.seed import rng
from auricle.data import corpora, fields
from auricle.data.embedded import Clip
from auricle.data.equalise import LEVEL_DBFS as CHAIN_DBFS
from auricle.data.equalise import through
from auricle.data.splits import drop_shared_texts, split_groups
from auricle.data.spoof import synthesize
from auricle.data.worlds import artefacts
from auricle.data.worlds.artefacts import CLIP_S, RATE_HZ, Artefact
from auricle.data.worlds.chords import piece
from auricle.data.worlds.scenes import scene
from auricle.data.worlds.singing import Voice, sing, voice
from auricle.systems.ft_grpo.config import DataConfig
from auricle.systems.ft_grpo.features import HIGH_HZ, LEVEL_DBFS, LOW_HZ, SAMPLES, as_int16, narrowed

TRIES = 8  # plans that are drawn for a clip before it is left out, and stretches that are looked for
PIECES = {"train": 60, "dev": 12, "test": 24}  # procedural pieces of music; a piece is in one split
SOUNDS_IN_SCENE = 4
SUNG = {"train": 64, "dev": 16, "test": 40}  # recordings that are sung; WORLD's analysis is dear, a melody is not
PROCEDURAL = "procedural"
_TAPE_S = 60


@dataclass(frozen=True)
class Stem:
    """What excerpts are made of: one recording, or one procedural piece.

    Attributes:
        id: of the clip in the corpus, or of the piece.
        group: voice, track or kind of sound; in one split only.
        clip: the recording; None for a procedural piece.
    """

    id: str
    group: str
    clip: Clip | None


@dataclass(frozen=True)
class Excerpt:
    """A clip of the world before anything is done to it, given by names alone.

    Attributes:
        id: unique in a run; all draws go by it.
        type: one of the four types.
        split: ``train``, ``dev`` or ``test``.
        stem: what it is made of.
        others: further sounds of its scene.
    """

    id: str
    type: str
    split: str
    stem: Stem
    others: tuple[Stem, ...] = ()


class World:
    """The excerpts of a config and the clips made of them; everything is a function of the config and an id."""

    def __init__(self, cfg: DataConfig) -> None:
        """Split the recordings, before anything is made of them.

        Args:
            cfg: ``source`` names a corpus.

        Raises:
            DataError: too few recordings of a type, or a split without one.
        """
        self.cfg = cfg
        self.stems = {kind: _stems(kind, cfg) for kind in cfg.types}
        for kind, splits in self.stems.items():
            empty = [name for name in fields.SPLITS if not splits.get(name)]
            if empty:
                raise DataError(
                    f"the corpus {cfg.source} has no {kind} for {', '.join(empty)}; leave {kind} out of data.types"
                )
        # one tape for all clips: noise is as dear as all the rest of a clip's chain
        self._noise = noise.pink(_TAPE_S * RATE_HZ, rng(cfg.seed, "noise"))
        self._sound = functools.lru_cache(maxsize=512)(_sounding)
        self._voice = functools.lru_cache(maxsize=128)(self._analysed)

    def excerpts(self, name: str, kind: str) -> Iterator[Excerpt]:
        """Name excerpts of one type without end, each stem in turn.

        Args:
            name: set of clips; those that are not called after a split, such as ``weak``, have recordings of ``test``.
            kind: the type.
        """
        split = name if name in fields.SPLITS else "test"
        stems = self.stems[kind][split]
        draws = rng(self.cfg.seed, "order", name, kind)
        numbers = itertools.count()
        while True:
            for index in draws.permutation(len(stems)):
                others: tuple[Stem, ...] = ()
                if kind == "sound":
                    others = tuple(stems[i] for i in draws.integers(len(stems), size=SOUNDS_IN_SCENE - 1))
                yield Excerpt(f"{name}-{kind}-{next(numbers):05d}", kind, split, stems[int(index)], others)

    def named(self, name: str, ids: Collection[str]) -> dict[str, Excerpt]:
        """Find excerpts of a set again by their ids.

        Args:
            name: the set.
            ids: as `Excerpt.id` has them; they are the pairs of the set's clips.

        Raises:
            DataError: an id that is not of this set and world.
        """
        excerpts: dict[str, Excerpt] = {}
        for kind in self.cfg.types:
            numbers = [int(id_.rpartition("-")[2]) for id_ in ids if id_.startswith(f"{name}-{kind}-")]
            first = itertools.islice(self.excerpts(name, kind), max(numbers, default=-1) + 1)
            excerpts |= {excerpt.id: excerpt for excerpt in first if excerpt.id in ids}
        missing = sorted(set(ids) - excerpts.keys())
        if missing:
            raise DataError(f"{missing[0]} is no excerpt of the set {name}; it was made by another config")
        return excerpts

    def clean(self, excerpt: Excerpt) -> np.ndarray:
        """Make an excerpt as it is before an artefact: one band, a floor of noise, one level.

        Args:
            excerpt: from `excerpts`.

        Returns:
            Samples (SAMPLES,) float32.

        Raises:
            AudioError: too little sound in the recording.
        """
        draws = rng(self.cfg.seed, "clean", excerpt.id)
        wave = channel.band_limit(self._raw(excerpt, draws), RATE_HZ, LOW_HZ, HIGH_HZ)
        wave = self._noisy(wave, self.cfg.room_snr_db, draws)
        return level.set_level(wave, LEVEL_DBFS)

    def spoiled(
        self, excerpt: Excerpt, clean: np.ndarray, strength: tuple[float, float]
    ) -> tuple[np.ndarray, tuple[Artefact, ...]]:
        """Put drawn artefacts into a clean clip; one that it cannot carry is drawn again.

        Args:
            excerpt: whose draws are used.
            clean: from `clean`.
            strength: lowest and highest.

        Raises:
            AudioError: it carries none of those that were drawn.
        """
        draws = rng(self.cfg.seed, "artefacts", excerpt.id)
        for _ in range(TRIES):
            plan = artefacts.plan(draws, self.cfg.share_time, self.cfg.both, strength)
            try:
                return artefacts.inject(clean, plan, draws), plan
            except AudioError as error:
                problem = error
        raise AudioError(f"{excerpt.id}: {problem}")

    def vocoded(self, excerpt: Excerpt, clean: np.ndarray) -> tuple[np.ndarray, str, str]:
        """Say a clean clip again by a vocoder; what it changes has no place.

        Args:
            excerpt: whose draws are used.
            clean: from `clean`.

        Returns:
            Samples (SAMPLES,), the family, the generator's tag.

        Raises:
            AudioError: the family can make nothing of it.
        """
        draws = rng(self.cfg.seed, "vocoder", excerpt.id)
        family = str(draws.choice(self.cfg.hard_families))
        spoof = synthesize(family, clean, RATE_HZ, draws)
        return spoof.wave, family, spoof.generator

    def codec(self, excerpt: Excerpt) -> str:
        """Give the codec that both clips of a pair go through."""
        names = self.cfg.codecs
        return names[int(rng(self.cfg.seed, "codec", excerpt.id).integers(len(names)))]

    def carried(self, excerpt: Excerpt, wave: np.ndarray, label: str) -> np.ndarray:
        """Send a clip, real or fake, through the chain that both share.

        Args:
            excerpt: whose codec is used.
            wave: samples (SAMPLES,).
            label: names the draws of noise and level.

        Returns:
            Samples (SAMPLES,) int16.
        """
        draws = rng(self.cfg.seed, "chain", excerpt.id, label)
        wave = through(self.codec(excerpt), level.set_level(wave, LEVEL_DBFS), RATE_HZ, draws)
        wave = self._noisy(wave, self.cfg.line_snr_db, draws)
        return as_int16(narrowed(wave), float(draws.uniform(*CHAIN_DBFS)))

    def _noisy(self, wave: np.ndarray, snr_db: tuple[float, float], draws: np.random.Generator) -> np.ndarray:
        return noise.add_noise(wave, level.crop(self._noise, SAMPLES, draws), float(draws.uniform(*snr_db)))

    def _raw(self, excerpt: Excerpt, draws: np.random.Generator) -> np.ndarray:
        clip = excerpt.stem.clip
        if clip is None:
            return piece(SAMPLES, rng(self.cfg.seed, "piece", excerpt.stem.id), draws)
        if excerpt.type == "sound":
            sounds = [self._sound(stem.clip) for stem in (excerpt.stem, *excerpt.others) if stem.clip is not None]
            return scene(sounds, SAMPLES, draws)
        if excerpt.type == "singing":
            return sing(self._voice(clip), SAMPLES, draws)
        return _stretch(self._sound(clip), draws)

    def _analysed(self, clip: Clip) -> Voice:
        return voice(self._sound(clip)[: 2 * RATE_HZ])


def _stretch(wave: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Cut a stretch in which at least half of the frames sound."""
    for _ in range(TRIES):
        stretch = level.crop(wave, SAMPLES, draws)
        power = np.mean(stretch[: SAMPLES // 160 * 160].reshape(-1, 160).astype(np.float64) ** 2, axis=1)
        if np.mean(power > power.max() * 1e-3) >= 0.5:
            return stretch
    raise AudioError("no stretch of it sounds for half of its length")


def _sounding(clip: Clip) -> np.ndarray:
    return level.trim_silence(read_mono(clip.file(), RATE_HZ)[0], RATE_HZ)[0].astype(np.float32)


def _stems(kind: str, cfg: DataConfig) -> dict[str, list[Stem]]:
    """List what each split's excerpts of a type are made of."""
    source = corpora.corpus(cfg.source)
    if kind in ("speech", "singing"):
        spoken = [clip for clip in source.clips(kind="speech") if clip.duration_s >= CLIP_S + 0.3 and clip.split_group]
        stems = _texts_apart(_assigned([(clip, clip.split_group, clip.package) for clip in spoken], cfg.split))
        if kind == "speech":
            return stems
        return {name: _by_turns(voices, SUNG[name], rng(cfg.seed, "sung", name)) for name, voices in stems.items()}
    clips = source.clips(kind=kind)
    stems = _assigned([(clip, f"{clip.label} {clip.detail}".strip(), kind) for clip in clips], cfg.split)
    if kind == "sound":
        return stems
    music = {}
    for name, count in PIECES.items():
        # a short loop is tiled by nobody: it has one stretch, or none
        long = [stem for stem in stems.get(name, ()) if stem.clip and stem.clip.duration_s > CLIP_S + 0.1]
        music[name] = long + [Stem(f"{name}-{n}", f"{PROCEDURAL} {name} {n}", None) for n in range(count)]
    return music


def _by_turns(stems: Sequence[Stem], count: int, draws: np.random.Generator) -> list[Stem]:
    """Choose recordings, every voice in turn."""
    by_group: dict[str, list[Stem]] = defaultdict(list)
    for index in draws.permutation(len(stems)):
        by_group[stems[int(index)].group].append(stems[int(index)])
    rounds = itertools.zip_longest(*(by_group[group] for group in sorted(by_group)))
    return [stem for row in rounds for stem in row if stem is not None][:count]


def _assigned(rows: Sequence[tuple[Clip, str, str]], split: int) -> dict[str, list[Stem]]:
    """Split clips by group, each source spread over the splits."""
    where = split_groups({group: source for _, group, source in rows}, split)
    stems: dict[str, list[Stem]] = defaultdict(list)
    for clip, group, _ in rows:
        stems[where[group]].append(Stem(clip.id, group, clip))
    return dict(stems)


def _texts_apart(stems: dict[str, list[Stem]]) -> dict[str, list[Stem]]:
    """Leave out clips whose words an earlier split says too."""
    out, _ = drop_shared_texts([(stem.id, name, _words(stem.clip)) for name, each in stems.items() for stem in each])
    return {name: [stem for stem in each if stem.id not in out] for name, each in stems.items()}


def _words(clip: Clip | None) -> str:
    words = (clip.prompt or clip.text) if clip else ""
    return f"{clip.language}:{' '.join(words.lower().split())}" if clip and words else ""
