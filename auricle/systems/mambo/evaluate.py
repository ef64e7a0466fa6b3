"""`evaluate`: the result, its baselines, and whether to believe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auricle.backbones.classical import lfcc_gmm, metadata
from auricle.core.files import read_jsonl
from auricle.core.report import MetricRow, Report, pool
from auricle.core.run import RunFolder
from auricle.core.seed import derive
from auricle.data import corpora, fields, manifest
from auricle.data.clips import Clips, load_clips
from auricle.data.labelled import need_both_classes, need_labels
from auricle.metrics import scores as score_files
from auricle.metrics.bootstrap import PairedScores, paired_bootstrap, paired_bootstrap_runs
from auricle.metrics.detection import auc, min_dcf
from auricle.metrics.rows import FEWEST_SPEAKERS, eer_row, percent
from auricle.report.evaluation import Evaluation
from auricle.systems.mambo import controls, data
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.infer import LAPTOP, Detector, load
from auricle.systems.mambo.page import page
from auricle.systems.mambo.rows import Table, pooled_rows, speakers
from auricle.systems.mambo.scoring import score_clips

TOY = "a laptop model on a small corpus: it shows that the method works, not how well"
REPLICATES = 1000  # of the intervals of a score file


def evaluate(cfg: MamboConfig, run: RunFolder) -> Evaluation:
    """Measure on the test voices.

    Args:
        cfg: the run's config.
        run: a trained run.

    Returns:
        EER on seen families, on each family and pooled, with 95 % speaker-bootstrap intervals; the baselines; the leak
        checks; the scores of every clip.
    """
    detector = load(run.path)
    test = load_clips(data.load(run, "test"), cfg.data.rate_hz)
    scores = score_clips(detector.network, test, cfg.data.window, cfg.eval.batch)
    table = Table(cfg)
    rows = table.groups(scores, test) + pooled_rows(scores, test.labels, detector.calibration)
    notes: list[str] = []
    leak = False
    baselines: dict[str, np.ndarray] = {}
    if cfg.eval.controls:
        train, dev = (load_clips(data.load(run, name), cfg.data.rate_hz) for name in ("train", "dev"))
        baselines = {
            "lfcc_gmm": lfcc_gmm(train, [test], cfg.data.band_hz, cfg.seed)[0],
            "metadata": metadata(train, [test], cfg.seed)[0],
        }
        rows += baseline_rows(cfg, table, test, scores, baselines)
        rows.append(controls.localisation(cfg, detector.network, test))
        control_rows, notes, leak = controls.run_all(cfg, run, train, dev, test, table)
        rows += control_rows
    if detector.domain is not None:
        rows.append(percent("speech_check", detector.domain.accuracy, detector.domain.held, group="speech or not"))
    return Evaluation(
        rows=rows,
        data=cfg.data.source if cfg.data.source in corpora.NAMES else Path(cfg.data.source).stem,
        warnings=[*([TOY] if detector.toy else []), *table.notes, *notes],
        leak=leak,
        toy=detector.toy,
        scores={"test.jsonl": score_rows(scores, test, detector, baselines)},
        page=page(cfg, test, scores, detector.calibration.threshold),
    )


def baseline_rows(
    cfg: MamboConfig, table: Table, test: Clips, scores: np.ndarray, baselines: Mapping[str, np.ndarray]
) -> list[MetricRow]:
    """Give the rows of the baselines, and the paired difference to LFCC+GMM on seen families."""
    rows = [row for name, values in baselines.items() for row in table.groups(values, test, name, each=False)]
    rows.append(percent("eer", 0.5, len(test), group="pooled", baseline="constant"))
    seen = test.labels | np.isin(test.values(fields.FAMILY), cfg.data.seen)
    if (seen & ~test.labels).any():
        clips = test.where(seen)
        pair = paired_bootstrap(
            scores[seen],
            baselines["lfcc_gmm"][seen],
            clips.labels,
            speakers(clips),
            cfg.eval.bootstrap,
            seed=derive(cfg.seed, "paired"),
        )
        rows.append(percent("eer minus lfcc_gmm", pair.difference, len(clips), pair.ci95, group="seen"))
    return rows


def score_rows(
    scores: np.ndarray, clips: Clips, detector: Detector, baselines: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """Give one row a clip, for ``scores/``: its score and decision, its facts, and the scores of the baselines."""
    kept = (fields.LABEL, fields.FAMILY, fields.GENERATOR, fields.SPEAKER_GROUP, fields.LANGUAGE, fields.PAIR)
    rows = []
    for index, fact in enumerate(clips.facts):
        score = float(scores[index])
        row = {"id": fact["id"], "score": score, "decision": detector.calibration.label(score)}
        row |= {name: fact.get(name) for name in kept}
        row |= {name: float(values[index]) for name, values in baselines.items()}
        rows.append(row)
    return rows


def pool_runs(folders: Sequence[Path]) -> Report:
    """Pool finished runs, over seeds and splits, with the paired difference to LFCC+GMM over all of them.

    Voices are resampled once for all runs, so a voice that several runs test counts equally in each.

    Args:
        folders: run folders that have been evaluated.

    Returns:
        The pooled report.

    Raises:
        DataError: a folder without a report or scores.
    """
    pooled = pool([Report.load(folder / "report.json") for folder in folders])
    pairs = []
    for folder in folders:
        seen = set(RunFolder(folder).saved_config()["config"]["data"]["seen"])
        rows = [
            row
            for row in read_jsonl(folder / "scores" / "test.jsonl")
            if row[fields.LABEL] == fields.BONAFIDE or row[fields.FAMILY] in seen
        ]
        if rows and all("lfcc_gmm" in row and row[fields.SPEAKER_GROUP] for row in rows):
            scores, baseline = (np.array([row[name] for row in rows]) for name in ("score", "lfcc_gmm"))
            labels = np.array([row[fields.LABEL] == fields.BONAFIDE for row in rows])
            pairs.append(PairedScores(scores, baseline, labels, np.array([row[fields.SPEAKER_GROUP] for row in rows])))
    if len(pairs) < len(folders):
        return pooled
    gap = paired_bootstrap_runs(pairs, seed=0)
    trials = sum(int(np.size(pair.labels)) for pair in pairs)
    row = percent("eer minus lfcc_gmm", gap.difference, trials, gap.ci95, group="seen, paired over voices")
    row = row.model_copy(update={"n_seeds": len(pairs), "data": pooled.data})
    return pooled.model_copy(update={"metrics": [*pooled.metrics, row]})


def evaluate_manifest(cfg: MamboConfig, run: RunFolder, path: str | Path) -> Evaluation:
    """Measure a trained run on a labelled manifest of the user's.

    Args:
        cfg: the run's config.
        run: a trained run.
        path: a manifest with labels; see ``auricle manifest``.

    Raises:
        DataError: not a manifest, no labels, or a class is missing.
    """
    detector = load(run.path)
    cuts = manifest.read(path)
    need_labels(cuts, path)
    clips = load_clips(cuts, cfg.data.rate_hz)
    need_both_classes(Path(path).name, cuts)
    scores = score_clips(detector.network, clips, cfg.data.window, cfg.eval.batch)
    table, name = Table(cfg), Path(path).stem
    return Evaluation(
        rows=table.groups(scores, clips) + pooled_rows(scores, clips.labels, detector.calibration),
        data=name,
        warnings=[*([LAPTOP] if detector.toy else []), *table.notes],
        toy=detector.toy,
        scores={f"{name}.jsonl": score_rows(scores, clips, detector, {})},
    )


def evaluate_scores(score_file: str | Path, key_file: str | Path) -> Evaluation:
    """Measure any detector by its score file; no model is needed.

    Args:
        score_file: lines of ``trial score``, higher for bona fide.
        key_file: which trial is what; see `auricle.metrics.scores`.

    Returns:
        EER, AUC, minDCF per attack where the key names attacks, and pooled.

    Raises:
        DataError: as `auricle.metrics.scores.evaluate_scores`.
    """
    trials = score_files.evaluate_scores(score_file, key_file)
    by_speaker = trials.speakers is not None and len(set(trials.speakers)) >= FEWEST_SPEAKERS
    groups: list[tuple[str, np.ndarray]] = []
    if trials.groups is not None:
        attacks = np.array(trials.groups)
        groups += [(name, trials.labels | (attacks == name)) for name in sorted(set(attacks[~trials.labels].tolist()))]
    groups.append(("pooled", np.ones(len(trials.scores), bool)))
    rows = []
    for group, inside in groups:
        scores, labels = trials.scores[inside], trials.labels[inside]
        real, fake = scores[labels], scores[~labels]
        by = np.array(trials.speakers)[inside] if by_speaker else None
        row, _ = eer_row(scores, labels, by, group=group, replicates=REPLICATES, seed=0, fewest=0)
        rows.append(row)
        rows.append(MetricRow(name="auc", value=auc(real, fake), n=len(scores), group=group))
        rows.append(MetricRow(name="min_dcf", value=min_dcf(real, fake), n=len(scores), group=group))
    few = f"trials, as the key names fewer than {FEWEST_SPEAKERS} speakers"
    return Evaluation(
        rows=rows,
        data=Path(score_file).stem,
        warnings=[f"intervals are over {'speakers' if by_speaker else few}"],
        toy=False,
    )
