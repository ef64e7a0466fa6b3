"""Pipes, devices, loops of links and URLs: every command that opens a file refuses them by name, and waits for none."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from auricle.core.extras import EXTRAS
from auricle.core.report import MetricRow, Report
from auricle.data import manifest

COMMANDS = {
    "manifest": ("manifest", "{}"),
    "manifest --keep-going": ("manifest", "{}", "--keep-going"),
    "report": ("report", "{}"),
    "report --pool": ("report", "--pool", "{}"),
    "data shar": ("data", "shar", "{}", "shards"),
    "data protocol check": ("data", "protocol", "check", "in_the_wild", "{}"),
    "data protocol manifest": ("data", "protocol", "manifest", "in_the_wild", "{}"),
    "evaluate --scores": ("evaluate", "mambo", "--scores", "{}", "--key", "{}"),
    "run --data": ("run", "mambo", "--preset", "smoke", "--data", "{}", "--run", "new"),
    "infer --requests": ("infer", "mambo", "--requests", "{}"),
    "infer --out": ("infer", "mambo", "a.wav", "--out", "{}"),
    "infer --run": ("infer", "mambo", "a.wav", "--run", "{}"),
    "codec decode": ("codec", "decode", "a.ausr", "--out", "o", "--run", "{}"),
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a pipe and a loop of links, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


@pytest.mark.parametrize("given", ["pipe", "loop", "/dev/zero"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_no_file_is_refused_in_one_line(place, command, given):
    from tests.command import in_process

    before = set(os.listdir(place))
    done = in_process(*(part.format(given) for part in COMMANDS[command]), check=False)
    said = [line for line in done.stderr.splitlines() if not line.startswith("nothing is trained")]
    assert done.returncode in (1, 2), (done.stdout, done.stderr)
    assert len(said) == 1, done.stderr
    assert said[0].startswith("error: ")
    assert given in said[0]
    assert set(os.listdir(place)) == before


@pytest.mark.parametrize("keep_going", [True, False])
def test_a_loop_in_a_table_is_a_fault_of_its_row(auricle, tmp_path, keep_going):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 20_000), 16_000)
    (tmp_path / "b.wav").symlink_to("c.wav")
    (tmp_path / "c.wav").symlink_to("b.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    rows = ("a.wav,real", "b.wav,fake", "pipe.wav,fake", "x" * 300 + ".wav,real", "/dev/zero,fake")
    (tmp_path / "t.csv").write_text("path,label\n" + "\n".join(rows) + "\n")
    done = auricle("manifest", tmp_path / "t.csv", *["--keep-going"] * keep_going, check=False)
    assert done.returncode == (1 if keep_going else 2)
    said = done.stdout if keep_going else done.stderr
    for line in (3, 4, 5, 6):
        assert f"t.csv, line {line}: " in said
    assert "Traceback" not in done.stderr
    if keep_going:
        assert [cut.id for cut in manifest.read(tmp_path / "t.jsonl")] == ["a.wav"]
    else:
        assert "4 of 5 rows cannot be used" in said


def test_a_folder_of_any_name_becomes_a_manifest(tmp_path):
    folder = os.fsencode(tmp_path) + b"/odd\xff"
    os.mkdir(folder)
    wave = np.random.default_rng(0).normal(0, 0.1, 20_000)
    soundfile.write(folder + b"/a.wav", wave, 16_000, format="WAV")
    with open(folder + b"/t.csv", "w") as out:
        out.write("path,label\na.wav,real\n")
    out_path = os.fsencode(tmp_path) + b"/m.jsonl"
    command = [sys.executable, "-m", "auricle", "manifest", folder + b"/t.csv", "--out", out_path]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr
    (cut,) = manifest.read(tmp_path / "m.jsonl")
    assert os.fsencode(cut.recording.sources[0].source) == folder + b"/a.wav"


@pytest.mark.parametrize("command", ["infer", "encode", "screen"])
def test_a_url_is_not_fetched_and_the_sentence_says_so(finished, tmp_path, command):
    from tests.command import in_process

    run = ("--run", finished("unisrcodec"))
    arguments = {
        "infer": ("infer", "mambo", "https://example.com/a.wav"),
        "encode": ("codec", "encode", "https://example.com/a.wav", "--out", tmp_path, *run),
        "screen": ("codec", "screen", "https://example.com/a.wav"),
    }[command]
    done = in_process(*arguments, check=False)
    assert done.returncode == 1
    assert "URLs are not fetched; download the file and give its path" in done.stdout + done.stderr


def test_a_folder_says_what_it_left_out(tmp_path):
    from tests.command import in_process

    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 20_000), 16_000)
    done = in_process("infer", "mambo", tmp_path)
    assert "left out" not in done.stderr
    for name in ("song.mid", "book.aax", "noname"):
        (tmp_path / name).write_bytes(b"MThd")
    done = in_process("infer", "mambo", tmp_path, check=False)
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1
    assert "3 file(s) of the folders look like audio and were left out" in done.stderr
    for name in ("song.mid", "book.aax", "noname"):
        assert name in done.stderr
    out = tmp_path / "out.jsonl"
    done = in_process("infer", "mambo", tmp_path, "--out", out, check=False)
    assert done.returncode == 1
    assert "3 file(s) of the folders" in done.stderr


def test_a_folder_is_read_with_av_and_says_how_without_it(tmp_path, monkeypatch):
    from auricle.audio import media
    from tests.command import in_process
    from tests.hostile import speechlike
    from tests.odd_audio import media as coded

    pytest.importorskip("av")
    (tmp_path / "a.m4a").write_bytes(coded("a.m4a", speechlike()))
    done = in_process("infer", "mambo", tmp_path)
    assert '"score"' in done.stdout
    monkeypatch.setattr(media, "available", lambda package: False)
    done = in_process("infer", "mambo", tmp_path, check=False)
    assert done.returncode == 1
    assert "pip install 'auricle[av]'" in done.stdout
    assert set(EXTRAS["av"]) == {"av"}


def test_the_table_of_a_score_file_ends_with_its_name(capsys):
    from auricle.report.text import heading

    row = MetricRow(name="eer", value=1.0, n=2)
    report = Report(
        system="mambo", preset="scores", data="mine", toy=False, seeds=[], environment={}, metrics=[row], warnings=[]
    )
    assert heading(report) == "mambo, scores of mine"
    assert heading(report.model_copy(update={"preset": "smoke", "seeds": [3]})) == "mambo, smoke preset on mine, seed 3"
    assert heading(report.model_copy(update={"preset": "smoke", "seeds": [0, 1]})).endswith("2 seeds")


def test_a_received_report_does_not_move_the_cursor(auricle, tmp_path):
    row = MetricRow(name="eer", value=1.0, n=2, group="\x1b[2Jall\u2028[red]")
    Report(
        system="x\x1b]0;y\x07",
        preset="smoke",
        data="a\nb",
        toy=True,
        seeds=[0],
        environment={},
        metrics=[row],
        warnings=["\x1b[31mred"],
    ).save(tmp_path / "report.json")
    said = auricle("report", tmp_path / "report.json").stdout
    assert "\x1b" not in said
    assert "\x07" not in said
    for words in (r"\x1b[2Jall\u2028[red]", r"note: \x1b[31mred", r"x\x1b]0;y\x07"):
        assert words in said


def test_a_second_run_of_the_command_says_that_it_did_nothing(finished, tmp_path):
    import shutil

    from tests.command import in_process

    run = shutil.copytree(finished("unisrcodec"), tmp_path / "run")
    done = in_process("run", "unisrcodec", "--preset", "smoke", "--run", run)
    assert done.stderr == f"nothing to do: this run is complete ({run})\nreport: {run}/report.html\n"
