"""Paths in a manifest: relative to its folder, as far as all that moves together with it, and absolute beyond."""

from __future__ import annotations

import os
from pathlib import Path

from auricle.core.run import RunFolder


def written(source: str, folder: Path) -> str:
    """Give the path of an audio file as it is written into a manifest.

    Args:
        source: the file.
        folder: of the manifest, without links. Where it is the ``manifests`` of a run, what lies in the run, with its
            cache, gets a relative path too, so a run that is moved or copied reads its own audio.
    """
    file, run = Path(os.path.realpath(source)), RunFolder(folder.parent)
    of_a_run = run.manifests == folder and (run.path / "config.json").is_file()
    inside = file.is_relative_to(run.cache.parent if of_a_run else folder)
    return Path(os.path.relpath(file, folder)).as_posix() if inside else str(file)


def found(source: str, folder: Path) -> str:
    """Give the path of an audio file that a manifest names.

    Args:
        source: as it is written there.
        folder: of the manifest, without links.
    """
    while source.startswith("../"):
        folder, source = folder.parent, source[3:]
    return str(folder / source)
