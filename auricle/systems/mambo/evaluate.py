"""`evaluate`: the result, what stands beside it, and whether to believe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.files import read_jsonl, write_jsonl
from auricle.core.report import MetricRow, Report, pool
from auricle.core.run import RunFolder, environment
from auricle.core.seed import derive
from auricle.data import corpora, fields, manifest
from auricle.data.clips import Clips, load_clips
from auricle.data.labelled import need_both_classes, need_labels
from auricle.metrics import scores as score_files
from auricle.metrics.bootstrap import PairedScores, bootstrap, paired_bootstrap, paired_bootstrap_runs
from auricle.metrics.detection import act_dcf, auc, balanced_accuracy, cllr, eer, min_dcf
from auricle.systems.mambo import controls, data, page
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.infer import LAPTOP, Detector, load
from auricle.systems.mambo.scoring import score_clips
from auricle.train import baselines

FEWEST_SPEAKERS = 4  # for an interval over speakers
TOY = "a laptop model on a small corpus: it shows that the method works, not how well"


def evaluate(cfg: MamboConfig, run: RunFolder) -> Report:
    """Measure on the test voices; write ``scores/test.jsonl``, ``report.json`` and ``report.html``.

    Args:
        cfg: the run's config.
        run: a trained run.

    Returns:
        The report: EER on seen families, on each family and pooled, with 95 % speaker-bootstrap intervals; the
        baselines; the leak checks.
    """
    detector = load(run.path)
    test = load_clips(data.load(run, "test"), cfg.data.rate_hz)
    scores = score_clips(detector.network, test, detector.length, cfg.eval.batch)
    table = Table(cfg, data_name(cfg))
    rows = table.groups(scores, test, None) + table.pooled(scores, test, detector)
    leak = False
    baseline_scores: dict[str, np.ndarray] = {}
    if cfg.eval.controls:
        train = load_clips(data.load(run, "train"), cfg.data.rate_hz)
        dev = load_clips(data.load(run, "dev"), cfg.data.rate_hz)
        found, baseline_scores = beside(cfg, table, train, test, scores)
        rows += found
        rows.append(controls.localisation(cfg, detector.network, test, table.data))
        found, leak = controls.run_all(cfg, run, train, dev, test, table)
        rows += found
    if detector.domain is not None:
        rows.append(
            MetricRow(
                name="speech_check", value=100 * detector.domain.accuracy, unit="%", n=detector.domain.held,
                group="speech or not", data=table.data,
            )
        )  # fmt: skip
    report = Report(
        system="mambo",
        preset=detector.preset,
        data=table.data,
        toy=detector.toy,
        seeds=[cfg.seed],
        environment=environment(),
        metrics=rows,
        warnings=[*([TOY] if detector.toy else []), *table.notes],
        leak=leak,
    )
    write_jsonl(run.scores / "test.jsonl", score_rows(scores, test, detector, baseline_scores))
    report.save(run.path / "report.json")
    page.write(run, cfg, report, test, scores, detector)
    return report


def data_name(cfg: MamboConfig) -> str:
    """Name the data as reports do."""
    return cfg.data.source if cfg.data.source in corpora.NAMES else Path(cfg.data.source).stem


class Table:
    """Makes the rows of a report: EER with its interval, per group of clips.

    Args:
        cfg: families and bootstrap of the run.
        data: name of the data.
    """

    def __init__(self, cfg: MamboConfig, data: str) -> None:
        self.cfg, self.data = cfg, data
        self.notes: list[str] = []

    def eer(
        self, scores: np.ndarray, clips: Clips, group: str, baseline: str | None = None, name: str = "eer"
    ) -> MetricRow:
        """Give one row, in percent, with the interval over speakers (over clips where there are too few speakers)."""
        labels = clips.labels
        value = eer(scores[labels], scores[~labels]).eer
        low, high = self.interval(scores, clips, group)
        return MetricRow(
            name=name, value=100 * value, unit="%", n=len(clips), ci95=(100 * low, 100 * high), group=group,
            baseline=baseline, data=self.data,
        )  # fmt: skip

    def interval(self, scores: np.ndarray, clips: Clips, group: str) -> tuple[float, float]:
        """Bootstrap the EER by speaker group; by clip, with a note, where the clips name fewer than two speakers."""
        seed = derive(self.cfg.seed, "bootstrap", group)
        by: np.ndarray | None = speakers(clips)
        if by is not None and len(set(by)) < FEWEST_SPEAKERS:
            self.notes.append(f"eer of {group}: {len(set(by))} speakers are too few, its interval is over clips")
            by = None
        return bootstrap("eer", scores, clips.labels, by, self.cfg.eval.bootstrap, seed=seed)

    def groups(self, scores: np.ndarray, clips: Clips, baseline: str | None, *, each: bool = True) -> list[MetricRow]:
        """Give seen, each family, unseen and pooled; every group has all the real clips beside its fakes."""
        seen, unseen = set(self.cfg.data.seen), set(self.cfg.data.unseen)
        families = clips.values(fields.FAMILY)
        present = [name for name in dict.fromkeys(families) if name]
        known = [name for name in present if name in seen]
        new = [name for name in (*self.cfg.data.unseen, *present) if name in present and name not in seen]
        new = list(dict.fromkeys(new))
        wanted: list[tuple[str, list[str]]] = []
        if known:
            wanted.append(("seen", known))
        if each:
            wanted += [(f"seen: {name}", [name]) for name in known]
            wanted += [(f"unseen: {name}" if name in unseen else name, [name]) for name in new]
        if known and new:
            wanted.append(("unseen", new))
        rows = []
        for title, names in wanted:
            chosen = clips.labels | np.isin(families, names)
            rows.append(self.eer(scores[chosen], clips.where(chosen), title, baseline))
        return [*rows, self.eer(scores, clips, "pooled", baseline)]

    def pooled(self, scores: np.ndarray, clips: Clips, detector: Detector) -> list[MetricRow]:
        """Give what needs a threshold or a calibration, both set on dev."""
        labels = clips.labels
        real, fake = scores[labels], scores[~labels]
        slope, intercept = detector.calibration.slope, detector.calibration.intercept
        llr_real, llr_fake = slope * real + intercept, slope * fake + intercept
        figures = [
            ("auc", auc(real, fake), ""),
            ("balanced_accuracy", 100 * balanced_accuracy(real, fake, detector.calibration.threshold), "%"),
            ("min_dcf", min_dcf(real, fake), ""),
            ("act_dcf", act_dcf(llr_real, llr_fake), ""),
            ("cllr", cllr(llr_real, llr_fake), "bit"),
        ]
        return [
            MetricRow(name=name, value=value, unit=unit, n=len(clips), group="pooled", data=self.data)
            for name, value, unit in figures
        ]


def speakers(clips: Clips) -> np.ndarray:
    """Name what is resampled: the speaker group of each clip; a clip without one stands for itself."""
    named = clips.values(fields.SPEAKER_GROUP)
    own = clips.values("id")
    return np.where(named == "", own, named)


def beside(
    cfg: MamboConfig, table: Table, train: Clips, test: Clips, scores: np.ndarray
) -> tuple[list[MetricRow], dict[str, np.ndarray]]:
    """Give the baselines, the paired difference to the classical one on seen families, and the baselines' scores."""
    gmm = baselines.lfcc_gmm(train, [test], cfg.data.band_hz, cfg.seed)[0]
    plain = baselines.metadata(train, [test], cfg.seed)[0]
    rows = table.groups(gmm, test, "lfcc_gmm", each=False) + table.groups(plain, test, "metadata", each=False)
    rows.append(
        MetricRow(name="eer", value=50.0, unit="%", n=len(test), group="pooled", baseline="constant", data=table.data)
    )
    seen = test.labels | np.isin(test.values(fields.FAMILY), cfg.data.seen)
    if (seen & ~test.labels).any():
        clips = test.where(seen)
        pair = paired_bootstrap(
            scores[seen], gmm[seen], clips.labels, speakers(clips), cfg.eval.bootstrap, seed=derive(cfg.seed, "paired")
        )
        rows.append(
            MetricRow(
                name="eer minus lfcc_gmm", value=100 * pair.difference, unit="%", n=len(clips),
                ci95=(100 * pair.ci95[0], 100 * pair.ci95[1]), group="seen", data=table.data,
            )
        )  # fmt: skip
    return rows, {"lfcc_gmm": gmm, "metadata": plain}


