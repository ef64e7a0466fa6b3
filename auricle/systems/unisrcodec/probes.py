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
from auricle.metrics.rows import mean_row
from auricle.nn.quantize.pca_vq import PcaVq
from auricle.systems.unisrcodec.data import Recording
from auricle.systems.unisrcodec.model import Codec
from auricle.systems.unisrcodec.peers import LOG_MEL, MAJORITY, OURS, PCA

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
        vectors: codec -> (size,); our codec is `OURS`.
    """

    name: str
    kind: str
    vectors: Mapping[str, npt.NDArray[np.float64]]


Labelled = list[tuple[Embedded, str]]


@dataclass(frozen=True)
class Task:
    """A question for a probe.

    Attributes:
        name: such as ``kind``.
        fit: recordings with their classes.
        test: others, of the same classes.
    """

    name: str
    fit: Labelled
    test: Labelled

    @property
    def classes(self) -> int:
        """Classes to tell apart; 0 where there are not two, or no recording to test on."""
        count = len({label for _, label in self.fit})
        return count if count > 1 and self.test else 0


@torch.no_grad()
def embed(codec: Codec, reference: PcaVq | None, clip: Recording, mel: Tensor) -> Embedded:
    """Average over time what the tokens of a recording with a log-mel (frames, n_mels) stand for."""
    sequences = {
        OURS: codec.quantizer.decode(codec.encode(mel[None]))[0],  # (T', F', D)
        **({} if reference is None else {PCA: reference.points(mel)}),
        LOG_MEL: mel,
    }
    vectors = {name: rows.mean(dim=0).double().numpy().ravel() for name, rows in sequences.items()}
    return Embedded(clip.name, clip.kind, vectors)


def tasks(source: str, seed: int, fit: Sequence[Embedded], test: Sequence[Embedded]) -> list[Task]:
    """Put the questions: kind, class of a sound, speaker.

    Args:
        source: the corpus that knows the classes.
        seed: of the halves of a voice.
        fit: recordings of the sources that trained the codec.
        test: recordings of sources it never heard.
    """
    clip = corpora.corpus(source).clip
    sounds = [[(item, clip(item.name).label) for item in part if item.kind == "sound"] for part in (fit, test)]
    voices = [(item, clip(item.name).speaker) for item in test if item.kind == "speech"]
    return [
        Task("kind", [(item, item.kind) for item in fit], [(item, item.kind) for item in test]),
        Task("sound", *shared_classes(*([pair for pair in part if pair[1]] for part in sounds))),
        Task("speaker", *halves([pair for pair in voices if pair[1]], seed)),
    ]


def shared_classes(fit: Labelled, test: Labelled) -> tuple[Labelled, Labelled]:
    """Keep the classes with enough recordings to fit and at least one to test."""
    counts = Counter(label for _, label in fit)
    kept = {label for _, label in test if counts[label] >= LEAST_FIT}
    return [pair for pair in fit if pair[1] in kept], [pair for pair in test if pair[1] in kept]


def halves(pairs: Labelled, seed: int) -> tuple[Labelled, Labelled]:
    """Draw half of the recordings of every class with enough of them to fit, the rest to test."""
    fit: Labelled = []
    test: Labelled = []
    for label in sorted({label for _, label in pairs}):
        of_class = [pair for pair in pairs if pair[1] == label]
        if len(of_class) >= LEAST_VOICE:
            shuffled = [of_class[index] for index in rng(seed, "probe", label).permutation(len(of_class))]
            middle = (len(shuffled) + 1) // 2
            fit += shuffled[:middle]
            test += shuffled[middle:]
    return fit, test


def probe(fit: npt.NDArray[np.float64], labels: Sequence[str], test: npt.NDArray[np.float64]) -> npt.NDArray[np.str_]:
    """Fit a linear probe on vectors (N, size) and their classes, and give the class of others (M, size), (M,)."""
    from sklearn.linear_model import LogisticRegression

    mean, scale = fit.mean(axis=0), fit.std(axis=0) + 1e-6
    model = LogisticRegression(C=PENALTY, max_iter=2000).fit((fit - mean) / scale, np.array(labels))
    return np.asarray(model.predict((test - mean) / scale), dtype=np.str_)


def rows(task: Task, seed: int, replicates: int) -> Iterator[MetricRow]:
    """Give the accuracy of each embedding's probe and of the most frequent class; none without two classes."""
    if not task.classes:
        return
    labels = [label for _, label in task.fit]
    truth = np.array([label for _, label in task.test])
    answers: dict[str, npt.NDArray[np.str_]] = {}
    for codec in task.fit[0][0].vectors:
        fit, test = (np.stack([item.vectors[codec] for item, _ in part]) for part in (task.fit, task.test))
        answers[codec] = probe(fit, labels, test)
    answers[MAJORITY] = np.full(len(truth), Counter(sorted(labels)).most_common(1)[0][0])
    for codec, answer in answers.items():
        yield mean_row(
            f"probe_{task.name}_accuracy",
            100.0 * (answer == truth),
            unit="%",
            group=f"probe: {task.name}",
            baseline=codec or None,
            replicates=replicates,
            seed=seed,
        )


def notes(tasks: Sequence[Task]) -> list[str]:
    """Say how the probes were made, and which had too little to go by."""
    return [NOTE, *map(_note, tasks)]


def _note(task: Task) -> str:
    if not task.classes:
        return f"probe_{task.name}_accuracy was not measured: no two classes have the recordings to fit and to test"
    return f"The {task.name} probe tells {task.classes} classes apart, fitted on {len(task.fit)} recordings."
