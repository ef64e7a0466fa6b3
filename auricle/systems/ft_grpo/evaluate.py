"""`evaluate`: what the texts say against what is true, on unseen voices, tracks and sounds; baselines beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.files import write_jsonl
from auricle.core.report import MetricRow, Report, pool
from auricle.core.run import RunFolder, environment
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import BANDS, BINS
from auricle.metrics import evidence as score
from auricle.metrics.bootstrap import bootstrap
from auricle.metrics.calibration import Calibration
from auricle.metrics.detection import eer
from auricle.metrics.evidence import Estimate, Finding
from auricle.systems.ft_grpo import counterfactual, data, page
from auricle.systems.ft_grpo.answer import Answered
from auricle.systems.ft_grpo.config import FtGrpoConfig
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.infer import LAPTOP, Detector, load
from auricle.systems.ft_grpo.rationale import Evidence, read
from auricle.systems.ft_grpo.train import MORE_SFT, SFT
from auricle.systems.ft_grpo.train import load as load_checkpoint

BASELINES = {SFT: "sft", MORE_SFT: "sft_same_compute"}
SETS = {"test": "", "weak": "weak artefacts", "hard": "vocoded speech", "skewed": "85 % fake"}
# what is told of each type on the test set; all else is of the whole of a set
PER_TYPE = (
    "balanced_accuracy",
    "macro_f1",
    "recall_real",
    "recall_fake",
    "parse_failure_rate",
    "eer",
    "band_hit",
    "bin_hit",
)
DOMAINS = {"frequency": "band", "time": "bin"}


@dataclass(frozen=True)
class Told:
    """What a model says of one set.

    Attributes:
        items: the clips.
        found: texts and scores.
    """

    items: Sequence[Item]
    found: Answered

    @property
    def said(self) -> list[Evidence]:
        """What the texts say, strictly read."""
        return [read(text) for text in self.found.texts]


def evaluate(cfg: FtGrpoConfig, run: RunFolder) -> Report:
    """Measure the final model on the test sets, with the SFT models and trivial answers beside it.

    Args:
        cfg: the run's config.
        run: a trained run.

    Returns:
        The report, which is also written: ``report.json``, ``report.html``, ``scores/SET.jsonl``.

    Raises:
        DataError: clips cannot be read.
        CheckpointError: it was not trained, or damaged.
    """
    detector = load(run.path)
    rows: list[MetricRow] = []
    told: dict[str, Told] = {}
    majority = constants(data.load(run, "train"))
    for name in [one for one in SETS if one in data.sets(run)]:
        clips = data.load(run, name)
        told[name] = Told(clips, detector.answered([item.wave for item in clips]))
        rows += set_rows(cfg, told[name], SETS[name], majority)
        write_jsonl(run.scores / f"{name}.jsonl", score_lines(told[name]))
    test = told["test"]
    for checkpoint, baseline in BASELINES.items():
        if (run.checkpoints / checkpoint).is_dir():
            other = with_checkpoint(detector, cfg, run, checkpoint)
            heard = Told(test.items, other.answered([item.wave for item in test.items]))
            rows += as_baseline(set_rows(cfg, heard, "", majority), baseline)
    rows += counterfactual_rows(cfg, detector, test.items)
    report = Report(
        system="ft_grpo",
        preset=detector.preset,
        data=cfg.data.source,
        toy=detector.toy,
        seeds=[cfg.seed],
        environment=environment(),
        metrics=[row.model_copy(update={"data": cfg.data.source}) for row in rows],
        warnings=[LAPTOP] if detector.toy else [],
        extra={"texts": len(set(test.found.texts)), "kinds": kind_table(test)},
    )
    report.save(run.path / "report.json")
    page.write(run, cfg, report, test.items, test.found, detector.calibration.threshold)
    return report


def with_checkpoint(detector: Detector, cfg: FtGrpoConfig, run: RunFolder, name: str) -> Detector:
    """Give the detector of another checkpoint of the same run."""
    network, meta = load_checkpoint(run, name, cfg)
    calibration = Calibration.from_dict(meta["calibration"])
    return Detector(network, cfg, detector.preset, calibration)


def set_rows(cfg: FtGrpoConfig, told: Told, group: str, majority: dict[str, tuple[int, int]] | None) -> list[MetricRow]:
    """Give the rows of one set: verdicts over all and of each type, EER, grounding, and the trivial answers.

    Args:
        cfg: replicates and seed of the intervals.
        told: clips and answers.
        group: name of the set in the rows; ``""`` for the test set.
        majority: see `constants`; None where no places are known.
    """
    everything = np.arange(len(told.items))
    rows = verdict_rows(cfg, told, group or "all", everything)
    if majority is not None:
        rows += grounding_rows(cfg, told, group or "all", everything, majority)
    types = list(dict.fromkeys(item.type for item in told.items))
    if group or len(types) < 2:
        return rows
    for kind in types:
        own = np.flatnonzero([item.type == kind for item in told.items])
        found = verdict_rows(cfg, told, kind, own)
        if majority is not None:
            found += grounding_rows(cfg, told, kind, own, majority)
        rows += [one for one in found if one.name in PER_TYPE]
    return rows


def verdict_rows(cfg: FtGrpoConfig, told: Told, name: str, chosen: np.ndarray) -> list[MetricRow]:
    """Give the rows of the labels of some clips; a constant answer of "fake" beside them."""
    truth = [told.items[i].label for i in chosen]
    groups = [told.items[i].group for i in chosen]
    said = told.said
    seed = derive(cfg.seed, "intervals")
    found = score.verdicts([said[i].label for i in chosen], truth, groups, cfg.eval.bootstrap, seed=seed)
    always = score.verdicts([score.FAKE] * len(truth), truth, groups, cfg.eval.bootstrap, seed=seed)
    rows = [row(metric, estimate, name) for metric, estimate in found.items()]
    rows += [
        row(metric, always[metric], name, baseline="constant")
        for metric in ("accuracy", "balanced_accuracy", "macro_f1")
    ]
    real = np.array([label == score.REAL for label in truth])
    rate = bootstrap("eer", told.found.scores[chosen], real, groups, cfg.eval.bootstrap, seed=seed)
    value = eer_percent(told.found.scores[chosen], real)
    rows.append(
        MetricRow(name="eer", value=value, unit="%", n=len(truth), ci95=(100 * rate[0], 100 * rate[1]), group=name)
    )
    return rows


def grounding_rows(
    cfg: FtGrpoConfig, told: Told, name: str, chosen: np.ndarray, majority: dict[str, tuple[int, int]]
) -> list[MetricRow]:
    """Give the rows of the places that some clips' texts name, and those of the majority rationale."""
    said = told.said
    rows = []
    for domain, place in DOMAINS.items():
        known = [i for i in chosen if told.items[i].artefacts is not None]
        truths = [finding(told.items[i].truth, domain) for i in known]
        if not any(one.place is not None for one in truths):
            continue
        found = score.grounding(
            [finding(said[i], domain) for i in known], truths, majority[domain], [told.items[i].group for i in known],
            cfg.eval.bootstrap, seed=derive(cfg.seed, "intervals"),
        )  # fmt: skip
        for metric, estimate in found.items():
            kind = metric.removeprefix("majority_")
            title = {"hit": f"{place}_hit", "near": f"{place}_near", "kind_f1": f"{domain}_kind_f1"}
            own = title.get(kind, f"{place}_{kind}")
            rows.append(row(own, estimate, name, baseline="majority" if metric != kind else None))
    return rows


