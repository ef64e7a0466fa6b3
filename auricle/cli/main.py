"""The `auricle` command: verbs first, system second."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

import typer

from auricle.cli import claims, codec, data, doctor, evaluate, infer, look, manifest, models, report, run, stages
from auricle.core.errors import AuricleError, CheckpointError, ConfigError, DataError, MissingExtra

app = typer.Typer(
    name="auricle",
    help="The audio systems of fourteen papers, from audio files to a trained model, a measured result, an answer.\n\n"
    "Start with:  auricle run mambo --preset smoke",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("prepare")(stages.prepare)
app.command("train")(stages.train)
app.command("evaluate")(evaluate.evaluate)
app.command("infer")(infer.infer)
app.command("list")(look.list_systems)
app.command("show")(look.show)
app.command("config")(look.config)
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")
app.command("manifest")(manifest.manifest)
app.add_typer(models.app, name="models")
app.add_typer(codec.app, name="codec")
app.command("claims")(claims.claims)
app.command("report")(report.report)

WRONG_USE = (ConfigError, CheckpointError, DataError, MissingExtra)


def let_threads_sleep(environment: MutableMapping[str, str]) -> None:
    """Set how OpenMP's threads wait for work, unless the user did.

    Threads that spin cost up to a factor of 20 on a busy two-core machine. Threads that sleep at once cost a factor of
    1.4 to 1.9 in training on a quiet one, where the next small operation comes within microseconds. A short spin (of
    GCC's OpenMP, which PyTorch's Linux builds have) takes that back, and costs half as much again when busy.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment["OMP_WAIT_POLICY"] = "passive"
        environment.setdefault("GOMP_SPINCOUNT", "1000")


def entry() -> None:
    """Run the command line; an error that is the user's to mend is one line and no traceback."""
    let_threads_sleep(os.environ)  # before torch loads
    try:
        app()
    except AuricleError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2 if isinstance(error, WRONG_USE) else 1)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output has gone, as in `auricle infer ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
