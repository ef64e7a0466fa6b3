"""VoxCeleb's lists of verification trials: ``<1 or 0> <enrolment path> <test path>``, 1 for one speaker in both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from auricle.core.errors import DataError
from auricle.data.protocols.lines import columns, locate, one_of

FILES = ("veri_test2.txt", "list_test_hard2.txt", "list_test_all2.txt", "veri_test.txt")

_COLUMNS = ("1 or 0", "enrolment", "test")
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class PairTrial:
    """One trial of two utterances.

    Attributes:
        same: whether one speaker is in both.
        enrol: path of the enrolment utterance, with ``/``.
        test: path of the test utterance.
        line: its line in the list, from 1.
    """

    same: bool
    enrol: str
    test: str
    line: int

    @property
    def claimed(self) -> str:
        """The claimed speaker: the folder that the enrolment's path starts with."""
        return PurePosixPath(self.enrol).parts[0]

    @property
    def speaker(self) -> str:
        """Who really speaks."""
        return PurePosixPath(self.test).parts[0]


def read_voxceleb(path: str | Path, audio_root: str | Path | None = None) -> list[PairTrial]:
    """Read a list of trials.

    Args:
        path: a list such as ``veri_test2.txt``, or a folder with one of the known names (the first of them is read).
        audio_root: the folder that the paths start at, to make sure that every file is there; None to not look.

    Returns:
        One trial a line.

    Raises:
        DataError: nothing to read, other than three columns, neither 1 nor 0, a path without speaker, a label that
            contradicts the speakers, an utterance against itself, or a pair that is there twice; with file and line.
            Also files that are missing: one message with the first 20.
    """
    file = locate(path, FILES, ("", "meta"))[0]
    trials: list[PairTrial] = []
    seen: dict[tuple[str, str], int] = {}
    for line, (mark, enrol, test) in columns(file, _COLUMNS):
        same = one_of(file, line, "label", mark, ("1", "0")) == "1"
        for given in (enrol, test):
            if given is None or len(PurePosixPath(given).parts) < 2:
                raise DataError(f"{file}, line {line}: path {given or '-'!r}; expected speaker/.../file")
        trial = PairTrial(same, str(enrol), str(test), line)
        if trial.enrol == trial.test:
            raise DataError(f"{file}, line {line}: {trial.enrol} is tried against itself; expected two utterances")
        if same != (trial.claimed == trial.speaker):
            says = "one speaker" if same else "two speakers"
            raise DataError(f"{file}, line {line}: label {mark} says {says}, the paths {trial.enrol} and {trial.test}")
        pair = (trial.enrol, trial.test)
        if pair in seen:
            raise DataError(f"{file}, line {line}: {pair[0]} against {pair[1]} was already in line {seen[pair]}")
        seen[pair] = line
        trials.append(trial)
    if audio_root is not None:
        _need_files(file, trials, Path(audio_root))
    return trials


def _need_files(file: Path, trials: list[PairTrial], root: Path) -> None:
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the one that the paths of {file} start at")
    first: dict[str, int] = {}
    for trial in trials:
        for name in (trial.enrol, trial.test):
            first.setdefault(name, trial.line)
    missing = [f"line {line}: {name}" for name, line in first.items() if not (root / name).is_file()]
    if missing:
        more = f"\n... and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise DataError(
            f"{file}: {len(missing)} of {len(first)} files are not below {root}:\n" + "\n".join(missing[:_SHOWN]) + more
        )
