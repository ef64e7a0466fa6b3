"""`auricle data`: the commands about corpora, through the real command line."""

from __future__ import annotations

import json
import os
import shutil
import sys

import pytest

from auricle.data import manifest, shar
from tests.floor.data.protocols.test_protocols_manifest import sound
from tests.floor.data.rec.debs import SOURCES, Shelf, make_debs

META = "file,speaker,label\n0.wav,Ann,bona-fide\n1.wav,Ann,spoof\n2.wav,Bo,spoof\n"


@pytest.fixture
def wild(tmp_path):
    """A corpus of three files in the format of In-the-Wild."""
    (tmp_path / "meta.csv").write_text(META)
    for name in ("0.wav", "1.wav"):
        sound(tmp_path / name)
    return tmp_path


def test_verify_knows_both_corpora(auricle, tmp_path):
    environment = {**os.environ, "AURICLE_CACHE": str(tmp_path)}
    assert "all checksums right" in auricle("data", "verify").stdout
    done = auricle("data", "verify", "--corpus", "rec", check=False, env=environment)
    assert done.returncode == 2
    assert "run `auricle data build --profile rec`" in done.stderr
    done = auricle("data", "verify", "--corpus", "tiny", check=False)
    assert done.returncode == 2
    assert "use embedded or rec" in done.stderr


def test_build_names_what_is_missing(auricle, tmp_path):
    environment = {**os.environ, "AURICLE_CACHE": str(tmp_path), "PATH": str(tmp_path)}
    done = auricle("data", "build", "--profile", "rec", check=False, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the large corpus is made with apt-get and dpkg-deb")
    assert done.stdout == ""
    done = auricle("data", "build", "--profile", "huge", check=False, env=environment)
    assert "no profile 'huge'; profiles: rec" in done.stderr


def test_build_through_the_real_command(auricle, tmp_path):
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed; it builds and unpacks the test's packages")
    shelf = make_debs(tmp_path / "shelf")
    programs = tmp_path / "programs"
    programs.mkdir()
    # an apt-get that serves the shelf; packages the shelf lacks are left to the check of a whole profile
    archives = Shelf(shelf).look_up([name for source in SOURCES for name in (source.package, *source.helps)])
    apt = programs / "apt-get"
    lines = {name: f"'http://h/{a.file}' {a.file} {a.size} SHA256:{a.sha256}" for name, a in archives.items()}
    apt.write_text(
        f"#!{sys.executable}\nimport shutil, sys\nlines, shelf = {lines!r}, {str(shelf)!r}\n"
        "names = [name for name in sys.argv if name in lines]\n"
        "for name in names:\n"
        "    if '--print-uris' in sys.argv:\n        print(lines[name])\n"
        "    else:\n        shutil.copy(shelf + '/' + lines[name].split()[1], '.')\n"
    )
    apt.chmod(0o755)
    environment = {**os.environ, "AURICLE_CACHE": str(tmp_path / "cache"), "PATH": f"{programs}:{os.environ['PATH']}"}
    done = auricle("data", "build", check=False, env=environment)
    assert done.returncode == 2
    assert "apt has no package asterisk-core-sounds-en-g722" in done.stderr
    assert not (tmp_path / "cache" / "rec" / ".completed").exists()


def test_a_protocol_is_checked(auricle, wild):
    done = auricle("data", "protocol", "check", "in_the_wild", wild, "--audio", wild, check=False)
    assert done.returncode == 1
    assert "bonafide" in done.stdout
    assert "19,963" in done.stdout  # published
    assert "1 of 3 audio files are not below" in done.stdout
    done = auricle("data", "protocol", "check", "nothing", wild, check=False)
    assert done.returncode == 2
    assert "no protocol 'nothing'; protocols: asvspoof2019_la" in done.stderr


def test_a_protocol_becomes_a_manifest(auricle, wild):
    out = wild / "wild.jsonl"
    done = auricle("data", "protocol", "manifest", "in_the_wild", wild, "--out", out, check=False)
    assert done.returncode == 2
    assert "2.wav is not there" in done.stderr
    assert not out.exists()
    done = auricle("data", "protocol", "manifest", "in_the_wild", wild, "--out", out, "--keep-going", check=False)
    assert done.returncode == 1
    assert "1 rows left out" in done.stdout
    cuts = list(manifest.read(out))
    assert [cut.custom["label"] for cut in cuts] == ["bonafide", "spoof"]
    assert json.loads(out.read_text().splitlines()[0])["recording"]["sources"][0]["source"] == "0.wav"


def test_a_manifest_becomes_shards(auricle, wild):
    out = wild / "wild.jsonl"
    auricle("data", "protocol", "manifest", "in_the_wild", wild, "--out", out, "--keep-going", check=False)
    done = auricle("data", "shar", out, wild / "shards", "--shard-size", "1")
    assert done.stdout.startswith("2 cuts")
    assert "2 shards" in done.stdout
    cuts = list(shar.read(wild / "shards"))
    assert [cut.custom["label"] for cut in cuts] == ["bonafide", "spoof"]
    done = auricle("data", "shar", out, wild / "shards", check=False)
    assert done.returncode == 2
    assert "is not empty" in done.stderr
