"""`evaluate`: what the texts say against what is true, on unseen voices, tracks and sounds; baselines beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import BANDS, BINS
from auricle.metrics import evidence as score
from auricle.metrics.evidence import Estimate
from auricle.metrics.rows import eer_row, percent
from auricle.report.evaluation import Evaluation
from auricle.systems.ft_grpo import counterfactual, data, page
from auricle.systems.ft_grpo.config import FtGrpoConfig
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.generate import Generations
from auricle.systems.ft_grpo.infer import LAPTOP, Detector, load, open_checkpoint
from auricle.systems.ft_grpo.rationale import Evidence, read
from auricle.systems.ft_grpo.train import MORE_SFT, SFT

BASELINES = {SFT: "sft", MORE_SFT: "sft_same_compute"}
SETS = {"test": "", "weak": "weak artefacts", "hard": "vocoded speech", "skewed": "85 % fake"}
# the rows of each type on the test set; all others are of a whole set
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
CONSTANT = ("accuracy", "balanced_accuracy", "macro_f1")  # the rows of the answer "fake"
DOMAINS = {"frequency": "band", "time": "bin"}
Rows = tuple[list[MetricRow], list[str]]  # and sentences for the report's warnings


@dataclass(frozen=True)
class Predictions:
    """What a model says of some clips.

    Attributes:
        items: the clips.
        generations: texts and scores.
    """

    items: Sequence[Item]
    generations: Generations

    @cached_property
    def parsed(self) -> list[Evidence]:
        """What the texts say, strictly read."""
        return [read(text) for text in self.generations.texts]

    @property
    def groups(self) -> list[str]:
        """Voice, track or kind of sound of each clip."""
        return [item.group for item in self.items]

    def subset(self, chosen: Sequence[int]) -> Predictions:
        """Keep some clips, in the order given."""
        texts = [self.generations.texts[index] for index in chosen]
        return Predictions([self.items[i] for i in chosen], Generations(texts, self.generations.scores[list(chosen)]))


def evaluate(cfg: FtGrpoConfig, run: RunFolder) -> Evaluation:
    """Measure the final model on the test sets, with the SFT models and trivial answers beside it.

    Args:
        cfg: the run's config.
        run: a trained run.

    Raises:
        DataError: clips cannot be read.
        CheckpointError: it was not trained, or damaged.
    """
    detector = load(run.path)
    majority = constants(data.load(run, "train"))
    rows: list[MetricRow] = []
    notes: list[str] = []
    by_set: dict[str, Predictions] = {}
    for name in [name for name in SETS if name in data.sets(run)]:
        by_set[name] = predictions_of(detector, data.load(run, name))
        of_set = set_rows(cfg, by_set[name], SETS[name], majority)
        rows, notes = rows + of_set[0], notes + of_set[1]
    test = by_set["test"]
    for checkpoint, baseline in BASELINES.items():
        if (run.checkpoints / checkpoint).is_dir():
            other = open_checkpoint(run.checkpoints / checkpoint, cfg, detector.preset)
            rows += as_baseline(set_rows(cfg, predictions_of(other, test.items), "", majority)[0], baseline)
    rows += counterfactual_rows(cfg, detector, test.items)
    return Evaluation(
        rows=rows,
        data=cfg.data.source,
        warnings=[*([LAPTOP] if detector.toy else []), *notes],
        extra={"texts": len(set(test.generations.texts)), "kinds": kind_table(test)},
        scores={f"{name}.jsonl": score_lines(predictions) for name, predictions in by_set.items()},
        page=page.page(test.items, test.generations, detector.calibration.threshold, cfg.eval.pictures),
    )


def predictions_of(detector: Detector, items: Sequence[Item]) -> Predictions:
    """Let a detector write about clips."""
    return Predictions(items, detector.generate([item.wave for item in items]))


def set_rows(
    cfg: FtGrpoConfig, predictions: Predictions, group: str, majority: dict[str, tuple[int, int]] | None
) -> Rows:
    """Give the rows of one set: verdicts over all and of each type, EER, grounding, and the trivial answers.

    Args:
        cfg: replicates and seed of the intervals.
        predictions: clips and texts.
        group: name of the set in the rows; ``""`` for the test set.
        majority: see `constants`; None where no places are known.
    """
    rows, notes = clip_rows(cfg, predictions, group or "all", majority)
    types = list(dict.fromkeys(item.type for item in predictions.items))
    if group or len(types) < 2:
        return rows, notes
    for kind in types:
        chosen = [index for index, item in enumerate(predictions.items) if item.type == kind]
        of_type = clip_rows(cfg, predictions.subset(chosen), kind, majority)
        rows += [row for row in of_type[0] if row.name in PER_TYPE]
        notes += of_type[1]
    return rows, notes


def clip_rows(
    cfg: FtGrpoConfig, predictions: Predictions, group: str, majority: dict[str, tuple[int, int]] | None
) -> Rows:
    """Give all rows of some clips; the answer "fake" and the majority rationale beside them."""
    rows, notes = verdict_rows(cfg, predictions, group)
    if majority is not None:
        rows += grounding_rows(cfg, predictions, group, majority)
    return rows, notes


def verdict_rows(cfg: FtGrpoConfig, predictions: Predictions, group: str) -> Rows:
    """Give the rows of the labels of some clips; a constant answer of "fake" beside them."""
    truth = [item.label for item in predictions.items]
    groups, n, seed = predictions.groups, cfg.eval.bootstrap, derive(cfg.seed, "intervals")
    ours = score.verdicts([claim.label for claim in predictions.parsed], truth, groups, n, seed=seed)
    always = score.verdicts([score.FAKE] * len(truth), truth, groups, n, seed=seed)
    rows = [share_row(metric, estimate, group) for metric, estimate in ours.items()]
    rows += [share_row(metric, always[metric], group, "constant") for metric in CONSTANT]
    real = [label == score.REAL for label in truth]
    scores = predictions.generations.scores
    row, note = eer_row(scores, real, groups, group=group, replicates=n, seed=seed, fewest=2)
    return [*rows, row], [] if note is None else [note]


def grounding_rows(
    cfg: FtGrpoConfig, predictions: Predictions, group: str, majority: dict[str, tuple[int, int]]
) -> list[MetricRow]:
    """Give the rows of the places that some clips' texts name, and those of the majority rationale."""
    known = predictions.subset([i for i, item in enumerate(predictions.items) if item.artefacts is not None])
    rows = []
    for domain, place in DOMAINS.items():
        truths = [item.truth.finding(domain) for item in known.items]
        if not any(truth.place is not None for truth in truths):
            continue
        estimates = score.grounding(
            [claim.finding(domain) for claim in known.parsed],
            truths,
            majority[domain],
            known.groups,
            cfg.eval.bootstrap,
            seed=derive(cfg.seed, "intervals"),
        )
        for metric, estimate in estimates.items():
            kind = metric.removeprefix("majority_")
            name = f"{domain}_kind_f1" if kind == "kind_f1" else f"{place}_{kind}"
            rows.append(share_row(name, estimate, group, "majority" if metric != kind else None))
    return rows


