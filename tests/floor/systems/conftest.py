import dataclasses
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.core import names
from auricle.core.files import write_json


@pytest.fixture
def echo(tmp_path, monkeypatch):
    """`echo(**changes)`: the run folder of the fake system, whose SPEC has the changes."""
    import auricle.systems

    monkeypatch.setattr(names, "PAPERS", (*names.PAPERS, names.Paper("echo", "none", "0", "what?", works=True)))
    monkeypatch.setattr(auricle.systems, "__path__", [*auricle.systems.__path__, str(Path(__file__).parent / "fakes")])
    import auricle.systems.echo as package

    def made(**changes):
        monkeypatch.setattr(package, "SPEC", dataclasses.replace(package.SPEC, **changes))
        folder = tmp_path / "echo-run"
        write_json(folder / "config.json", {"system": "echo", "preset": "smoke", "config": {}})
        write_json(folder / "checkpoints" / "final" / "meta.json", {})
        return folder

    return made


@pytest.fixture
def steps(monkeypatch):
    """The stages that the fake system `steps` has done, one after the other."""
    import auricle.systems

    monkeypatch.setattr(names, "PAPERS", (*names.PAPERS, names.Paper("steps", "none", "0", "how many?", works=True)))
    monkeypatch.setattr(auricle.systems, "__path__", [*auricle.systems.__path__, str(Path(__file__).parent / "fakes")])
    from auricle.systems.steps import CALLS

    CALLS.clear()
    return CALLS


@pytest.fixture
def answered(echo):
    """The requests that the fake system really answered."""
    from auricle.systems.echo.infer import ANSWERED

    ANSWERED.clear()
    return ANSWERED


@pytest.fixture
def command(monkeypatch, capsys):
    """`command(*arguments, stdin="")`: status, JSON lines and messages of the `auricle` command, in this process."""
    from auricle.cli.main import entry

    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "argv", ["auricle", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = 0
        try:
            entry()
        except SystemExit as stop:
            status = stop.code or 0
        shown = capsys.readouterr()
        return status, [json.loads(line) for line in shown.out.splitlines()], shown.err

    return run


@pytest.fixture(scope="session")
def run():
    """A trained run: the small model of `mambo` that comes in the package."""
    from auricle.systems import system

    return system("mambo").pretrained()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Files of many lengths, rates and codings, one that is long, and one that is not audio."""
    from auricle.data import embedded

    path = tmp_path_factory.mktemp("audio")
    for clip in [*embedded.clips(kind="speech")[::150], *embedded.clips(kind="sound")[::60]]:
        (path / f"{clip.id}{clip.file().suffix}").write_bytes(clip.file().read_bytes())
    draws = np.random.default_rng(1)
    for name, seconds, rate_hz in (
        ("short", 0.4, 8000),
        ("two", 2.0, 16000),
        ("mid", 7.3, 44100),
        ("long", 65.2, 16000),
    ):
        wave = draws.normal(0, 0.1, round(seconds * rate_hz)).astype(np.float32)
        if name == "mid":
            wave[: 3 * rate_hz] = 0.0  # a recorder that was started early: digital silence inside a good file
        soundfile.write(path / f"{name}.wav", wave, rate_hz)
    (path / "broken.wav").write_bytes(b"not audio")
    return path
