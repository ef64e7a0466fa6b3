"""`evaluate`: the routed arm on unseen voices, pieces and sounds; controls, the dense arm and the text beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from auricle.alm.choice_rows import Answers, Comparison, answers
from auricle.alm.items import Items, with_encoder_frames
from auricle.alm.questions import OPEN, Question, as_items
from auricle.alm.routed import Cosines, Usage, cosine_table, domain_cosines, usage
from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.core.seed import derive
from auricle.report.evaluation import Evaluation
from auricle.report.spared import Spared
from auricle.systems.moe_adapter import data, page
from auricle.systems.moe_adapter.config import DOMAINS, MoeAdapterConfig
from auricle.systems.moe_adapter.infer import LAPTOP, Ear, load
from auricle.systems.moe_adapter.items import asked, domain_of, heard_items
from auricle.systems.moe_adapter.model import DENSE, LETTER, load_checkpoint

CHANCE = 0.25


def heard_test(cfg: MoeAdapterConfig, run: RunFolder, ear: Ear) -> tuple[data.Split, list[Question], Items]:
    """Give the test split, its questions, and its clips as the frozen encoder hears them."""
    split = data.load(run, "test")
    return split, asked(split.items, split.ids), with_encoder_frames(ear.network, heard_items(split, ear.hear))


def evaluate(cfg: MoeAdapterConfig, run: RunFolder) -> Evaluation:
    """Measure the routed arm and the dense one on the test items.

    Args:
        cfg: the run's config.
        run: a trained run.

    Raises:
        DataError: items or clips cannot be read.
        CheckpointError: it was not trained, or damaged.
    """
    ear = load(run.path)
    split, questions, clips = heard_test(cfg, run, ear)
    dense = load_checkpoint(run.checkpoints / DENSE, cfg, "dense")[0]
    seed = derive(cfg.seed, "wrong audio")
    ours = answers(ear.network, questions, clips, LETTER, seed=seed, at_once=cfg.eval.batch)
    theirs = answers(dense, questions, clips, LETTER, seed=seed, at_once=cfg.eval.batch)
    items, domains = as_items(questions, clips, OPEN), list(map(domain_of, questions))
    rows = accuracy_rows(cfg, ours, theirs)
    spared = Spared()
    used = usage(ear.network, items, domains, derive(cfg.seed, "routing"))
    rows += list(usage_rows(used))
    found: dict[str, dict[str, Cosines]] = {}
    if cfg.eval.gradient_batches:
        how = (cfg.eval.gradient_batches, cfg.eval.gradient_size, derive(cfg.seed, "gradients"))
        for arm, network in (("moe", ear.network), ("dense", dense)):
            made = spared(f"the gradients of the {arm} arm", partial(domain_cosines, network, items, domains, *how))
            if made is not None:
                found[arm] = made
                rows += list(cosine_rows(made["all"], "dense" if arm == "dense" else None))
    tasks = list(dict.fromkeys(question.kind for question in questions))
    return Evaluation(
        rows=rows,
        data=cfg.data.source,
        warnings=[*([LAPTOP] if ear.toy else []), *leak_notes(run), *spared.notes()],
        lead=lead(rows),
        details=[*tasks, *dict.fromkeys(group for group in map(subset_of, questions) if group)],
        extra={"gradient_cosines": {arm: cosine_table(parts) for arm, parts in found.items()}},
        scores={"test.jsonl": ours.lines("moe"), "test-dense.jsonl": theirs.lines(DENSE)},
        page=page.page(cfg, split, questions, ours.audio, theirs.audio, used, found, spared),
    )


def accuracy_rows(cfg: MoeAdapterConfig, ours: Answers, theirs: Answers) -> list[MetricRow]:
    """Give all accuracies: of everything, of each domain, of each task, and of each part of the test set."""
    questions = ours.audio.questions
    places: dict[str, list[int]] = {"all": list(range(len(questions)))}
    for of in (domain_of, subset_of, lambda one: one.kind):
        for row, question in enumerate(questions):
            if name := of(question):
                places.setdefault(name, []).append(row)
    compared = Comparison(ours, theirs, DENSE, cfg.eval.bootstrap, derive(cfg.seed, "intervals"))
    return [row for group, own in places.items() for row in compared.rows(group, own, group in ("all", *DOMAINS))]


def subset_of(question: Question) -> str:
    """Name the part of the test set that a question is in, such as ``speech, new voice``; empty where it has one."""
    return f"{domain_of(question)}, {question.more['subset']}" if question.more["subset"] else ""


def usage_rows(used: Usage) -> Iterator[MetricRow]:
    """Give the rows of the router: what its choices tell of the domain beside what chance gives, dead experts."""
    n, told = used.clips, used.information
    yield MetricRow(name="expert_information", value=told.nats, unit="nat", n=n)
    yield MetricRow(
        name="expert_information",
        value=told.null_mean,
        unit="nat",
        n=n,
        ci95=(0.0, told.null_95),
        baseline="permutation",
    )
    yield MetricRow(name="dead_experts", value=float(used.dead), n=n)


def pairs() -> list[str]:
    """Name the pairs of domains."""
    return [f"{one} and {other}" for place, one in enumerate(DOMAINS) for other in DOMAINS[place + 1 :]]


def cosine_rows(found: Cosines, arm: str | None) -> Iterator[MetricRow]:
    """Give the cosines of an arm's mean gradients over all weights of its adapter, and of the routed arm both nulls."""
    for (one, other), cosine in found.items():
        group, n = f"{one} and {other}", sum(cosine.batches)
        yield _cosine(cosine.value, cosine.ci95, group, n, arm)
        if arm is None:
            yield _cosine(cosine.halves, cosine.halves95, group, n, "halves")
            yield _cosine(cosine.shuffled, cosine.shuffled95, group, n, "shuffled")


def _cosine(value: float, ci95: tuple[float, float], group: str, n: int, baseline: str | None) -> MetricRow:
    known = bool(np.isfinite([value, *ci95]).all())
    return MetricRow(
        name="gradient_cosine",
        value=value if known else None,
        n=n,
        ci95=ci95 if known else None,
        group=group,
        baseline=baseline,
    )


def leak_notes(run: RunFolder) -> list[str]:
    """Say which leak check of the items was above what guessing reaches."""
    above = run.facts("prepare").get("above_chance", [])
    return [f"leak-check: {', '.join(above)} told the answer above chance without the clip's content"] if above else []


def lead(rows: Sequence[MetricRow]) -> list[str]:
    """Say in sentences what came out."""
    by = {(row.name, row.group, row.baseline): row for row in rows}
    said = []
    for group in ("all", *DOMAINS):
        gain, ours = by["gain_over_dense", group, None], by["accuracy", group, None]
        dense, alone = by["accuracy", group, "dense"], by["accuracy", group, "question_only"]
        interval = "" if gain.ci95 is None else f" (95 % {gain.ci95[0]:+.1f} to {gain.ci95[1]:+.1f})"
        said.append(
            f"{group}: routed {ours.value:.1f} %, dense {dense.value:.1f} %, difference {gain.value:+.1f} points"
            f"{interval}; question alone {alone.value:.1f} %, chance {100 * CHANCE:.0f} %"
        )
    return said
