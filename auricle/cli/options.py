"""The options that several verbs share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

System = Annotated[str, typer.Argument(help="Name of a system, as in `auricle list`.")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(
        help="key=value settings, as in `auricle config SYSTEM`.", metavar="[KEY=VALUE]...", show_default=False
    ),
]
Run = Annotated[Path | None, typer.Option("--run", help="Run folder; runs/SYSTEM if not given.", show_default=False)]
Preset = Annotated[
    str | None,
    typer.Option(
        help="smoke (seconds), laptop (minutes, the default), small (pretrained parts) or paper (published values).",
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        help="embedded (the default), rec (made by `auricle data build`), or a manifest (`auricle manifest`).",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a run with another config in the same folder.")]
