"""`auricle infer`: an answer for each request."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from auricle.cli import options
from auricle.cli.tables import printable

Inputs = Annotated[
    list[str] | None, typer.Argument(help="Files, or folders of them; - reads paths or JSON lines from standard input.")
]
Text = Annotated[
    str | None, typer.Option(help="A text for every input, or alone a request of its own.", show_default=False)
]
Values = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A further value of every request, as `auricle show` lists."),
]
Requests = Annotated[
    Path | None,
    typer.Option(help="File of requests: JSON lines, or a CSV with those column names.", show_default=False),
]
Engine = Annotated[str, typer.Option(help="local, or ray for many processes or machines.")]
Workers = Annotated[
    int | None,
    typer.Option(help="local: batches at once; ray: processes. As many as fit if not given.", show_default=False),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Which of the models that come with Auricle answers, such as small; no --run.", show_default=False
    ),
]
Out = Annotated[
    Path | None, typer.Option(help="Write the lines here; after a kill the same command goes on.", show_default=False)
]
OutDir = Annotated[
    Path | None, typer.Option(help="Folder for sounds or pictures, of a system that gives some; one file a request.")
]
Cache = Annotated[Path | None, typer.Option(help="Folder of earlier answers, found by content.", show_default=False)]


def infer(
    system: options.System,
    inputs: Inputs = None,
    run: options.Run = None,
    text: Text = None,
    values: Values = None,
    requests: Requests = None,
    engine: Engine = "local",
    workers: Workers = None,
    out: Out = None,
    out_dir: OutDir = None,
    cache: Cache = None,
    model: Model = None,
) -> None:
    """Answer requests: one JSON line each on standard output, in the order given.

    A request that cannot be answered gets a line with its error, and the exit status is 1. Files of a folder that look
    like audio and are left out are named on standard error, with exit status 1 too. Without --run, and where nothing
    was trained in runs/SYSTEM, the small model that comes with Auricle answers, and says so.

    Examples:

      auricle infer mambo call.wav

      auricle infer mambo --run runs/mambo recordings/ > answers.jsonl

      auricle infer mambo recordings/ --out answers.jsonl --engine ray --workers 8

      auricle infer mambo --requests calls.csv

      find . -name '*.wav' | auricle infer mambo -

      auricle infer ft_grpo any.wav --out-dir pictures/
    """
    from auricle.core.request import assigned
    from auricle.systems import system as find
    from auricle.systems.answer_file import write_answers
    from auricle.systems.inference import answers
    from auricle.systems.requests import asked, told

    spec = find(system).spec
    unread: list[Path] = []
    wanted = asked(spec, inputs or [], requests, text, assigned(values or [], spec), _standard_input(), unread)
    folder = _folder(system, run, model)
    failed = 0
    with _rows_alone() as write:
        if out is not None:
            done = write_answers(folder, wanted, out, engine=engine, workers=workers, cache=cache, out_dir=out_dir)
            typer.echo(f"{printable(str(out))}: {done.rows} lines, {done.before} of them from before", err=True)
            failed = done.errors
        else:
            for row in answers(folder, wanted, engine=engine, workers=workers, cache=cache, out_dir=out_dir):
                failed += "error" in row
                write(row)
    if failed:
        typer.echo(f"{failed} input(s) could not be used; their lines say why", err=True)
    if unread:
        typer.echo(told(unread), err=True)
    if failed or unread:
        raise typer.Exit(1)


def _standard_input() -> Iterator[str]:
    """Give the lines of standard input; names of files may hold any bytes, whatever the locale says."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    yield from sys.stdin


@contextlib.contextmanager
def _rows_alone() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Keep standard output for rows: what anything else writes there while the block runs goes to standard error.

    Ray, say, writes about a worker that was killed to where a program's output goes.

    Yields:
        What writes a row: one line of JSON, in ASCII where the output has no other characters.
    """
    from auricle.core.files import json_text

    plain = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") != "utf8"
    try:
        ours = os.dup(sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):  # no file of the system: nobody else writes to it
        yield lambda row: typer.echo(json_text(row, ascii_only=plain))
        return
    shown = sys.stdout.fileno()
    sys.stdout.flush()
    try:
        os.dup2(sys.stderr.fileno(), shown)
        with open(ours, "wb", buffering=0, closefd=False) as rows:

            def write(row: dict[str, Any]) -> None:
                left = (json_text(row, ascii_only=plain) + "\n").encode()
                while left:
                    left = left[rows.write(left) :]

            yield write
    finally:
        sys.stdout.flush()
        os.dup2(ours, shown)
        os.close(ours)


def _folder(system: str, run: Path | None, model: str | None) -> Path:
    """Find the run that answers, and tell on standard error what nobody named: the packaged model, or seed 0."""
    from auricle.core.errors import ConfigError
    from auricle.core.run import RunFolder, seed_zero
    from auricle.systems import system as find

    if model is not None:
        if run is not None:
            raise ConfigError("--model names a model that comes with Auricle and --run one of yours; give one of them")
        return find(system).pretrained(model)
    folder = run or Path("runs") / system
    if run is None and not folder.exists():
        typer.echo(f"nothing is trained in runs/{system}: the small model that comes with Auricle answers", err=True)
        return find(system).pretrained()
    if seed_zero(folder) != folder:
        typer.echo(f"{folder} holds several seeds: seed 0 answers", err=True)
    saved = RunFolder(seed_zero(folder)).saved_config()["system"]
    if saved != system:
        raise ConfigError(f"{folder} is a run of '{saved}', not of '{system}'")
    return seed_zero(folder)
