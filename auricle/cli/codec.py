"""`auricle codec`: audio to token files and back, the bandwidth screen, and the trainable vocoder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auricle.cli import options

if TYPE_CHECKING:
    from auricle.core.answers import Refused
    from auricle.systems.unisrcodec.files import Written

app = typer.Typer(help="The low-rate codec as a tool: encode, decode, screen a folder by bandwidth, train a vocoder.")

Run = Annotated[Path, typer.Option("--run", help="Run folder of a trained unisrcodec.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write to; made if it is not there. Folders stay folders.")]


@app.command("encode")
def encode(
    inputs: Annotated[list[Path], typer.Argument(help="Audio files, or folders of them.")],
    out: Out,
    run: Run = Path("runs/unisrcodec"),
    numpy: Annotated[bool, typer.Option("--numpy", help="Also write the tokens as .npy (columns, tokens).")] = False,
) -> None:
    """Write a token file for each audio file, in constant memory whatever its length.

    Example:

      auricle codec encode recordings/ --out tokens/
    """
    from auricle.systems.unisrcodec.files import encode_files
    from auricle.systems.unisrcodec.infer import load

    unread: list[Path] = []
    _tell(encode_files(load(run), inputs, out, numpy, unread), unread)


@app.command("decode")
def decode(
    inputs: Annotated[list[Path], typer.Argument(help="Token files, or folders of them.")],
    out: Out,
    run: Run = Path("runs/unisrcodec"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Write a WAV file for each token file: x.wav.ausr becomes x.wav, x.flac.ausr becomes x.flac.wav.

    Example:

      auricle codec decode tokens/a.wav.ausr --out decoded/
    """
    from auricle.systems.unisrcodec.files import decode_files
    from auricle.systems.unisrcodec.infer import load

    _tell(decode_files(load(run), inputs, out, overwrite), [])


def _tell(results: Iterable[Written | Refused], unread: list[Path]) -> None:
    """Print a line an input; leave with 1 if any was refused, or if folders held what was left out."""
    from auricle.cli.tables import printable
    from auricle.core.answers import Refused

    failed = False
    for result in results:
        refused = isinstance(result, Refused)
        failed |= refused
        typer.echo(printable(result.error if isinstance(result, Refused) else result.summary), err=refused)
    _leave(failed, unread)


def _leave(failed: bool, unread: list[Path]) -> None:
    from auricle.systems.requests import told

    if unread:
        typer.echo(told(unread), err=True)
    if failed or unread:
        raise typer.Exit(1)


@app.command("screen")
def screen(
    inputs: Annotated[list[Path], typer.Argument(help="Audio files, or folders of them.")],
    band_hz: Annotated[float, typer.Option(help="Content must reach this frequency, in Hz.")] = 20_000.0,
    below_db: Annotated[float, typer.Option(help="How far under the strongest band still counts, in dB.")] = 60.0,
    plot: Annotated[Path | None, typer.Option(help="Write a histogram here, as SVG.", show_default=False)] = None,
) -> None:
    """Say how far up each file has content, and which files are full band.

    Example:

      auricle codec screen recordings/
    """
    from auricle.cli.tables import print_rows, printable
    from auricle.core.answers import Refused
    from auricle.systems.screen import save_plot
    from auricle.systems.screen import screen as judge

    judged, shown, refused = [], [], 0
    unread: list[Path] = []
    for row in judge(inputs, band_hz, below_db, unread):
        if isinstance(row, Refused):
            refused += 1
            typer.echo(printable(row.error), err=True)
            continue
        judged.append(row)
        verdict = "yes" if row.passes else "no"
        shown.append((row.input, str(row.rate_hz), f"{row.duration_s:.2f}", f"{row.bandwidth_hz / 1000:.1f}", verdict))
    print_rows(("file", "rate (Hz)", "seconds", "bandwidth (kHz)", "full band"), shown)
    typer.echo(f"{sum(row.passes for row in judged)} of {len(judged)} files reach {band_hz / 1000:g} kHz")
    if plot is not None and judged:
        save_plot(judged, band_hz, plot)
    elif plot is not None:
        typer.echo(f"{plot}: not written, as no file could be judged", err=True)
    _leave(refused > 0, unread)


@app.command("vocoder")
def vocoder(
    settings: Annotated[
        list[str] | None, typer.Argument(help="key=value settings.", metavar="[KEY=VALUE]...", show_default=False)
    ] = None,
    run: Annotated[Path, typer.Option("--run", help="Run folder of the vocoder.")] = Path("runs/vocoder"),
    codec: Annotated[
        Path | None,
        typer.Option(help="Run folder of a codec: learn from mels that it has decoded too.", show_default=False),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="smoke (seconds) or laptop (minutes, the default).", show_default=False)
    ] = None,
    data: Annotated[str | None, typer.Option(help="embedded (the default) or rec.", show_default=False)] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Train a small vocoder, measure it beside Griffin-Lim, and print one table; a killed training goes on.

    A codec uses it with eval.vocoder=FOLDER.

    Example:

      auricle codec vocoder --run runs/vocoder
    """
    from rich.console import Console

    from auricle.report.text import print_table
    from auricle.systems.unisrcodec.vocoder.run import run_all

    print_table(run_all(run, preset, codec, data, settings or [], overwrite), Console())
    typer.echo(f"report: {run}/report.json", err=True)
