"""The `auricle` command: verbs first, system second."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

import typer

from auricle.cli import (
    claims,
    codec,
    data,
    doctor,
    evaluate,
    infer,
    interrupt,
    look,
    manifest,
    models,
    report,
    run,
    stages,
)
from auricle.cli.tables import printable
from auricle.core.cache import cache_folder
from auricle.core.errors import AuricleError, CheckpointError, ConfigError, DataError, MissingExtra
from auricle.core.files import disk_fault
from auricle.core.privacy import opt_out

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


def keep_to_the_cache(environment: MutableMapping[str, str]) -> None:
    """Put what PyTorch's compiler keeps into Auricle's cache folder, not under a name in /tmp that all can guess."""
    environment.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "torchinductor"))


def entry() -> None:
    """Run the command line; an error that is the user's to mend is one line and no traceback."""
    let_threads_sleep(os.environ)  # before torch loads
    keep_to_the_cache(os.environ)
    opt_out(os.environ)  # before anything that calls home loads
    interrupt.listen()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # a full disk is found out here, and not after the exit status is set
    except SystemExit as end:
        if end.code == interrupt.STOPPED:  # Typer has turned Ctrl-C into this
            _stopped()
        raise
    except KeyboardInterrupt:
        _stopped()
        sys.exit(interrupt.STOPPED)
    except AuricleError as error:
        typer.echo(printable(f"error: {error}"), err=True)
        sys.exit(2 if isinstance(error, WRONG_USE) else 1)
    except BrokenPipeError:
        # the reader of our output has gone, as in `auricle infer ... | head`
        _let_go_of_output()
        sys.exit(1)
    except OSError as error:
        told = disk_fault(error)
        if told is None:
            raise
        typer.echo(printable(f"error: {told}"), err=True)
        _let_go_of_output()
        sys.exit(1)


def _stopped() -> None:
    """Say how to go on, and wait for no child."""
    if "multiprocessing" in sys.modules:
        from auricle.core.processes import end_children

        end_children()
    typer.echo("stopped; the same command goes on from here", err=True)


def _let_go_of_output() -> None:
    """Send what is left of standard output nowhere, so that Python's exit does not fail on it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
