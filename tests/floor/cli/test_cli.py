import json
import re

import pytest

from auricle.cli.main import let_threads_sleep
from auricle.core.names import PAPERS

VERBS = (
    *("run", "prepare", "train", "evaluate", "infer", "list", "show", "config"),
    *("doctor", "data", "manifest", "report", "claims"),
)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({}, {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "active"}, {"OMP_WAIT_POLICY": "active"}),
    ],
)
def test_threads_wait_as_the_user_said_or_patiently(given, left):
    environment = dict(given)
    let_threads_sleep(environment)
    assert environment == left


def test_help_names_every_verb(auricle):
    shown = auricle("--help").stdout
    assert all(re.search(rf"\b{verb}\b", shown) for verb in VERBS)


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "data"])
def test_every_verb_has_an_example(auricle, verb):
    assert f"auricle {verb}" in auricle(verb, "--help").stdout


def test_list_shows_all_fourteen(auricle):
    shown = auricle("list").stdout
    assert "mambo" in shown
    assert "m2former" in shown
    assert shown.count("planned") == sum(not row.works for row in PAPERS)


def test_show_says_what_a_system_takes_and_gives_above_its_card(auricle):
    shown = auricle("show", "mambo").stdout
    assert shown.startswith("takes: audio\ngives: json\n\n# mambo")


def test_infer_names_every_way_to_ask(auricle):
    shown = auricle("infer", "--help").stdout
    for option in ("--text", "--set", "--requests", "--out-dir", "--out", "--cache"):
        assert option in shown


def test_config_prints_json_with_settings_applied(auricle):
    shown = json.loads(auricle("config", "mambo", "--preset", "paper", "model.mixer=gdn").stdout)
    assert shown["model"]["mixer"] == "gdn"
    assert shown["model"]["d_model"] == 128


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("config", "mamba"), "did you mean 'mambo'"),
        (("run", "m2former"), "planned and not in this version"),
        (("config", "mambo", "model.mixr=x"), "did you mean 'model.mixer'"),
        (("config", "mambo", "--preset", "huge"), "presets: smoke, laptop, small, paper"),
        (("infer", "mambo", "--run", "nowhere", "a.wav"), "not a run folder"),
        (("evaluate", "mambo", "--scores", "s.txt"), "--scores and --key go together"),
        (("run", "mambo", "--seeds", "0"), "at least 1"),
        (("run", "mambo", "--data", "none.jsonl", "--run", "r"), "make one with auricle manifest"),
        (("manifest", "none.csv"), "does not exist"),
        (("report", "nowhere"), "does not exist"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(auricle, tmp_path, arguments, message):
    done = auricle(*arguments, check=False, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_finds_the_corpus_whole(auricle):
    shown = auricle("doctor").stdout
    assert "all checksums right" in shown
    assert "extra gpl" in shown
