"""Control detectors: does the data leak, does a new source break it, does it find the fake part of a clip?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from auricle.audio.hearing import Sound, heard, sound_of
from auricle.core.config import override
from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.core.seed import derive, rng
from auricle.data import corpora, fields
from auricle.data.clips import Clips, load_clips
from auricle.metrics.detection import eer
from auricle.metrics.rows import percent
from auricle.systems.mambo import data
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.network import HOP_S
from auricle.systems.mambo.rows import Beside, Table
from auricle.systems.mambo.scoring import score_clips, score_windows
from auricle.systems.mambo.train import fit_detector, frame_truth, new_network
from auricle.train.checkpoint import load_model
from auricle.train.pairs import splice

SAME, FOREIGN = "recoded", "recoded_foreign"
FEWEST = 20  # clips of each class below which a held-out source says nothing


def run_all(
    cfg: MamboConfig, run: RunFolder, train: Clips, dev: Clips, test: Clips, table: Table, beside: Beside
) -> list[MetricRow]:
    """Train and measure the control detectors; the leak check through the same chain must contain 50 %.

    Args:
        cfg: the run's config.
        run: the run.
        train: its training clips.
        dev: its dev clips.
        test: its test clips.
        table: makes the rows.
        beside: takes what failed, and whether the leak check did.

    Returns:
        Their rows.
    """
    if cfg.data.source not in corpora.NAMES:
        beside.facts.append(
            "leak checks need the chain that Auricle's own spoofs go through; a manifest of yours has none"
        )
        return []
    plain = override(cfg, ["train.splice=0", "train.frame_weight=0"])

    def leak_check(family: str, title: str) -> MetricRow:
        recoded = load_clips(data.load(run, "controls"), cfg.data.rate_hz)
        parts = [_against(part, recoded, family) for part in (train, dev, test)]
        return table.eer(_trained(plain, run, family, *parts), parts[2], title, name="leak_eer")

    def left_out() -> MetricRow | None:
        source = _held_out(cfg, train, dev, test)
        if source is None:
            return None
        parts = _without(cfg, source, train, dev, test)
        scores = _trained(plain, run, f"without-{source}", *parts)
        return table.eer(scores, parts[2], source, name="eer_source_left_out")

    same = beside("the leak check through the same chain", lambda: leak_check(SAME, "same chain"))
    if same is not None and same.ci95 is not None:  # too few clips for an interval: the table says so
        low, high = same.ci95
        beside.leak = not low <= 50.0 <= high
        if beside.leak:
            beside.facts.append(
                f"LEAK: real and merely recoded speech are told apart (eer {same.value:.1f} %, {low:.1f} to {high:.1f})"
            )
    foreign = beside("the leak check through other codecs", lambda: leak_check(FOREIGN, "other codecs"))
    source = beside("the detector without one source", left_out)
    return [row for row in (same, foreign, source) if row is not None]


def localisation(cfg: MamboConfig, network: nn.Module, test: Clips) -> MetricRow:
    """Measure the frame scores on clips into which a stretch of a seen fake was pasted.

    Returns:
        EER over 20 ms frames of clips that hold both, in percent.
    """
    length, hop = cfg.data.window, round(HOP_S * cfg.data.rate_hz)
    pairs = test.values(fields.PAIR)
    real_of = {pair: index for index, pair in enumerate(pairs) if test.labels[index] and pair}
    mixed, truths = [], []
    for index in np.flatnonzero(_seen(test, cfg)):
        real = real_of.get(pairs[index])
        if real is None or min(len(test.waves[real]), len(test.waves[index])) < length:
            continue
        draws = rng(cfg.seed, "localisation", pairs[index], int(index))
        steps = length // hop
        size = int(draws.integers(steps // 4, steps // 2))
        start = int(draws.integers(0, steps - size + 1))
        wave, truth = splice(test.wave(real)[:length], test.wave(int(index))[:length], start, size, hop)
        heard_as = Sound(0, length, sound_of(wave, cfg.data.rate_hz).noise)
        mixed += [window for _, window in heard([wave], heard_as, length)]
        truths.append(truth)
    if not mixed:
        return percent("frame_eer", 0.5, 0, group="spliced", baseline="constant")
    _, frames = score_windows(network, mixed, cfg.eval.batch)
    truth = frame_truth(torch.from_numpy(np.stack(truths)), frames.shape[1]).numpy().astype(bool)
    return percent("frame_eer", eer(frames[truth], frames[~truth]).eer, int(truth.size), group="spliced")


def _against(part: Clips, recoded: Clips, family: str) -> Clips:
    """Set real clips of one split against the same clips recoded, the latter in the place of fakes."""
    real = part.where(part.labels)
    known = set(real.values(fields.PAIR))
    chosen = recoded.where(
        (recoded.values(fields.FAMILY) == family) & np.isin(recoded.values(fields.PAIR), sorted(known))
    )
    as_fakes = [{**fact, fields.LABEL: "spoof"} for fact in chosen.facts]
    return replace(real, waves=[*real.waves, *chosen.waves], facts=[*real.facts, *as_fakes])


def _trained(cfg: MamboConfig, run: RunFolder, name: str, train: Clips, dev: Clips, test: Clips) -> np.ndarray:
    """Train a control detector in a folder of its own and score the test clips."""
    seeded = override(cfg, [f"seed={derive(cfg.seed, 'control', name) % 2**31}"])
    folder = run.checkpoints / "controls" / name
    result = fit_detector(seeded, train, dev, folder, cache=run.cache, max_steps=cfg.eval.control_steps, progress=False)
    network = new_network(seeded, run.cache)
    load_model(result.best[0].path, network)
    return score_clips(network, test, cfg.data.window, cfg.eval.batch)


def _held_out(cfg: MamboConfig, train: Clips, dev: Clips, test: Clips) -> str | None:
    """Choose the source to leave out: of those that leave enough of everything, the one most clips train on."""
    counts = {}
    for source in set(train.values(fields.CODING)):
        parts = _without(cfg, source, train, dev, test)
        if all(_enough(part) for part in parts):
            counts[source] = len(train) - len(parts[0])
    return max(counts, key=lambda source: (counts[source], source), default=None)


def _without(cfg: MamboConfig, source: str, train: Clips, dev: Clips, test: Clips) -> list[Clips]:
    """Give training and dev clips without a source, and its test clips: real ones and seen families."""
    held = (test.values(fields.CODING) == source) & (test.labels | _seen(test, cfg))
    return [*(part.where(part.values(fields.CODING) != source) for part in (train, dev)), test.where(held)]


def _seen(clips: Clips, cfg: MamboConfig) -> np.ndarray:
    return np.isin(clips.values(fields.FAMILY), cfg.data.seen)


def _enough(clips: Clips) -> bool:
    real = int(clips.labels.sum())
    return min(real, len(clips) - real) >= FEWEST
