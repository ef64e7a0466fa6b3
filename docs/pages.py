"""The parts of the documentation that come from code and results: a Sphinx extension, and functions that give Markdown.

`setup` writes a page for each system (its card) and for each room of the package (its docstrings) before Sphinx reads
the folder, and brings the directive ``generated``, which puts one of `PARTS` on a page.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from auricle.claims.results import Entry, load
from auricle.core.errors import DataError
from auricle.core.names import PAPERS

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "auricle"
ROOMS = ("core", "audio", "metrics", "data", "nn", "train", "backbones", "alm", "claims", "report", "systems")
BUILDER = "auricle.data.embedded.build"  # a script with a readme of its own
MIXER_PLOT = DOCS / "_plots" / "mixers.svg"  # drawn when the documentation is built
NOT_RESULTS = ("schema.json",)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Give a Markdown table; a line break or a bar inside a cell does not break it.

    Args:
        header: names of the columns.
        rows: cells, as many a row as there are columns.
    """

    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"

    return "\n".join([line(header), line(["---"] * len(header)), *map(line, rows)])


def number(value: float | None) -> str:
    """Write a number for people; a dash where there is none."""
    return "not measured" if value is None else f"{value:.3g}"


def interval(value: tuple[float, float] | None) -> str:
    """Write an interval for people."""
    return "none" if value is None else f"{value[0]:.3g} to {value[1]:.3g}"


# --- results of claims ------------------------------------------------------------------------------------------------


def claims(folder: Path = DOCS / "results") -> str:
    """Give what ``auricle claims`` recorded, a section a system.

    Args:
        folder: holds ``SYSTEM.json`` files.

    Raises:
        DataError: a file that is no results file, or of no system.
    """
    sections = []
    for path in sorted(set(folder.glob("*.json")) - {folder / name for name in NOT_RESULTS}):
        if path.stem not in {row.system for row in PAPERS}:
            raise DataError(f"{path} is not named after a system; results are written by: auricle claims SYSTEM")
        sections.append(_system_claims(path.stem, load(path).claims))
    return "\n\n".join(sections) or "**No run has been recorded yet**, so there is no verdict about any claim."


def _system_claims(system: str, entries: Sequence[Entry]) -> str:
    rows = [
        (
            one.id,
            one.statement,
            one.budget,
            len(one.seeds),
            number(one.effect),
            interval(one.ci95),
            f"**{one.verdict}**",
        )
        for one in entries
    ]
    head = table(("claim", "statement", "budget", "seeds", "effect", "95 % interval", "verdict"), rows)
    if not any(one.budget == "full" for one in entries):
        head += "\n\n**No full run has been recorded**: a quick one only shows that the machinery runs."
    return "\n\n".join([f"## {system}", head, *(_claim(one) for one in entries)])


def _claim(one: Entry) -> str:
    facts = [
        f"### {one.id}: {one.verdict}",
        one.statement,
        f"**Rule, written before the run.** {one.rule}",
        f"**Effect.** {one.metric}: {number(one.effect)} (95 % interval {interval(one.ci95)}).",
    ]
    if one.minimum_detectable is not None:
        facts.append(f"**Power.** An effect of {number(one.minimum_detectable)} would be found in 80 % of repetitions.")
    if one.parts:
        rows = [(p.name, number(p.effect), interval(p.ci95), p.verdict or "decides nothing") for p in one.parts]
        facts.append(table(("part", "effect", "95 % interval", "verdict"), rows))
    facts.append(table(("arm", "what it is", "measured, mean (sd over seeds)"), _arms(one)))
    equal = "equal" if one.equal_budget.equal else "not equal: " + "; ".join(one.equal_budget.problems)
    host = ", ".join(f"{key} {one.environment[key]}" for key in ("platform", "cpus") if key in one.environment)
    facts.append(
        f"{len(one.seeds)} seeds, {one.budget} budget, arms {equal}, {one.seconds / 60:.1f} minutes of measuring"
        + (f", on {host}." if host else ".")
    )
    facts.append("\n".join(f"- {text}" for text in (*one.notes, *(f"Cut: {cut}" for cut in one.cuts))))
    return "\n\n".join(fact for fact in facts if fact)


def _arms(one: Entry) -> list[tuple[str, str, str]]:
    rows = []
    for arm, description in one.arms.items():
        numbers = []
        for name, spread in one.measured.get(arm, {}).items():
            sd = "" if spread.sd is None else f" ({number(spread.sd)})"
            numbers.append(f"{name} {number(spread.mean)}{sd}")
        rows.append((arm, description, ", ".join(numbers) or "nothing"))
    return rows


# --- tables from code -------------------------------------------------------------------------------------------------


def systems() -> str:
    """Give the table of systems; those that work link to their page."""
    rows = [
        (
            f"[`{row.system}`]({row.system}.md)" if row.works else f"`{row.system}`",
            row.title,
            row.arxiv,
            row.answers,
            "yes" if row.works else "planned",
        )
        for row in PAPERS
    ]
    return table(("system", "paper", "arXiv", "what it answers", "works"), rows)


