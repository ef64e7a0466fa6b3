"""What stands beside the detector: classical and constant ones, a plain CNN, generators left out, the leak check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.files import digest, read_json, write_json
from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.metrics.detection import eer
from auricle.systems.voice_auth import data
from auricle.systems.voice_auth.batches import Items, keep
from auricle.systems.voice_auth.config import VoiceAuthConfig
from auricle.systems.voice_auth.network import score_items
from auricle.systems.voice_auth.plan import TEST
from auricle.systems.voice_auth.rows import detector_rows, eer_row, genuine_and_attacks
from auricle.systems.voice_auth.train import fit_detector, new_network, of_split, with_detector
from auricle.train import baselines
from auricle.train.checkpoint import load_model

FEWEST = 8  # test files of each class below which a cell of the matrix is left empty


def trained_scores(cfg: VoiceAuthConfig, train: Items, dev: Items, test: Items, folder: Path, steps: int) -> np.ndarray:
    """Train one control detector and score the test clips, (N,); what was scored before is read back."""
    known = folder / "scores.json"
    wanted = digest([cfg.model_dump(mode="json"), steps, len(train), len(dev), len(test)])
    if known.exists():
        saved = read_json(known)
        if saved.get("made_of") == wanted:
            return np.array(saved["scores"])
    network = new_network(cfg)
    load_model(fit_detector(cfg, network, train, dev, folder, steps=steps, progress=False).last, network)
    scores = score_items(network, test.first, cfg.eval.batch)
    write_json(known, {"made_of": wanted, "scores": scores.tolist()})
    return scores


def beside(cfg: VoiceAuthConfig, run: RunFolder, clips: Clips) -> tuple[list[MetricRow], dict[str, Any]]:
    """Measure all detectors that stand beside the main one.

    Args:
        cfg: the run's config.
        run: where controls are trained, below its cache.
        clips: all clips of the run.

    Returns:
        Their rows, and the leave-one-generator-out matrix as plain values.
    """
    train, dev = clips.where(of_split(clips, "train")), clips.where(of_split(clips, "dev"))
    test = clips.where(of_split(clips, "test") & genuine_and_attacks(clips))
    seen = cfg.data.seen
    about: dict[str, Any] = {
        "data": cfg.data.source, "seed": cfg.seed, "replicates": cfg.eval.bootstrap,
    }  # fmt: skip
    known = train.where(train.labels | np.isin(train.values(fields.FAMILY), seen))
    gmm = baselines.lfcc_gmm(known, [test], cfg.data.band_hz, cfg.seed)[0]
    plain = baselines.metadata(known, [test], cfg.seed)[0]
    rows = detector_rows(gmm, test, seen, baseline="lfcc_gmm", **about)
    rows += detector_rows(plain, test, seen, baseline="metadata", **about)
    rows.append(
        MetricRow(name="detector_eer", value=50.0, unit="%", n=len(test), group="all", baseline="constant",
                  data=cfg.data.source)
    )  # fmt: skip
    folder = run.path / "cache" / "controls" / f"seed-{cfg.seed}"
    network = new_network(with_detector(cfg))
    kept = {name: keep(part, network) for name, part in (("train", train), ("dev", dev), ("test", test))}
    own = {name: part.where(part.labels | np.isin(part.families, seen)) for name, part in kept.items()}
    cnn = with_detector(cfg, kind="cnn")
    scores = trained_scores(cnn, own["train"], own["dev"], kept["test"], folder / "cnn", cfg.eval.control_steps)
    rows += detector_rows(scores, test, seen, baseline="cnn", **about)
    found, matrix = left_out(cfg, kept, test, folder)
    return [*rows, *found], matrix


def left_out(
    cfg: VoiceAuthConfig, kept: dict[str, Items], test: Clips, folder: Path
) -> tuple[list[MetricRow], dict[str, Any]]:
    """Train once without each generator, on all the others, and test on every one.

    Returns:
        Two rows a generator (the one left out, the others), and the matrix: rows are left out, columns are tested.
    """
    base = with_detector(cfg)
    families = [name for name in cfg.data.families if (kept["train"].families == name).any()]
    tested = test.values(fields.FAMILY)
    cells = np.full((len(families), len(families)), np.nan)
    counts = [int((tested == name).sum()) for name in families]
    rows = []
    for place, held in enumerate(families):
        rest = {name: part.where(part.families != held) for name, part in kept.items()}
        if not (~rest["train"].labels).any() or not (~rest["dev"].labels).any():
            continue
        scores = trained_scores(
            base, rest["train"], rest["dev"], kept["test"], folder / f"without-{held}", cfg.eval.control_steps
        )
        for column, name in enumerate(families):
            if counts[column] >= min(FEWEST, max(counts)):
                cells[place, column] = 100 * eer(scores[test.labels], scores[tested == name]).eer
        for group, chosen in (
            (f"without {held}: {held}", test.labels | (tested == held)),
            (f"without {held}: the others", test.labels | (tested != held)),
        ):
            if (~test.labels[chosen]).any():
                rows.append(
                    eer_row(
                        scores[chosen], test.where(chosen), group, "logo_eer", cfg.data.source, cfg.seed,
                        cfg.eval.bootstrap,
                    )
                )  # fmt: skip
    values = [[None if np.isnan(value) else round(float(value), 3) for value in line] for line in cells]
    return rows, {"families": families, "eer": values, "attacks": counts, "genuine": int(test.labels.sum())}


def leak(cfg: VoiceAuthConfig, run: RunFolder, clips: Clips) -> tuple[MetricRow, bool]:
    """Check V10: train on real speech against the same speech recoded through the spoofs' chain; 50 % is no leak.

    Returns:
        The row, and whether its interval leaves 50 % out.
    """
    recoded = data.load(cfg, run, data.CONTROLS)
    base = with_detector(cfg)
    network = new_network(base)
    sets = [against(clips, recoded, split, "recoded") for split in fields.SPLITS]
    train, dev, test = (keep(part, network) for part in sets)
    folder = run.path / "cache" / "controls" / f"seed-{cfg.seed}" / "leak"
    scores = trained_scores(base, train, dev, test, folder, cfg.eval.control_steps)
    row = eer_row(scores, sets[-1], "same chain", "leak_eer", cfg.data.source, cfg.seed, cfg.eval.bootstrap)
    low, high = row.ci95 or (0.0, 100.0)
    return row, not low <= 50.0 <= high


def against(clips: Clips, controls: Clips, split: str, fake: str, real: str = TEST) -> Clips:
    """Put genuine clips and recoded ones of a split together, the recoded ones as if they were spoofs.

    Args:
        clips: holds the genuine clips, or the controls hold them.
        controls: the controls.
        split: train, dev or test.
        fake: role of the clips that stand for spoofs.
        real: role of the genuine ones.
    """
    waves, facts = [], []
    for source in (clips, controls):
        roles, splits = source.values("role"), source.values(fields.SPLIT)
        for index in np.flatnonzero((splits == split) & np.isin(roles, (fake, real))):
            spoofed = roles[index] == fake
            label = {fields.LABEL: fields.SPOOF, fields.FAMILY: fake} if spoofed else {}
            waves.append(source.waves[index])
            facts.append({**source.facts[index], **label})
    return Clips(waves, facts, clips.rate_hz)
