"""Run claims: a file for each (claim, arm, seed), so that a killed run goes on; other settings refuse."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from auricle.claims import equality
from auricle.claims.claim import BUDGETS, Budget, Cell, Claim, Measured, Settings, Verdict
from auricle.claims.results import MOST_UNITS, Entry, merge
from auricle.core.config import Config
from auricle.core.errors import ConfigError, DataError
from auricle.core.files import read_json, write_json
from auricle.core.locks import FOLDER_LOCK, beside, only_writer
from auricle.core.run import environment, filled

SHARED = "shared"  # folder of what the claims of a system share, beside their own
QUICK_NOTE = "quick budget: this only shows that the machinery runs; no verdict is claimed"


def run_claims(
    claims: Sequence[Claim], budget: str, folder: str | Path, results: str | Path, only: Iterable[str] = ()
) -> tuple[list[Entry], list[str]]:
    """Run claims one after the other, and write each into the results file as soon as it is done.

    Args:
        claims: of one system.
        budget: ``quick`` or ``full``.
        folder: where the cells go, below the budget's name; a folder that holds some goes on.
        results: the results file.
        only: ids of the claims to run; all when empty.

    Returns:
        The entries, and the ids of claims whose full result in the file was kept because only a quick one was made.

    Raises:
        ConfigError: an unknown budget or id, or the folder was begun with other settings.
        DataError: a damaged cell, numbers that cannot be written, or another process writes the folder.
    """
    chosen = next((one for one in BUDGETS if one == budget), None)
    if chosen is None:
        raise ConfigError(f"there is no budget '{budget}'; budgets: {', '.join(BUDGETS)}")
    known = {claim.id: claim for claim in claims}
    if len(known) < len(claims):
        raise ConfigError(f"two claims have one id: {', '.join(claim.id for claim in claims)}")
    wanted = list(dict.fromkeys(only)) or list(known)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ConfigError(f"there is no claim {', '.join(unknown)}; claims: {', '.join(known)}")
    entries, kept = [], []
    place = Path(folder) / chosen
    with only_writer(place / FOLDER_LOCK, f"the claims in {place}"):
        for name in wanted:
            entry = run_claim(known[name], chosen, place / name)
            # claims in another folder may have the same file of results
            with only_writer(beside(results), f"the results file {results}"):
                kept += merge(results, [entry])
            entries.append(entry)
    return entries, kept


def run_claim(claim: Claim, budget: Budget, folder: Path) -> Entry:
    """Measure the cells of one claim that are not there yet, seed by seed, and decide.

    Args:
        claim: what to run.
        budget: ``quick`` or ``full``.
        folder: of this claim at this budget.

    Returns:
        What came out.

    Raises:
        ConfigError: the folder was begun with other settings, another rule among them.
        DataError: a damaged cell, or numbers that cannot be written.
    """
    fixed = _fix(claim, budget, folder)
    cells: dict[str, dict[int, dict[str, Any]]] = {arm: {} for arm in claim.arms}
    environments: list[dict[str, Any]] = []
    seconds, cut = 0.0, []
    order = [(arm, seed) for seed in claim.seeds(budget) for arm in claim.arms]
    for number, (arm, seed) in enumerate(order, 1):
        path = folder / f"{arm}-seed-{seed}.json"
        asked = Cell(arm, seed, budget, folder.parent / SHARED, folder / "work" / path.stem)
        if path.exists():
            cell = _known(path, claim, asked)
        elif seconds > claim.limit_s:
            cut.append(f"{arm} seed {seed}")
            continue
        else:
            cell = _measure(claim, asked, path)
            _say(f"{claim.id} {arm} seed {seed}: {number} of {len(order)}, {cell['seconds']:.0f} s")
        seconds += cell["seconds"]
        cells[arm][seed] = cell["numbers"]
        if cell["environment"] not in environments:
            environments.append(cell["environment"])
    complete = tuple(seed for seed in claim.seeds(budget) if all(seed in cells[arm] for arm in claim.arms))
    measured = Measured(cells, complete)
    notes = [f"rule fixed {fixed['written']}, before the first run"]
    if len(environments) > 1:
        notes.append(f"cells come from {len(environments)} environments; the first is given")
    return _entry(claim, budget, measured, seconds, cut, notes, environments[0])


def _fix(claim: Claim, budget: Budget, folder: Path) -> dict[str, Any]:
    """Write down statement, rule, arms and seeds before the first cell; refuse to go on under another rule."""
    wanted = {
        "id": claim.id,
        "statement": claim.statement,
        "rule": claim.rule,
        "metric": claim.metric,
        "arms": dict(claim.arms),
        "headline": claim.headline,
        "seeds": list(claim.seeds(budget)),
        "budget": budget,
    }
    path = folder / "claim.json"
    if path.exists():
        saved = dict(read_json(path))
        _must_equal(saved, wanted, folder)
        return saved
    wanted["written"] = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    write_json(path, wanted)
    return wanted


def _known(path: Path, claim: Claim, asked: Cell) -> dict[str, Any]:
    """Read a cell that is there; refuse one of other settings."""
    cell = read_json(path)
    if not isinstance(cell, dict) or not {"settings", "numbers", "seconds", "environment"} <= cell.keys():
        raise DataError(f"{path} is not a measured cell; delete it to measure it again")
    wanted = claim.settings(asked)
    _must_equal(_as_today(cell["settings"], wanted), plain(wanted), path)
    return cell


def _as_today(saved: Any, wanted: Settings | Any) -> Any:
    """Bring settings that an older version wrote to today's keys, wherever a config stands in them."""
    if isinstance(wanted, Config):
        return filled(saved, type(wanted))
    if isinstance(wanted, Mapping) and isinstance(saved, dict):
        return {key: _as_today(value, wanted[key]) if key in wanted else value for key, value in saved.items()}
    return saved


