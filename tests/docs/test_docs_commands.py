"""Every command that a page or a help text shows parses; the fast ones are run, on a finished smoke run."""

import re
import shutil
from pathlib import Path

import docs_pages
import docs_reading as reading
import pytest
import typer

from auricle.cli.main import app
from auricle.core.config import keys
from auricle.core.files import read_json, write_json
from auricle.core.names import PAPERS, PRESETS
from auricle.systems import NAMES
from auricle.systems.pipeline import resolve

DESK = "mambo"  # the system whose finished run is on the desk
COMMANDS = dict(docs_pages.walk(typer.main.get_command(app), "auricle"))
SHOWN = list(dict.fromkeys(reading.shown()))
OURS = [one for one in SHOWN if one.program == "auricle"]
HELP = [
    found
    for name, command in COMMANDS.items()
    for line in re.findall(r"^\s*(auricle .+)$", command.help or "", re.MULTILINE)
    for found in reading.commands(f"{name} --help", line)
]
# What trains or builds is run by the contract suite, with the smoke preset, and by tests of its own.
SLOW = (
    "auricle run",
    "auricle prepare",
    "auricle train",
    "auricle claims",
    "auricle data build",
    "auricle data export",
    "auricle data protocol",  # needs a published corpus: tests/floor/cli
    "auricle codec",  # needs a run of its own: tests/systems/unisrcodec
    "auricle models add",  # needs the network unless the package is there: tests/floor/cli
    "auricle models import",  # needs a released file: tests/systems
    # need a run of another system than the desk has: tests/contract, tests/systems
    *(f"auricle {verb} {name}" for name in NAMES if name != DESK for verb in ("infer", "evaluate", "report")),
)
# Score files need no run.
QUICK = tuple(f"auricle evaluate {name} --scores" for name in NAMES)


def split(arguments):
    """Give a command's full name and the arguments after it."""
    for size in (3, 2, 1):
        name = " ".join(("auricle", *arguments[:size]))
        if name in COMMANDS:
            return name, list(arguments[size:])
    raise AssertionError(f"there is no command auricle {' '.join(arguments)}")


def parse(arguments):
    """Parse as the command line does, without running anything; give the values by parameter."""
    name, rest = split(arguments)
    return name, COMMANDS[name].make_context(name, rest).params


@pytest.mark.parametrize("command", [*OURS, *HELP], ids=str)
def test_it_parses(command):
    if not command.arguments or command.arguments[-1] in ("--help", "-h"):
        return
    _, values = parse(command.arguments)
    if "system" in values:
        assert values["system"] in NAMES
    if values.get("preset"):
        assert values["preset"] in PRESETS
    if values.get("settings"):
        preset = values["preset"] or "laptop"
        yours = [one for one in values["settings"] if one.endswith("/")]  # a folder of the reader's: only the key
        assert {one.split("=")[0] for one in yours} <= set(keys(type(resolve(values["system"], preset))))
        resolve(values["system"], preset, None, [one for one in values["settings"] if one not in yours])


def test_there_is_something_to_parse():
    assert len(OURS) > 15
    assert {split(one.arguments)[0] for one in HELP} >= {"auricle run", "auricle infer", "auricle data list"}


@pytest.mark.parametrize("wrong", [("fly", "mambo"), ("run", "mambo", "--sedes", "3"), ("infer",)])
def test_a_wrong_command_does_not_parse(wrong):
    with pytest.raises((AssertionError, Exception)) as caught:  # Click's own error has several homes
        parse(wrong)
    assert type(caught.value).__name__ in ("AssertionError", "NoSuchOption", "MissingParameter")


@pytest.mark.parametrize("path", reading.pages(), ids=lambda path: str(path.relative_to(reading.ROOT)))
def test_inline_commands_name_verbs_systems_and_options(path):
    for code in reading.inline(path.read_text(encoding="utf-8")):
        if not code.startswith("auricle ") or "|" in code:
            continue  # a bar lists alternatives
        words = [word for word in code.split()[1:] if word != "..."]
        if words[0].startswith("-"):
            assert words[0] in ("--help", "-h")
            continue
        name, rest = split(words) if not any(f"auricle {words[0]} " in full for full in COMMANDS) else group(words)
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts} if name else set()
        for word in rest:
            if word.startswith("--"):
                assert word.split("=")[0] in options, code
        if rest and name and COMMANDS[name].params[0].name == "system" and rest[0] not in ("SYSTEM", "NAME"):
            assert rest[0] in {row.system for row in PAPERS}, code


def group(words):
    """A group such as `auricle data` may stand alone."""
    return ("", []) if len(words) == 1 else split(words)


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z-]+):", (reading.ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = {str(path): path.read_text(encoding="utf-8") for path in reading.pages()}
    inline = [code.split() for text in texts.values() for code in reading.inline(text) if code.startswith("make ")]
    used = {words[1] for words in inline} | {one.arguments[0] for one in SHOWN if one.program == "make"}
    assert used
    assert used <= targets, used - targets


