"""Rows are JSON whatever a name holds and whoever else writes; one process writes a file of answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from auricle.core.answers import Refused
from auricle.core.errors import DataError
from auricle.core.locks import beside
from auricle.core.request import Request
from auricle.systems import engines
from auricle.systems.answer_file import write_answers
from auricle.systems.inference import answers, fingerprint, request_key

NAMES = (
    b"plain.wav",
    b"bad\xff\xe9.wav",
    "ü 声\u2028音.wav".encode(),
    b"nl\nx.wav",
    b"l" * 251 + b".wav",
    b"[b]\x1b.wav",
)
LATIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
HOLDER = """
import sys, time
from pathlib import Path
from auricle.core.locks import beside, only_writer
with only_writer(beside(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def odd(tmp_path):
    """Files of odd names, each with a second of noise; none of them needs to be audio for the fake system."""
    folder = tmp_path / "odd"
    folder.mkdir()
    files = [Path(os.fsdecode(os.fsencode(folder) + b"/" + name)) for name in NAMES]
    for file, name in zip(files, NAMES, strict=True):
        file.write_bytes(name)
    return files


def read(path):
    """Give the lines of a file, which must be JSON in UTF-8."""
    return [json.loads(line.decode("utf-8")) for line in path.read_bytes().split(b"\n")[:-1]]


def test_a_file_of_answers_holds_every_name_and_goes_on(echo, answered, odd, tmp_path):
    folder, out = echo(), tmp_path / "out.jsonl"
    done = write_answers(folder, odd, out)
    assert (done.rows, done.errors) == (len(NAMES), 0)
    assert [os.fsencode(row["input"]) for row in read(out)] == [os.fsencode(file) for file in odd]
    answered.clear()
    whole = out.read_bytes()
    assert write_answers(folder, odd, out).before == len(NAMES)
    assert answered == []
    assert out.read_bytes() == whole


def test_odd_names_are_cached_and_have_files_of_their_own(echo, answered, odd, tmp_path):
    folder = echo(gives=("json", "audio"))
    out_dir = Path(os.fsdecode(os.fsencode(tmp_path) + b"/out\xff"))
    asked = [Request(audio=file, text="words") for file in odd]
    more = {"out_dir": out_dir, "cache": tmp_path / "cache"}
    rows = list(answers(folder, asked, **more))
    assert not any("error" in row for row in rows)
    assert len({row["sound"] for row in rows}) == len(NAMES)
    answered.clear()
    again = list(answers(folder, asked, **more))
    assert answered == []
    assert [row["input"] for row in again] == [row["input"] for row in rows]
    assert len({request_key(one, out_dir) for one in asked}) == len(NAMES)


def test_a_file_that_cannot_be_written_costs_its_own_row(echo, odd, tmp_path):
    # the fake writes the text as it is, and this one has no form in UTF-8
    asked = [Request(audio=odd[0], text=text) for text in ("a", "bad \udcff words", "b")]
    rows = list(answers(echo(gives=("json", "audio")), asked, out_dir=tmp_path / "out"))
    assert ["error" in row for row in rows] == [False, True, False]
    assert "surrogates not allowed" in rows[1]["error"]
    rows = list(answers(echo(gives=("json", "image")), asked, out_dir=tmp_path / "out"))
    assert not any("error" in row for row in rows)
    assert "no-sound: " in rows[1]["warnings"][0]


def test_names_of_files_are_no_longer_than_file_systems_take():
    name = engines.output_name(Request(audio=Path("声" * 80 + ".wav")), "sound", ".wav")
    assert len(name.encode()) < 255
    assert name.startswith("声" * 60)
    assert len(engines.output_name(Request(audio=Path("👩‍🚀" * 60 + ".wav")), "sound", ".wav").encode()) < 255


@pytest.mark.parametrize("environment", [{}, LATIN], ids=["UTF-8", "C"])
def test_standard_output_is_json_in_every_locale(run, tmp_path, environment):
    names = [os.fsencode(tmp_path) + b"/none-" + name for name in NAMES if b"\0" not in name]
    command = [sys.executable, "-m", "auricle", "infer", "mambo", "--run", str(run), *names]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **environment})
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line.decode("utf-8")) for line in done.stdout.split(b"\n")[:-1]]
    encoding = "ascii" if environment else "utf-8"
    assert [row["input"].encode(encoding, "surrogateescape") for row in rows] == names
    if environment:
        assert done.stdout.isascii()