def counterfactual_rows(cfg: FtGrpoConfig, detector: Detector, test: Sequence[Item]) -> list[MetricRow]:
    """Move and remove the artefacts of some test clips, and see whether the texts follow."""
    if not cfg.eval.counterfactuals or not any(item.artefacts for item in test):
        return []
    cases = counterfactual.build(cfg.data, test, cfg.eval.counterfactuals)
    estimates = counterfactual.score(
        cases,
        lambda waves: detector.generate(list(waves)).texts,
        cfg.eval.bootstrap,
        seed=derive(cfg.seed, "intervals"),
    )
    return [share_row(metric, estimate, "counterfactual") for metric, estimate in estimates.items()]


def constants(train: Sequence[Item]) -> dict[str, tuple[int, int]] | None:
    """Give the majority rationale's band and bin: the best for an exact hit, and for one within one place."""
    best = {}
    for domain, size in (("frequency", BANDS), ("time", BINS)):
        places = data.places(train, domain)
        if not places:
            return None
        best[domain] = (score.best_constant(places, size), score.best_constant(places, size, 1))
    return best


def share_row(name: str, estimate: Estimate, group: str, baseline: str | None = None) -> MetricRow:
    """Give a share as a row in percent."""
    return percent(name, estimate.value, estimate.n, estimate.ci95, group=group, baseline=baseline)


def as_baseline(rows: Sequence[MetricRow], name: str) -> list[MetricRow]:
    """Give a model's own rows as those of a baseline, without the trivial answers, which stand there already."""
    return [row.model_copy(update={"baseline": name}) for row in rows if row.baseline is None]


def kind_table(predictions: Predictions) -> dict[str, Any]:
    """Count for each kind of artefact how many fakes have it, and in how many it is named, at the right place too."""
    table: dict[str, dict[str, int]] = {}
    for item, claim in zip(predictions.items, predictions.parsed, strict=True):
        for artefact in item.artefacts or ():
            kind, place = claim.finding(artefact.domain)
            count = table.setdefault(artefact.kind, {"clips": 0, "fake": 0, "kind": 0, "place": 0})
            count["clips"] += 1
            count["fake"] += claim.label == score.FAKE
            count["kind"] += kind == artefact.kind
            count["place"] += place == artefact.place
    return dict(sorted(table.items()))


def score_lines(predictions: Predictions) -> list[dict[str, Any]]:
    """Give one row a clip, for ``scores/``."""
    generations = predictions.generations
    return [
        {
            "id": item.id,
            "type": item.type,
            "label": item.label,
            "score": float(value),
            "text": text,
            "artefacts": None if item.artefacts is None else [artefact.as_dict() for artefact in item.artefacts],
        }
        for item, value, text in zip(predictions.items, generations.scores, generations.texts, strict=True)
    ]
