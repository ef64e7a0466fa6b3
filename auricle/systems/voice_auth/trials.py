"""From embeddings to scored trials: every genuine clip against every enrolled voice, every attack on its own target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from auricle.core.errors import DataError
from auricle.data import fields
from auricle.data.clips import Clips
from auricle.metrics.audit import AttackTrials
from auricle.metrics.verification import as_norm as normalised
from auricle.metrics.verification import enrol
from auricle.systems.voice_auth.plan import ENROL, SPOOF, TEST


class Model(NamedTuple):
    """An enrolled voice: its model (D,) and its speaker group."""

    vector: np.ndarray
    group: str


def models(clips: Clips, embeddings: np.ndarray, utterances: int | None = None) -> dict[str, Model]:
    """Enrol every voice with its first `utterances` enrolment clips (None: all of them).

    Returns:
        Voice -> model.
    """
    roles, voices, groups = (clips.values(name) for name in ("role", "target", "target_group"))
    own = {}
    for voice in dict.fromkeys(voices):
        rows = np.flatnonzero((roles == ENROL) & (voices == voice))
        if not len(rows):
            raise DataError(f"voice {str(voice)!r} has no enrolment clip")
        own[str(voice)] = Model(enrol(embeddings[rows[:utterances]]), str(groups[rows[0]]))
    return own


def make_trials(
    clips: Clips,
    embeddings: np.ndarray,
    enrolled: Mapping[str, Model],
    *,
    seen: Sequence[str] | None = None,
    detector: np.ndarray | None = None,
    condition: str = "",
    cohort: tuple[np.ndarray, np.ndarray] | None = None,
    top: int = 0,
) -> AttackTrials:
    """Score the trials of some clips; speakers are speaker groups, so that intervals are over people.

    Args:
        clips: test and spoof clips (others are left alone).
        embeddings: of `clips`, (N, D).
        enrolled: the voices that can be claimed; spoofs of other voices are left out.
        seen: families that the detector trained on; they are ``in`` its domain and others ``out``. None: no domains.
        detector: its scores of `clips`, (N,).
        condition: of all these trials.
        cohort: embeddings (C, D) and speaker groups (C,) for AS-norm.
        top: how many of the cohort; 0 for plain cosines.

    Returns:
        The trials: a clip is named once for each condition.
    """
    names = list(enrolled)
    matrix = np.stack([enrolled[name].vector for name in names])  # (V, D)
    claim_groups = np.array([enrolled[name].group for name in names])
    roles, targets = clips.values("role"), clips.values("target")
    clip_groups = clips.values(fields.SPEAKER_GROUP)
    place = {name: index for index, name in enumerate(names)}
    rows, claims, kinds = [], [], []
    for index in np.flatnonzero(np.isin(roles, (TEST, SPOOF))):
        if roles[index] == SPOOF:
            if targets[index] in place:
                rows.append(index)
                claims.append(place[targets[index]])
                kinds.append("spoof")
            continue
        for number in range(len(names)):
            own = names[number] == targets[index]
            if own or claim_groups[number] != clip_groups[index]:
                rows.append(index)
                claims.append(number)
                kinds.append("target" if own else "zero_effort")
    row, claim = np.array(rows, int), np.array(claims, int)
    if not len(row):
        raise DataError("there is no trial: no test clip and no spoof of an enrolled voice")
    scores = np.einsum("nd,nd->n", embeddings[row].astype(np.float64), matrix[claim])
    if top and cohort is not None:
        scores = _as_norm(scores, embeddings[row], matrix[claim], clip_groups[row], claim_groups[claim], cohort, top)
    families = clips.values(fields.FAMILY)[row]
    domain = None
    if seen is not None:
        domain = np.where(families == "", "", np.where(np.isin(families, seen), "in", "out"))
    ids = clips.values("id")[row]
    return AttackTrials(
        scores,
        kind=np.array(kinds),
        target=claim_groups[claim],
        speaker=clip_groups[row],
        generator=families,
        language=clips.values(fields.LANGUAGE)[row],
        condition=np.full(len(row), condition),
        detector=None if detector is None else detector[row],
        domain=domain,
        test=np.array([f"{name}|{condition}" if condition else name for name in ids]),
    )


def joined(parts: Sequence[AttackTrials]) -> AttackTrials:
    """Put several sets of trials, such as one a condition, into one."""
    names = ("kind", "target", "speaker", "generator", "language", "condition", "domain", "test")
    texts = {}
    for name in names:
        columns = [getattr(part, name) for part in parts]
        texts[name] = None if any(one is None for one in columns) else np.concatenate([np.asarray(c) for c in columns])
    known = all(part.detector is not None for part in parts)
    detector = np.concatenate([np.asarray(part.detector) for part in parts]) if known else None
    return AttackTrials(np.concatenate([part.score for part in parts]), detector=detector, **texts)  # type: ignore[arg-type]


def _as_norm(
    scores: np.ndarray, tests: np.ndarray, claimed: np.ndarray, speaker: np.ndarray, claim: np.ndarray,
    cohort: tuple[np.ndarray, np.ndarray], top: int,
) -> np.ndarray:  # fmt: skip
    """Normalise against a cohort in which neither side's own speaker counts."""
    people = cohort[1]
    others = min(int(np.sum((people != a) & (people != b))) for a, b in set(zip(speaker, claim, strict=True)))
    if top > others:
        raise DataError(f"verifier.as_norm is {top} and the cohort has {others} utterances of others for some trial")
    own = (people[None] == speaker[:, None]) | (people[None] == claim[:, None])
    sides = []
    for side in (claimed, tests):
        found = side.astype(np.float64) @ cohort[0].T.astype(np.float64)
        sides.append(np.where(own, found.min() - 1.0, found))  # never among the nearest
    return np.asarray(normalised(scores, sides[0], sides[1], top))
