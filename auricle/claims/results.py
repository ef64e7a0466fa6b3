"""``docs/results/SYSTEM.json``: one entry a claim, from which the tables of the docs are made."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError, model_validator

from auricle.claims.claim import Budget, Outcome
from auricle.core.errors import DataError
from auricle.core.files import read_json, write_json

MOST_UNITS = 64  # numbers of units that a file keeps for each seed


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Comparison(_Strict):
    """One comparison behind a verdict; see `auricle.claims.claim.Part`."""

    name: str
    effect: FiniteFloat | None
    ci95: tuple[FiniteFloat, FiniteFloat] | None
    verdict: Outcome | None


class Spread(_Strict):
    """A measured number over seeds.

    Attributes:
        mean: over the seeds.
        sd: standard deviation (ddof 1); None for one seed.
        n: number of seeds.
        values: the number of each seed, in the order of the entry's seeds, so that any interval can be computed again;
            None in files of before they were kept.
    """

    mean: FiniteFloat
    sd: FiniteFloat | None
    n: int
    values: list[FiniteFloat] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Spread:
        if self.values is not None and len(self.values) != self.n:
            raise ValueError(f"{len(self.values)} values of {self.n} seeds")
        return self


class EqualBudget(_Strict):
    """What `auricle.claims.equality.check` found."""

    parameters: dict[str, int]
    steps: dict[str, int]
    held_equal: list[list[str]]
    equal: bool
    problems: list[str]


class Entry(_Strict):
    """What came out of one claim.

    Attributes:
        id: as in the paper's specification.
        statement: what is claimed.
        rule: what decides, as it was written before the run.
        headline: the system's main claim.
        arms: description of each arm.
        seeds: seeds that all arms completed.
        budget: ``quick`` only says that the machinery runs.
        metric: what `effect` and `ci95` measure.
        effect: the effect; None where it could not be measured.
        ci95: its 95 % interval.
        verdict: ``no verdict`` for the quick budget.
        minimum_detectable: effect that 80 % of repetitions would have found.
        parts: the comparisons behind the verdict.
        measured: mean, spread and values of the numbers of each arm.
        units: numbers of each unit (voice, file, clip) of an arm, a list for each seed, where a seed has at most
            `MOST_UNITS` of them.
        equal_budget: parameters and steps of the arms.
        cuts: where the experiment is smaller than its design, and what the time limit left out.
        notes: what a reader has to know.
        seconds: time spent measuring.
        environment: versions and machine.
    """

    id: str
    statement: str
    rule: str
    headline: bool
    arms: dict[str, str]
    seeds: list[int]
    budget: Budget
    metric: str
    effect: FiniteFloat | None
    ci95: tuple[FiniteFloat, FiniteFloat] | None
    verdict: Outcome
    minimum_detectable: FiniteFloat | None
    parts: list[Comparison]
    measured: dict[str, dict[str, Spread]]
    units: dict[str, dict[str, list[list[FiniteFloat]]]] = {}
    equal_budget: EqualBudget
    cuts: list[str]
    notes: list[str]
    seconds: FiniteFloat
    environment: dict[str, Any]

    @model_validator(mode="after")
    def _consistent(self) -> Entry:
        if (self.budget == "quick") != (self.verdict == "no verdict"):
            raise ValueError(f"budget {self.budget} cannot have the verdict '{self.verdict}'")
        if self.verdict in ("confirmed", "refuted") and self.ci95 is None:
            raise ValueError(f"the verdict '{self.verdict}' needs an interval")
        if self.ci95 is not None and self.ci95[0] > self.ci95[1]:
            raise ValueError(f"the interval {self.ci95} is not (low, high)")
        return self


class Results(_Strict):
    """The file: all claims of one system."""

    claims: list[Entry]


def load(path: str | Path) -> Results:
    """Read a results file.

    Raises:
        DataError: it is missing, not JSON, or not of this form.
    """
    value = read_json(path)
    try:
        return Results.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the top level"
        raise DataError(f"{path} is not a results file: at {where}: {first['msg']}") from None


def merge(path: str | Path, entries: Iterable[Entry]) -> list[str]:
    """Put entries into a results file, in the order of their ids; claims that are not given stay as they are.

    Args:
        path: of the file; made if it is not there.
        entries: what to put in. A quick entry never takes the place of a full one.

    Returns:
        Ids that were left as they are because a full result is there and only a quick one was given.

    Raises:
        DataError: the file is there and is not a results file.
    """
    path = Path(path)
    known = {entry.id: entry for entry in load(path).claims} if path.exists() else {}
    kept = []
    for entry in entries:
        if entry.budget == "quick" and entry.id in known and known[entry.id].budget == "full":
            kept.append(entry.id)
        else:
            known[entry.id] = entry
    ordered = [known[name] for name in sorted(known)]
    write_json(path, Results(claims=ordered).model_dump(mode="json"))
    return kept


def schema(mode: Literal["validation", "serialization"] = "validation") -> dict[str, Any]:
    """Give the JSON schema of the file."""
    return Results.model_json_schema(mode=mode)
