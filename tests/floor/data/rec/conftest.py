from __future__ import annotations

import shutil

import pytest

from auricle.data.rec.construction import build
from tests.floor.data.rec.debs import SOURCES, Shelf, make_debs


@pytest.fixture(scope="session")
def debs(tmp_path_factory):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed; it builds and unpacks the test's packages")
    return make_debs(tmp_path_factory.mktemp("debs"))


@pytest.fixture(scope="session")
def built(debs, tmp_path_factory):
    """A corpus of the tiny packages, in the folder that a cache folder would have; never write into it."""
    folder = tmp_path_factory.mktemp("cache") / "rec"
    said: list[str] = []
    return build(downloader=Shelf(debs), workers=1, sources=SOURCES, folder=folder, say=said.append), folder, said