@pytest.mark.parametrize("environment", [{}, LATIN], ids=["UTF-8", "C"])
def test_names_of_any_bytes_come_from_standard_input(run, tmp_path, environment):
    names = [os.fsencode(tmp_path) + b"/none-" + name for name in NAMES if b"\n" not in name]
    command = [sys.executable, "-m", "auricle", "infer", "mambo", "--run", str(run), "-"]
    given = b"".join(name + b"\n" for name in names)
    done = subprocess.run(command, input=given, capture_output=True, env={**os.environ, **environment})
    rows = [json.loads(line) for line in done.stdout.split(b"\n")[:-1]]
    encoding = "ascii" if environment else "utf-8"
    assert [row["input"].encode(encoding, "surrogateescape") for row in rows] == names
    assert b"Traceback" not in done.stderr


NOISY = """
import os, sys
from auricle.systems import inference
def noisy(*arguments, **more):
    for number in range(3):
        os.write(1, b"(raylet) a worker was killed\\n")
        print("2026 INFO worker.py -- dead")
        yield {"input": str(number), "warnings": []}
    os.write(1, b"last words\\n")
inference.answers = noisy
from auricle.cli.main import entry
sys.argv = ["auricle", "infer", "mambo", "--run", sys.argv[1], "a.wav"]
entry()
"""


def test_what_others_write_to_standard_output_does_not_reach_the_rows(run):
    done = subprocess.run([sys.executable, "-c", NOISY, str(run)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["input"] for line in done.stdout.splitlines()] == ["0", "1", "2"]
    for words, count in (("a worker was killed", 3), ("worker.py -- dead", 3), ("last words", 1)):
        assert done.stderr.count(words) == count


def test_a_reader_that_has_gone_ends_the_command(run, folder):
    command = [sys.executable, "-m", "auricle", "infer", "mambo", "--run", str(run), str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.wait(60)
    assert b"Traceback" not in said
    process.stderr.close()


# --- the file of answers ----------------------------------------------------------------------------------------------


def test_a_second_writer_of_one_file_is_refused_by_the_number_of_the_first(echo, odd, tmp_path):
    out = tmp_path / "out.jsonl"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DataError, match=f"out.jsonl is being written by process {holder.pid}; wait for it"):
            write_answers(echo(), odd, out)
        assert not out.exists()
    finally:
        holder.kill()
        holder.communicate()
    assert write_answers(echo(), odd, out).rows == len(NAMES)
    assert not beside(out).exists()


def test_two_commands_on_one_file_give_one_file(run, folder, tmp_path):
    out = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "auricle", "infer", "mambo", "--run", str(run), str(folder), "--out", str(out)]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not beside(out).exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    second = subprocess.run(command, capture_output=True, text=True)
    first.communicate()
    rows = read(out)
    assert len(rows) == len({row["input"] for row in rows}) > 5
    # the first one may have been done already
    assert second.returncode == 1 or f"is being written by process {first.pid}" in second.stderr
    assert first.returncode == 1  # broken.wav


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_answers_go_into_a_file_and_nothing_else(echo, odd, tmp_path, kind):
    place = {"pipe": tmp_path / "pipe", "folder": tmp_path, "device": Path("/dev/null")}[kind]
    if kind == "pipe":
        os.mkfifo(place)
    with pytest.raises(DataError, match="is a folder, a pipe, a device or a link that leads nowhere; give the name of"):
        write_answers(echo(), odd, place)


def test_other_weights_behind_a_path_are_another_maker(tmp_path):
    from auricle.core.files import write_json

    encoder, manifest = tmp_path / "encoder.bin", tmp_path / "m.jsonl"
    encoder.write_bytes(b"one")
    manifest.write_text("one")
    config = {"model": {"encoder": str(encoder)}, "data": {"source": str(manifest)}, "eval": {"vocoder": str(manifest)}}
    write_json(tmp_path / "run" / "config.json", {"system": "echo", "preset": "smoke", "config": config})
    write_json(tmp_path / "run" / "checkpoints" / "final" / "meta.json", {})
    before = fingerprint(tmp_path / "run")
    manifest.write_text("two")
    assert fingerprint(tmp_path / "run") == before
    encoder.write_bytes(b"two")
    assert fingerprint(tmp_path / "run") != before


def test_a_row_of_rays_may_hold_any_name(echo, odd):
    import numpy as np

    asked = [json.dumps(Request(audio=file).as_dict()) for file in odd]
    back = engines._Worker(echo(), None)({"place": np.arange(len(odd)), "request": np.array(asked)})
    assert all(row.isascii() for row in back["row"])
    assert [json.loads(row)["input"] for row in back["row"]] == [str(file) for file in odd]
    assert isinstance(Refused("a", "b").as_dict(), dict)
