"""What the claims share: data, embeddings and features, the detectors trained on parts of them, and intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio import channel, noise
from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Cell, Measured
from auricle.claims.shared import prepared
from auricle.claims.verdict import within
from auricle.core.config import parse
from auricle.core.seed import rng
from auricle.data import fields
from auricle.data.clips import Clips, as_int16
from auricle.metrics.bootstrap import replicates
from auricle.metrics.detection import eer
from auricle.systems.voice_auth import controls, data
from auricle.systems.voice_auth.batches import ClipFeatures, extract_features
from auricle.systems.voice_auth.clips import ENROL, ROLE, TARGET, TEST, genuine_and_attacks, of_split
from auricle.systems.voice_auth.config import VoiceAuthConfig, laptop, smoke
from auricle.systems.voice_auth.embeddings import Embedder
from auricle.systems.voice_auth.sweeps import babble
from auricle.systems.voice_auth.train import new_network

DRAWS = 1000  # of the bootstrap over speaker groups
SNR_DB = (20.0, 10.0, 0.0)
CONTROLS = ("recoded", "plain", "plain_recoded")
DATA: dict[Budget, dict[str, Any]] = {
    "full": {
        "split": 1,
        "tests": 16,
        "spoofs_per_voice": 8,
        "material_s": 20.0,
        "max_clip_s": 3.0,
        "controls": CONTROLS,
    },
    "quick": {"controls": CONTROLS, "unseen": ("formant", "world_conversion"), "workers": 1},
}


def config(budget: Budget, seed: int = 0, **recipe: object) -> VoiceAuthConfig:
    """Give the config of one training at a budget.

    Args:
        budget: quick or full.
        seed: of weights and batches.
        **recipe: settings of the training that differ.
    """
    base = laptop() if budget == "full" else smoke()
    values = base.model_dump()
    return parse(
        VoiceAuthConfig,
        values
        | {
            "seed": seed,
            "data": values["data"] | DATA[budget],
            "train": values["train"] | recipe,
            "eval": {"controls": False, "sweep_clips": 0, "fars": base.eval.fars},
        },
    )


def settings(cell: Cell) -> dict[str, Any]:
    """Give what decides the numbers of a cell."""
    return {"config": config(cell.budget, cell.seed), "arm": cell.arm}


@dataclass(frozen=True)
class SharedData:
    """The data that all claims share.

    Attributes:
        cfg: whose data it is.
        clips: enrolment, test and spoof clips.
        controls: clips of the leak controls.
        embeddings: of `clips`, (N, D).
    """

    cfg: VoiceAuthConfig
    clips: Clips
    controls: Clips
    embeddings: np.ndarray

    def detector_clips(self, split: str) -> np.ndarray:
        """Mark the clips that a detector trains on (genuine ones of any role, and attacks) or is tested on, (N,)."""
        chosen = of_split(self.clips, split)
        return chosen & genuine_and_attacks(self.clips) if split == "test" else chosen


@cache
def shared_data(shared: Path, budget: Budget) -> SharedData:
    """Prepare the shared data once, embed it once, and keep it in memory."""
    cfg = config(budget)
    preset = "laptop" if budget == "full" else "smoke"
    run = prepared(shared / "data", "voice_auth", preset, cfg, data.prepare)
    clips = data.load(cfg, run)
    return SharedData(cfg, clips, data.load(cfg, run, data.CONTROLS), Embedder(cfg, run).of(clips))


@cache
def features(shared: Path, budget: Budget) -> ClipFeatures:
    """Give the features of the shared clips, made once a process."""
    subset = shared_data(shared, budget)
    return extract_features(subset.clips, new_network(subset.cfg))


@cache
def distorted(shared: Path, budget: Budget, augment: str, algorithm: int) -> ClipFeatures:
    """Give the features of distorted copies of the shared clips."""
    subset = shared_data(shared, budget)
    recipe = config(budget, 0, augment=augment, rawboost=algorithm).train
    return extract_features(subset.clips, new_network(subset.cfg), recipe, seed=0)


@cache
def noisy(shared: Path, budget: Budget) -> dict[str, ClipFeatures]:
    """Give the features of the test voices' genuine clips and attacks in noise and over codecs, by condition."""
    subset = shared_data(shared, budget)
    test = subset.clips.where(subset.detector_clips("test"))
    others = subset.clips.where(~of_split(subset.clips, "test"))
    network, rate_hz = new_network(subset.cfg), subset.cfg.data.rate_hz
    makers: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
        "white": lambda wave, draws: noise.white(len(wave), draws),
        "pink": lambda wave, draws: noise.pink(len(wave), draws),
        "babble": lambda wave, draws: babble(others, len(wave), draws),
    }
    conditions = {}
    for kind, make in makers.items():
        for snr_db in SNR_DB if budget == "full" else SNR_DB[1:2]:
            waves = []
            for index in range(len(test)):
                wave, draws = test.wave(index), rng(0, "noisy", kind, index)
                waves.append(as_int16(noise.add_noise(wave, make(wave, draws), snr_db)))
            conditions[f"{kind} {snr_db:g} dB"] = extract_features(replace(test, waves=waves), network)
    for name in ("mu_law", "gsm"):
        waves = [as_int16(channel.apply(name, test.wave(i), rate_hz, rng(0, name, i))) for i in range(len(test))]
        conditions[name] = extract_features(replace(test, waves=waves), network)
    return conditions


