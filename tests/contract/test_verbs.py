"""What every system's verbs keep, over one finished smoke run of each."""

from __future__ import annotations

import html.parser
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from auricle.claims.claim import Cell
from auricle.claims.runner import plain
from auricle.core.errors import ConfigError
from auricle.core.report import Report
from auricle.data import embedded, manifest
from auricle.systems import NAMES, system
from auricle.systems.pipeline import pool_folders
from tests.command import in_process
from tests.contract.adapter import adapter_of
from tests.finished import state
from tests.hostile import make_hostile

NOT_NEEDED = shutil.ignore_patterns("cache", "manifests", "scores", "report*", "metrics.jsonl", "state-*", "best-*")
UNWANTED = ("auricle.train.loop", "auricle.report.html")  # of a process that only answers


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def run(finished, name):
    """The finished run; never write into it."""
    return finished(name)


@pytest.fixture
def moved(run, tmp_path):
    """A copy in another place of what answers need."""
    return Path(shutil.copytree(run, tmp_path / "moved", ignore=NOT_NEEDED))


@pytest.fixture
def other(moved, name):
    """A run that says it is another system's."""
    saved = json.loads((moved / "config.json").read_text())
    saved.pop("checksum", None)  # or the change would be told as damage
    (moved / "config.json").write_text(json.dumps(saved | {"system": NAMES[NAMES.index(name) - 1]}))
    return moved