def families() -> str:
    """Give the table of spoof families."""
    from auricle.data.spoof import FAMILIES

    rows = [
        (f"`{one.name}`", one.kind, one.description, f"`{one.extra}`" if one.extra else "always", one.licence)
        for one in FAMILIES.values()
    ]
    return table(("family", "kind", "what it does", "with the extra", "licence"), rows)


def corpus() -> str:
    """Give what the embedded corpus holds."""
    from auricle.data import embedded

    rows = []
    for kind in ("speech", "sound", "music"):
        clips = embedded.clips(kind)
        minutes = sum(clip.duration_s for clip in clips) / 60
        voices = len({clip.speaker for clip in clips if clip.speaker})
        groups = len({clip.speaker_group for clip in clips if clip.speaker_group})
        languages = sorted({clip.language.split("-")[0] for clip in clips if clip.language})
        who = f"{voices} voices in {groups} speaker groups; {', '.join(languages)}" if voices else ""
        rows.append((kind, len(clips), f"{minutes:.0f}", who))
    return table(("kind", "clips", "minutes", "voices"), rows)


def extras() -> str:
    """Give the optional packages and what they are for."""
    from auricle.core.extras import EXTRAS

    rows = [
        (f"`{extra}`", f"`{package}`", what) for extra, packages in EXTRAS.items() for package, what in packages.items()
    ]
    return table(("extra", "package", "what for"), rows)


def commands() -> str:
    """Give every command with its arguments and examples, as the command line itself knows them."""
    import typer

    from auricle.cli.main import app

    return "\n\n".join(_command(name, one) for name, one in walk(typer.main.get_command(app), "auricle"))


def walk(command: Any, name: str) -> list[tuple[str, Any]]:
    """List the commands below a group by their full names, without the groups.

    Args:
        command: of Click.
        name: as it is typed.
    """
    if not hasattr(command, "commands"):
        return [(name, command)]
    return [found for key, inner in command.commands.items() for found in walk(inner, f"{name} {key}")]


def _command(name: str, command: Any) -> str:
    text, _, examples = inspect.cleandoc(command.help or "").partition("Example")
    lines = [line.strip() for line in examples.splitlines() if line.strip().startswith("auricle ")]
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        positional = parameter.param_type_name == "argument"
        shown = (parameter.metavar or parameter.name.upper()) if positional else parameter.opts[0]
        rows.append((f"`{shown}`", getattr(parameter, "help", None) or ""))
    parts = [f"## {name}", text.strip(), table(("argument", "what it is"), rows) if rows else ""]
    parts.append("```sh\n" + "\n".join(lines) + "\n```" if lines else "")
    return "\n\n".join(part for part in parts if part)


# --- benchmarks -------------------------------------------------------------------------------------------------------

MIXERS = DOCS / "results" / "ssm.jsonl"  # of: python benchmarks/ssm.py --json
CASE = re.compile(r"(?P<mixer>[a-z0-9]+)-T(?P<frames>\d+)-D(?P<width>\d+)-(?P<way>fwd|fwdbwd)(?P<memory>-memory)?")


def measured(path: Path = MIXERS) -> list[dict[str, Any]]:
    """Read the rows of the mixer benchmark, each with the parts of its case's name.

    Args:
        path: JSON lines.

    Raises:
        DataError: a line that is no row of that benchmark.
    """
    rows = []
    for number_, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        row = json.loads(line)
        found = CASE.fullmatch(str(row.get("case")))
        if found is None:
            raise DataError(f"{path}, line {number_}: no row of benchmarks/ssm.py: {line[:80]}")
        rows.append({**row, **found.groupdict(), "frames": int(found["frames"]), "width": int(found["width"])})
    return rows


def mixers(path: Path = MIXERS) -> str:
    """Give the plot and the tables of the mixer benchmark: a row a case, a column a peer, each cell a ratio.

    Args:
        path: JSON lines.
    """
    rows = measured(path)
    sections = [f"![Time against length]({MIXER_PLOT.relative_to(DOCS).as_posix()})"]
    for unit, memory, what in (("ms", None, "Time"), ("MB", "-memory", "Peak memory")):
        chosen = [row for row in rows if row["memory"] == memory]
        peers = list(dict.fromkeys(row["peer_name"] for row in chosen))
        cases: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in chosen:
            cases.setdefault((row["mixer"], row["way"], row["width"], row["frames"]), {})[row["peer_name"]] = row
        lines = []
        for (mixer, way, width, frames), by_peer in cases.items():
            ours = next((row["ours"] for row in by_peer.values() if "ours" in row), None)
            cells = [_ratio(by_peer.get(peer)) for peer in peers]
            lines.append((f"`{mixer}`", way, width, frames, number(ours), *cells))
        if lines:
            header = ("mixer", "pass", "D", "T", f"ours, {unit}", *(f"{peer}: ratio" for peer in peers))
            sections.append(f"**{what}**\n\n{table(header, lines)}")
    return "\n\n".join(sections)


