import json
import os
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from auricle.claims import results
from auricle.claims.claim import Claim, Measured, Verdict
from auricle.claims.equality import check
from auricle.claims.runner import run_claim, run_claims
from auricle.claims.statistics import paired_t, side
from auricle.core.config import Config
from auricle.core.errors import ConfigError, DataError
from auricle.core.files import read_json

SCHEMA = Path(__file__).parents[3] / "docs" / "results" / "schema.json"


def decide(measured):
    gap = paired_t(measured.values("b", "error"), measured.values("a", "error"))
    return Verdict(side(gap.ci95, 0.0, "below"), gap.value, gap.ci95, (), gap.minimum_detectable)


def claim(gain=-1.0, calls=None, parameters=(100, 102), steps=(7, 7), **changes):
    """Arm b has an error that differs from a's by `gain`, give or take a little."""

    def run(cell):
        if calls is not None:
            calls.append((cell.arm, cell.seed))
        noise = 0.1 * (cell.seed % 3)
        index = "ab".index(cell.arm)
        error = 10.0 + noise if cell.arm == "a" else 10.0 + gain + 2 * noise
        return {"error": error, "parameters": parameters[index], "steps": steps[index], "scores": [0.5, cell.seed]}

    fields = {
        "id": "C1",
        "statement": "b is better than a",
        "rule": "interval below 0",
        "metric": "error, b less a",
        "arms": {"a": "plain", "b": "new"},
        "run": run,
        "decide": decide,
        "settings": lambda cell: {"width": 8, "arm": cell.arm},
        "equal": (("a", "b"),),
        "headline": True,
    }
    return Claim(**{**fields, **changes})


@pytest.mark.parametrize(("gain", "verdict"), [(-1.0, "confirmed"), (1.0, "refuted"), (-0.1, "not resolved")])
def test_each_verdict(tmp_path, gain, verdict):
    entry = run_claim(claim(gain), "full", tmp_path)
    assert entry.verdict == verdict
    assert entry.seeds == [0, 1, 2, 3, 4]
    assert entry.effect == pytest.approx(gain + 0.1 * (0 + 1 + 2 + 0 + 1) / 5)
    assert entry.measured["a"]["error"].n == 5
    assert "scores" not in entry.measured["a"]
    assert entry.equal_budget.equal


def test_quick_claims_no_verdict(tmp_path):
    entry = run_claim(claim(), "quick", tmp_path)
    assert entry.verdict == "no verdict"
    assert entry.seeds == [0, 1]
    assert "no verdict is claimed" in entry.notes[0]


def test_a_second_run_measures_nothing_again(tmp_path):
    calls = []
    first = run_claim(claim(calls=calls), "full", tmp_path)
    assert calls == [(arm, seed) for seed in range(5) for arm in "ab"]  # seed by seed, so that a cut leaves whole ones
    assert run_claim(claim(calls=calls), "full", tmp_path) == first
    assert len(calls) == 10
    (tmp_path / "b-seed-3.json").unlink()
    run_claim(claim(calls=calls), "full", tmp_path)
    assert calls[10:] == [("b", 3)]


@pytest.mark.parametrize(
    "changes",
    [
        {"rule": "anything"},
        {"seeds_full": 6},
        {"settings": lambda cell: {"width": 9, "arm": cell.arm}},
        {"arms": {"a": "plain", "b": "other"}},
    ],
)
def test_other_settings_are_refused(tmp_path, changes):
    run_claim(claim(), "full", tmp_path)
    with pytest.raises(ConfigError, match="other settings"):
        run_claim(claim(**changes), "full", tmp_path)


class Width(Config):
    width: int = 8


class Today(Config):
    """What `Width` became: a setting renamed, and one more whose default is what was done before."""

    renamed: ClassVar = {"width": "size"}
    size: int = 8
    depth: int = 1


@pytest.mark.parametrize("inner", [False, True])
def test_cells_stay_valid_when_a_config_gains_settings(tmp_path, inner):
    def wrapped(config):
        return {"config": config, "n": 1} if inner else config

    calls = []
    run_claim(claim(calls=calls, settings=lambda cell: wrapped(Width())), "full", tmp_path)
    run_claim(claim(calls=calls, settings=lambda cell: wrapped(Today())), "full", tmp_path)
    assert len(calls) == 10
    with pytest.raises(ConfigError, match="other settings"):
        run_claim(claim(settings=lambda cell: wrapped(Today(depth=2))), "full", tmp_path)


