"""The corpus as ordinary files: FLAC, a Lhotse manifest, the table of clips and the licences."""

from __future__ import annotations

import shutil
from pathlib import Path

from auricle.audio.files import write as write_audio
from auricle.core.errors import DataError
from auricle.core.files import write_jsonl
from auricle.data import embedded, fields, manifest


def export_corpus(target: Path) -> str:
    """Write every clip as FLAC; see `auricle.data.embedded.export`.

    Raises:
        DataError: the folder is a file.
    """
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file; give a folder to write the corpus to")
    cuts = []
    rows = []
    for clip in embedded.clips():
        audio = clip.read()
        file = target / Path(clip.path).with_suffix(".flac")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_audio(file, audio.wave, audio.rate_hz)
        spoken = clip.kind == "speech"
        custom = {
            fields.CLIP: clip.id,
            fields.LABEL: fields.BONAFIDE if spoken else clip.label,
            "word": clip.label if spoken else "",  # a digit or a letter
            fields.DETAIL: clip.detail,
            fields.SPEAKER: clip.speaker,
            fields.SPEAKER_GROUP: clip.speaker_group,
            fields.LANGUAGE: clip.language,
            fields.TEXT: clip.text,
            fields.PROMPT: clip.prompt,
            fields.SOURCE: clip.package,
            fields.CODING: Path(clip.path).suffix.removeprefix("."),
            fields.LICENCE: clip.licence,
            fields.AUTHOR: clip.author,
            "kind": clip.kind,
        }
        cuts.append(manifest.cut(clip.id, file, {name: value for name, value in custom.items() if value}))
        rows.append(
            {
                "path": file.relative_to(target).as_posix(),
                "author": clip.author,
                "licence": clip.licence,
                "changes": f"{clip.changes}; decoded and written as FLAC",
            }
        )
    manifest.write(cuts, target / "clips.jsonl")
    write_jsonl(target / "credits.jsonl", rows)
    shutil.copytree(embedded.folder() / "LICENSES", target / "LICENSES", dirs_exist_ok=True)
    shutil.copy(embedded.folder() / "README.md", target / "README.md")
    return f"{len(cuts)} clips as FLAC, clips.jsonl (a Lhotse manifest), credits.jsonl and LICENSES are in {target}"
