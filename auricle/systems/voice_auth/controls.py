"""The baselines of the detector: classical and constant ones, a plain CNN, generators left out, the leak check."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auricle.backbones import classical
from auricle.claims.shared import once
from auricle.core.files import digest
from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.metrics.detection import eer
from auricle.metrics.rows import percent
from auricle.report.spared import Spared
from auricle.systems.contents import contents
from auricle.systems.voice_auth import data
from auricle.systems.voice_auth.batches import ClipFeatures, extract_features
from auricle.systems.voice_auth.clips import genuine_and_attacks, of_split, real_and_recoded
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.network import score_items
from auricle.systems.voice_auth.rows import clip_eer, detector_rows
from auricle.systems.voice_auth.train import fit_detector, new_network, with_detector
from auricle.train.checkpoint import load_model

FEWEST = 8  # test files of each class below which a cell of the matrix is left empty


def trained_scores(
    cfg: VoiceAuthConfig,
    train: ClipFeatures,
    dev: ClipFeatures,
    tests: Sequence[ClipFeatures],
    folder: Path,
    steps: int | None = None,
) -> tuple[list[np.ndarray], dict[str, int]]:
    """Train a detector and score sets of clips, or read what the same training on the same clips gave before.

    Args:
        cfg: model and recipe.
        train: training clips.
        dev: clips for the log; nothing is chosen by them.
        tests: sets of clips.
        folder: where trainings are kept, each under the digest of what decides it; its name says what it is for.
        steps: other than the recipe's.

    Returns:
        Scores of each set, (N,), and ``parameters`` and ``steps``.
    """
    heard = [[*part.pairs.tolist(), *part.families.tolist(), part.content()] for part in (train, dev, *tests)]
    begun = contents(cfg, ["detector.encoder", "detector.start"])
    training = folder / digest([cfg.model_dump(mode="json"), steps, heard, begun])

    def measure() -> dict[str, Any]:
        network = new_network(cfg)
        result = fit_detector(cfg, network, train, dev, training, steps=steps, progress=False)
        load_model(result.last, network)
        return {
            "scores": [score_items(network, part.first, cfg.eval.batch).tolist() for part in tests],
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "steps": result.step,
        }

    saved = once(training / "scores.json", measure)
    shutil.rmtree(training / "checkpoints", ignore_errors=True)
    return [np.array(scores) for scores in saved["scores"]], {key: saved[key] for key in ("parameters", "steps")}


def _control_folder(cfg: VoiceAuthConfig, run: RunFolder) -> Path:
    return run.path / "cache" / "controls" / f"seed-{cfg.seed}"


def baseline_rows(
    cfg: VoiceAuthConfig, run: RunFolder, clips: Clips, spared: Spared
) -> tuple[list[MetricRow], dict[str, Any]]:
    """Measure the baselines of the detector, and the detector with each generator left out of its training.

    Args:
        cfg: the run's config.
        run: where controls are trained, below its cache.
        clips: all clips of the run.
        spared: a baseline that fails costs its own rows.

    Returns:
        Their rows, and the leave-one-generator-out matrix as plain values.
    """
    train, dev = clips.where(of_split(clips, "train")), clips.where(of_split(clips, "dev"))
    test = clips.where(of_split(clips, "test") & genuine_and_attacks(clips))
    seen = train.where(train.labels | np.isin(train.values(fields.FAMILY), cfg.data.seen))
    network = new_network(with_detector(cfg))
    train_features, dev_features, test_features = (extract_features(part, network) for part in (train, dev, test))
    folder = _control_folder(cfg, run)

    def cnn() -> list[np.ndarray]:
        families = cfg.data.seen
        known = train_features.of_families(families), dev_features.of_families(families)
        chosen = with_detector(cfg, "detector.kind=cnn", "detector.start=null")
        return _trained(chosen, *known, test_features, folder / "cnn", cfg.eval.control_steps)

    baselines: dict[str, Callable[[], list[np.ndarray]]] = {
        "lfcc_gmm": lambda: classical.lfcc_gmm(seen, [test], cfg.data.band_hz, cfg.seed),
        "metadata": lambda: classical.metadata(seen, [test], cfg.seed),
        "cnn": cnn,
    }
    rows = [percent("detector_eer", 0.5, len(test), baseline="constant")]
    for name, score in baselines.items():
        rows += spared.rows(f"the baseline {name}", partial(_rows_of, cfg, score, test, name))
    left_out_rows, matrix = left_out(cfg, train_features, dev_features, test_features, test, folder, spared)
    return [*rows, *left_out_rows], matrix


def _rows_of(cfg: VoiceAuthConfig, score: Callable[[], list[np.ndarray]], test: Clips, name: str) -> list[MetricRow]:
    return detector_rows(cfg, score()[0], test, name)


def left_out(
    cfg: VoiceAuthConfig,
    train: ClipFeatures,
    dev: ClipFeatures,
    features: ClipFeatures,
    test: Clips,
    folder: Path,
    spared: Spared,
) -> tuple[list[MetricRow], dict[str, Any]]:
    """Train once without each generator, on all the others, and test on every one.

    Args:
        cfg: the run's config.
        train: training clips.
        dev: dev clips.
        features: of the test clips.
        test: the test clips.
        folder: where the detectors are trained.
        spared: a detector that fails costs its own rows.

    Returns:
        Two rows a generator (the one left out, the others), and the matrix: rows are left out, columns are tested.
    """
    base = with_detector(cfg)
    families = [name for name in cfg.data.families if (train.families == name).any()]
    tested = test.values(fields.FAMILY)
    cells: list[list[float | None]] = [[None] * len(families) for _ in families]
    counts = [int((tested == name).sum()) for name in families]
    rows = []
    for number, held in enumerate(families):
        rest, rest_dev = train.where(train.families != held), dev.where(dev.families != held)
        if rest.labels.all() or rest_dev.labels.all():
            continue
        train_it = partial(_trained, base, rest, rest_dev, features, folder / f"without-{held}", cfg.eval.control_steps)
        scored = spared.rows(f"the detector without {held}", train_it)
        if not scored:
            continue
        scores: np.ndarray = scored[0]
        for column, name in enumerate(families):
            if counts[column] >= min(FEWEST, max(counts)):
                cells[number][column] = round(100 * eer(scores[test.labels], scores[tested == name]).eer, 3)
        for group, attacks in ((held, tested == held), ("the others", tested != held)):
            chosen = test.labels | attacks
            if (~test.labels[chosen]).any():
                rows.append(clip_eer(cfg, scores[chosen], test.where(chosen), "logo_eer", f"without {held}: {group}"))
    return rows, {"families": families, "eer": cells, "attacks": counts, "genuine": int(test.labels.sum())}


def _trained(
    cfg: VoiceAuthConfig, train: ClipFeatures, dev: ClipFeatures, test: ClipFeatures, folder: Path, steps: int
) -> list[np.ndarray]:
    return trained_scores(cfg, train, dev, [test], folder, steps)[0]


def leak_row(cfg: VoiceAuthConfig, run: RunFolder, clips: Clips) -> MetricRow:
    """Check V10: train on real speech against the same speech recoded through the spoofs' chain; 50 % is no leak."""
    recoded = data.load(cfg, run, data.CONTROLS)
    base = with_detector(cfg)
    network = new_network(base)
    parts = [real_and_recoded(clips, recoded, split, "recoded") for split in fields.SPLITS]
    train, dev, test = (extract_features(part, network) for part in parts)
    folder = _control_folder(cfg, run) / "leak"
    (scores,), _ = trained_scores(base, train, dev, [test], folder, cfg.eval.control_steps)
    return clip_eer(cfg, scores, parts[-1], "leak_eer", "same chain")


def leaks(row: MetricRow) -> bool:
    """Say whether the interval of a leak check leaves 50 % out."""
    low, high = row.ci95 or (0.0, 100.0)
    return not low <= 50.0 <= high
