"""From what `evaluate` found to what a run folder holds: report.json, report.html, scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auricle.core.config import Config
from auricle.core.files import read_jsonl, write_jsonl
from auricle.core.names import Spec
from auricle.core.report import MetricRow, Report
from auricle.core.run import RunFolder, environment
from auricle.report.html import render
from auricle.report.players import Player
from auricle.report.plots import Curve, Histogram, Plot

Scores = Iterable[Mapping[str, Any]] | Callable[[Path], object]


@dataclass(frozen=True)
class Page:
    """What the page of a run shows beside its tables.

    Attributes:
        notes: paragraphs of plain text.
        curves: DET curves.
        histograms: of scores; they share one axis.
        players: sounds to listen to.
        figures: further plots under headings of their own.
    """

    notes: Sequence[str] = ()
    curves: Sequence[Curve] = ()
    histograms: Sequence[Histogram] = ()
    players: Sequence[Player] = ()
    figures: Sequence[tuple[str, Sequence[Plot]]] = ()


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` gives.

    Attributes:
        rows: the numbers; a row that does not name its data gets `data`.
        data: name of the data.
        warnings: what a reader has to know, one sentence each.
        lead: what came out, in plain sentences; stands first in terminal and page.
        details: groups that the terminal leaves to the page.
        leak: whether a leak check failed.
        toy: whether the result only shows that the machinery works; None: every preset but ``paper`` does.
        extra: anything else for report.json, plain JSON values.
        scores: file name in ``scores/`` -> rows of JSON lines, or what writes the file.
        page: of the page; None writes none.
    """

    rows: Sequence[MetricRow]
    data: str
    warnings: Sequence[str] = ()
    lead: Sequence[str] = ()
    details: Sequence[str] = ()
    leak: bool = False
    toy: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Scores] = field(default_factory=dict)
    page: Page | None = None


def report_of(found: Evaluation, system: str, preset: str, seeds: Sequence[int] = ()) -> Report:
    """Give the report of an evaluation; nothing is written.

    Args:
        found: what was measured.
        system: whose.
        preset: of the run; ``scores`` where no model of ours was measured.
        seeds: of the run; none where there is no run.

    Raises:
        DataError: rows that cannot stand in one report.
    """
    extra = dict(found.extra)
    extra = {"verdict": list(found.lead), **extra} if found.lead else extra
    extra |= {"details": list(found.details)} if found.details else {}
    return Report(
        system=system,
        preset=preset,
        data=found.data,
        toy=preset != "paper" if found.toy is None else found.toy,
        seeds=list(seeds),
        environment=environment(),
        metrics=[row if row.data else row.model_copy(update={"data": found.data}) for row in found.rows],
        warnings=list(found.warnings),
        leak=found.leak,
        extra=extra,
    )


def publish(
    found: Evaluation, run: RunFolder, cfg: Config, spec: Spec, preset: str, *, seed: int, name: str = "report"
) -> Report:
    """Write what was measured into a run folder: ``scores/``, ``NAME.json``, and ``NAME.html`` where there is a page.

    Args:
        found: what was measured.
        run: where to.
        cfg: the run's config, folded into the page.
        spec: of the system.
        preset: of the run.
        seed: of the run.
        name: of the report's files.

    Returns:
        The report.

    Raises:
        DataError: rows that cannot stand in one report, or values that are not JSON.
    """
    report = report_of(found, spec.name, preset, [seed])
    for file, rows in found.scores.items():
        if callable(rows):
            rows(run.scores / file)
        else:
            write_jsonl(run.scores / file, rows)
    report.save(run.path / f"{name}.json")
    if found.page is not None:
        log = run.path / "metrics.jsonl"
        render(
            report,
            run.path / f"{name}.html",
            headline=spec.headline,
            curves=found.page.curves,
            histograms=found.page.histograms,
            training=list(read_jsonl(log)) if log.exists() else [],
            players=found.page.players,
            notes=found.page.notes,
            config=cfg.model_dump(mode="json"),
            lead=found.lead,
            figures=found.page.figures,
            titles=spec.titles,
            items=spec.items,
        )
    return report
