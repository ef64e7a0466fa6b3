"""One self-contained HTML page from a report: tables, plots, players, environment and config."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

from auricle.core.files import write_text
from auricle.core.report import MetricRow, Report, format_interval, format_number
from auricle.report.players import Player, encode
from auricle.report.plots import Curve, Histogram, Plot, det_curve, score_histogram, score_range, training_curves
from auricle.report.style import CSS

# a page is one file that can be mailed
MAX_BYTES = 5_000_000
# how a metric or a baseline is written where its own name does not say it; a system adds its own by `Spec.titles`
_TITLES = {
    "eer": "EER",
    "auc": "AUC",
    "min_dcf": "minDCF",
    "act_dcf": "actDCF",
    "cllr": "Cllr",
    "min_cllr": "minCllr",
    "leak_eer": "leak EER",
    "lfcc_gmm": "LFCC+GMM",
    "metadata": "metadata only",
    "constant": "constant answer",
    "chance": "chance",
}
# blocks every address but those inside the page, and every script
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
_TOY = (
    "A small model on little data, made to show that everything works. "
    "It says nothing about how the published system performs."
)
_LEAK = (
    "A detector trained on real speech against the same speech sent through the spoofs' chain tells the two apart, or "
    "another leak check failed. The error rates below may come from the channel and not from the voice."
)


def render(
    report: Report,
    out_path: str | Path,
    *,
    headline: str = "eer",
    curves: Sequence[Curve] = (),
    histograms: Sequence[Histogram] = (),
    training: Sequence[Mapping[str, Any]] = (),
    players: Sequence[Player] = (),
    notes: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    lead: Sequence[str] = (),
    figures: Sequence[tuple[str, Sequence[Plot]]] = (),
    titles: Mapping[str, str] = MappingProxyType({}),
    items: str = "clips",
) -> None:
    """Write a report as one HTML file that needs no network, no script and no other file.

    The headline metric gets a table of its own: a row per group, the system first, the baselines beside it. Rows
    whose metric starts with ``leak`` are the leak checks. Plots and players follow, then all other rows in one table.

    Args:
        report: what was measured.
        out_path: the file to write, atomically.
        headline: name of the headline metric.
        curves: DET curves, one per group.
        histograms: score histograms, one per spoof family; they share one axis.
        training: rows of `metrics.jsonl`.
        players: clips to listen to, under their `group`; what would make the page larger than 5 MB is left out, and
            the page says how many.
        notes: paragraphs of plain text.
        config: the resolved config, folded.
        lead: what came out, in plain sentences; stands above the tables.
        figures: further finished plots under headings of their own.
        titles: how metrics and baselines are written, beside the ones that every page knows.
        items: what the test set is made of, in the plural.

    Raises:
        DataError: scores of a plot are empty or not finite, or training rows hold nothing to draw.
        AudioError: a player's waveform cannot be played.
    """
    words = _Words({**_TITLES, **titles}, items)
    parts = [_top(report), _texts("In plain words", lead), _headline(report, headline, words)]
    parts += [_leak_checks(report, words), _texts("Read with the numbers", (*report.warnings, *notes))]
    for title, drawn in figures:
        parts.append(_section(title, "".join(_image(plot, limit=True) for plot in drawn)))
    if curves:
        parts.append(_section("Detection error trade-off", _image(det_curve(curves), limit=True)))
    if histograms:
        limits = score_range(histograms)
        plots = [score_histogram(histogram, limits) for histogram in histograms]
        parts.append(_section("Scores of each family", _grid(plots)))
    rest = [_others(report, headline, words)]
    if training:
        rest.append(_section("Training", _grid(training_curves(training))))
    rest.append(_tail(report, config))
    room = MAX_BYTES - 20_000 - len("".join([*parts, *rest, CSS]).encode())
    write_text(out_path, _page(f"{report.system} report", "".join([*parts, _players(players, room), *rest])))


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>\n"


def _texts(title: str, texts: Sequence[str]) -> str:
    """List sentences; nothing where there are none."""
    return _section(title, f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>") if texts else ""


def _table(caption: str, head: Sequence[str], rows: Sequence[str], left: int = 1) -> str:
    """Lay out rows that are already cells; the first `left` columns hold words."""
    cells = "".join(
        f'<th scope="col"{" class=left" if i < left else ""}>{escape(name)}</th>' for i, name in enumerate(head)
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _image(plot: Plot, limit: bool = False) -> str:
    """Put a plot inline; `limit` keeps a wide one from growing over its size, and lets a phone scroll it."""
    code = base64.b64encode(plot.svg.encode()).decode("ascii")
    image = f'src="data:image/svg+xml;base64,{code}" alt="{escape(plot.alt)}"'
    if not limit:
        return f"<figure><img {image}></figure>"
    style = f"max-width:{plot.width_px}px;min-width:{min(plot.width_px, 420)}px"
    return f'<figure class="wide" role="group" tabindex="0"><img style="{style}" {image}></figure>'


def _grid(plots: Sequence[Plot]) -> str:
    return f'<div class="plots">{"".join(map(_image, plots))}</div>'


def _top(report: Report) -> str:
    """Name the run, and mark it when it is a toy or leaks."""
    seeds = f"{len(report.seeds)} seeds ({', '.join(map(str, report.seeds))})"
    if len(report.seeds) == 1:
        seeds = f"seed {report.seeds[0]}"
    mark = ' <span class="mark toy">TOY RESULT</span>' if report.toy else ""
    facts = f"preset {report.preset} · data {report.data} · {seeds}"
    parts = [f'<h1>{escape(report.system)}{mark}</h1><p class="facts">{escape(facts)}</p>']
    if report.leak:
        parts.append(f'<div class="banner leak" role="alert"><strong>LEAK</strong>{escape(_LEAK)}</div>')
    if report.toy:
        parts.append(f'<div class="banner toybox"><strong>This is a toy result.</strong>{escape(_TOY)}</div>')
    return "".join(parts) + "\n"


@dataclass(frozen=True)
class _Words:
    """How a page writes names of metrics and baselines, and what it counts."""

    titles: Mapping[str, str]
    items: str

    def of(self, name: str) -> str:
        return self.titles.get(name, name.replace("_", " "))


def _cell(row: MetricRow | None, own: bool = False) -> str:
    """Give one number with its interval and its spread below it."""
    if row is None:
        return '<td class="soft">–</td>'
    interval = format_interval(row.ci95, row.unit)
    below = [f"95 %: {interval}"] if interval else []
    if row.sd_seeds is not None:
        below.append(f"sd {format_number(row.sd_seeds, row.unit)} over {row.n_seeds} seeds")
    small = "".join(f'<span class="interval">{escape(text)}</span>' for text in below)
    return f"<td{' class=own' if own else ''}>{escape(format_number(row.value, row.unit))}{small}</td>"


def _headline(report: Report, headline: str, words: _Words) -> str:
    """Give the headline metric: groups down, the system and its baselines across."""
    rows = [row for row in report.metrics if row.name == headline]
    if not rows:
        return ""
    baselines = list(dict.fromkeys(row.baseline for row in rows if row.baseline is not None))
    datas = list(dict.fromkeys(row.data for row in rows))
    lines = []
    for group, data in dict.fromkeys((row.group, row.data) for row in rows):
        found = {row.baseline: row for row in rows if (row.group, row.data) == (group, data)}
        label = escape(group) + (f'<span class="interval">{escape(data)}</span>' if len(datas) > 1 else "")
        count = next(iter(found.values())).n
        cells = _cell(found.get(None), own=True) + "".join(_cell(found.get(name)) for name in baselines)
        lines.append(f'<th scope="row">{label}</th>{cells}<td>{count}</td>')
    head = ["group", report.system, *map(words.of, baselines), words.items]
    seeds = max(row.n_seeds for row in rows)
    over = f"mean over {seeds} seeds with the 95 % t interval of that mean" if seeds > 1 else "with 95 % intervals"
    title = words.of(headline)
    return _section(f"{title} by group", _table(f"{title}, {over}; baselines beside it", head, lines))


def _leak_checks(report: Report, words: _Words) -> str:
    """Give the leak checks: each should be at chance."""
    rows = [row for row in report.metrics if row.name.startswith("leak")]
    if not rows:
        return ""
    lines = []
    for row in rows:
        chance = 50.0 if row.unit == "%" else 0.5
        holds = "no interval" if row.ci95 is None else "yes" if row.ci95[0] <= chance <= row.ci95[1] else "no"
        verdict = f"<td{' class=fail' if holds == 'no' else ''}>{holds}</td>"
        name = words.of(row.name) + (f", {words.of(row.baseline)}" if row.baseline else "")
        lines.append(f'<th scope="row">{escape(name)}</th><td class="left">{escape(row.group)}</td>')
        lines[-1] += f"{_cell(row)}{verdict}<td>{row.n}</td>"
    caption = "A second detector, real against recoded real: 50 % means that it finds nothing"
    head = ["check", "group", "EER", "interval holds 50 %", words.items]
    return _section("Leak checks", _table(caption, head, lines, left=2))


def _others(report: Report, headline: str, words: _Words) -> str:
    """Give every other row: metrics and groups down, the system and its baselines across."""
    rows = [row for row in report.metrics if row.name != headline and not row.name.startswith("leak")]
    if not rows:
        return ""
    baselines = list(dict.fromkeys(row.baseline for row in rows if row.baseline is not None))
    lines = []
    for name, group, data in dict.fromkeys((row.name, row.group, row.data) for row in rows):
        found = {row.baseline: row for row in rows if (row.name, row.group, row.data) == (name, group, data)}
        cells = "".join(_cell(found.get(whose)) for whose in (None, *baselines))
        lines.append(
            f'<th scope="row">{escape(words.of(name))}</th><td class="left">{escape(group)}</td>'
            f"{cells}<td>{next(iter(found.values())).n}</td>"
        )
    head = ["metric", "group", report.system, *map(words.of, baselines), "n"]
    return _section("Other figures", _table("Other metrics; baselines beside them", head, lines, left=2))


def _players(players: Sequence[Player], room: int) -> str:
    """Give the clips under their headings, as many as fit."""
    if not players:
        return ""
    groups: dict[str, list[str]] = {}
    left_out = 0
    for player in players:
        address, remark = encode(player)
        caption = escape(" · ".join(text for text in (player.caption, remark) if text))
        block = (
            f'<figure class="player"><b>{escape(player.title)}</b><figcaption>{caption}</figcaption>'
            f'<audio controls preload="metadata" aria-label="{escape(player.title)}" src="{address}"></audio></figure>'
        )
        if len(block.encode()) > room:
            left_out += 1
            continue
        room -= len(block.encode())
        groups.setdefault(player.group, []).append(block)
    body = "".join(
        (f"<h3>{escape(name)}</h3>" if name else "") + f'<div class="players">{"".join(blocks)}</div>'
        for name, blocks in groups.items()
    )
    if left_out:
        body += f'<p class="soft">{left_out} more clips are not in this page, which is kept under 5 MB.</p>'
    return _section("Listen", body)


def _tail(report: Report, config: Mapping[str, Any] | None) -> str:
    """Give environment, extra figures and config."""
    lines = [
        f'<th scope="row">{escape(key)}</th><td class="left">{escape(_plain(value))}</td>'
        for key, value in report.environment.items()
    ]
    parts = (
        [_section("Environment", _table("Where this was measured", ["what", "value"], lines, left=2))] if lines else []
    )
    for title, value in (("Config", config), ("More of report.json", report.extra)):
        if value:
            text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
            parts.append(f"<details><summary>{title}</summary><pre>{escape(text)}</pre></details>\n")
    return "".join(parts)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
