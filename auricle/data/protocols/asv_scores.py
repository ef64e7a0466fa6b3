"""Scores of the organisers' speaker verifier, which the tandem costs need.

2019, three columns: attack or ``bonafide``, ``target``, ``nontarget`` or ``spoof``, score; no trial names. 2021 LA, two
files: metadata of eight columns as the detector's, with ``target``, ``nontarget`` or ``spoof`` for a key, and scores
of three, claimed speaker, trial, score. One utterance is tried against several speakers, so both together name a trial.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.data.protocols.lines import columns, finite, locate, one_of, text_lines, words

KINDS = ("target", "nontarget", "spoof")

_2019_COLUMNS = ("attack", "kind", "score")
_2021_COLUMNS = ("speaker", "trial", "codec", "transmission", "attack", "kind", "trim", "subset")
_SCORE_COLUMNS = ("speaker", "trial", "score")
_2019_FILES = ("ASVspoof2019.LA.asv.eval.gi.trl.scores.txt",)
_2019_FOLDERS = ("", "ASVspoof2019_LA_asv_scores", "LA/ASVspoof2019_LA_asv_scores")
_2021_FOLDERS = ("", "ASV", "LA/ASV", "keys/LA/ASV")
# The package spells the folder in both ways.
_2021_SCORES = ("ASVTorch_Kaldi/score.txt", "ASVtorch_kaldi/score.txt")


@dataclass(frozen=True, slots=True)
class AsvTrial:
    """One trial of the verifier: its score, its kind, and what is known of it."""

    kind: str
    score: float
    attack: str | None = None
    speaker: str | None = None
    trial: str | None = None
    codec: str | None = None
    transmission: str | None = None
    trim: str | None = None
    subset: str | None = None


class AsvScores(NamedTuple):
    """Scores by kind, the arguments of `auricle.metrics.tandem.asv_errors`."""

    target: npt.NDArray[np.float64]
    nontarget: npt.NDArray[np.float64]
    spoof: npt.NDArray[np.float64]


def by_kind(
    trials: Iterable[AsvTrial],
    attack: str | None = None,
    codec: str | None = None,
    transmission: str | None = None,
    subset: str | None = None,
) -> AsvScores:
    """Collect scores by kind, for all trials or a condition.

    Args:
        trials: trials of the verifier.
        attack: keep the spoofs of this attack; targets and nontargets all stay.
        codec: keep the trials of this codec.
        transmission: keep the trials of this transmission.
        subset: keep the trials of this subset.

    Returns:
        Scores of each kind; empty where the condition has none.
    """
    found: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for trial in trials:
        wanted = (
            (codec is None or trial.codec == codec)
            and (transmission is None or trial.transmission == transmission)
            and (subset is None or trial.subset == subset)
            and (attack is None or trial.kind != "spoof" or trial.attack == attack)
        )
        if wanted:
            found[trial.kind].append(trial.score)
    return AsvScores(*(np.asarray(found[kind], dtype=np.float64) for kind in KINDS))


def read_asv_scores(path: str | Path) -> list[AsvTrial]:
    """Read the verifier's trials of either challenge, whichever file of theirs is given.

    Args:
        path: the score file of 2019; ``trial_metadata.txt`` of 2021's ``keys/LA/ASV``, or the score file in a folder
            beside it; or a folder that holds either.

    Raises:
        DataError: as `read_asv_scores_2019` and `read_asv_scores_2021`, or a file of another form.
    """
    path = Path(path)
    if path.is_dir():
        old = any((path / folder / _2019_FILES[0]).is_file() for folder in _2019_FOLDERS)
        return read_asv_scores_2019(path) if old else read_asv_scores_2021(path)
    first = words(next(text_lines(path), (0, ""))[1])
    if len(first) == len(_2019_COLUMNS) and first[1] in KINDS:
        return read_asv_scores_2019(path)
    if len(first) == len(_2021_COLUMNS):
        return read_asv_scores_2021(path)
    beside = [folder / "trial_metadata.txt" for folder in (path.parent, path.parent.parent)]
    metadata = next((file for file in beside if file.is_file()), None)
    if len(first) == len(_SCORE_COLUMNS) and metadata is not None:
        return read_asv_scores_2021(metadata, path)
    raise DataError(
        f"{path}: {len(first)} columns in its first line; expected a verifier's scores of ASVspoof 2019 (attack, kind, "
        "score), its trial_metadata.txt of 2021 (8 columns), or the score file of 2021 beside that"
    )


def read_asv_scores_2019(path: str | Path) -> list[AsvTrial]:
    """Read the verifier's score file of ASVspoof 2019 LA.

    Args:
        path: ``ASVspoof2019.LA.asv.eval.gi.trl.scores.txt`` or another of its form, or the corpus's folder.

    Returns:
        One trial a line.

    Raises:
        DataError: nothing to read, other than three columns, an unknown kind, a score that is not a finite number, a
            spoof without attack; with file and line.
    """
    (file,) = locate(path, _2019_FILES, _2019_FOLDERS)
    trials = []
    for line, (made_by, kind, score) in columns(file, _2019_COLUMNS):
        known = one_of(file, line, "kind", kind, KINDS)
        trials.append(AsvTrial(known, finite(file, line, "score", score), _attack(file, line, known, made_by)))
    return trials


def read_asv_scores_2021(
    metadata: str | Path, scores: str | Path | None = None, subset: str | None = None
) -> list[AsvTrial]:
    """Read the verifier's trials of ASVspoof 2021 LA with their scores.

    Args:
        metadata: ``trial_metadata.txt`` of ``keys/LA/ASV``, or a folder that holds it there.
        scores: the score file; None for ``ASVTorch_Kaldi/score.txt`` beside the metadata.
        subset: keep the trials of this subset; the others need no score. None for all.

    Returns:
        One trial a line of the metadata that is kept.

    Raises:
        DataError: nothing to read, another number of columns, an unknown kind, a score that is not a finite number, a
            trial that is there twice, has no score, or a score without a trial; with file and line.
    """
    (file,) = locate(metadata, ("trial_metadata.txt",), _2021_FOLDERS)
    if scores is None:
        (score_file, *_) = locate(file.parent, _2021_SCORES, ("",))
    else:
        (score_file,) = locate(scores, ("score.txt",), ("",))
    known = _read_scores(score_file)
    trials: list[AsvTrial] = []
    seen: dict[tuple[str | None, str | None], int] = {}
    for line, (speaker, trial, codec, transmission, made_by, kind, trim, part) in columns(file, _2021_COLUMNS):
        pair = (speaker, trial)
        if pair in seen:
            raise DataError(f"{file}, line {line}: {trial} against {speaker} was already in line {seen[pair]}")
        seen[pair] = line
        if subset not in (None, part):
            continue
        if pair not in known:
            raise DataError(f"{file}, line {line}: {trial} against {speaker} has no score in {score_file}")
        what = one_of(file, line, "kind", kind, KINDS)
        trials.append(
            AsvTrial(
                kind=what,
                score=known[pair][0],
                attack=_attack(file, line, what, made_by),
                speaker=speaker,
                trial=trial,
                codec=codec,
                transmission=transmission,
                trim=trim,
                subset=part,
            )
        )
    extra = next((pair for pair in known if pair not in seen), None)
    if extra is not None:
        raise DataError(f"{score_file}, line {known[extra][1]}: {extra[1]} against {extra[0]} is not in {file}")
    return trials


def _read_scores(path: Path) -> dict[tuple[str | None, str | None], tuple[float, int]]:
    """Read claimed speaker, trial and score; each pair once, with its line."""
    known: dict[tuple[str | None, str | None], tuple[float, int]] = {}
    for line, (speaker, trial, score) in columns(path, _SCORE_COLUMNS):
        pair = (speaker, trial)
        if pair in known:
            raise DataError(f"{path}, line {line}: {trial} against {speaker} was already in line {known[pair][1]}")
        known[pair] = (finite(path, line, "score", score), line)
    return known


def _attack(path: Path, line: int, kind: str, text: str | None) -> str | None:
    name = None if text == "bonafide" else text
    if (kind == "spoof") != (name is not None):
        raise DataError(
            f"{path}, line {line}: a {kind} trial with the attack {name or '-'!r}; expected an attack for a spoof, and "
            "- or bonafide for the others"
        )
    return name
