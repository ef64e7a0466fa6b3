"""From embeddings to scored trials: every genuine clip against every enrolled voice, every attack on its own target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from auricle.core.errors import DataError
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.metrics.audit import TEXT_COLUMNS, AttackTrials
from auricle.metrics.verification import OperatingPoint, as_norm, enrol, threshold_at_far
from auricle.systems.voice_auth.clips import ENROL, ROLE, SPOOF, TARGET, TARGET_GROUP, TEST


class Model(NamedTuple):
    """An enrolled voice: its model (D,) and its speaker group."""

    vector: np.ndarray
    group: str


class Cohort(NamedTuple):
    """What AS-norm normalises by: embeddings (C, D), their speaker groups (C,), and how many of the nearest count."""

    embeddings: np.ndarray
    groups: np.ndarray
    top: int


def models(clips: Clips, embeddings: np.ndarray, utterances: int | None = None) -> dict[str, Model]:
    """Enrol every voice with its first `utterances` enrolment clips (None: all of them).

    Returns:
        Voice -> model.
    """
    roles, voices, groups = (clips.values(name) for name in (ROLE, TARGET, TARGET_GROUP))
    enrolled = {}
    for voice in dict.fromkeys(voices):
        rows = np.flatnonzero((roles == ENROL) & (voices == voice))
        if not len(rows):
            raise DataError(f"voice {str(voice)!r} has no enrolment clip")
        enrolled[str(voice)] = Model(enrol(embeddings[rows[:utterances]]), str(groups[rows[0]]))
    return enrolled


def make_trials(
    clips: Clips,
    embeddings: np.ndarray,
    enrolled: Mapping[str, Model] | None = None,
    *,
    seen: Sequence[str] | None = None,
    detector: np.ndarray | None = None,
    condition: str = "",
    cohort: Cohort | None = None,
) -> AttackTrials:
    """Score the trials of some clips; speakers are speaker groups, so that intervals are over people.

    Args:
        clips: test and spoof clips (others are left alone).
        embeddings: of `clips`, (N, D).
        enrolled: the voices that can be claimed; spoofs of other voices are left out. None: those that `clips` enrol.
        seen: families that the detector trained on; they are ``in`` its domain and others ``out``. None: no domains.
        detector: its scores of `clips`, (N,).
        condition: of all these trials.
        cohort: for AS-norm; None for plain cosines.

    Returns:
        The trials: a clip is named once for each condition.
    """
    enrolled = models(clips, embeddings) if enrolled is None else enrolled
    matrix = np.stack([model.vector for model in enrolled.values()])  # (V, D)
    claim_groups = np.array([model.group for model in enrolled.values()])
    clip, claim, kinds = _pairs(clips, list(enrolled), claim_groups)
    if not len(clip):
        raise DataError("there is no trial: no test clip and no spoof of an enrolled voice")
    targets, speakers = claim_groups[claim], clips.values(fields.SPEAKER_GROUP)[clip]
    scores = np.einsum("nd,nd->n", embeddings[clip].astype(np.float64), matrix[claim])
    if cohort is not None:
        scores = _normalised(scores, embeddings[clip], matrix[claim], speakers, targets, cohort)
    families = clips.values(fields.FAMILY)[clip]
    domain = None
    if seen is not None:
        domain = np.where(families == "", "", np.where(np.isin(families, seen), "in", "out"))
    return AttackTrials(
        scores,
        kind=np.array(kinds),
        target=targets,
        speaker=speakers,
        generator=families,
        language=clips.values(fields.LANGUAGE)[clip],
        condition=np.full(len(clip), condition),
        detector=None if detector is None else detector[clip],
        domain=domain,
        test=np.array([f"{name}|{condition}" if condition else name for name in clips.values("id")[clip]]),
    )


def _pairs(clips: Clips, names: Sequence[str], claim_groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pair clips with claimed voices: their places, (N,) each, and the kind of each trial.

    A genuine clip is not held against another voice of its speaker's group, who may be the same person.
    """
    roles, targets = clips.values(ROLE), clips.values(TARGET)
    clip_groups = clips.values(fields.SPEAKER_GROUP)
    rows, claims, kinds = [], [], []
    for row in np.flatnonzero(np.isin(roles, (TEST, SPOOF))):
        for claim, name in enumerate(names):
            own = name == targets[row]
            if roles[row] == SPOOF:
                kind = "spoof" if own else ""
            elif own:
                kind = "target"
            else:
                kind = "zero_effort" if claim_groups[claim] != clip_groups[row] else ""
            if kind:
                rows.append(row)
                claims.append(claim)
                kinds.append(kind)
    return np.array(rows, int), np.array(claims, int), kinds


def thresholds(trials: AttackTrials, fars: Sequence[float]) -> list[OperatingPoint]:
    """Set the verifier's thresholds at false-accept targets on the zero-effort trials."""
    impostors = trials.score[trials.kind == "zero_effort"]
    return [threshold_at_far(impostors, far) for far in fars]


def joined(parts: Sequence[AttackTrials]) -> AttackTrials:
    """Put several sets of trials, such as one a condition, into one."""
    texts = {}
    for name in TEXT_COLUMNS:
        columns = [getattr(part, name) for part in parts]
        texts[name] = None if any(c is None for c in columns) else np.concatenate([np.asarray(c) for c in columns])
    known = all(part.detector is not None for part in parts)
    detector = np.concatenate([np.asarray(part.detector) for part in parts]) if known else None
    return AttackTrials(np.concatenate([part.score for part in parts]), detector=detector, **texts)  # type: ignore[arg-type]


def _normalised(
    scores: np.ndarray,
    tests: np.ndarray,
    claimed: np.ndarray,
    speakers: np.ndarray,
    targets: np.ndarray,
    cohort: Cohort,
) -> np.ndarray:
    """Normalise against a cohort in which neither side's own speaker counts."""
    pairs = set(zip(speakers, targets, strict=True))
    others = min(int(np.sum((cohort.groups != a) & (cohort.groups != b))) for a, b in pairs)
    if cohort.top > others:
        raise DataError(
            f"verifier.as_norm is {cohort.top} and the cohort has {others} utterances of others for some trial"
        )
    own = (cohort.groups[None] == speakers[:, None]) | (cohort.groups[None] == targets[:, None])
    sides = []
    for side in (claimed, tests):
        cosines = side.astype(np.float64) @ cohort.embeddings.T.astype(np.float64)
        sides.append(np.where(own, cosines.min() - 1.0, cosines))  # never among the nearest
    return np.asarray(as_norm(scores, sides[0], sides[1], cohort.top))
