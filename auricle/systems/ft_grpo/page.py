"""The pictures of a run's report: claimed and true evidence on spectrograms, score distributions, training curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.core.files import read_jsonl
from auricle.core.report import Report
from auricle.core.run import RunFolder
from auricle.data.worlds.artefacts import BAND_EDGES_HZ, BIN_S, CLIP_S, RATE_HZ, Artefact
from auricle.report.html import render
from auricle.report.players import Player
from auricle.report.plots import Curve, Histogram, Plot
from auricle.report.spectrogram import Box, Spectrogram, draw
from auricle.systems.ft_grpo.answer import Answered
from auricle.systems.ft_grpo.config import FtGrpoConfig
from auricle.systems.ft_grpo.data import Item
from auricle.systems.ft_grpo.rationale import NONE, Evidence, read

HEADLINE = "balanced_accuracy"
NOTES = (
    "An answer that cannot be read is wrong and stays in the denominator. Balanced accuracy of any constant answer is "
    "50 %; its plain accuracy on clips of which 85 % are fake is 85 %, which is why that copy stands beside.",
    "Band and bin hits are of the fakes that have an artefact of that domain; the majority rationale says the band or "
    "bin that is most frequent in training, of every clip. Intervals resample voices, tracks and sounds.",
    "For singing, music and sound, real means that no artefact was put in; singing is resynthesis either way.",
    "The label of a text follows from its rationale, so the score averages the label's probability over several.",
)


def boxes(said: Evidence, claimed: bool) -> list[Box]:
    """Give what a text claims as boxes of a clip of 1.5 s: a whole band, a whole bin."""
    found = []
    if said.frequency not in (None, NONE) and said.band is not None:
        high = BAND_EDGES_HZ[-1] if said.frequency == "cutoff" else BAND_EDGES_HZ[said.band + 1]
        text = f"{said.frequency}, band {said.band}"
        found.append(Box(text, BAND_EDGES_HZ[said.band], high, 0.0, CLIP_S, claimed))
    if said.time not in (None, NONE) and said.bin is not None:
        text, start = f"{said.time}, bin {said.bin}", said.bin * BIN_S
        found.append(Box(text, BAND_EDGES_HZ[0], BAND_EDGES_HZ[-1], start, start + BIN_S, claimed))
    return found


def true_boxes(artefacts: Sequence[Artefact]) -> list[Box]:
    """Give where artefacts really are, to the sample."""
    return [
        Box(f"{one.kind}, {'band' if one.domain == 'frequency' else 'bin'} {one.place}", one.low_hz, one.high_hz,
            one.start_s, one.end_s, claimed=False)
        for one in artefacts
    ]  # fmt: skip


def picture(item: Item, text: str) -> Plot:
    """Draw a clip with what its text claims beside what is true."""
    said = read(text)
    what = f"{item.type}: {item.label}, answered {said.label or 'unreadable'}"
    marks = [*true_boxes(item.artefacts or ()), *boxes(said, True)]
    return draw(Spectrogram(what, item.samples, RATE_HZ, marks, BAND_EDGES_HZ[-1] + 400))


def shown(test: Sequence[Item], count: int) -> list[int]:
    """Choose clips to show before looking at any answer: the types in turn, three fakes to one real."""
    by_type: dict[tuple[str, str], list[int]] = {}
    for place, item in enumerate(test):
        by_type.setdefault((item.type, item.label), []).append(place)
    kinds = list(dict.fromkeys(item.type for item in test))
    chosen: list[int] = []
    for turn in range(len(test)):
        label = "real" if turn % 4 == 3 else "fake"
        for kind in kinds:
            own = by_type.get((kind, label), [])
            place = turn // 4 if label == "real" else turn - (turn + 1) // 4
            if place < len(own):
                chosen.append(own[place])
    return chosen[:count]


def write(
    run: RunFolder, cfg: FtGrpoConfig, report: Report, test: Sequence[Item], found: Answered, threshold: float
) -> None:
    """Write ``report.html``.

    Args:
        run: where to.
        cfg: the run's config, folded into the page.
        report: the numbers.
        test: the test clips.
        found: their answers.
        threshold: of the score, drawn in.
    """
    real = np.array([item.label == "real" for item in test])
    types = np.array([item.type or "all" for item in test])
    classes = [
        (kind, found.scores[real & (types == kind)], found.scores[~real & (types == kind)])
        for kind in dict.fromkeys(types)
    ]
    chosen = shown(test, cfg.eval.pictures)
    log = run.path / "metrics.jsonl"
    render(
        report,
        run.path / "report.html",
        headline=HEADLINE,
        curves=[Curve(*each) for each in classes],
        histograms=[Histogram(*each, threshold) for each in classes],
        training=list(read_jsonl(log)) if log.exists() else [],
        players=[_player(test[place], found.texts[place]) for place in chosen],
        notes=NOTES,
        config=cfg.model_dump(mode="json"),
        figures=[
            (
                "Claimed and true evidence (claimed solid, true dashed; chosen before any answer was seen)",
                [picture(test[place], found.texts[place]) for place in chosen],
            )
        ]
        if chosen
        else (),
    )  # fmt: skip


def _player(item: Item, text: str) -> Player:
    said = " ".join(text.split())
    true = "; ".join(box.text for box in true_boxes(item.artefacts or ())) or "no artefact"
    return Player(item.id, item.samples, RATE_HZ, f"{item.label} ({true}). It says: {said}", item.type or "clips")