def score_rows(
    scores: np.ndarray, clips: Clips, detector: Detector, others: Mapping[str, np.ndarray] | None = None
) -> list[dict[str, Any]]:
    """Give one row a clip, for ``scores/``, with the scores of the baselines where there are any."""
    kept = (fields.LABEL, fields.FAMILY, fields.GENERATOR, fields.SPEAKER_GROUP, fields.LANGUAGE, fields.PAIR)
    return [
        {
            "id": fact["id"],
            "score": float(score),
            "decision": detector.calibration.label(float(score)),
            **{name: fact.get(name) for name in kept},
            **{name: float(values[place]) for name, values in (others or {}).items()},
        }
        for place, (fact, score) in enumerate(zip(clips.facts, scores, strict=True))
    ]


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
            ours, theirs = (np.array([row[name] for row in rows]) for name in ("score", "lfcc_gmm"))
            labels = np.array([row[fields.LABEL] == fields.BONAFIDE for row in rows])
            pairs.append(PairedScores(ours, theirs, labels, np.array([row[fields.SPEAKER_GROUP] for row in rows])))
    if len(pairs) < len(folders):
        return pooled
    found = paired_bootstrap_runs(pairs, seed=0)
    trials = sum(int(np.size(pair.labels)) for pair in pairs)
    row = MetricRow(
        name="eer minus lfcc_gmm", value=100 * found.difference, unit="%", n=trials,
        ci95=(100 * found.ci95[0], 100 * found.ci95[1]), n_seeds=len(pairs), group="seen, paired over voices",
        data=pooled.data,
    )  # fmt: skip
    return pooled.model_copy(update={"metrics": [*pooled.metrics, row]})


