"""What a claim is: a statement, arms, seeds, a measurement, and the rule that decides."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auricle.core.config import Config
from auricle.core.errors import ConfigError, DataError

Budget = Literal["quick", "full"]
BUDGETS: tuple[Budget, ...] = ("quick", "full")
Outcome = Literal["confirmed", "refuted", "not resolved", "no verdict"]
FEWEST_SEEDS = {True: 5, False: 3}  # of a headline claim and of any other
CLAIM_LIMIT_S = 1800.0  # a claim takes at most this long; what is then missing is cut and said


@dataclass(frozen=True)
class Cell:
    """One measurement of a claim: an arm with a seed.

    Attributes:
        arm: which arm.
        seed: which seed.
        budget: ``quick`` or ``full``.
        shared: folder of what the claims of a system share: prepared data, trainings that two claims do alike.
        work: the cell's own folder; it is deleted when the cell is written, and a cell that was killed finds there what
            it left.
    """

    arm: str
    seed: int
    budget: Budget
    shared: Path
    work: Path


@dataclass(frozen=True)
class Part:
    """One comparison inside a claim.

    Attributes:
        name: what is compared, with its unit.
        effect: the estimate; None where there is none.
        ci95: its 95 % interval.
        verdict: what the rule says of this part; None for a part that decides nothing.
    """

    name: str
    effect: float | None
    ci95: tuple[float, float] | None = None
    verdict: Outcome | None = None


@dataclass(frozen=True)
class Verdict:
    """What the rule says of the results.

    Attributes:
        verdict: confirmed, refuted or not resolved.
        effect: the claim's effect in the unit that its `metric` names.
        ci95: 95 % interval of the effect.
        notes: what a reader has to know.
        minimum_detectable: effect that would be found in 80 % of repetitions with the spread that was seen.
        parts: the comparisons behind it.
    """

    verdict: Outcome
    effect: float | None
    ci95: tuple[float, float] | None
    notes: tuple[str, ...] = ()
    minimum_detectable: float | None = None
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Measured:
    """The numbers of every arm for the seeds that all arms have.

    Attributes:
        cells: numbers by arm, then by seed.
        seeds: seeds that all arms completed, in order.
    """

    cells: Mapping[str, Mapping[int, Mapping[str, Any]]]
    seeds: tuple[int, ...]

    def values(self, arm: str, name: str) -> npt.NDArray[np.float64]:
        """Give one number of an arm over the seeds, shape (S,).

        Raises:
            DataError: the arm or the number is missing.
        """
        return np.array([float(value) for value in self.each(arm, name)])

    def each(self, arm: str, name: str) -> list[Any]:
        """Give one entry of an arm for each seed, of whatever kind it is.

        Raises:
            DataError: the arm or the entry is missing.
        """
        try:
            return [self.cells[arm][seed][name] for seed in self.seeds]
        except KeyError as error:
            raise DataError(f"arm '{arm}' has no {error.args[0]!r} for the seeds {self.seeds}") from None


Settings = Mapping[str, Any] | Config
Run = Callable[[Cell], Mapping[str, Any]]
Decide = Callable[[Measured], Verdict]


def _no_settings(cell: Cell) -> Settings:
    return {}


@dataclass(frozen=True)
class Claim:
    """A claim of a paper as a small controlled experiment.

    Attributes:
        id: as in the paper's specification, such as ``M4``.
        statement: what is claimed.
        rule: what makes it confirmed, refuted or not resolved; written before any run.
        metric: what `Verdict.effect` measures, with its unit and which sign favours the claim.
        headline: the system's main claim; it needs five seeds, another three.
        arms: description of each arm; arms differ in one thing.
        run: measures one cell: finite numbers, or lists of them (scores of items). ``parameters`` and ``steps`` among
            them are held equal.
        decide: applies the rule.
        seeds_quick: seeds of the quick budget, at least 2, so that the statistics run.
        seeds_full: seeds of the full budget; None: as few as a verdict needs.
        settings: what decides the numbers of a cell: configs and plain JSON; other settings refuse to go on. A config
            that gained settings since stays the same where their defaults are what was done before.
        equal: groups of arms that must have equal parameters (to 3 %); steps are equal over all arms that train.
        cuts: where the experiment is smaller than the paper's or the specification's design.
        limit_s: seconds of measuring after which no new cell is begun.
    """

    id: str
    statement: str
    rule: str
    metric: str
    arms: Mapping[str, str]
    run: Run
    decide: Decide
    seeds_quick: int = 2
    seeds_full: int | None = None
    headline: bool = False
    settings: Callable[[Cell], Settings] = _no_settings
    equal: tuple[tuple[str, ...], ...] = ()
    cuts: tuple[str, ...] = field(default=())
    limit_s: float = CLAIM_LIMIT_S

    def __post_init__(self) -> None:
        """Refuse a claim that could not be decided."""
        if not re.fullmatch(r"[A-Za-z0-9_]+", self.id):
            raise ConfigError(f"a claim's id is letters, digits and _, got {self.id!r}: it names a folder")
        if not self.rule.strip() or not self.statement.strip():
            raise ConfigError(f"claim {self.id} needs a statement and a rule, written before the run")
        wrong = [arm for arm in self.arms if not re.fullmatch(r"[A-Za-z0-9_]+", arm)]
        if not self.arms or wrong:
            raise ConfigError(f"claim {self.id} needs arms named by letters, digits and _, got {list(self.arms)}")
        unknown = sorted({arm for group in self.equal for arm in group} - set(self.arms))
        if unknown:
            raise ConfigError(f"claim {self.id}: equal names {', '.join(unknown)}; its arms: {', '.join(self.arms)}")
        if self.seeds_quick < 2 or len(self.seeds("full")) < self.fewest_seeds:
            raise ConfigError(
                f"claim {self.id} has {self.seeds_quick} quick and {self.seeds_full} full seeds; at least 2 and "
                f"{self.fewest_seeds} are needed{' for a headline claim' if self.headline else ''}"
            )
        if not (math.isfinite(self.limit_s) and self.limit_s > 0):
            raise ConfigError(f"claim {self.id}: limit_s must be above 0 seconds, got {self.limit_s}")

    @property
    def fewest_seeds(self) -> int:
        """Seeds below which no verdict is given."""
        return FEWEST_SEEDS[self.headline]

    def seeds(self, budget: Budget) -> tuple[int, ...]:
        """Give the seeds of a budget."""
        full = self.fewest_seeds if self.seeds_full is None else self.seeds_full
        return tuple(range(self.seeds_quick if budget == "quick" else full))
