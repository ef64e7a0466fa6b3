"""`evaluate`: the routed arm on unseen voices, pieces and sounds; controls, the dense arm and the text beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from auricle.alm.choices import Readings, read_choices
from auricle.alm.items import Items, with_encoder_frames
from auricle.alm.questions import OPEN, Question, as_text, without_audio, wrong_audio
from auricle.alm.sft import Policy
from auricle.core.report import MetricRow
from auricle.core.run import RunFolder
from auricle.core.seed import derive
from auricle.metrics.evidence import share
from auricle.metrics.interference import Cosine
from auricle.metrics.paired import paired_shares
from auricle.metrics.rows import percent
from auricle.report.evaluation import Evaluation
from auricle.report.spared import Spared
from auricle.systems.moe_adapter import data, page
from auricle.systems.moe_adapter.config import DOMAINS, MoeAdapterConfig
from auricle.systems.moe_adapter.infer import LAPTOP, Ear, load
from auricle.systems.moe_adapter.interference import Cosines, Usage, cosines, usage
from auricle.systems.moe_adapter.items import asked, domain_of, heard_items
from auricle.systems.moe_adapter.model import DENSE, LETTER, load_checkpoint

READINGS = {"likelihood": "accuracy", "letter_said": "letter_accuracy", "pmi": "pmi_accuracy"}
CONTROLS = ("question_only", "wrong_audio")
CHANCE = 0.25
Hits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """What an arm answers to the test questions.

    Attributes:
        audio: the questions about their clips.
        text: the same questions in words.
        controls: by name of the control.
    """

    audio: Readings
    text: Readings
    controls: Mapping[str, Readings]


def answers(network: Policy, questions: Sequence[Question], clips: Items, seed: int, at_once: int) -> Answers:
    """Ask an arm the questions, the same ones in words, and the controls.

    Args:
        network: the arm.
        questions: with their clips.
        clips: the clips, heard.
        seed: of the wrong clips.
        at_once: questions in a batch.
    """
    read = partial(read_choices, network, letter=LETTER, option=OPEN, at_once=at_once)
    controls = {
        "question_only": read(without_audio(questions)),
        "wrong_audio": read(wrong_audio(questions, seed), clips, pmi=False),
    }
    return Answers(read(questions, clips), read(as_text(questions)), controls)


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
    ours = answers(ear.network, questions, clips, seed, cfg.eval.batch)
    theirs = answers(dense, questions, clips, seed, cfg.eval.batch)
    rows = accuracy_rows(cfg, ours, theirs)
    spared = Spared()
    used = usage(ear.network, questions, clips, derive(cfg.seed, "routing"))
    rows += list(usage_rows(used))
    found: dict[str, dict[str, Cosines]] = {}
    if cfg.eval.gradient_batches:
        how = (cfg.eval.gradient_batches, cfg.eval.gradient_size, derive(cfg.seed, "gradients"))
        for arm, network in (("moe", ear.network), ("dense", dense)):
            made = spared(f"the gradients of the {arm} arm", partial(cosines, network, questions, clips, *how))
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
        extra={"gradient_cosines": {arm: table(parts) for arm, parts in found.items()}},
        scores={"test.jsonl": score_lines(ours, "moe"), "test-dense.jsonl": score_lines(theirs, "dense")},
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
    rows: list[MetricRow] = []
    for group, chosen in places.items():
        rows += list(group_rows(cfg, ours, theirs, group, chosen, whole=group in ("all", *DOMAINS)))
    return rows


def subset_of(question: Question) -> str:
    """Name the part of the test set that a question is in, such as ``speech, new voice``; empty where it has one."""
    return f"{domain_of(question)}, {question.more['subset']}" if question.more["subset"] else ""


def group_rows(
    cfg: MoeAdapterConfig, ours: Answers, theirs: Answers, group: str, chosen: Sequence[int], whole: bool
) -> Iterator[MetricRow]:
    """Give the rows of some questions; intervals resample clips, with all questions about each.

    Args:
        cfg: replicates and seed.
        ours: of the routed arm.
        theirs: of the dense one.
        group: name of the part.
        chosen: the questions.
        whole: all rows; otherwise the accuracies and the routed arm's gain alone.
    """
    clips = [ours.audio.questions[row].clip for row in chosen]
    n, seed = cfg.eval.bootstrap, derive(cfg.seed, "intervals")

    def hits(found: Readings, reading: str) -> Hits:
        return found.hits(reading)[list(chosen)]

    def row(name: str, values: Hits, baseline: str | None = None) -> MetricRow:
        found = share(values, clips, n, seed=seed)
        return percent(name, found.value, found.n, found.ci95, group=group, baseline=baseline)

    def less(name: str, one: Hits, other: Hits, baseline: str | None = None) -> MetricRow:
        found = paired_shares(one, other, clips, n, seed=seed).difference
        return percent(name, found.value, found.n, found.ci95, group=group, baseline=baseline)

    for reading, name in READINGS.items():
        if reading not in ours.audio.picked or (reading == "pmi" and not whole):
            continue
        yield row(name, hits(ours.audio, reading))
        yield row(name, hits(theirs.audio, reading), "dense")
        yield percent(name, CHANCE, len(chosen), group=group, baseline="chance")
    mine, dense = hits(ours.audio, "likelihood"), hits(theirs.audio, "likelihood")
    yield less("gain_over_dense", mine, dense)
    if not whole:
        return
    yield less("letter_gain_over_dense", hits(ours.audio, "letter_said"), hits(theirs.audio, "letter_said"))
    for control in CONTROLS:
        values = hits(ours.controls[control], "likelihood")
        yield row("accuracy", values, control)
        yield less(f"lead_over_{control}", mine, values)
    yield row("accuracy", hits(ours.text, "likelihood"), "text")
    yield row("letter_accuracy", hits(ours.text, "letter_said"), "text")
    yield less("audio_minus_text", mine, hits(ours.text, "likelihood"))
    yield less("audio_minus_text", dense, hits(theirs.text, "likelihood"), "dense")
    failures = np.array([place is None for place in ours.audio.picked["letter_said"]])[list(chosen)]
    yield row("letters_unread", failures)


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


def table(parts: Mapping[str, Cosines]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Give the cosines of every part of the weights as plain numbers."""

    def plain(cosine: Cosine) -> dict[str, float | None]:
        numbers = {
            "value": cosine.value,
            "low": cosine.ci95[0],
            "high": cosine.ci95[1],
            "at_half": cosine.at_half,
            "halves": cosine.halves,
            "shuffled": cosine.shuffled,
            "p": cosine.p,
        }
        return {name: float(number) if np.isfinite(number) else None for name, number in numbers.items()}

    return {
        part: {f"{one} and {other}": plain(cosine) for (one, other), cosine in found.items()}
        for part, found in parts.items()
    }


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


def score_lines(found: Answers, arm: str) -> list[dict[str, object]]:
    """Give one row a question for ``scores/``, the controls' picks beside it."""
    lines = [{"arm": arm, **line} for line in found.audio.lines()]
    for name, control in (("text", found.text), *found.controls.items()):
        for line, place in zip(lines, control.picked["likelihood"], strict=True):
            line[name] = None if place is None else "ABCD"[place]
    return lines
