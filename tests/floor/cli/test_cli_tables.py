"""Foreign text in tables and messages: brackets, escapes and odd bytes are shown, not obeyed."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from auricle.cli import doctor, models
from auricle.cli.tables import print_rows, printable
from auricle.core import extras
from auricle.core.errors import DataError
from auricle.data import embedded


def shown(text):
    """A table's text without its lines and its breaks."""
    return "".join("".join(line.strip(" │┃┏┗━┓┡╇┩└─┴┘┳") for line in text.splitlines()).split())


@pytest.mark.parametrize("width", ["50", "80", "200"])
def test_doctor_shows_the_line_that_installs_an_extra_whole(monkeypatch, capsys, width):
    """It said: pip install 'auricle'."""
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setattr(extras, "available", lambda name: False)
    doctor.doctor()
    said = shown(capsys.readouterr().out)
    for extra, packages in extras.EXTRAS.items():
        assert f"missing{','.join(packages)}:pipinstall'auricle[{extra}]'" in said


def test_doctor_shows_what_is_wrong_with_a_file_as_it_is(monkeypatch, capsys):
    def damaged():
        raise DataError("corpus/[red]a[/red].flac: another checksum")

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(embedded, "verify", damaged)
    with pytest.raises(BaseException, match="1"):
        doctor.doctor()
    assert "damaged: corpus/[red]a[/red].flac: another checksum" in capsys.readouterr().out


def test_the_list_of_weights_shows_brackets(monkeypatch, capsys):
    known = extras.Weights("pack[age]", "1", "f", "0" * 64, "MIT [sic]", 1, "what [it] is")
    monkeypatch.setitem(extras.WEIGHTS, "[tiny]", known)
    monkeypatch.setenv("COLUMNS", "200")
    models.list_models()
    said = capsys.readouterr().out
    assert all(text in said for text in ("[tiny]", "pack[age] 1", "MIT [sic]", "what [it] is", "add [tiny]"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("100%[a]*.wav", "100%[a]*.wav"),
        ("[/]", "[/]"),
        (":smile: [link=http://x]y[/link]", ":smile: [link=http://x]y[/link]"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("bad\udcff.wav", r"bad\udcff.wav"),
        ("a\rb\u2028c", r"a\rb\u2028c"),
        ("Grüße 你好 שלום 👩‍🚀", "Grüße 你好 שלום 👩‍🚀"),
    ],
)
def test_a_cell_is_shown_as_it_is_and_cannot_move_the_cursor(monkeypatch, capsys, text, said):
    assert printable(text) == said
    monkeypatch.setenv("COLUMNS", "200")
    print_rows((text, "b"), [(text, "2")])
    out = capsys.readouterr().out
    assert said in out
    assert "\x1b" not in out


def test_lines_stay_lines():
    assert printable("two faults:\n  a\tb") == "two faults:\n  a\\tb"


def test_screened_files_keep_their_brackets_and_odd_bytes(tmp_path):
    name = tmp_path / "100%[a]*.wav"
    soundfile.write(name, np.random.default_rng(0).normal(0, 0.1, 44_100), 44_100)
    odd = os.fsencode(tmp_path) + b"/bad\xff[b].wav"
    with open(odd, "wb") as out:
        out.write(b"no audio")
    command = [sys.executable, "-m", "auricle", "codec", "screen", str(name), odd]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "300"})
    assert "100%[a]*.wav" in done.stdout
    assert r"bad\udcff[b].wav" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_an_error_shows_the_name_that_was_given(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "auricle", "manifest", "[hf]\x1b[2J.csv"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stderr.startswith(r"error: [hf]\x1b[2J.csv ")
    assert done.returncode == 2


@pytest.mark.parametrize("arguments", [["[hf]"], ["infer", "mambo", "--[hf]"]])
def test_wrong_use_shows_what_was_typed(arguments):
    """Typer prints this one."""
    done = subprocess.run([sys.executable, "-m", "auricle", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert "[hf]" in done.stderr
