"""Control detectors: does the data leak, does a new source break it, does it find the fake part of a clip?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.core.seed import derive, rng
from auricle.data import corpora, fields
from auricle.data.clips import Clips, load_clips
from auricle.metrics.detection import eer
from auricle.metrics.rows import percent
from auricle.systems.mambo import data
from auricle.systems.mambo.clips import splice
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.network import HOP_S
from auricle.systems.mambo.rows import Table
from auricle.systems.mambo.scoring import score_clips, score_windows
from auricle.systems.mambo.train import fit_detector, frame_truth, new_network
from auricle.train.checkpoint import load_model

SAME, FOREIGN = "recoded", "recoded_foreign"
FEWEST = 20  # clips of each class below which a held-out source says nothing


def run_all(
    cfg: MamboConfig, run: RunFolder, train: Clips, dev: Clips, test: Clips, table: Table
) -> tuple[list[MetricRow], bool]:
    """Train and measure the control detectors.

    Returns:
        Their rows, and whether the leak check through the same chain failed: its interval must contain 50 %.
    """
    if cfg.data.source not in corpora.NAMES:
        table.notes.append(
            "leak checks need the chain that Auricle's own spoofs go through; a manifest of yours has none"
        )
        return [], False
    quick = cfg.model_copy(update={"train": cfg.train.model_copy(update={"splice": 0.0, "frame_weight": 0.0})})
    recoded = load_clips(data.load(run, "controls"), cfg.data.rate_hz)
    rows = []
    for family, title in ((SAME, "same chain"), (FOREIGN, "other codecs")):
        sets = [_against(part, recoded, family) for part in (train, dev, test)]
        scores = _trained(quick, run, family, sets[0], sets[1], sets[2])
        rows.append(table.eer(scores, sets[2], title, name="leak_eer"))
    low, high = rows[0].ci95 or (0.0, 0.0)
    leak = not low <= 50.0 <= high
    if leak:
        table.notes.append(
            f"LEAK: real and merely recoded speech are told apart (eer {rows[0].value:.1f} %, {low:.1f} to {high:.1f})"
        )
    source = _held_out(cfg, train, dev, test)
    if source is not None:
        kept = [part.where(part.values(fields.CODING) != source) for part in (train, dev)]
        held = test.where(_of_source(test, source) & (test.labels | _seen(test, cfg)))
        scores = _trained(quick, run, f"without-{source}", kept[0], kept[1], held)
        rows.append(table.eer(scores, held, source, name="eer_source_left_out"))
    return rows, leak


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
        mixed.append(wave)
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
    seeded = cfg.model_copy(update={"seed": derive(cfg.seed, "control", name) % 2**31})
    folder = run.checkpoints / "controls" / name
    result = fit_detector(seeded, train, dev, folder, max_steps=cfg.eval.control_steps, progress=False)
    network = new_network(seeded)
    load_model(result.best[0].path, network)
    return score_clips(network, test, cfg.data.window, cfg.eval.batch)


def _held_out(cfg: MamboConfig, train: Clips, dev: Clips, test: Clips) -> str | None:
    """Choose the source to leave out: of those that leave enough of everything, the one most clips train on."""
    found = []
    for source in sorted(set(train.values(fields.CODING))):
        kept = [part.where(~_of_source(part, source)) for part in (train, dev)]
        held = test.where(_of_source(test, source) & (test.labels | _seen(test, cfg)))
        if all(_enough(part) for part in (*kept, held)):
            found.append((len(train) - len(kept[0]), source))
    return max(found)[1] if found else None


def _of_source(clips: Clips, source: str) -> np.ndarray:
    return np.asarray(clips.values(fields.CODING) == source)


def _seen(clips: Clips, cfg: MamboConfig) -> np.ndarray:
    return np.isin(clips.values(fields.FAMILY), cfg.data.seen)


def _enough(clips: Clips) -> bool:
    real = int(clips.labels.sum())
    return min(real, len(clips) - real) >= FEWEST
