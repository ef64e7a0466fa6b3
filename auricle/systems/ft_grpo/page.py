"""What the page of a run shows: claimed and true evidence on spectrograms, players, score distributions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from auricle.data.worlds.artefacts import RATE_HZ
from auricle.report.evaluation import Page
from auricle.report.players import Player
from auricle.report.plots import Curve, Histogram, Plot
from auricle.report.spared import Spared
from auricle.report.spectrogram import Spectrogram, draw
from auricle.systems.ft_grpo.boxes import HIGH_HZ, claimed_boxes, true_boxes
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.generate import Generations
from auricle.systems.ft_grpo.rationale import read

NOTES = (
    "An answer that cannot be read is wrong and stays in the denominator. Balanced accuracy of any constant answer is "
    "50 %; its plain accuracy on clips of which 85 % are fake is 85 %, which is why that copy stands beside.",
    "Band and bin hits are of the fakes that have an artefact of that domain; the majority rationale says the band or "
    "bin that is most frequent in training, of every clip. Intervals resample voices, tracks and sounds.",
    "For singing, music and sound, real means that no artefact was put in; singing is resynthesis either way.",
    "The label of a text follows from its rationale, so the score averages the label's probability over several.",
)
FIGURES = "Claimed and true evidence (claimed solid, true dashed; chosen before any answer was seen)"


def page(test: Sequence[Item], generations: Generations, threshold: float, pictures: int, spared: Spared) -> Page:
    """Put together what stands beside the tables.

    Args:
        test: the test clips.
        generations: what the model wrote about them.
        threshold: of the score, drawn in.
        pictures: annotated spectrograms and players.
        spared: a picture that cannot be drawn is left out, and named.
    """
    real = np.array([item.label == "real" for item in test])
    types = np.array([item.type or "all" for item in test])
    classes = [
        (kind, generations.scores[real & (types == kind)], generations.scores[~real & (types == kind)])
        for kind in dict.fromkeys(types)
    ]
    chosen = [(test[index], generations.texts[index]) for index in examples(test, pictures)]
    tried = [spared(f"the picture of {item.id}", partial(picture, item, text)) for item, text in chosen]
    drawn = [plot for plot in tried if plot is not None]
    return Page(
        notes=NOTES,
        curves=[Curve(*each) for each in classes],
        histograms=[Histogram(*each, threshold) for each in classes],
        players=[_player(item, text) for item, text in chosen],
        figures=[(FIGURES, drawn)] if drawn else (),
    )


def examples(test: Sequence[Item], count: int) -> list[int]:
    """Choose clips to show before looking at any answer: the types in turn, three fakes to one real."""
    types = list(dict.fromkeys(item.type for item in test))
    queues = {
        (kind, label): iter([i for i, item in enumerate(test) if (item.type, item.label) == (kind, label)])
        for kind in types
        for label in ("real", "fake")
    }
    chosen: list[int] = []
    for turn in range(len(test)):
        label = "real" if turn % 4 == 3 else "fake"
        for kind in types:
            index = next(queues[kind, label], None)
            if index is not None:
                chosen.append(index)
    return chosen[:count]


def picture(item: Item, text: str) -> Plot:
    """Draw a clip with what its text claims beside what is true."""
    claim = read(text)
    title = f"{item.type}: {item.label}, answered {claim.label or 'unreadable'}"
    boxes = [*true_boxes(item.artefacts or ()), *claimed_boxes(claim)]
    return draw(Spectrogram(title, item.samples, RATE_HZ, boxes, HIGH_HZ))


def _player(item: Item, text: str) -> Player:
    true = "; ".join(box.text for box in true_boxes(item.artefacts or ())) or "no artefact"
    caption = f"{item.label} ({true}). It says: {' '.join(text.split())}"
    return Player(item.id, item.samples, RATE_HZ, caption, item.type or "clips")