def trained_scores(
    cell: Cell, name: str, cfg: VoiceAuthConfig, train: ClipFeatures, dev: ClipFeatures, tests: Sequence[ClipFeatures]
) -> tuple[list[np.ndarray], dict[str, int]]:
    """Train a detector and score sets of clips, once for all cells; see `auricle.systems.voice_auth.controls`."""
    return controls.trained_scores(cfg, train, dev, tests, cell.shared / "detectors" / name)


def eer_percent(scores: np.ndarray, labels: np.ndarray) -> float:
    """Give the EER in percent."""
    return 100 * eer(scores[labels], scores[~labels]).eer


def eer_draws(scores: np.ndarray, clips: ClipFeatures, seed: int = 0) -> np.ndarray:
    """Give EERs in percent over resampled speaker groups, (DRAWS,); one seed draws the same groups for the same clips.

    Raises:
        DataError: fewer than two groups.
    """
    return 100 * replicates("eer", scores, clips.labels, clips.groups, DRAWS, seed=seed)


def short(draws: np.ndarray) -> list[float]:
    """Keep draws in a cell, to four digits; one without a value, such as a draw without spoofs, takes the median."""
    known = np.where(np.isfinite(draws), draws, np.nanmedian(draws))
    return [round(float(value), 4) for value in known]


def shuffled_roles(clips: Clips, seed: int, enrol: int) -> Clips:
    """Draw again which genuine clips of each voice enrol and which are tested; seed 0 is the plan's own draw."""
    if seed == 0:
        return clips
    roles, voices = clips.values(ROLE), clips.values(TARGET)
    facts = [dict(fact) for fact in clips.facts]
    for voice in dict.fromkeys(voices):
        genuine = np.flatnonzero((voices == voice) & np.isin(roles, (ENROL, TEST)))
        order = rng(seed, "roles", str(voice)).permutation(genuine)
        for number, index in enumerate(order):
            facts[index][ROLE] = ENROL if number < enrol else TEST
    return Clips(clips.waves, facts, clips.rate_hz)


def over_seeds_and_speakers(measured: Measured, arm: str, name: str) -> stats.Estimate:
    """Join the interval over seeds and the one over speakers of a number; its draws are ``<name>_draws``."""
    return stats.over_seeds_and_units(measured.values(arm, name), measured.each(arm, f"{name}_draws"))


def mean_draws(measured: Measured, arm: str, name: str) -> np.ndarray:
    """Give the draws over speakers of a number, averaged over seeds, (DRAWS,)."""
    draws: np.ndarray = np.mean(np.array(measured.each(arm, f"{name}_draws"), float), axis=0)
    return draws


def difference_within(measured: Measured, arm: str, name: str, other: str) -> stats.Estimate:
    """Give a number of an arm less another of it: the hull of paired t over seeds and the bootstrap over speakers."""
    seeds = within(measured, arm, name, other)
    draws = mean_draws(measured, arm, name) - mean_draws(measured, arm, other)
    return stats.hull([seeds, stats.around(seeds.value, draws, seeds.n)])


def splits(cell: Cell) -> tuple[SharedData, ClipFeatures, dict[str, np.ndarray]]:
    """Give the shared data, its features, and which clips each split has."""
    subset = shared_data(cell.shared, cell.budget)
    marks = {name: subset.detector_clips(name) for name in fields.SPLITS}
    return subset, features(cell.shared, cell.budget), marks