def counterfactual_rows(cfg: FtGrpoConfig, detector: Detector, test: Sequence[Item]) -> list[MetricRow]:
    """Move and remove the artefacts of some test clips, and see whether the texts follow."""
    if not cfg.eval.counterfactuals or not any(item.artefacts for item in test):
        return []
    cases = counterfactual.build(cfg.data, test, cfg.eval.counterfactuals)
    found = counterfactual.score(
        cases, lambda waves: detector.answered(list(waves)).texts, cfg.eval.bootstrap,
        seed=derive(cfg.seed, "intervals"),
    )  # fmt: skip
    return [row(metric, estimate, "counterfactual") for metric, estimate in found.items()]


def constants(train: Sequence[Item]) -> dict[str, tuple[int, int]] | None:
    """Give the majority rationale's band and bin: the best for an exact hit, and for one within one place."""
    found = {}
    for domain, size in (("frequency", BANDS), ("time", BINS)):
        places = [one.place for item in train for one in item.artefacts or () if one.domain == domain]
        if not places:
            return None
        found[domain] = (score.best_constant(places, size), score.best_constant(places, size, 1))
    return found


def finding(one: Evidence, domain: str) -> Finding:
    """Give one domain of what is said or true."""
    return Finding(one.frequency, one.band) if domain == "frequency" else Finding(one.time, one.bin)


def row(name: str, estimate: Estimate, group: str, baseline: str | None = None) -> MetricRow:
    """Give a share as a row in percent."""
    interval = None if estimate.ci95 is None else (100 * estimate.ci95[0], 100 * estimate.ci95[1])
    value = 100 * estimate.value
    return MetricRow(name=name, value=value, unit="%", n=estimate.n, ci95=interval, group=group, baseline=baseline)


def as_baseline(rows: Sequence[MetricRow], name: str) -> list[MetricRow]:
    """Give a model's own rows as those of a baseline, without the trivial answers, which stand there already."""
    return [one.model_copy(update={"baseline": name}) for one in rows if one.baseline is None]


def eer_percent(scores: np.ndarray, real: np.ndarray) -> float:
    """Give the EER in percent."""
    return 100 * eer(scores[real], scores[~real]).eer


def kind_table(told: Told) -> dict[str, Any]:
    """Count for each kind of artefact how many fakes have it, and in how many it is named, at the right place too."""
    table: dict[str, dict[str, int]] = {}
    for item, said in zip(told.items, told.said, strict=True):
        for one in item.artefacts or ():
            kind, place = (said.frequency, said.band) if one.domain == "frequency" else (said.time, said.bin)
            count = table.setdefault(one.kind, {"clips": 0, "fake": 0, "kind": 0, "place": 0})
            count["clips"] += 1
            count["fake"] += said.label == score.FAKE
            count["kind"] += kind == one.kind
            count["place"] += place == one.place
    return dict(sorted(table.items()))


def score_lines(told: Told) -> list[dict[str, Any]]:
    """Give one row a clip, for ``scores/``."""
    return [
        {
            "id": item.id, "type": item.type, "label": item.label, "score": float(points), "text": text,
            "artefacts": None if item.artefacts is None else [one.as_dict() for one in item.artefacts],
        }
        for item, points, text in zip(told.items, told.found.scores, told.found.texts, strict=True)
    ]  # fmt: skip


def pool_runs(folders: Sequence[Path]) -> Report:
    """Pool finished runs over seeds.

    Raises:
        DataError: a folder without a report.
    """
    return pool([Report.load(folder / "report.json") for folder in folders])