def evaluate_manifest(cfg: MamboConfig, run: RunFolder, path: str | Path) -> Report:
    """Measure a trained run on a labelled manifest of the user's.

    Args:
        cfg: the run's config.
        run: a trained run.
        path: a manifest with labels; see ``auricle manifest``.

    Returns:
        The report; the scores go to ``scores/<manifest>.jsonl`` and the report to ``report-<manifest>.json``.

    Raises:
        DataError: not a manifest, no labels, or a class is missing.
    """
    detector = load(run.path)
    cuts = manifest.read(path)
    need_labels(cuts, path)
    clips = load_clips(cuts, cfg.data.rate_hz)
    need_both_classes(Path(path).name, cuts)
    scores = score_clips(detector.network, clips, detector.length, cfg.eval.batch)
    table = Table(cfg, Path(path).stem)
    rows = table.groups(scores, clips, None) + table.pooled(scores, clips, detector)
    report = Report(
        system="mambo", preset=detector.preset, data=table.data, toy=detector.toy, seeds=[cfg.seed],
        environment=environment(), metrics=rows,
        warnings=[*([LAPTOP] if detector.toy else []), *table.notes],
    )  # fmt: skip
    write_jsonl(run.scores / f"{table.data}.jsonl", score_rows(scores, clips, detector))
    report.save(run.path / f"report-{table.data}.json")
    return report


def evaluate_scores(score_file: str | Path, key_file: str | Path) -> Report:
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
    name = Path(score_file).stem
    by_speaker = trials.speakers is not None and len(set(trials.speakers)) >= FEWEST_SPEAKERS
    groups: list[tuple[str, np.ndarray]] = []
    if trials.groups is not None:
        attacks = np.array(trials.groups)
        named = sorted({group for group, real in zip(attacks, trials.labels, strict=True) if not real})
        groups += [(attack, trials.labels | (attacks == attack)) for attack in named]
    groups.append(("pooled", np.ones(len(trials.scores), bool)))
    rows = []
    for group, chosen in groups:
        scores, labels = trials.scores[chosen], trials.labels[chosen]
        real, fake = scores[labels], scores[~labels]
        by = np.array(trials.speakers)[chosen] if by_speaker else None
        low, high = bootstrap("eer", scores, labels, by, seed=0)
        value = 100 * eer(real, fake).eer
        rows.append(
            MetricRow(
                name="eer", value=value, unit="%", n=len(scores), ci95=(100 * low, 100 * high), group=group, data=name
            )
        )
        rows.append(MetricRow(name="auc", value=auc(real, fake), n=len(scores), group=group, data=name))
        rows.append(MetricRow(name="min_dcf", value=min_dcf(real, fake), n=len(scores), group=group, data=name))
    few = f"trials, as the key names fewer than {FEWEST_SPEAKERS} speakers"
    note = f"intervals are over {'speakers' if by_speaker else few}"
    return Report(
        system="mambo", preset="scores", data=name, toy=False, seeds=[], environment=environment(), metrics=rows,
        warnings=[note],
    )  # fmt: skip
