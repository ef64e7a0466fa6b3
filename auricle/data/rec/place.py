"""Where the large corpus lies: the user's cache folder, never the source tree."""

from __future__ import annotations

from pathlib import Path

from auricle.core.cache import cache_folder
from auricle.core.errors import DataError


def cache() -> Path:
    """Give the cache folder, checked.

    Raises:
        DataError: it lies inside Auricle's own source tree, where it could be committed.
    """
    place = cache_folder()
    sources = Path(__file__).resolve().parents[2]
    tree = sources.parent if (sources.parent / "pyproject.toml").exists() else sources
    if place.is_relative_to(tree):
        raise DataError(f"the cache folder {place} lies inside {tree}; set AURICLE_CACHE to a folder outside of it")
    return place


def corpus_folder(profile: str = "rec") -> Path:
    """Give the folder of a built corpus; it need not be there."""
    return cache() / profile