def _ratio(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if "skipped" in row:
        return f"skipped: {row['skipped']}"
    spread = "" if row["ratio_min"] == row["ratio_max"] else f" ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
    return f"{row['ratio']:.2f}{spread}"


def mixer_plot(path: Path = MIXERS, width: int = 256) -> str:
    """Draw time against length, a panel a mixer, both axes logarithmic; gives SVG.

    Args:
        path: JSON lines.
        width: of the layers that are drawn.
    """
    import io

    from matplotlib.figure import Figure

    rows = [row for row in measured(path) if row["way"] == "fwdbwd" and row["width"] == width and not row["memory"]]
    names = list(dict.fromkeys(row["mixer"] for row in rows))
    figure = Figure(figsize=(10, 3.2 * -(-len(names) // 2)), layout="constrained")
    for axes, name in zip(figure.subplots(-(-len(names) // 2), 2, squeeze=False).flat, names, strict=False):
        mine = [row for row in rows if row["mixer"] == name and "ours" in row]
        first = {row["frames"]: row["ours"] for row in reversed(mine)}
        axes.plot(sorted(first), [first[frames] for frames in sorted(first)], "o-", color="black", label="Auricle")
        for peer in dict.fromkeys(row["peer_name"] for row in mine):
            points = sorted((row["frames"], row["peer"]) for row in mine if row["peer_name"] == peer)
            axes.plot(*zip(*points, strict=True), ":" if "floor" in peer else ".-", label=peer)
        axes.set(xscale="log", yscale="log", title=name, xlabel="frames T", ylabel="ms, forward and backward")
        axes.set_xticks(sorted(first), [str(frames) for frames in sorted(first)], rotation=30, minor=False)
        axes.minorticks_off()
        axes.legend(fontsize=7)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


PARTS: dict[str, Callable[[], str]] = {
    "mixers": mixers,
    "claims": claims,
    "systems": systems,
    "families": families,
    "corpus": corpus,
    "extras": extras,
    "commands": commands,
}


# --- pages ------------------------------------------------------------------------------------------------------------


def pages(docs: Path = DOCS, package: Path = PACKAGE) -> dict[Path, str]:
    """Give the generated pages by their paths: the card of each system that works, the docstrings of each room.

    Args:
        docs: folder of the documentation.
        package: folder of the package.

    Raises:
        DataError: a system without a card.
    """
    found = {}
    for row in PAPERS:
        card = package / "systems" / row.system / "README.md"
        if not row.works:
            continue
        if not card.is_file():
            raise DataError(f"{card} is missing: a system that works has a card (see CONTRIBUTING.md)")
        page = docs / "systems" / f"{row.system}.md"
        found[page] = moved(card.read_text(encoding="utf-8"), card.parent, page.parent)
    for room in ROOMS:
        sections = [f"# auricle.{room}", *(_module(name) for name in modules(f"auricle.{room}"))]
        found[docs / "api" / f"{room}.md"] = "\n\n".join(sections) + "\n"
    return found


def moved(text: str, start: Path, to: Path) -> str:
    """Rewrite the relative links of a Markdown text that moves from one folder to another.

    Args:
        text: Markdown.
        start: folder that its links start from.
        to: folder that they shall start from.
    """

    def link(found: re.Match[str]) -> str:
        target, _, anchor = found[2].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return found[0]
        return f"{found[1]}{os.path.relpath(start / target, to)}{'#' if anchor else ''}{anchor})"

    return re.sub(r"(\]\()([^)\s]+)\)", link, text)


def modules(package: str) -> list[str]:
    """List a package and its public modules, without the systems' own and the corpus's build script.

    Args:
        package: import name.
    """
    found = [package]
    for item in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if item.name.rsplit(".", 1)[-1].startswith("_") or item.name == BUILDER:
            continue
        if item.ispkg and package == "auricle.systems":
            continue  # a system's page is its card
        found += modules(item.name) if item.ispkg else [item.name]
    return found


def _module(name: str) -> str:
    return f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```"


def write(wanted: dict[Path, str]) -> None:
    """Write pages that changed, and remove generated ones that are no longer wanted."""
    for folder in {path.parent for path in wanted}:
        folder.mkdir(parents=True, exist_ok=True)
        for old in set(folder.glob("*.md")) - set(wanted) - {folder / "index.md"}:
            old.unlink()
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Hook into Sphinx."""
    from sphinx.errors import ExtensionError
    from sphinx.util.docutils import SphinxDirective

    class Generated(SphinxDirective):
        """Put one of `PARTS` here."""

        required_arguments: ClassVar[int] = 1

        def run(self) -> list[Any]:
            """Parse what the part gives as Markdown."""
            name = self.arguments[0]
            if name not in PARTS:
                raise self.error(f"no generated part '{name}'; there are: {', '.join(PARTS)}")
            self.env.note_reread()
            return list(self.parse_text_to_nodes(PARTS[name](), allow_section_headings=True))

    def prepare(*_: Any) -> None:
        try:
            write(pages())
            write({MIXER_PLOT: mixer_plot()})
        except DataError as error:
            raise ExtensionError(str(error)) from None

    app.add_directive("generated", Generated)
    app.connect("config-inited", prepare)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
