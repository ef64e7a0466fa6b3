"""Arms of claims: data, embeddings and features that all claims share, and the detectors trained on parts of them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio import channel, noise
from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Measured
from auricle.core.errors import DataError
from auricle.core.files import digest, read_json, write_json
from auricle.core.run import open_run
from auricle.core.seed import rng
from auricle.data import fields
from auricle.data.clips import Clips, as_int16
from auricle.metrics.bootstrap import replicates
from auricle.metrics.detection import eer
from auricle.systems.voice_auth import data
from auricle.systems.voice_auth.batches import Items, keep
from auricle.systems.voice_auth.config import DataConfig, EvalConfig, TrainConfig, VoiceAuthConfig, laptop, smoke
from auricle.systems.voice_auth.embeddings import Embedder
from auricle.systems.voice_auth.network import score_items
from auricle.systems.voice_auth.rows import genuine_and_attacks
from auricle.systems.voice_auth.sweeps import babble
from auricle.systems.voice_auth.train import fit_detector, new_network, of_split
from auricle.train.checkpoint import load_model

DRAWS = 1000  # of the bootstrap over speaker groups
SNR_DB = (20.0, 10.0, 0.0)
CONTROLS = ("recoded", "plain", "plain_recoded")


def config(budget: Budget, seed: int = 0, **recipe: object) -> VoiceAuthConfig:
    """Give the config of one training at a budget.

    Args:
        budget: quick or full.
        seed: of weights and batches.
        **recipe: settings of the training that differ.
    """
    if budget == "full":
        base = laptop()
        values = base.data.model_dump() | {
            "split": 1, "tests": 16, "spoofs_per_voice": 8, "material_s": 20.0, "max_clip_s": 3.0, "controls": CONTROLS,
        }  # fmt: skip
    else:
        base = smoke()
        values = base.data.model_dump() | {
            "controls": CONTROLS, "unseen": ("formant", "world_conversion"), "workers": 1,
        }  # fmt: skip
    train = TrainConfig.model_validate(base.train.model_dump() | recipe)
    return base.model_copy(
        update={
            "seed": seed,
            "data": DataConfig.model_validate(values),
            "train": train,
            "eval": EvalConfig(controls=False, sweep_clips=0, fars=base.eval.fars),
        }
    )


@dataclass(frozen=True)
class Material:
    """What all claims share.

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


@cache
def material(shared: Path, budget: Budget) -> Material:
    """Prepare the shared data once, embed it once, and keep it in memory."""
    cfg = config(budget)
    run = open_run(shared / "data", "voice_auth", "laptop" if budget == "full" else "smoke", cfg)
    if not run.done("prepare"):
        run.mark("prepare", **data.prepare(cfg, run))
    clips = data.load(cfg, run)
    return Material(cfg, clips, data.load(cfg, run, data.CONTROLS), Embedder(cfg, run).of(clips))


@cache
def features(shared: Path, budget: Budget, what: str = "clips") -> Items:
    """Give the features of the shared clips or controls, made once a process."""
    own = material(shared, budget)
    return keep(own.clips if what == "clips" else own.controls, new_network(own.cfg))


@cache
def boosted(shared: Path, budget: Budget, augment: str, algorithm: int) -> Items:
    """Give the distorted copies of the shared clips."""
    own = material(shared, budget)
    recipe = config(budget, 0, augment=augment, rawboost=algorithm).train
    return keep(own.clips, new_network(own.cfg), recipe, seed=0)


@cache
def noisy(shared: Path, budget: Budget) -> dict[str, Items]:
    """Give the genuine clips and attacks of the test voices under noise and over codecs, by condition."""
    own = material(shared, budget)
    test = own.clips.where(of_split(own.clips, "test") & genuine_and_attacks(own.clips))
    others = own.clips.where(~of_split(own.clips, "test"))
    network, rate_hz = new_network(own.cfg), own.cfg.data.rate_hz
    makers: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
        "white": lambda wave, draws: noise.white(len(wave), draws),
        "pink": lambda wave, draws: noise.pink(len(wave), draws),
        "babble": lambda wave, draws: babble(others, len(wave), draws),
    }
    found = {}
    for kind, make in makers.items():
        for snr_db in SNR_DB if budget == "full" else SNR_DB[1:2]:
            waves = []
            for index in range(len(test)):
                draws = rng(0, "noisy", kind, index)
                wave = test.wave(index)
                waves.append(as_int16(noise.add_noise(wave, make(wave, draws), snr_db)))
            found[f"{kind} {snr_db:g} dB"] = keep(replace(test, waves=waves), network)
    for name in ("mu_law", "gsm"):
        waves = [as_int16(channel.apply(name, test.wave(i), rate_hz, rng(0, name, i))) for i in range(len(test))]
        found[name] = keep(replace(test, waves=waves), network)
    return found


def scored(
    cfg: VoiceAuthConfig, shared: Path, train: Items, dev: Items, tests: Sequence[Items], name: str
) -> tuple[list[np.ndarray], dict[str, int]]:
    """Train a detector and score sets of clips; what two claims train alike is trained once.

    Args:
        cfg: everything that decides it but the clips.
        shared: where trained detectors are kept.
        train: training clips.
        dev: clips for the log; nothing is chosen by them.
        tests: sets of clips.
        name: says which clips these are.

    Returns:
        Scores of each set, and ``parameters`` and ``steps``.
    """
    contents = [hashlib.sha256("".join([*part.pairs, *part.families]).encode()).hexdigest() for part in (train, *tests)]
    folder = shared / "detectors" / digest([cfg.model_dump(mode="json"), name, contents])
    known = folder / "scores.json"
    if not known.exists():
        network = new_network(cfg)
        result = fit_detector(cfg, network, train, dev, folder, progress=False)
        load_model(result.last, network)
        count = sum(parameter.numel() for parameter in network.parameters())
        values = [score_items(network, part.first, cfg.eval.batch).tolist() for part in tests]
        write_json(known, {"scores": values, "parameters": count, "steps": result.step})
        shutil.rmtree(folder / "checkpoints")
    saved = read_json(known)
    return [np.array(one) for one in saved["scores"]], {key: saved[key] for key in ("parameters", "steps")}


