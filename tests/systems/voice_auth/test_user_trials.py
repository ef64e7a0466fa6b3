"""Real and fake clips that a user brings as a list of trials: audited with a run, or refused with every name."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from auricle.audio.files import read_mono, write
from auricle.core.errors import DataError
from auricle.core.report import Report
from auricle.core.run import RunFolder
from auricle.data import embedded
from auricle.data.protocols import read_trials
from auricle.data.protocols.attack_trials import COLUMNS
from auricle.data.spoof import synthesize
from auricle.systems import pipeline
from auricle.systems import system as find
from auricle.systems.voice_auth.infer import load
from auricle.systems.voice_auth.user_trials import score_trials

VOICES, CLIPS = 3, 4


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    """A copy of the finished smoke run, into which an audit writes."""
    folder = tmp_path_factory.mktemp("user_trials") / "run"
    return Path(shutil.copytree(finished("voice_auth"), folder, ignore=shutil.ignore_patterns("cache")))


@pytest.fixture(scope="module")
def waves():
    """Clips of three voices, each at its own rate."""
    found = {}
    for clip in embedded.clips(kind="speech"):
        mine = found.setdefault(clip.speaker_group, [])
        if 1.2 <= clip.duration_s <= 3.0 and len(mine) < CLIPS:
            mine.append(clip.read())
    return {name: mine for name, mine in list(found.items()) if len(mine) == CLIPS}


@pytest.fixture
def folder(tmp_path, waves):
    """A folder of clips and the list beside it: every voice enrolled with two clips, two tested, one resynthesised."""
    rows = []
    names = list(waves)[:VOICES]
    for name in names:
        for number, audio in enumerate(waves[name]):
            write(tmp_path / "real" / f"{name}-{number}.wav", audio.mono(), audio.rate_hz)
        first = waves[name][2]
        made = synthesize("griffin_lim", np.asarray(first.mono(), np.float32), first.rate_hz, np.random.default_rng(0))
        write(tmp_path / "fake" / f"{name}.wav", made.wave, made.rate_hz)
    for target in names:
        enrol = f"real/{target}-0.wav;real/{target}-1.wav"
        rows += [
            (target, enrol, f"real/{name}-{number}.wav", "target" if name == target else "zero_effort", "", "", "")
            for name in names
            for number in (2, 3)
        ]
        rows.append((target, enrol, f"fake/{target}.wav", "spoof", "griffin_lim", "0", ""))
    return tmp_path, rows


def listed(folder, rows):
    with open(folder / "mine.csv", "w", newline="") as out:
        csv.writer(out).writerows([COLUMNS, *rows])
    return folder / "mine.csv"


def audited(run, path):
    cfg, opened = pipeline.open_existing("voice_auth", run)
    return pipeline.evaluate_manifest(find("voice_auth"), cfg, opened, path)


def test_an_audit_of_own_clips_says_what_passes_and_keeps_the_trials(run, folder):
    place, rows = folder
    report = audited(run, listed(place, rows))
    found = {row.name for row in report.metrics if row.baseline is None}
    assert {"eer", "detector_eer"} <= found
    assert {row.data for row in report.metrics} == {"mine"}
    assert not (run / "report-mine.html").exists()
    assert Report.load(run / "report-mine.json").data == "mine"
    trials = read_trials(run / "scores" / "mine.npz")
    assert len(trials.score) == len(rows)


def test_a_score_is_the_cosine_of_the_enrolled_mean_and_the_clip_alone(run, folder):
    place, rows = folder
    login = load(run)
    trials = score_trials(login, listed(place, rows))

    def embedded_alone(name):
        wave, rate_hz, _ = read_mono(place / name)
        return login.verifier.embed([wave], [rate_hz])[0]

    row = rows[2]
    mean = np.mean([embedded_alone(name) for name in row[1].split(";")], axis=0)
    assert trials.score[2] == pytest.approx(mean @ embedded_alone(row[2]) / np.linalg.norm(mean), abs=1e-5)


def test_a_clip_that_is_no_audio_is_named_and_nothing_is_written(run, folder):
    place, rows = folder
    bad = place / rows[0][2]
    bad.write_bytes(b"RIFF but no audio")
    before = sorted(RunFolder(run).scores.iterdir())
    with pytest.raises(DataError, match=rf"1 of \d+ files cannot be used.*\n{re.escape(rows[0][2])}: "):
        audited(run, listed(place, rows))
    assert sorted(RunFolder(run).scores.iterdir()) == before


@pytest.mark.parametrize("problem", ["missing", "twice", "copied", "single"])
def test_a_list_that_cannot_carry_an_audit_is_refused_with_the_name(run, folder, problem):
    place, rows = folder
    name = rows[0][0]
    says = {
        "missing": rf"line 2: {re.escape(rows[0][2])}",
        "twice": "was already in line 2",
        "copied": rf"{name}\.wav .*copies of real|copies of real[\s\S]*{name}\.wav",
        "single": rf"one utterance[\s\S]*{name}",
    }[problem]
    if problem == "missing":
        (place / rows[0][2]).unlink()
    elif problem == "twice":
        rows = [*rows, rows[0]]
    elif problem == "copied":
        (place / "fake" / f"{name}.wav").write_bytes((place / rows[0][2]).read_bytes())
    else:
        one = f"real/{name}-0.wav"
        rows = [
            (row[0], one, *row[2:]) if row[0] == name else row for row in rows if row[3] != "target" or row[0] != name
        ]
    with pytest.raises(DataError, match=says):
        audited(run, listed(place, rows))
