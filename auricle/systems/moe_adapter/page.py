"""What the page of a run shows: where frames go, how gradients lie, accuracy by task, examples to hear."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from auricle.alm.choices import Readings
from auricle.alm.questions import Question
from auricle.alm.routed import Cosines, Usage
from auricle.data.worlds.events import RATE_HZ
from auricle.report.evaluation import Page
from auricle.report.heatmap import Matrix, heat_map
from auricle.report.players import Player
from auricle.report.plots import Plot
from auricle.report.routing import cosine_map, routing_map
from auricle.report.spared import Spared
from auricle.systems.moe_adapter.config import DOMAINS, MoeAdapterConfig
from auricle.systems.moe_adapter.data import Split
from auricle.systems.moe_adapter.items import domain_of

NOTES = (
    "An option is picked by its likelihood after the question (accuracy), by that less its likelihood without the "
    "clip, or by the letter that the model says. A letter that is none of the question's is wrong and counted. Chance "
    "is 25 %.",
    "Question only: the same options without the clip. Another clip: one of the same task with another answer. Text: "
    "the clip's place is taken by a sentence that says what is in it. Intervals resample clips.",
    "A cosine near 0 says little: sampling noise pulls it there, and experts that different domains use are at right "
    "angles by construction. So beside it stand halves of one domain, as noisy as the cosine of halves of two, and "
    "groups with shuffled domains.",
)
ROUTING = "Where the frames of the test clips go"
GRADIENTS = "Cosines of the domains' mean gradients, with two nulls"
TASKS = "Accuracy by task"


def page(
    cfg: MoeAdapterConfig,
    split: Split,
    questions: Sequence[Question],
    ours: Readings,
    theirs: Readings,
    used: Usage,
    found: Mapping[str, Mapping[str, Cosines]],
    spared: Spared,
) -> Page:
    """Put together what stands beside the tables.

    Args:
        cfg: how many examples.
        split: the test clips.
        questions: about them.
        ours: of the routed arm.
        theirs: of the dense one.
        used: where frames go.
        found: cosines by arm and part.
        spared: a plot that cannot be drawn is left out, and named.
    """
    drawings: list[tuple[str, Callable[[], Plot]]] = [
        (ROUTING, partial(routing_map, used.shares)),
        *((GRADIENTS, partial(cosine_map, f"{arm} arm", parts)) for arm, parts in found.items()),
        (TASKS, partial(task_map, questions, ours, theirs)),
    ]
    figures: dict[str, list[Plot]] = {}
    for heading, draw in drawings:
        plot = spared(f"the plot {heading.lower()}", draw)
        if plot is not None:
            figures.setdefault(heading, []).append(plot)
    return Page(
        notes=NOTES,
        players=[_player(split, questions, ours, row) for row in examples(questions, cfg.eval.examples)],
        figures=list(figures.items()),
    )


def task_map(questions: Sequence[Question], ours: Readings, theirs: Readings) -> Plot:
    """Draw the accuracy of both arms by task, by likelihood and by letter."""
    tasks = list(dict.fromkeys(question.kind for question in questions))
    columns = {
        "routed": ours.hits("likelihood"),
        "dense": theirs.hits("likelihood"),
        "routed, letter": ours.hits("letter_said"),
        "dense, letter": theirs.hits("letter_said"),
    }
    kinds = np.array([question.kind for question in questions])
    values = [[100 * float(hits[kinds == task].mean()) for hits in columns.values()] for task in tasks]
    return heat_map(Matrix("Accuracy", tasks, list(columns), values, "task", "arm", (0.0, 100.0), "%"))


def examples(questions: Sequence[Question], count: int) -> list[int]:
    """Choose questions to show before looking at any answer: the domains in turn, their tasks in turn."""
    queues: dict[str, list[int]] = {name: [] for name in DOMAINS}
    for name in DOMAINS:
        by_task: dict[str, list[int]] = {}
        for row, question in enumerate(questions):
            if domain_of(question) == name:
                by_task.setdefault(question.kind, []).append(row)
        most = max(map(len, by_task.values()), default=0)
        queues[name] = [own[turn] for turn in range(most) for own in by_task.values() if turn < len(own)]
    most = max(map(len, queues.values()))
    return [queues[name][turn] for turn in range(most) for name in DOMAINS if turn < len(queues[name])][:count]


def _player(split: Split, questions: Sequence[Question], ours: Readings, row: int) -> Player:
    question = questions[row]
    place = ours.picked["likelihood"][row]
    said = "nothing" if place is None else question.options[place]
    caption = f"{question.text} {', '.join(question.options)}. Right: {question.right}. It says: {said}"
    wave = split.waves[int(question.clip or 0)].astype(np.float32) / 32768.0
    return Player(str(question.more["id"]), wave, RATE_HZ, caption, domain_of(question))
