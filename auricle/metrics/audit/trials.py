"""Trials of a verifier under attack: scores, kinds and conditions; text is kept as codes and a list of names."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.core.errors import DataError
from auricle.metrics.trials import FloatArray, check_scores

Mask = npt.NDArray[np.bool_]
Index = npt.NDArray[np.int64]

KINDS = ("target", "zero_effort", "spoof")
DOMAINS = ("", "in", "out")
TEXT_COLUMNS = ("kind", "target", "speaker", "generator", "language", "condition", "domain", "test")
_CHUNK = 65_536


class Column:
    """A column of text: a code for each row and the name of each code.

    It behaves as an array of text where that matters: ``column == "spoof"`` is a mask, ``column[mask]`` a column,
    ``np.asarray(column)`` the texts.
    """

    __slots__ = ("codes", "names")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, codes: npt.ArrayLike, names: Sequence[str]) -> None:
        """Take codes, shape (N,), that count from 0 into `names`.

        Raises:
            DataError: a code without a name, or a name that is there twice.
        """
        given = np.asarray(codes)
        self.names = tuple(str(name) for name in names)
        if given.ndim != 1 or given.dtype.kind not in "iu":
            raise DataError(f"codes of a column must be whole numbers, shape (N,); got {given.dtype}, {given.shape}")
        if given.size and not 0 <= int(given.min()) <= int(given.max()) < len(self.names):
            raise DataError(f"codes of a column run from {given.min()} to {given.max()}, for {len(self.names)} names")
        if len(set(self.names)) != len(self.names):
            raise DataError(f"a column has the same name for two codes: {_repeated(self.names)!r}")
        self.codes = given.astype(np.int32, copy=False)

    @classmethod
    def of(cls, values: Column | npt.ArrayLike | Iterable[str]) -> Column:
        """Code texts, in order of first appearance; a column comes back as it is.

        Args:
            values: texts, one a trial.
        """
        if isinstance(values, Column):
            return values
        known: dict[str, int] = {}
        parts = [
            np.fromiter((known.setdefault(str(text), len(known)) for text in chunk), np.int32, len(chunk))
            for chunk in _chunks(values)
        ]
        return cls(np.concatenate(parts) if parts else np.empty(0, np.int32), list(known))

    @classmethod
    def constant(cls, name: str, size: int) -> Column:
        """Make a column of one text.

        Args:
            name: the text.
            size: trials.
        """
        return cls(np.zeros(size, np.int32), (name,))

    def __len__(self) -> int:
        return int(self.codes.size)

    def __getitem__(self, rows: Any) -> Column:
        return Column(np.atleast_1d(self.codes[rows]), self.names)

    def __eq__(self, name: object) -> Mask:  # type: ignore[override]
        """Mark the rows that hold a text."""
        if not isinstance(name, str):
            return np.asarray(np.asarray(self) == np.asarray(name))
        if name not in self.names:
            return np.zeros(len(self), dtype=bool)
        return np.asarray(self.codes == self.names.index(name))

    def __ne__(self, name: object) -> Mask:  # type: ignore[override]
        return ~(self == name)

    def __iter__(self) -> Iterator[str]:
        return (self.names[code] for code in self.codes.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(np.asarray(self.names or ("",))[self.codes], dtype=dtype)

    def present(self) -> list[str]:
        """Give the names that some row holds, in order of name."""
        counts = np.bincount(self.codes, minlength=len(self.names))
        return sorted(name for name, count in zip(self.names, counts, strict=True) if count)

    def renamed(self, names: Sequence[str]) -> npt.NDArray[np.int32]:
        """Give the codes with which other names, a superset of this column's, would write it.

        Args:
            names: new text of each old one.
        """
        place = {name: code for code, name in enumerate(names)}
        codes = np.asarray([place[name] for name in self.names], dtype=np.int32)
        return self.codes if np.array_equal(codes, np.arange(codes.size)) else codes[self.codes]


def _repeated(names: Sequence[str]) -> str:
    return next(name for index, name in enumerate(names) if name in names[:index])


def _chunks(values: npt.ArrayLike | Iterable[str]) -> Iterator[list[Any]]:
    """Give the texts in lists of bounded size, so that an array of ten million never becomes as many Python texts."""
    if isinstance(values, np.ndarray):
        for start in range(0, values.size, _CHUNK):
            yield values[start : start + _CHUNK].tolist()
        return
    rest = iter(values)  # type: ignore[arg-type]
    while chunk := list(itertools.islice(rest, _CHUNK)):
        yield chunk


class AttackTrials:
    """Trials of a verifier, with the real speakers, impostors and spoofs against each claimed speaker.

    Attributes:
        score: the verifier's scores, float64, shape (N,); higher is more alike.
        kind: ``target``, ``zero_effort`` or ``spoof``.
        target: the claimed speaker.
        speaker: who really speaks; for a spoof the attacker's source. ``""`` where it is not known.
        generator: what made a spoof; ``""`` for the other kinds.
        language: what is spoken, or ``""``.
        condition: noise, codec or the like, or ``""``.
        detector: a detector's scores, float64, shape (N,), higher is more bona fide; or None.
        domain: ``in`` or ``out`` of what the detector was made for, ``""`` for a trial that counts in both; or None.
        test: the clip under test, or None. With it the detector is measured once per clip, without it once per trial.
    """

    __slots__ = (
        "condition",
        "detector",
        "domain",
        "generator",
        "kind",
        "language",
        "score",
        "speaker",
        "target",
        "test",
    )

    def __init__(
        self,
        score: npt.ArrayLike,
        kind: Column | npt.ArrayLike,
        target: Column | npt.ArrayLike,
        speaker: Column | npt.ArrayLike | None = None,
        generator: Column | npt.ArrayLike | None = None,
        language: Column | npt.ArrayLike | None = None,
        condition: Column | npt.ArrayLike | None = None,
        detector: npt.ArrayLike | None = None,
        domain: Column | npt.ArrayLike | None = None,
        test: Column | npt.ArrayLike | None = None,
    ) -> None:
        """Check the columns and code the texts; see the attributes.

        Raises:
            DataError: columns of different lengths, scores that are not finite, an unknown kind or domain, no claimed
                speaker, a generator of real speech, or a speaker who contradicts the kind.
        """
        self.score = check_scores(score, "verifier")
        size = self.score.size
        self.kind = Column.of(kind)
        self.target = Column.of(target)
        self.speaker = _or_empty(speaker, size)
        self.generator = _or_empty(generator, size)
        self.language = _or_empty(language, size)
        self.condition = _or_empty(condition, size)
        self.detector: FloatArray | None = None if detector is None else check_scores(detector, "detector")
        self.domain = None if domain is None else Column.of(domain)
        self.test = None if test is None else Column.of(test)
        self._check(size)

    def _check(self, size: int) -> None:
        for name in (*TEXT_COLUMNS, "detector"):
            column = getattr(self, name)
            if column is not None and len(column) != size:
                raise DataError(f"there are {size} verifier scores and {len(column)} rows of {name!r}; give one each")
        self._words("kind", self.kind, KINDS)
        if self.domain is not None:
            self._words("domain", self.domain, DOMAINS)
        for name, column in (("target", self.target), ("test", self.test)):
            if column is not None and "" in column.present():
                at = int(np.argmax(column == ""))
                raise DataError(f"trial {at + 1} has no {name}; every trial names it")
        real = self.kind != "spoof"
        odd = np.flatnonzero(real & (self.generator != ""))
        if odd.size:
            at = int(odd[0])
            made_by = self.generator.names[self.generator.codes[at]]
            raise DataError(f"trial {at + 1} is real speech with the generator {made_by!r}; only spoofs have one")
        self._check_speakers()
        if self.test is not None:
            self._check_clips(self.test, real)

    @staticmethod
    def _words(name: str, column: Column, allowed: Sequence[str]) -> None:
        strange = [word for word in column.present() if word not in allowed]
        if strange:
            at = int(np.argmax(column == strange[0]))
            words = ", ".join(word or "''" for word in allowed)
            raise DataError(f"trial {at + 1} has the {name} {strange[0]!r}; expected one of {words}")

    def _check_speakers(self) -> None:
        """A target speaks for himself, a zero-effort impostor does not."""
        claimed, speaks = self.shared_codes()
        same, known = claimed == speaks, self.speaker != ""
        for kind, wrong, says in (
            ("target", ~same, "someone else speaks"),
            ("zero_effort", same, "the claimed speaker speaks"),
        ):
            odd = np.flatnonzero((self.kind == kind) & known & wrong)
            if odd.size:
                at = int(odd[0])
                where = f"trial {at + 1} against {self.target.names[self.target.codes[at]]!r}"
                raise DataError(f"{where} is of the kind {kind} and {says}; mend kind or speaker")

    @staticmethod
    def _check_clips(test: Column, real: Mask) -> None:
        """A clip that is real in one trial and fake in another would be held against itself."""
        as_real = np.bincount(test.codes[real], minlength=len(test.names)) > 0
        both = np.flatnonzero(as_real & (np.bincount(test.codes[~real], minlength=len(test.names)) > 0))
        if both.size:
            shown = ", ".join(test.names[at] for at in both[:5])
            raise DataError(f"{both.size} clips are real in one trial and spoof in another, such as {shown}")

    def shared_codes(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Give claimed and real speakers coded with one list of names, each shape (N,)."""
        names = list(dict.fromkeys((*self.target.names, *self.speaker.names)))
        return self.target.renamed(names), self.speaker.renamed(names)

    def __len__(self) -> int:
        return int(self.score.size)

    def select(self, rows: npt.NDArray[Any]) -> AttackTrials:
        """Give the trials at some rows (a mask or indices), unchanged.

        Args:
            rows: mask or places of the trials to keep.
        """
        return AttackTrials(
            self.score[rows],
            self.kind[rows],
            self.target[rows],
            self.speaker[rows],
            self.generator[rows],
            self.language[rows],
            self.condition[rows],
            detector=None if self.detector is None else self.detector[rows],
            domain=None if self.domain is None else self.domain[rows],
            test=None if self.test is None else self.test[rows],
        )


def _or_empty(values: Column | npt.ArrayLike | None, size: int) -> Column:
    return Column.constant("", size) if values is None else Column.of(values)