def parts(own: Material, split: str) -> np.ndarray:
    """Say which clips a detector trains on (genuine ones of any role, and attacks) or is tested on, booleans (N,)."""
    chosen = of_split(own.clips, split)
    return chosen & genuine_and_attacks(own.clips) if split == "test" else chosen


def of_families(items: Items, names: Sequence[str]) -> np.ndarray:
    """Say which clips are genuine or of some families, booleans (N,)."""
    return np.asarray(items.labels | np.isin(items.families, list(names)))


def eer_percent(scores: np.ndarray, labels: np.ndarray) -> float:
    """Give the EER in percent."""
    return 100 * eer(scores[labels], scores[~labels]).eer


def eer_draws(scores: np.ndarray, items: Items, seed: int = 0) -> np.ndarray:
    """Give EERs in percent over resampled speaker groups, (DRAWS,); the same groups in each set with the same ones.

    Raises:
        DataError: fewer than two groups.
    """
    return 100 * replicates("eer", scores, items.labels, items.groups, DRAWS, seed=seed)


def share_draws(taken: np.ndarray, among: np.ndarray, groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """Give the share of `taken` among `among` over resampled groups, (DRAWS,).

    Args:
        taken: booleans (N,).
        among: booleans (N,).
        groups: (N,).
        seed: of the draws; the same one gives the same groups.

    Raises:
        DataError: fewer than two groups.
    """
    names, index = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"a bootstrap over groups needs two or more, got {len(names)}")
    counts = rng(seed, "shares").multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)  # (R, G)
    top = np.bincount(index, taken & among, len(names))
    bottom = np.bincount(index, among, len(names))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = (counts @ top) / (counts @ bottom)
    return found


def interval(draws: np.ndarray) -> tuple[float, float]:
    """Give the 95 % percentile interval of draws, without those that have no value.

    Raises:
        DataError: fewer than half of them have one.
    """
    known = draws[np.isfinite(draws)]
    if known.size < 0.5 * draws.size:
        raise DataError("most replicates have no value: there are too few speakers or trials")
    low, high = np.quantile(known, (0.025, 0.975))
    return float(low), float(high)


def shuffled_roles(clips: Clips, seed: int, enrol: int) -> Clips:
    """Draw again which genuine clips of each voice enrol and which are tested; seed 0 is the plan's own draw."""
    if seed == 0:
        return clips
    roles, voices = clips.values("role"), clips.values("target")
    facts = [dict(fact) for fact in clips.facts]
    for voice in dict.fromkeys(voices):
        places = np.flatnonzero((voices == voice) & np.isin(roles, ("enrol", "test")))
        order = rng(seed, "roles", str(voice)).permutation(places)
        for number, place in enumerate(order):
            facts[place]["role"] = "enrol" if number < enrol else "test"
    return Clips(clips.waves, facts, clips.rate_hz)


def over_speakers(draws: Sequence[np.ndarray], values: Sequence[float]) -> stats.Estimate:
    """Average over seeds: the mean of the values, the interval of the mean of the draws over speakers."""
    low, high = interval(np.mean(np.stack(list(draws)), axis=0))
    return stats.Estimate(
        float(np.mean(values)), (min(low, float(np.mean(values))), max(high, float(np.mean(values)))), len(values)
    )


def over_seeds(values: np.ndarray) -> stats.Estimate:
    """Give the t interval of the mean over seeds."""
    return stats.paired_t(values, np.zeros_like(values))


def mean_of(measured: Measured, arm: str, name: str) -> stats.Estimate:
    """Join the interval over seeds and the one over speakers of a number; its draws are ``<name>_draws``."""
    values = measured.values(arm, name)
    draws = [np.array(one, float) for one in measured.each(arm, f"{name}_draws")]
    return stats.hull([over_seeds(values), over_speakers(draws, values.tolist())])


def short(draws: np.ndarray) -> list[float]:
    """Keep draws in a cell, to four digits; one without a value, such as a draw without spoofs, takes the median."""
    known = np.where(np.isfinite(draws), draws, np.nanmedian(draws))
    return [round(float(value), 4) for value in known]


def around(value: float, draws: np.ndarray, n: int) -> stats.Estimate:
    """Give a value with the interval of draws over speakers, which holds it."""
    low, high = interval(draws)
    return stats.Estimate(value, (min(low, value), max(high, value)), n)


def settings_of(arm: str, seed: int, budget: Budget) -> dict[str, Any]:
    """Give what decides the numbers of a cell."""
    return {"config": config(budget, seed).model_dump(mode="json"), "arm": arm}


def sets(shared: Path, budget: Budget) -> tuple[Material, Items, dict[str, np.ndarray]]:
    """Give the shared material, its features, and which clips each split has."""
    own = material(shared, budget)
    return own, features(shared, budget), {name: parts(own, name) for name in fields.SPLITS}
