"""How a clip is made: its content by its kind, then one chain for all, so that nothing but content tells them apart."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from auricle.audio import channel, level, noise
from auricle.core.seed import rng
from auricle.data.worlds import events, tunes
from auricle.data.worlds.events import RATE_HZ
from auricle.data.worlds.recordings import SAID_S, SHORT_S, Stem, sounding

_TAPE_S = 60
_IN_A_ROW_S = 1.0  # longest part of a sound where two are heard


TIMES = ("once", "twice", "three times", "four times")


@dataclass(frozen=True)
class ClipPlan:
    """A clip before it is made; all its draws go by its id.

    Attributes:
        id: unique in a run.
        domain: of the clip.
        kind: how it is made: the task that its audio is for.
        answer: what it holds.
        stems: the recordings it is made of; none for a procedural piece.
    """

    id: str
    domain: str
    kind: str
    answer: str
    stems: tuple[Stem, ...] = ()

    @property
    def group(self) -> str:
        """What must not be in two splits: voice, kind of sound or track; of a procedural piece its id."""
        return ", ".join(sorted({stem.group for stem in self.stems})) or f"piece {self.id}"

    @property
    def subset(self) -> str:
        """Which part of the set it is in; what is less new decides."""
        found = {stem.subset for stem in self.stems}
        return next((name for name in ("known voice", "new sound", "new voice", "new package") if name in found), "")

    @property
    def recordings(self) -> tuple[str, ...]:
        """Ids of the recordings."""
        return tuple(sorted(stem.clip.id for stem in self.stems))


@dataclass(frozen=True)
class Chain:
    """What every clip goes through, whatever it holds.

    Attributes:
        seconds: length of a clip.
        band_hz: band that is left.
        snr_db: range of the pink noise's distance.
        level_dbfs: range of the level.
        speed: range by which a recording is played faster or slower, pitch and all.
        seed: of all draws.
    """

    seconds: float
    band_hz: tuple[float, float]
    snr_db: tuple[float, float]
    level_dbfs: tuple[float, float]
    speed: tuple[float, float]
    seed: int


class Maker:
    """Makes clips; each is a function of the chain and its plan.

    Args:
        cfg: what every clip goes through.
    """

    def __init__(self, cfg: Chain) -> None:
        self.cfg = cfg
        self.samples = round(cfg.seconds * RATE_HZ)
        self._tape = noise.pink(_TAPE_S * RATE_HZ, rng(cfg.seed, "tape"))

    def wave(self, plan: ClipPlan) -> np.ndarray:
        """Make a clip.

        Args:
            plan: the clip.

        Returns:
            Samples (N,) int16 at 16 kHz.

        Raises:
            AudioError: its recordings cannot be read, are silent, or do not fit.
        """
        content = self._content(plan, rng(self.cfg.seed, "content", plan.id))
        draws = rng(self.cfg.seed, "chain", plan.id)
        wave = noise.add_noise(
            content, level.crop(self._tape, self.samples, draws), float(draws.uniform(*self.cfg.snr_db))
        )
        wave = channel.band_limit(wave, RATE_HZ, *self.cfg.band_hz)
        wave = level.set_level(wave, float(draws.uniform(*self.cfg.level_dbfs)))
        return np.round(wave * 32767.0).astype(np.int16)

    def _content(self, plan: ClipPlan, draws: np.random.Generator) -> np.ndarray:
        samples, seconds = self.samples, self.cfg.seconds
        heard = functools.partial(self._recorded, draws=draws)
        if plan.kind in ("speech pace", "music pace"):
            said = events.stretch_of(heard(plan.stems[0]), SAID_S, draws)
            return events.twice(said, plan.answer, samples, draws)
        if plan.kind == "count":
            sound = heard(plan.stems[0])[: round(SHORT_S * RATE_HZ)]
            return events.in_a_row([sound] * (1 + TIMES.index(plan.answer)), samples, draws)
        if plan.kind == "order":
            parts = [events.stretch_of(heard(stem), _IN_A_ROW_S, draws) for stem in plan.stems]
            return events.in_a_row(parts, samples, draws)
        if plan.kind == "tempo":
            return tunes.pulse(plan.answer, seconds, self._beat(plan, draws), draws)
        if plan.kind == "instrument" and plan.stems:
            return self._drummed(heard(plan.stems[0]), draws)
        if plan.kind in ("mode", "contour", "instrument"):
            name = plan.answer if plan.kind == "instrument" else str(draws.choice(tunes.INSTRUMENTS))
            player = tunes.Player(name, draws)
            if plan.kind == "mode":
                return tunes.chord(plan.answer, seconds, player, draws)
            if plan.kind == "contour":
                return tunes.melody(plan.answer, seconds, player, draws)
            return tunes.tune(draws.integers(-6, 7, int(draws.integers(3, 7))).tolist(), seconds, player, draws)
        return events.placed(heard(plan.stems[0]), samples, draws)

    def _recorded(self, stem: Stem, draws: np.random.Generator) -> np.ndarray:
        """Give a recording at a speed that is drawn, pitch and all."""
        return events.respeeded(sounding(stem.clip), float(draws.uniform(*self.cfg.speed)))

    def _beat(self, plan: ClipPlan, draws: np.random.Generator) -> np.ndarray:
        """Give the sound of one beat: a recorded drum, or a chord of an instrument that is drawn."""
        if plan.stems:
            return self._recorded(plan.stems[0], draws)
        player = tunes.Player(str(draws.choice(tunes.INSTRUMENTS)), draws)
        steps = tunes.CHORDS[str(draws.choice(list(tunes.CHORDS)))]
        root_hz = 262 * 2 ** (float(draws.uniform(0, 12)) / 12)
        return np.asarray(np.sum(np.stack([player.note(root_hz * 2 ** (step / 12), 0.28) for step in steps]), axis=0))

    def _drummed(self, hit: np.ndarray, draws: np.random.Generator) -> np.ndarray:
        """Strike a drum three to six times, in a rhythm like a tune's."""
        out = np.zeros(self.samples)
        shares = draws.uniform(0.7, 1.3, int(draws.integers(3, 7)))
        starts = np.concatenate([[0.0], np.cumsum(shares)[:-1]]) / shares.sum() * self.cfg.seconds
        for start in starts:
            tunes.add(out, float(start), hit * float(draws.uniform(0.7, 1.0)))
        return out
