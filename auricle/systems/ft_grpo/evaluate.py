"""`evaluate`: what the texts say against what is true, on unseen voices, tracks and sounds; baselines beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.core.seed import derive
from auricle.data import fields, manifest
from auricle.data.cut_audio import mono_cut
from auricle.data.labelled import group_of, need_both_classes, need_labels
from auricle.data.worlds.artefacts import BANDS, BINS
from auricle.metrics import evidence as score_of
from auricle.metrics.calibration import Label
from auricle.metrics.evidence import Estimate
from auricle.metrics.rows import eer_row, percent
from auricle.report.evaluation import Evaluation
from auricle.report.spared import Spared
from auricle.systems.ft_grpo import counterfactual, data, page
from auricle.systems.ft_grpo.config import FtGrpoConfig
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.features import heard
from auricle.systems.ft_grpo.generate import Generations
from auricle.systems.ft_grpo.infer import LAPTOP, WORDS, Detector, load, mean_score, open_checkpoint
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
CUTS_AT_ONCE = 16  # of a user's manifest
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
    test = predictions_of(detector, data.load(run, "test"))
    rows, notes = set_rows(cfg, test, SETS["test"], majority)
    by_set, spared = {"test": test}, Spared()

    def of_set(name: str) -> list[MetricRow]:
        by_set[name] = predictions_of(detector, data.load(run, name))
        made, said = set_rows(cfg, by_set[name], SETS[name], majority)
        notes.extend(said)
        return made

    def of_baseline(checkpoint: str) -> list[MetricRow]:
        other = open_checkpoint(run.checkpoints / checkpoint, cfg, detector.preset)
        return as_baseline(set_rows(cfg, predictions_of(other, test.items), "", majority)[0], BASELINES[checkpoint])

    for name in [name for name in SETS if name in data.sets(run) and name != "test"]:
        rows += spared.rows(f"the set {SETS[name]}", partial(of_set, name))
    for checkpoint in [name for name in BASELINES if (run.checkpoints / name).is_dir()]:
        rows += spared.rows(f"the baseline {BASELINES[checkpoint]}", partial(of_baseline, checkpoint))
    rows += spared.rows("the counterfactuals", partial(counterfactual_rows, cfg, detector, test.items))
    shown = page.page(test.items, test.generations, detector.calibration.threshold, cfg.eval.pictures, spared)
    return Evaluation(
        rows=rows,
        data=cfg.data.source,
        warnings=[*([LAPTOP] if detector.toy else []), *notes, *spared.notes()],
        extra={"texts": len(set(test.generations.texts)), "kinds": kind_table(test)},
        scores={f"{name}.jsonl": score_lines(predictions) for name, predictions in by_set.items()},
        page=shown,
    )


def evaluate_manifest(cfg: FtGrpoConfig, run: RunFolder, path: str | Path) -> Evaluation:
    """Measure a trained run on a labelled manifest of the user's, each cut heard and scored as `infer` does a file.

    Args:
        cfg: the run's config.
        run: a trained run.
        path: a manifest with labels; see ``auricle manifest``.

    Returns:
        The rows of the answers, in which undecided is wrong and counted, and the EER; of each type that is named too.

    Raises:
        DataError: not a manifest, no labels, a class is missing, or audio that cannot be read.
    """
    detector = load(run.path)
    cuts = list(manifest.read(path))
    need_labels(cuts, path)
    need_both_classes(Path(path).name, cuts)
    found: list[Heard] = []
    for start in range(0, len(cuts), CUTS_AT_ONCE):
        part = cuts[start : start + CUTS_AT_ONCE]
        windows = detector.windows([mono_cut(cut)[:2] for cut in part])
        found += [Heard.of(cut, mean_score(own), detector) for cut, own in zip(part, windows, strict=True)]
    rows, notes = heard_rows(cfg, found, "all")
    spared = Spared()
    kinds = sorted({one.type for one in found if one.type})
    for kind in kinds if len(kinds) > 1 else ():
        of_kind = [one for one in found if one.type == kind]
        rows += spared.rows(f"the type {kind}", partial(_of_kind, cfg, of_kind, kind, notes))
    name = Path(path).stem
    return Evaluation(
        rows=rows,
        data=name,
        warnings=[*([LAPTOP] if detector.toy else []), *notes, *spared.notes()],
        toy=detector.toy,
        scores={f"{name}.jsonl": [one.line() for one in found]},
    )


@dataclass(frozen=True)
class Heard:
    """A user's cut with its score and label.

    Attributes:
        id: of the cut.
        type: of its audio; ``""`` where the manifest does not say.
        truth: ``real`` or ``fake``.
        group: voice, track or clip.
        score: higher for bona fide.
        label: by the score.
    """

    id: str
    type: str
    truth: str
    group: str
    score: float
    label: Label

    @classmethod
    def of(cls, cut: Any, score: float, detector: Detector) -> Heard:
        """Take the facts of a cut."""
        truth = score_of.REAL if cut.custom[fields.LABEL] == fields.BONAFIDE else score_of.FAKE
        kind = str(cut.custom.get(fields.AUDIO_TYPE, ""))
        return cls(cut.id, kind, truth, group_of(cut), score, detector.calibration.label(score))

    def line(self) -> dict[str, Any]:
        """Give the row of ``scores/``."""
        return {"id": self.id, "type": self.type, "label": self.truth, "score": self.score, "answer": WORDS[self.label]}


def heard_rows(cfg: FtGrpoConfig, found: Sequence[Heard], group: str) -> Rows:
    """Give the rows of the answers about a user's cuts; an undecided one is wrong."""
    said = [None if one.label == "undecided" else WORDS[one.label] for one in found]
    groups, n, seed = [one.group for one in found], cfg.eval.bootstrap, derive(cfg.seed, "intervals")
    truth = [one.truth for one in found]
    ours = score_of.verdicts(said, truth, groups, n, seed=seed)
    undecided = ours.pop("parse_failure_rate")
    rows = [share_row(metric, estimate, group) for metric, estimate in {**ours, "undecided_rate": undecided}.items()]
    always = score_of.verdicts([score_of.FAKE] * len(truth), truth, groups, n, seed=seed)
    rows += [share_row(metric, always[metric], group, "constant") for metric in CONSTANT]
    real = [word == score_of.REAL for word in truth]
    row, note = eer_row([one.score for one in found], real, groups, group=group, replicates=n, seed=seed, fewest=2)
    return [*rows, row], [] if note is None else [note]


def _of_kind(cfg: FtGrpoConfig, found: Sequence[Heard], kind: str, notes: list[str]) -> list[MetricRow]:
    rows, said = heard_rows(cfg, found, kind)
    notes.extend(said)
    return rows


def predictions_of(detector: Detector, items: Sequence[Item]) -> Predictions:
    """Let a detector write about clips, heard as `infer` would hear them in a file."""
    return Predictions(items, detector.generate([heard(item.samples) for item in items]))


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
    ours = score_of.verdicts([claim.label for claim in predictions.parsed], truth, groups, n, seed=seed)
    always = score_of.verdicts([score_of.FAKE] * len(truth), truth, groups, n, seed=seed)
    rows = [share_row(metric, estimate, group) for metric, estimate in ours.items()]
    rows += [share_row(metric, always[metric], group, "constant") for metric in CONSTANT]
    real = [label == score_of.REAL for label in truth]
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
        estimates = score_of.grounding(
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
        lambda waves: detector.generate([heard(wave / np.float32(32768)) for wave in waves]).texts,
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
        best[domain] = (score_of.best_constant(places, size), score_of.best_constant(places, size, 1))
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
            count["fake"] += claim.label == score_of.FAKE
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
