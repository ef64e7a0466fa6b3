"""`auricle data`: the embedded corpus, the large one, and the protocols of real corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from auricle.cli.tables import printable

app = typer.Typer(help="Corpora: list, export and verify the embedded one, build the large one, check a real one.")
protocol_app = typer.Typer(help="Protocols of real corpora: count them against the published sizes, make manifests.")
app.add_typer(protocol_app, name="protocol")

Corpus = Annotated[str, typer.Argument(help="Name of a corpus, such as asvspoof2019_la; a wrong one lists them all.")]
Protocol = Annotated[Path, typer.Argument(help="Protocol file, or the folder the corpus is unpacked in.")]


@app.command("list")
def list_clips(
    kind: Annotated[str | None, typer.Option(help="Only speech, sound or music.", show_default=False)] = None,
) -> None:
    """Count the clips by kind, voice or label, with minutes and licence.

    Examples:

      auricle data list

      auricle data list --kind speech
    """
    from auricle.cli.tables import print_rows
    from auricle.data import embedded

    print_rows(("kind", "voice or label", "language", "clips", "minutes", "licence"), embedded.overview(kind))


@app.command("export")
def export(folder: Annotated[Path, typer.Argument(help="Where to write; made if it is not there.")]) -> None:
    """Write every clip as FLAC, with a Lhotse manifest (clips.jsonl) and the licences beside them.

    Example:

      auricle data export corpus/
    """
    from auricle.data import embedded

    typer.echo(printable(embedded.export(folder)))


@app.command("verify")
def verify(
    corpus: Annotated[str, typer.Option(help="embedded, or rec for the large corpus.")] = "embedded",
) -> None:
    """Compare every file of a corpus with its checksum.

    Examples:

      auricle data verify

      auricle data verify --corpus rec
    """
    from auricle.data import corpora, embedded, rec

    corpora.corpus(corpus)  # refuses a name that is none
    if corpus == "rec":
        count = rec.verify()
    else:
        embedded.verify()
        count = len(embedded.clips())
    typer.echo(f"{count} clips, all checksums right")


@app.command("shar")
def shar(
    manifest: Annotated[Path, typer.Argument(help="Lhotse manifest, as `auricle manifest` makes it.")],
    folder: Annotated[Path, typer.Argument(help="Where the shards go; new or empty.")],
    shard_size: Annotated[int, typer.Option(help="Clips in a shard.")] = 1000,
    form: Annotated[str, typer.Option(help="wav (32-bit float) or flac (16 bit, smaller).")] = "wav",
) -> None:
    """Write a manifest with its audio as Lhotse Shar: few big files that are read in a row, for clusters.

    `auricle.data.shar.read` reads it back, each worker its own shards.

    Examples:

      auricle data shar files.jsonl shards/

      auricle data shar files.jsonl shards/ --form flac --shard-size 500
    """
    from auricle.data.shar import export as write_shards

    typer.echo(printable(str(write_shards(manifest, folder, shard_size, form))))


@app.command("build")
def build(
    profile: Annotated[str, typer.Option(help="Which corpus: rec, about 15 hours in over 20 languages.")] = "rec",
    workers: Annotated[
        int | None, typer.Option(help="Converting processes; one per processor if not given.", show_default=False)
    ] = None,
) -> None:
    """Build the large corpus of real recordings from Debian packages; needs apt, no root, and 3 GB for a while.

    It goes into $AURICLE_CACHE, else $XDG_CACHE_HOME/auricle, else ~/.cache/auricle. A build that was stopped goes on
    where it was; a complete one is left as it is.

    Examples:

      auricle data build --profile rec

      AURICLE_CACHE=/big/disk auricle data build --profile rec --workers 4
    """
    from auricle.data import rec

    typer.echo(printable(str(rec.build(profile, workers=workers, say=lambda text: typer.echo(text, err=True)))))


@protocol_app.command("check")
def check_protocol(
    corpus: Corpus,
    path: Protocol,
    audio: Annotated[
        Path | None, typer.Option(help="Look for every audio file below this folder too.", show_default=False)
    ] = None,
) -> None:
    """Count classes, attacks and speakers, and compare with the published sizes; exit status 1 when something is off.

    Example:

      auricle data protocol check asvspoof2019_la LA/ --audio LA/
    """
    from auricle.cli.tables import print_rows
    from auricle.data import protocols

    found = protocols.check(corpus, path, audio)
    print_rows(("subset", "what", "found", "published", ""), found.records())
    typer.echo(printable(str(found)))
    if not found.ok:
        raise typer.Exit(1)


@protocol_app.command("manifest")
def protocol_manifest(
    corpus: Corpus,
    path: Protocol,
    audio: Annotated[
        Path | None,
        typer.Option(help="Folder of the audio; the folder of the protocol if not given.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Manifest to write; CORPUS.jsonl if not given.", show_default=False)
    ] = None,
    keep_going: Annotated[bool, typer.Option("--keep-going", help="Leave out missing audio, and name it.")] = False,
) -> None:
    """Make a Lhotse manifest of a corpus from its protocol and its audio.

    Example:

      auricle data protocol manifest asvspoof2019_la LA/ --out la.jsonl
    """
    from auricle.data import protocols

    root = audio or (path if path.is_dir() else path.parent)
    made = protocols.to_manifest(protocols.read(corpus, path), root, out or Path(f"{corpus}.jsonl"), keep_going)
    typer.echo(printable(str(made.summary)))
    if made.summary.dropped:
        raise typer.Exit(1)
