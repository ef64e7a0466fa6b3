"""`auricle evaluate`: on a run's own test split, on a manifest, or on score and key files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli import options

Manifest = Annotated[
    Path | None,
    typer.Option(
        help="Measure on this, not on the run's own test split: a labelled manifest, or voice_auth's CSV of trials."
    ),
]
Scores = Annotated[Path | None, typer.Option(help="File of scores, `trial score` a line; needs --key.")]
Key = Annotated[Path | None, typer.Option(help="File that says which trial is bona fide and which is spoof.")]
By = Annotated[
    str | None, typer.Option(help="With --scores: column of the key to report by (attack, codec, ...), or its number.")
]
Subset = Annotated[
    str | None,
    typer.Option(
        help="With --scores: subset of the key that is scored; eval by default for ASVspoof 2021. 'all' takes all."
    ),
]
AsvScores = Annotated[
    Path | None,
    typer.Option(help="With --scores: scores of a speaker verifier, for the tandem cost (ASVspoof 2019, 2021 LA)."),
]


def evaluate(
    system: options.System,
    run: options.Run = None,
    manifest: Manifest = None,
    scores: Scores = None,
    key: Key = None,
    by: By = None,
    subset: Subset = None,
    asv_scores: AsvScores = None,
) -> None:
    """Measure a trained run, or any detector by its score file.

    Examples:

      auricle evaluate mambo

      auricle evaluate mambo --run runs/mambo --manifest mine.jsonl

      auricle evaluate mambo --scores scores.txt --key trial_metadata.txt

      auricle evaluate mambo --scores scores.txt --key trial_metadata.txt --by codec --subset eval

      auricle evaluate voice_auth --run runs/voice_auth --manifest clips/attacks.csv
    """
    from rich.console import Console

    from auricle.core.errors import ConfigError
    from auricle.report.text import print_table
    from auricle.systems import pipeline
    from auricle.systems import system as find

    if (scores is None) != (key is None):
        raise ConfigError("--scores and --key go together")
    if scores is not None and (manifest is not None or run is not None):
        raise ConfigError("--scores and --key need no run: give either them, or --run with or without --manifest")
    if scores is None and (by is not None or subset is not None or asv_scores is not None):
        raise ConfigError("--by, --subset and --asv-scores go with --scores and --key")
    if scores is not None and key is not None:
        found = pipeline.evaluate_scores(find(system), scores, key, by=by, subset=subset, asv_scores=asv_scores)
        print_table(found, Console())
        return
    cfg, folder = pipeline.open_existing(system, run or Path("runs") / system)
    if manifest is not None:
        print_table(pipeline.evaluate_manifest(find(system), cfg, folder, manifest), Console())
    else:
        print_table(pipeline.evaluate(find(system), cfg, folder), Console())
