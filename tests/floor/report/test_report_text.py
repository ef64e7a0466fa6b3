"""The terminal table."""

from __future__ import annotations

import io
import subprocess
import sys

from rich.console import Console

from auricle.core.report import MetricRow, Report
from auricle.report.text import print_table


def printed(report: Report, width: int = 120) -> str:
    out = io.StringIO()
    print_table(report, Console(file=out, width=width))
    return out.getvalue()


def test_one_table_with_marks_and_notes(report):
    text = printed(report)
    assert "mambo, laptop preset on embedded, seed 0" in text
    assert "TOY RESULT" in text
    assert "LEAK" not in text
    lines = text.splitlines()
    head = next(line for line in lines if "metric" in line)
    assert head.index("mambo") < head.index("95 % interval") < head.index("lfcc_gmm") < head.index(" n ")
    place = next(i for i, line in enumerate(lines) if "seen families" in line)
    # the system's own figure and the baseline's stand in one row, the latter's interval below it
    for cell in ("eer", "17.5 %", "840"):
        assert cell in lines[place]
    assert "14.3 to 21.6" in lines[place + 1]
    assert "note: cllr: the scores are not calibrated" in text
    assert "sd over seeds" not in text
    assert "LEAK: a leak check failed" in printed(report.model_copy(update={"leak": True}))


def test_brackets_are_no_markup_and_seeds_show_their_spread(report):
    row = MetricRow(name="eer", value=1.0, unit="%", n=5, sd_seeds=0.5, n_seeds=2, group="[red]x[/red] [/]")
    text = printed(report.model_copy(update={"metrics": [row], "seeds": [0, 1]}))
    assert "[red]x[/red] [/]" in text
    assert "sd over seeds" in text
    assert "2 seeds" in text


def test_a_narrow_terminal_keeps_every_number(report):
    text = printed(report, width=80)
    for number in ("12.4 %", "17.5", "9.2 to 16.5"):
        assert number in text


def test_many_baselines_stand_below_each_other_with_their_intervals(report):
    names = ("a", "b", "c", "d", "e")
    rows = [
        MetricRow(name="eer", value=10.0 + i, unit="%", n=5, n_seeds=1, group="all", baseline=name, ci95=(5.0, 20.5))
        for i, name in enumerate((None, *names))
    ]
    text = printed(report.model_copy(update={"metrics": rows}), width=100)
    lines = [line for line in text.splitlines() if "5.0 to 20.5" in line]
    assert len(lines) == 6
    assert [name for name in names if not any(f" {name} " in line for line in lines)] == []
    assert sum("eer" in line for line in lines) == 1


def test_details_are_left_to_the_page_and_counted(report):
    rows = [MetricRow(name="eer", value=1.0, unit="%", n=5, n_seeds=1, group=group) for group in ("all", "sweep: a")]
    text = printed(report.model_copy(update={"metrics": rows, "extra": {"details": ["sweep: a"]}}))
    assert "sweep: a" not in text
    assert "and 1 rows in detail" in text


def test_importing_the_room_loads_no_heavy_library():
    code = (
        "import sys, auricle.report.html, auricle.report.text, auricle.metrics.bootstrap, auricle.metrics.scores; "
        "print([m for m in ('torch', 'matplotlib', 'soundfile', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
