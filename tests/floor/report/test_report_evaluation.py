import json

import pytest

from auricle.core.config import Config
from auricle.core.errors import DataError
from auricle.core.files import read_json, read_jsonl
from auricle.core.names import Spec
from auricle.core.report import MetricRow, Report, pool
from auricle.core.run import RunFolder
from auricle.report.evaluation import Evaluation, Page, publish, report_of

SPEC = Spec("x", "a system", ("evaluate",), "score", "task", titles={"score": "the Score"}, items="scenes")


class Settings(Config):
    seed: int = 3
    width: int = 8


def found(**changes):
    rows = [MetricRow(name="score", value=1.5, n=4), MetricRow(name="score", value=0.0, n=4, baseline="constant")]
    return Evaluation(**{"rows": rows, "data": "embedded", **changes})


def test_publishing_writes_scores_json_and_page(tmp_path):
    run = RunFolder(tmp_path)
    scores = {"test.jsonl": [{"id": "a", "score": 1.0}], "trials.bin": lambda path: path.write_bytes(b"\x00\x01")}
    given = found(scores=scores, lead=["It works."], details=["all"], page=Page(notes=["A note."]), warnings=["Small."])
    report = publish(given, run, Settings(), SPEC, "laptop", seed=3)
    assert list(read_jsonl(run.scores / "test.jsonl")) == [{"id": "a", "score": 1.0}]
    assert (run.scores / "trials.bin").read_bytes() == b"\x00\x01"
    assert Report.load(tmp_path / "report.json") == report
    assert (report.system, report.preset, report.seeds, report.toy) == ("x", "laptop", [3], True)
    assert {row.data for row in report.metrics} == {"embedded"}
    assert read_json(tmp_path / "report.json")["extra"] == {"verdict": ["It works."], "details": ["all"]}
    assert (report.lead, report.details) == (["It works."], ["all"])
    page = (tmp_path / "report.html").read_text()
    for text in ("the Score by group", "scenes</th>", "A note.", "Small.", "It works.", "&quot;width&quot;: 8"):
        assert text in page


def test_without_a_page_none_is_written_and_another_name_keeps_the_report(tmp_path):
    run = RunFolder(tmp_path)
    publish(found(), run, Settings(), SPEC, "laptop", seed=3, name="report-mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report-mine.json"]


@pytest.mark.parametrize(
    ("preset", "said", "toy"), [("paper", None, False), ("small", None, True), ("paper", True, True)]
)
def test_every_preset_but_paper_is_a_toy_unless_the_system_says_otherwise(preset, said, toy):
    assert report_of(found(toy=said), "x", preset).toy is toy


def test_a_row_keeps_data_of_its_own():
    rows = [MetricRow(name="score", value=1.0, n=1, data="other"), MetricRow(name="score", value=1.0, n=1)]
    assert [row.data for row in report_of(found(rows=rows), "x", "laptop").metrics] == ["other", "embedded"]


def test_values_that_are_not_json_leave_no_report(tmp_path):
    with pytest.raises(DataError, match="not JSON"):
        publish(found(extra={"n": float("nan")}), RunFolder(tmp_path), Settings(), SPEC, "laptop", seed=0)
    assert not (tmp_path / "report.json").exists()


def test_pooling_keeps_what_the_terminal_leaves_to_the_page():
    reports = [report_of(found(details=["a", "b"][: seed + 1]), "x", "laptop", [seed]) for seed in range(2)]
    assert pool(reports).details == ["a", "b"]
    assert json.loads(pool(reports).model_dump_json())["extra"]["pooled_reports"] == 2