def _must_equal(saved: Any, wanted: dict[str, Any], place: Path) -> None:
    saved = saved if isinstance(saved, dict) else {}
    differ = [
        f"{key}: there {saved.get(key)!r}, now {wanted.get(key)!r}"
        for key in sorted((saved.keys() | wanted.keys()) - {"written"})
        if saved.get(key) != wanted.get(key)
    ]
    if differ:
        raise ConfigError(
            f"{place} was made with other settings ({'; '.join(differ[:3])}); "
            "give another --folder, or delete this one to begin again: results under two rules are not one result"
        )


def _measure(claim: Claim, asked: Cell, path: Path) -> dict[str, Any]:
    """Measure a cell in a folder of its own and write it down whole."""
    asked.work.mkdir(parents=True, exist_ok=True)
    # seconds of an earlier, interrupted attempt count as well: the limit is on what was spent
    clock = asked.work / "seconds.json"
    before = float(read_json(clock)) if clock.exists() else 0.0
    started = time.perf_counter()
    try:
        numbers = plain(claim.run(asked))
    finally:
        spent = before + time.perf_counter() - started
        write_json(clock, spent)
    cell = {
        "claim": claim.id,
        "arm": asked.arm,
        "seed": asked.seed,
        "budget": asked.budget,
        "settings": plain(claim.settings(asked)),
        "numbers": numbers,
        "seconds": spent,
        "environment": {**environment(), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")},
    }
    try:
        write_json(path, cell)
    except ValueError as error:
        raise DataError(
            f"claim {claim.id}, arm {asked.arm}, seed {asked.seed} measured something that is not finite: {error}"
        ) from None
    shutil.rmtree(asked.work)
    return cell


def plain(value: Any) -> Any:
    """Bring configs, arrays and tuples to what JSON gives back, so that equal settings compare equal.

    Args:
        value: settings or numbers of a claim.

    Raises:
        DataError: something in it that JSON has no word for.
    """

    def convert(item: Any) -> Any:
        if isinstance(item, Config):
            return item.model_dump(mode="json")
        if isinstance(item, np.ndarray | np.generic):
            return item.tolist()
        raise TypeError(f"{type(item).__name__} is not plain JSON")

    try:
        return json.loads(json.dumps(value, default=convert))
    except (TypeError, ValueError) as error:
        raise DataError(f"a claim gave settings or numbers that cannot be written as JSON: {error}") from None


def _entry(
    claim: Claim,
    budget: Budget,
    measured: Measured,
    seconds: float,
    cut: Sequence[str],
    notes: Sequence[str],
    where: dict[str, Any],
) -> Entry:
    """Apply the rule, then what stands above it: budget, fewest seeds, equality."""
    equal = equality.check(claim, measured)
    cuts = list(claim.cuts)
    if cut:
        cuts.append(f"time limit of {claim.limit_s:.0f} s reached; not measured: {', '.join(cut)}")
    decided = _decide(claim, measured)
    outcome, said = decided.verdict, [*notes, *decided.notes]
    if budget == "quick":
        outcome = "no verdict"
        said.insert(0, QUICK_NOTE)
    elif len(measured.seeds) < claim.fewest_seeds:
        outcome = "not resolved"
        said.append(f"{len(measured.seeds)} complete seeds; at least {claim.fewest_seeds} are needed for a verdict")
    elif not equal["equal"]:
        outcome = "not resolved"
        said.append("the arms did not have an equal budget: " + "; ".join(equal["problems"]))
    return Entry.model_validate(
        {
            "id": claim.id,
            "statement": claim.statement,
            "rule": claim.rule,
            "headline": claim.headline,
            "arms": dict(claim.arms),
            "seeds": list(measured.seeds),
            "budget": budget,
            "metric": claim.metric,
            "effect": decided.effect,
            "ci95": decided.ci95,
            "verdict": outcome,
            "minimum_detectable": decided.minimum_detectable,
            "parts": [asdict(part) for part in decided.parts],
            "measured": _spreads(measured),
            "units": _units(measured),
            "equal_budget": equal,
            "cuts": cuts,
            "notes": said,
            "seconds": round(seconds, 1),
            "environment": where,
        }
    )


def _decide(claim: Claim, measured: Measured) -> Verdict:
    if len(measured.seeds) < 2:
        return Verdict("not resolved", None, None, ("fewer than two complete seeds: there is nothing to compare",))
    return claim.decide(measured)


def _spreads(measured: Measured) -> dict[str, dict[str, Any]]:
    """Give mean, spread and values over the complete seeds of every plain number of every arm."""
    table: dict[str, dict[str, Any]] = {}
    for arm, cells in measured.cells.items():
        numbers = [cells[seed] for seed in measured.seeds]
        names = [
            name
            for name, value in (numbers[0].items() if numbers else ())
            if isinstance(value, int | float) and all(name in cell for cell in numbers)
        ]
        table[arm] = {}
        for name in names:
            values = np.array([float(cell[name]) for cell in numbers])
            sd = float(values.std(ddof=1)) if values.size > 1 else None
            table[arm][name] = {
                "mean": float(values.mean()),
                "sd": sd,
                "n": int(values.size),
                "values": values.tolist(),
            }
    return table


def _units(measured: Measured) -> dict[str, dict[str, list[list[float]]]]:
    """Give the numbers of every unit, for each complete seed, of every list of an arm that is short enough."""
    table: dict[str, dict[str, list[list[float]]]] = {}
    for arm, cells in measured.cells.items():
        numbers = [cells[seed] for seed in measured.seeds]
        for name in numbers[0] if numbers else ():
            lists = [cell.get(name) for cell in numbers]
            if all(_few(one) for one in lists):
                table.setdefault(arm, {})[name] = [[float(value) for value in one or ()] for one in lists]
    return table


def _few(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= MOST_UNITS
        and all(isinstance(item, int | float) and math.isfinite(item) for item in value)
    )


def _say(line: str) -> None:
    """Tell how far it is, on standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