def test_cells_know_their_own_folder_and_the_shared_one(tmp_path):
    seen = []
    run = lambda cell: seen.append(cell) or {"error": 1.0 + cell.seed}  # noqa: E731
    run_claims([claim(run=run)], "quick", tmp_path, tmp_path / "x")
    assert {cell.shared for cell in seen} == {tmp_path / "quick" / "shared"}
    assert len({cell.work for cell in seen}) == 4


def test_as_few_seeds_as_a_verdict_needs():
    assert claim().seeds("full") == (0, 1, 2, 3, 4)
    assert claim(headline=False).seeds("full") == (0, 1, 2)
    assert claim(seeds_full=7).seeds("full") == tuple(range(7))
    assert claim().seeds("quick") == (0, 1)


def test_the_rule_is_on_disk_before_the_first_measurement(tmp_path):
    def run(cell):
        assert read_json(tmp_path / "claim.json")["rule"] == "interval below 0"
        raise DataError("stop here")

    with pytest.raises(DataError, match="stop here"):
        run_claim(claim(run=run), "full", tmp_path)
    assert not list(tmp_path.glob("*-seed-*.json"))


def test_a_damaged_cell_is_named(tmp_path):
    run_claim(claim(), "quick", tmp_path)
    (tmp_path / "a-seed-1.json").write_text('{"numbers": ')
    with pytest.raises(DataError, match=r"a-seed-1\.json"):
        run_claim(claim(), "quick", tmp_path)
    (tmp_path / "a-seed-1.json").write_text("{}")
    with pytest.raises(DataError, match="delete it to measure it again"):
        run_claim(claim(), "quick", tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_what_is_not_a_finite_number_is_refused(tmp_path, value):
    with pytest.raises(DataError, match=r"finite|JSON"):
        run_claim(claim(run=lambda cell: {"error": value}), "quick", tmp_path)
    assert not (tmp_path / "a-seed-0.json").exists()


def test_unequal_budgets_give_no_verdict(tmp_path):
    entry = run_claim(claim(parameters=(100, 104)), "full", tmp_path / "p")
    assert (entry.verdict, entry.equal_budget.equal) == ("not resolved", False)
    assert "differ by more than 3 %" in entry.notes[-1]
    entry = run_claim(claim(steps=(7, 8)), "full", tmp_path / "s")
    assert entry.verdict == "not resolved"
    assert "steps differ" in entry.notes[-1]


def test_equality_names_an_arm_without_a_count():
    found = check(claim(), Measured({"a": {0: {"parameters": 5}}, "b": {0: {}}}, (0,)))
    assert found["problems"] == ["no parameter count of b"]


def test_the_time_limit_cuts_whole_seeds_and_says_so(tmp_path):
    def run(cell):
        time.sleep(0.03)
        return {"error": 10.0 - ("ab".index(cell.arm)), "parameters": 1, "steps": 1}

    # two cells a seed of 30 ms or more: the limit falls before all ten are measured
    limited = claim(run=run, limit_s=0.1)
    entry = run_claim(limited, "full", tmp_path)
    assert entry.verdict == "not resolved"
    assert len(entry.seeds) < 5
    assert "b seed 4" in entry.cuts[-1]
    assert "at least 5 are needed" in entry.notes[-1]
    assert run_claim(limited, "full", tmp_path) == entry  # what was cut stays cut


def test_run_claims_merges_claim_by_claim(tmp_path):
    file = tmp_path / "out" / "x.json"
    two = [claim(), claim(1.0, id="C2")]
    run_claims(two, "full", tmp_path / "runs", file)
    before = results.load(file)
    assert [entry.id for entry in before.claims] == ["C1", "C2"]
    run_claims(two, "full", tmp_path / "again", file, only=["C2"])
    after = results.load(file)
    assert after.claims[0] == before.claims[0]
    assert after.claims[1].verdict == "refuted"
    _, kept = run_claims(two, "quick", tmp_path / "runs", file)
    assert kept == ["C1", "C2"]
    assert results.load(file) == after


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"budget": "big"}, "budgets: quick, full"), ({"only": ["C9"]}, "claims: C1"), ({"claims": 2}, "one id")],
)
def test_wrong_use(tmp_path, arguments, message):
    given = [claim()] * arguments.get("claims", 1)
    with pytest.raises(ConfigError, match=message):
        run_claims(given, arguments.get("budget", "quick"), tmp_path, tmp_path / "x.json", arguments.get("only", ()))


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds_full": 4},
        {"headline": False, "seeds_full": 2},
        {"seeds_quick": 1},
        {"rule": " "},
        {"id": "../x"},
        {"arms": {}},
        {"equal": (("a", "z"),)},
        {"limit_s": 0},
    ],
)
def test_a_claim_that_could_not_be_decided_is_refused(changes):
    with pytest.raises(ConfigError):
        claim(**changes)