# --- run them ---------------------------------------------------------------------------------------------------------


def fast(arguments):
    line = " ".join(("auricle", *arguments))
    return line.startswith(QUICK) or not line.startswith(SLOW)


FAST = list(dict.fromkeys(one.arguments for one in OURS if fast(one.arguments)))


@pytest.fixture(scope="module")
def desk(finished, tmp_path_factory):
    """A folder in which the files that the pages speak of are at hand."""
    from auricle.data import embedded

    folder = tmp_path_factory.mktemp("desk")
    speech = [embedded.folder() / clip.path for clip in embedded.clips("speech") if clip.path.endswith(".flac")][:4]
    (folder / "recordings").mkdir()
    for clip in speech[:2]:
        shutil.copy(clip, folder / "recordings" / clip.name)
    lines = [f"{path},{label}" for path, label in zip(speech, ("bonafide", "spoof") * 2, strict=True)]
    (folder / "files.csv").write_text("path,label\n" + "\n".join(lines) + "\n")
    rows = [("bonafide", 0.9), ("bonafide", 0.7), ("spoof", 0.1), ("spoof", 0.8)] * 10
    (folder / "asked.csv").write_text("audio\n" + "\n".join(map(str, speech[:2])) + "\n")
    (folder / "scores").write_text("".join(f"t{i} {score}\n" for i, (_, score) in enumerate(rows)))
    login_trials(folder)
    (folder / "key").write_text("".join(f"speaker{i % 5} t{i} - - {label}\n" for i, (label, _) in enumerate(rows)))
    from auricle.data.manifest import from_csv

    from_csv(folder / "files.csv", folder / "given.jsonl")
    run = folder / "given-run"
    shutil.copytree(finished(DESK), run)
    saved = read_json(run / "config.json")
    saved["config"]["eval"]["controls"] = False  # half a minute of training that the smoke run has done already
    del saved["checksum"]  # changed knowingly
    write_json(run / "config.json", saved)
    return folder


def login_trials(folder):
    """Write the trials of a voice login and their scores."""
    heard = [
        (kind, who, score) for kind, score in (("target", 0.9), ("zero_effort", 0.2), ("spoof", 0.5)) for who in "abcd"
    ]
    trials, scores = ["target_spk,enrol_ids,test_path,kind,generator,train_minutes,condition"], []
    for place, (kind, who, score) in enumerate(heard * 4):
        generator = "world" if kind == "spoof" else ""
        trials.append(f"{who},{who}1.wav;{who}2.wav,{kind}{place}.wav,{kind},{generator},,clean")
        scores.append(f"{kind}{place}.wav {score + place / 100}")
    (folder / "attacks.csv").write_text("\n".join(trials) + "\n")
    (folder / "login-scores.txt").write_text("\n".join(scores) + "\n")


def provide(folder, parameter, path):
    """Put what a command's argument names where it looks for it."""
    source = {
        "run": "given-run",
        "runs": "given-run",
        "manifest": "given.jsonl",
        "table": "files.csv",
        "scores": "scores",
        "key": "key",
        "requests": "asked.csv",
    }.get(parameter)
    target = folder / path
    if target.exists() or parameter in ("out", "out_dir"):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if parameter == "inputs":
        wave = next((folder / "recordings").iterdir())
        if path.suffix:
            from auricle.audio.files import read_mono, write

            samples, rate_hz, _ = read_mono(wave)
            write(target, samples, rate_hz)
        else:
            shutil.copytree(folder / "recordings", target)
    elif source is not None:
        (shutil.copytree if (folder / source).is_dir() else shutil.copy)(folder / source, target)


@pytest.mark.parametrize("arguments", FAST, ids=" ".join)
def test_it_runs(arguments, desk, monkeypatch):
    from typer.testing import CliRunner

    monkeypatch.chdir(desk)
    if arguments and arguments[-1] not in ("--help", "-h"):
        name, values = parse(arguments)
        for key, value in values.items():
            for path in value if isinstance(value, list | tuple) else [value]:
                if isinstance(path, Path) or (key == "inputs" and path != "-"):
                    provide(desk, key, Path(path))
        if values.get("run", "") is None and name != "auricle evaluate":
            provide(desk, "run", Path("runs") / values["system"])
        if name == "auricle evaluate" and not values["scores"]:
            provide(desk, "run", values["run"] or Path("runs") / values["system"])
    heard = "".join(f"{path}\n" for path in (desk / "recordings").iterdir()) if "-" in arguments else None
    done = CliRunner().invoke(app, list(arguments), input=heard)
    assert done.exit_code == 0, (done.output, done.exception)
    assert done.output.strip()