def lines(done):
    """Give the lines on standard output, each of which must be JSON without NaN."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in done.stdout.splitlines()]


def assert_refused(done, *words):
    """Hold a command to one line that names what was wrong, and exit status 2."""
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr, done.stderr


def assert_answered_or_refused(done):
    """Hold an optional verb to an answer, or to one line and exit status 2; a traceback was raised before."""
    if done.returncode == 0:
        assert done.stdout.strip()
    else:
        assert_refused(done)


# --- run --------------------------------------------------------------------------------------------------------------


def test_the_run_folder_is_complete(name, run):
    verbs = system(name).spec.verbs
    files = ["config.json", "environment.json", "stages.json", "report.json", "report.html"]
    if "train" in verbs:
        files += ["metrics.jsonl", "checkpoints/final/model.safetensors", "checkpoints/final/meta.json"]
    for file in files:
        assert (run / file).stat().st_size > 0, file
    assert list(json.loads((run / "stages.json").read_text())) == [verb for verb in verbs if verb != "infer"]
    saved = json.loads((run / "config.json").read_text())
    assert (saved["system"], saved["preset"]) == (name, "smoke")
    for cuts in (run / "manifests").glob("*.jsonl"):
        assert len(list(manifest.read(cuts))) > 0, cuts
        assert str(run) not in cuts.read_text(), f"{cuts}: the run could not be moved"
    if "prepare" in verbs:
        assert list((run / "manifests").iterdir())
    scored = [json.loads(line) for file in (run / "scores").glob("*.jsonl") for line in file.read_text().splitlines()]
    assert scored
    if "train" in verbs:
        steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert steps == list(range(1, len(steps) + 1))


def test_the_report_has_the_headline_and_baselines_beside_it(name, run):
    report = json.loads((run / "report.json").read_text())
    assert (report["system"], report["preset"], report["seeds"]) == (name, "smoke", [0])
    assert report["toy"] is True
    rows = report["metrics"]
    keys = [(row["name"], row["group"], row["baseline"], row["data"]) for row in rows]
    assert len(set(keys)) == len(keys)
    own = {row["name"] for row in rows if row["baseline"] is None and row["value"] is not None}
    assert system(name).spec.headline in own
    assert [row for row in rows if row["baseline"] is not None and row["value"] is not None]
    assert all(row["data"] for row in rows)
    assert any(row["ci95"] for row in rows if row["baseline"] is None)


def test_the_table_is_printed(name, run):
    shown = (run.parent / "stdout.txt").read_text()
    assert "TOY RESULT" in shown
    assert system(name).spec.headline in shown
    for row in Report.load(run / "report.json").metrics:
        assert row.baseline is None or row.baseline in shown


def test_the_page_is_whole_and_needs_nothing_else(run):
    page = (run / "report.html").read_text()
    html.parser.HTMLParser().feed(page)
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script" not in page
    assert page.count("<img") >= 1


def test_the_same_command_again_does_nothing(name, run):
    before = state(run)
    again = in_process("run", name, "--preset", "smoke", "--run", run)
    assert again.stdout == (run.parent / "stdout.txt").read_text()
    assert state(run) == before


def test_another_config_in_the_same_folder_is_refused(name, run):
    done = in_process("run", name, "--preset", "smoke", "--run", run, "seed=9", check=False)
    assert_refused(done, "seed: there 0, asked 9", "--overwrite")


def test_a_verb_before_its_turn_says_what_comes_first(name, run, tmp_path):
    verbs = [verb for verb in system(name).spec.verbs if verb != "infer"]
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("cache", "checkpoints", "scores"))
    for before, verb in itertools.pairwise(verbs):
        stages = json.loads((run / "stages.json").read_text())
        kept = {stage: stages[stage] for stage in verbs[: verbs.index(before)]}
        (tmp_path / "run" / "stages.json").write_text(json.dumps(kept))
        done = in_process(verb, name, "--run", tmp_path / "run", check=False)
        assert_refused(done, f"auricle {before} {name}")


@pytest.mark.parametrize("verb", ["run", "prepare", "train", "evaluate", "infer"])
def test_the_run_of_another_system_is_refused(name, other, verb):
    if verb != "run" and verb not in system(name).spec.verbs:
        pytest.skip(f"{name} has no {verb}")
    preset = ("--preset", "smoke") if verb == "run" else ()
    inputs = [embedded.clips("speech")[0].file()] if verb == "infer" else []
    done = in_process(verb, name, *preset, "--run", other, *inputs, check=False)
    assert_refused(done, f"is a run of '{NAMES[NAMES.index(name) - 1]}', not of '{name}'")


# --- infer ------------------------------------------------------------------------------------------------------------


def test_a_moved_folder_answers_with_one_line_an_input(name, moved, tmp_path):
    files = [embedded.clips(kind)[0].file() for kind in ("music", "speech", "sound")]
    asks = adapter_of(name).asks
    done = in_process("infer", name, "--run", moved, *files, *asks)
    found = lines(done)
    assert [row["input"] for row in found] == list(map(str, files))
    assert not [row for row in found if "error" in row or len(row) < 2]
    assert all(row["warnings"] for row in found), "a model of the smoke preset says what it is"
    moved.rename(tmp_path / "again")
    again = in_process("infer", name, "--run", tmp_path / "again", *files, *asks)
    assert again.stdout.replace(str(tmp_path / "again"), str(moved)) == done.stdout
    table = "\n".join(["audio", *map(str, files)])
    (tmp_path / "asked.csv").write_text(table)
    asked = in_process("infer", name, "--run", tmp_path / "again", "--requests", tmp_path / "asked.csv", *asks)
    assert asked.stdout == again.stdout


def test_hostile_files_are_refused_by_name_and_the_good_ones_answered(name, moved, tmp_path):
    (tmp_path / "files").mkdir()
    # a NUL in a name cannot be handed to a command; the audio room's own tests have that case
    cases = [case for case in make_hostile(tmp_path / "files") if "\0" not in str(case.path)]
    assert len({case.accept for case in cases}) == 2
    cases = [case for case in cases if not os.path.isdir(case.path)]  # a folder is answered file by file
    asks = adapter_of(name).asks
    done = in_process("infer", name, "--run", moved, *(case.path for case in cases), *asks, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    found = lines(done)
    assert [row["input"] for row in found] == [str(case.path) for case in cases]
    for row, case in zip(found, cases, strict=True):
        if case.accept:
            assert "error" not in row, row
        else:
            assert set(row) - {"request"} == {"input", "error"}
            assert row["error"].strip()
    assert f"{sum(not case.accept for case in cases)} input(s) could not be used" in done.stderr


def test_an_untrained_run_is_refused(name, moved):
    if "train" not in system(name).spec.verbs:
        pytest.skip(f"{name} has no training")
    shutil.rmtree(moved / "checkpoints")
    done = in_process("infer", name, "--run", moved, embedded.clips("speech")[0].file(), check=False)
    assert_refused(done, str(moved))


def test_what_answers_loads_no_training_and_no_page(name):
    code = (
        f"import sys, auricle.systems.{name}.infer; print(*sorted(name for name in {UNWANTED} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [], f"importing auricle.systems.{name}.infer loads {done.stdout.strip()}"
    assert done.stderr == ""


# --- verbs that a system may have ------------------------------------------------------------------------------------


def test_two_runs_pool(name, run, tmp_path):
    folders = []
    for seed in (0, 1):
        folders.append(shutil.copytree(run, tmp_path / f"seed-{seed}", ignore=shutil.ignore_patterns("cache")))
        report = json.loads((run / "report.json").read_text())
        (folders[-1] / "report.json").write_text(json.dumps(report | {"seeds": [seed]}))
    pooled = pool_folders(folders)
    assert pooled.seeds == [0, 1]
    single = {row.key: row for row in Report.load(run / "report.json").metrics}
    same = [row for row in pooled.metrics if row.key in single]
    assert {row.key for row in same} == set(single)
    for row in same:
        assert row.n_seeds == 2, row
        if single[row.key].value is not None:
            assert row.value == pytest.approx(single[row.key].value)
            assert row.sd_seeds == pytest.approx(0.0, abs=1e-9)
    done = in_process("report", "--pool", *folders)
    assert system(name).spec.headline in done.stdout


def test_evaluate_takes_a_manifest_or_says_that_it_cannot(name, run, tmp_path):
    work = shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("cache"))
    clips = [clip.file() for clip in embedded.clips("speech")[::100]][:6]
    rows = [f"{path},{label}" for path, label in zip(clips, ("bonafide", "spoof") * 3, strict=True)]
    (tmp_path / "mine.csv").write_text("path,label\n" + "\n".join(rows))
    manifest.from_csv(tmp_path / "mine.csv", tmp_path / "mine.jsonl")
    before = (work / "report.json").read_bytes()
    done = in_process("evaluate", name, "--run", work, "--manifest", tmp_path / "mine.jsonl", check=False)
    assert_answered_or_refused(done)
    assert (work / "report.json").read_bytes() == before
    assert (work / "report-mine.json").exists() == (done.returncode == 0)


def test_evaluate_takes_a_score_file_or_says_that_it_cannot(name, tmp_path):
    (tmp_path / "scores.txt").write_text("a 1.0\nb 2.0\nc 0.0\nd 1.5\n")
    (tmp_path / "key.txt").write_text("s1 a - - bonafide\ns2 b - - bonafide\ns1 c - A1 spoof\ns2 d - A2 spoof\n")
    done = in_process("evaluate", name, "--scores", tmp_path / "scores.txt", "--key", tmp_path / "key.txt", check=False)
    assert_answered_or_refused(done)


def test_infer_writes_files_or_says_that_it_cannot(name, moved, tmp_path):
    clip = embedded.clips("speech")[0].file()
    command = ["infer", name, "--run", moved, clip, *adapter_of(name).asks]
    done = in_process(*command, "--out-dir", tmp_path / "out", check=False)
    if system(name).spec.gives == ("json",):
        assert_refused(done, "writes no files")
        return
    (row,) = lines(done)
    written = [value for value in row.values() if isinstance(value, str) and value.startswith(str(tmp_path / "out"))]
    assert written
    assert sorted(written) == sorted(map(str, (tmp_path / "out").iterdir()))
    if {"audio", "video"} & set(system(name).spec.gives):
        assert_refused(in_process(*command, check=False), "--out-dir")


def test_what_a_system_does_not_take_is_refused(name, moved):
    taken = {take.field for take in system(name).spec.takes}
    clip = embedded.clips("speech")[0].file()
    if "text" not in taken:
        assert_refused(in_process("infer", name, "--run", moved, clip, "--text", "words", check=False), "takes no text")
    assert_refused(in_process("infer", name, "--run", moved, clip, "--set", "nosuch=1", check=False), "nosuch")
    assert_refused(in_process("infer", name, "--run", moved, check=False), "nothing was asked")


def test_show_says_what_it_takes_and_gives(name):
    shown = in_process("show", name).stdout.splitlines()
    assert shown[0].startswith("takes: ")
    assert any(line.startswith("gives: json") for line in shown)


def test_claims_of_no_such_name_are_refused(name, tmp_path):
    done = in_process("claims", name, "--only", "nosuch", "--folder", tmp_path, check=False)
    assert_refused(done, "nosuch" if system(name)._has_file("claims") else name)


@pytest.fixture
def written(name):
    """The system's claims."""
    try:
        return system(name).claims
    except ConfigError:
        pytest.skip(f"{name} has no claims")


def test_claims_are_well_formed(written):
    ids = [claim.id for claim in written]
    assert ids
    assert len(set(ids)) == len(ids)
    for claim in written:
        assert claim.statement.strip(), claim.id
        assert claim.rule.strip(), claim.id
        assert claim.metric.strip(), claim.id
        assert claim.arms, claim.id
        assert claim.cuts, claim.id
    assert any(claim.headline for claim in written)


def test_settings_of_a_claim_are_json_and_differ_by_seed(name, written, tmp_path):
    same = set()
    for claim in written:
        for arm in claim.arms:
            cells = [Cell(arm, seed, "full", tmp_path, tmp_path) for seed in (0, 1)]
            rows = [plain(claim.settings(cell)) for cell in cells]
            texts = [json.dumps(row, allow_nan=False, sort_keys=True) for row in rows]
            assert json.loads(texts[0]), (claim.id, arm)
            if texts[0] == texts[1]:
                same.add(f"{claim.id} {arm}")
    assert same == adapter_of(name).clocks