def test_results_file_has_the_published_schema(tmp_path):
    assert json.loads(SCHEMA.read_text()) == results.schema()
    file = tmp_path / "x.json"
    run_claims([claim()], "full", tmp_path / "runs", file)
    entry = json.loads(file.read_text())["claims"][0]
    contract = {"id", "statement", "rule", "arms", "seeds", "budget", "metric", "effect", "ci95", "verdict"}
    assert contract | {"environment"} <= entry.keys()
    for spoilt in ({"verdict": "true"}, {"ci95": None}, {"ci95": [2, 1]}, {"extra": 1}, {"budget": "quick"}):
        file.write_text(json.dumps({"claims": [entry | spoilt]}))
        with pytest.raises(DataError, match="not a results file"):
            results.load(file)


def test_the_file_keeps_what_a_reader_needs_to_compute_the_interval_again(tmp_path):
    file = tmp_path / "x.json"
    numbers = {"scores": [0.0] * (results.MOST_UNITS + 1), "words": ["a"], "few": [1, 2], "parameters": 1, "steps": 1}
    long = claim(id="C2", run=lambda cell: {"error": float(cell.seed), **numbers})
    run_claims([claim(), long], "full", tmp_path / "runs", file)
    first, second = results.load(file).claims
    a, b = (first.measured[arm]["error"].values for arm in "ab")
    assert len(a) == len(b) == len(first.seeds) == first.measured["a"]["error"].n
    again = paired_t(b, a)
    assert (again.value, again.ci95) == (first.effect, first.ci95)
    assert first.units["b"] == {"scores": [[0.5, float(seed)] for seed in first.seeds]}
    assert second.units["a"] == {
        "few": [[1.0, 2.0]] * len(second.seeds)
    }  # 65 scores a seed are too many, words no numbers


def test_files_of_before_values_were_kept_still_load(tmp_path):
    file = tmp_path / "x.json"
    run_claims([claim()], "full", tmp_path / "runs", file)
    old = json.loads(file.read_text())
    del old["claims"][0]["units"]
    for numbers in old["claims"][0]["measured"].values():
        for spread in numbers.values():
            del spread["values"]
    file.write_text(json.dumps(old))
    (entry,) = results.load(file).claims
    assert entry.units == {}
    assert entry.measured["a"]["error"].values is None
    old["claims"][0]["measured"]["a"]["error"]["values"] = [1.0]
    file.write_text(json.dumps(old))
    with pytest.raises(DataError, match="1 values of 5 seeds"):
        results.load(file)
    for path in SCHEMA.parent.glob("*.json"):
        if path != SCHEMA:
            assert results.load(path).claims


KILLED = """
    import sys, time
    from pathlib import Path
    from auricle.claims.claim import Claim, Verdict
    from auricle.claims.runner import run_claim

    def run(cell):
        if (cell.arm, cell.seed) == ("b", 1) and "hang" in sys.argv:
            (cell.work / "half").write_text("partial")
            print("hanging", flush=True)
            time.sleep(60)
        return {"error": cell.seed + 0.25 * len(cell.arm), "resumed": float((cell.work / "half").exists())}

    def decide(measured):
        return Verdict("not resolved", float(measured.values("b", "error").mean()), None)

    claim = Claim("K", "s", "r", "m", {"a": "1", "b": "2"}, run, decide)
    entry = run_claim(claim, "full", Path(sys.argv[1]))
    print(entry.effect, entry.measured["b"]["resumed"].mean)
"""


def test_a_killed_run_goes_on(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(KILLED))
    folder = tmp_path / "cells"
    command = [sys.executable, script, folder]
    killed = subprocess.Popen([*command, "hang"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"hanging\n"
    killed.kill()
    killed.wait()
    done = sorted(path.name for path in folder.glob("*-seed-*.json"))
    assert done == ["a-seed-0.json", "a-seed-1.json", "b-seed-0.json"]
    stamps = {name: os.stat(folder / name).st_mtime_ns for name in done}
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    # the cell that was killed found what it had left; the ones that were whole were not touched
    assert again.stdout.split() == ["1.25", str(1 / 3)]
    assert stamps == {name: os.stat(folder / name).st_mtime_ns for name in done}
    assert not list(folder.glob("work/*"))


def test_replacing_a_claim_keeps_its_checks():
    with pytest.raises(ConfigError):
        replace(claim(), seeds_full=1)
