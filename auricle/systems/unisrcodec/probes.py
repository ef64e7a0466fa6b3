"""What the tokens keep, by linear probes: logistic regression on the mean code embedding, and on others beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auricle.core.report import MetricRow
from auricle.core.seed import rng
from auricle.data import corpora
from auricle.metrics.bootstrap import mean_bootstrap
from auricle.systems.unisrcodec.data import Recording
from auricle.systems.unisrcodec.model import Codec
from auricle.systems.unisrcodec.peers import LOG_MEL, MAJORITY, PCA
from auricle.systems.unisrcodec.reference import PcaVq

LEAST_FIT, LEAST_VOICE = 3, 4  # recordings to fit a class with, and of a voice in both halves together
PENALTY = 1.0  # of the regression on standardised embeddings, as it comes; never tuned
NOTE = (
    "Probes: logistic regression on the embedding of a recording, averaged over time and kept apart by frequency; the "
    "intervals resample recordings. kind and sound are fitted on sources that trained the codec and judged on sources "
    "it never heard; speaker is fitted and judged on two halves of the recordings of voices it never heard. Sources "
    "differ in bandwidth and noise, so part of every figure may be the channel; log_mel shows what there was to keep."
)


@dataclass(frozen=True)
class Embedded:
    """A recording as a probe sees it.

    Attributes:
        name: its id.
        kind: ``speech``, ``sound`` or ``music``.
        vectors: whose -> (size,); whose is "" for the codec.
    """

    name: str
    kind: str
    vectors: Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Task:
    """A question for a probe.

    Attributes:
        name: such as ``kind``.
        fit: recordings with their classes.
        test: others, of the same classes.
    """

    name: str
    fit: Sequence[tuple[Embedded, str]]
    test: Sequence[tuple[Embedded, str]]


@torch.no_grad()
def embed(codec: Codec, reference: PcaVq, clip: Recording, mel: Tensor) -> Embedded:
    """Average what the tokens of a recording stand for over time.

    Args:
        codec: the codec.
        reference: PCA + VQ.
        clip: the recording.
        mel: its log-mel (frames, n_mels), whole columns.
    """
    found = {
        "": codec.quantizer.decode(codec.encode(mel[None]))[0],  # (T', F', D)
        PCA: reference.points(mel),
        LOG_MEL: mel,
    }
    return Embedded(
        clip.name, clip.kind, {whose: part.mean(dim=0).double().numpy().ravel() for whose, part in found.items()}
    )


def tasks(source: str, seed: int, fit: Sequence[Embedded], test: Sequence[Embedded]) -> list[Task]:
    """Put the questions: kind, class of a sound, speaker.

    Args:
        source: the corpus that knows the classes.
        seed: of the halves of a voice.
        fit: recordings of the sources that trained the codec.
        test: recordings of sources it never heard.
    """
    known = corpora.corpus(source).clip
    sounds = [[(one, known(one.name).label) for one in part if one.kind == "sound"] for part in (fit, test)]
    voices = [(one, known(one.name).speaker) for one in test if one.kind == "speech"]
    return [
        Task("kind", [(one, one.kind) for one in fit], [(one, one.kind) for one in test]),
        Task("sound", *both([pair for pair in sounds[0] if pair[1]], [pair for pair in sounds[1] if pair[1]])),
        Task("speaker", *halves([pair for pair in voices if pair[1]], seed)),
    ]


Labelled = list[tuple[Embedded, str]]


def both(fit: Labelled, test: Labelled) -> tuple[Labelled, Labelled]:
    """Keep the classes with enough recordings to fit and at least one to test."""
    counts = Counter(label for _, label in fit)
    kept = {label for _, label in test if counts[label] >= LEAST_FIT}
    return [pair for pair in fit if pair[1] in kept], [pair for pair in test if pair[1] in kept]


def halves(pairs: Labelled, seed: int) -> tuple[Labelled, Labelled]:
    """Draw half of the recordings of every class with enough of them to fit, the rest to test."""
    fit: Labelled = []
    test: Labelled = []
    for label in sorted({label for _, label in pairs}):
        own = [pair for pair in pairs if pair[1] == label]
        if len(own) >= LEAST_VOICE:
            order = rng(seed, "probe", label).permutation(len(own))
            fit += [own[place] for place in order[: (len(own) + 1) // 2]]
            test += [own[place] for place in order[(len(own) + 1) // 2 :]]
    return fit, test


def probe(fit: npt.NDArray[np.float64], labels: Sequence[str], test: npt.NDArray[np.float64]) -> npt.NDArray[np.str_]:
    """Fit a linear probe and answer.

    Args:
        fit: (N, size), scaled by its own mean and spread.
        labels: class of each, two at least.
        test: (M, size).

    Returns:
        Class of each test row, (M,).
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = fit.mean(axis=0), fit.std(axis=0) + 1e-6
    model = LogisticRegression(C=PENALTY, max_iter=2000).fit((fit - mean) / scale, np.array(labels))
    return np.asarray(model.predict((test - mean) / scale), dtype=np.str_)


def rows(task: Task, data: str, seed: int, replicates: int) -> Iterator[MetricRow]:
    """Give the accuracy of each embedding's probe and of the most frequent class.

    Args:
        task: the question; one with fewer than two classes gives no row.
        data: name of the data.
        seed: of the resampling.
        replicates: of the intervals.
    """
    labels = [label for _, label in task.fit]
    if len(set(labels)) < 2 or not task.test:
        return
    truth = np.array([label for _, label in task.test])
    answers: dict[str, npt.NDArray[np.str_]] = {}
    for whose in task.fit[0][0].vectors:
        fit, test = (np.stack([one.vectors[whose] for one, _ in part]) for part in (task.fit, task.test))
        answers[whose] = probe(fit, labels, test)
    answers[MAJORITY] = np.full(len(truth), Counter(sorted(labels)).most_common(1)[0][0])
    for whose, answer in answers.items():
        right = 100.0 * (answer == truth)
        yield MetricRow(
            name=f"probe_{task.name}_accuracy", value=float(right.mean()), unit="%", n=len(right),
            ci95=mean_bootstrap(right, replicates, seed=seed), group=f"probe: {task.name}",
            baseline=whose or None, data=data,
        )  # fmt: skip


def notes(asked: Sequence[Task]) -> list[str]:
    """Say how the probes were made, and which had too little to go by."""
    said = [NOTE]
    for task in asked:
        classes = len({label for _, label in task.fit})
        if classes < 2 or not task.test:
            said.append(
                f"probe_{task.name}_accuracy was not measured: no two classes have the recordings to fit and to test"
            )
        else:
            said.append(f"The {task.name} probe tells {classes} classes apart, fitted on {len(task.fit)} recordings.")
    return said
