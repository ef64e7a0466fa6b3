"""No command and no library of ours reaches for another machine or leaves a file outside of its own folders.

Children run with an empty home, an empty folder for temporary files and a library that sees the sockets of C code too.
"""

import importlib.util
import os
import platform
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.core.privacy import opt_out
from auricle.data import embedded
from auricle.nn import native

ROOT = Path(__file__).parents[2]
ONNX_BYTES = ROOT / "tests" / "floor" / "backbones" / "onnx_bytes.py"
pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or native.compiler() is None, reason="the watch is a library for Linux, in C"
)
VERIFIER = """
import sys, time
from auricle.backbones.speaker.load import load_verifier
import numpy as np
print(load_verifier("onnx:" + sys.argv[1]).embed([np.sin(np.arange(16000, dtype="float32"))], [16000]).shape)
time.sleep(3)  # calls come from threads, later
"""


@pytest.fixture(scope="module")
def watch(tmp_path_factory):
    built = tmp_path_factory.mktemp("watch") / "watch.so"
    source = Path(__file__).with_name("watch.c")
    subprocess.run([*native.compiler(), "-shared", "-fPIC", str(source), "-o", str(built), "-ldl"], check=True)
    return built


@pytest.fixture
def alone(watch, tmp_path):
    """Run a command by itself; give what it said, whom it called and what it left."""
    places = {name: tmp_path / name for name in ("home", "tmp", "here", "cache")}
    for place in places.values():
        place.mkdir()
    log = tmp_path / "calls"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(places["home"]),
        "TMPDIR": str(places["tmp"]),
        "AURICLE_CACHE": str(places["cache"]),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "LD_PRELOAD": str(watch),
        "WATCH_LOG": str(log),
    }  # and nothing by which a library would know a test machine

    def run(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=places["here"],
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        calls = log.read_text().splitlines() if log.exists() else []
        left = {
            str(path.relative_to(tmp_path))
            for name in ("home", "tmp", "here")
            for path in places[name].rglob("*")
            if path.is_file() or path.is_symlink() or not any(path.iterdir())
        }
        return done.stdout, calls, left

    run.here = places["here"]
    return run


@pytest.fixture
def onnx(tmp_path):
    """(1, T) -> (1, 3): the wave's size through three filters, its mean over time."""
    pytest.importorskip("onnxruntime")
    spec = importlib.util.spec_from_file_location("onnx_bytes", ONNX_BYTES)
    write = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write)
    nodes = [
        write.node("Unsqueeze", ["wave", "axis"], "image"),
        write.node("Conv", ["image", "kernels"], "filtered", strides=[4]),
        write.node("Abs", ["filtered"], "size"),
        write.node("ReduceMean", ["size"], "embedding", axes=[2], keepdims=0),
    ]
    constants = [
        write.constant("axis", [1], [1], kind=7),
        write.constant("kernels", (3, 1, 8), np.random.default_rng(0).normal(size=24).astype(np.float32).tolist()),
    ]
    ports = [write.port("wave", [1, "time"])], [write.port("embedding", [1, "d"])]
    path = tmp_path / "mine.onnx"
    path.write_bytes(write.model(nodes, *ports, constants))
    return path


def test_the_watch_sees_and_refuses_what_leaves_the_machine(alone):
    code = (
        "import ctypes, socket\n"
        "try: socket.getaddrinfo('example.invalid', 80)\n"
        "except socket.gaierror: print('refused')\n"
        "try: socket.create_connection(('192.0.2.1', 80), timeout=1)\n"
        "except OSError: print('refused')\n"
        "server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname()).close()\n"
        "open('left', 'w').close()"
    )
    said, calls, left = alone("-c", code)
    assert said.split() == ["refused", "refused"]
    assert calls == ["look-up example.invalid", "look-up 192.0.2.1"]
    assert left == {"here/left"}


@pytest.mark.parametrize(
    "arguments", [["list"], ["doctor"], ["config", "mambo"], ["models", "list"], ["data", "list"]], ids=" ".join
)
def test_a_command_that_only_tells_leaves_nothing(alone, arguments):
    _, calls, left = alone("-m", "auricle", *arguments)
    assert (calls, left) == ([], set())


def test_the_packaged_model_answers_and_leaves_nothing(alone):
    clip = next(clip for clip in embedded.clips(kind="speech") if clip.duration_s > 2).read()
    soundfile.write(alone.here / "clip.wav", np.clip(clip.mono(), -1, 1), clip.rate_hz)
    _, calls, left = alone("-m", "auricle", "infer", "mambo", "clip.wav", "--out", "answers.jsonl")
    assert calls == []
    assert left == {"here/clip.wav", "here/answers.jsonl", "here/answers.jsonl.run.json"}


def test_a_verifier_in_an_onnx_file_calls_nobody_and_keeps_no_id(alone, onnx):
    said, calls, left = alone("-c", VERIFIER, onnx)
    assert said == "(1, 3)\n"
    assert (calls, left) == ([], set())


def test_without_our_word_onnxruntime_would_have(alone, onnx):
    """The watch sees what the test above is about, wherever this version of onnxruntime does it."""
    code = "import sys, time, onnxruntime as o; o.InferenceSession(sys.argv[1]); time.sleep(3)"
    _, calls, left = alone("-c", code, onnx)
    if not left and not calls:
        pytest.skip("this build of onnxruntime has no telemetry")
    assert any("deviceid" in path for path in left)


def test_libraries_are_told_before_they_load_and_onnxruntime_also_after(monkeypatch):
    told = []
    loaded = types.SimpleNamespace(disable_telemetry_events=lambda: told.append("off"))
    monkeypatch.setitem(sys.modules, "onnxruntime", loaded)
    for name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "anything")
    opt_out()
    assert told == ["off"]
    assert os.environ["ORT_DISABLE_TELEMETRY"] == os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize("package", ["onnxruntime", "ray", "transformers"])
def test_an_optional_package_finds_its_telemetry_off_when_it_is_loaded(package, monkeypatch):
    """`require` is the one door that such packages come through."""
    from auricle.core import extras

    for name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.delenv(name, raising=False)
    seen = {}
    monkeypatch.setattr(extras, "available", lambda name: True)
    monkeypatch.setattr(extras.importlib, "import_module", lambda name: seen.update(os.environ))
    extras.require(package, "extra", "A test")
    assert (seen["ORT_DISABLE_TELEMETRY"], seen["HF_HUB_DISABLE_TELEMETRY"], seen["RAY_USAGE_STATS_ENABLED"]) == (
        "1",
        "1",
        "0",
    )
