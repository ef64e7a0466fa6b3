"""What the documentation takes from code and results."""

import json

import docs_pages as pages
import pytest

from auricle.core.errors import DataError
from auricle.core.names import PAPERS
from auricle.data import embedded
from auricle.data.spoof import FAMILIES


def entry(budget="full", verdict="refuted", ci95=(1.01, 1.59)):
    return {
        "id": "M9",
        "statement": "A is better than B | C.",
        "rule": "Below 1.",
        "headline": True,
        "arms": {"a": "arm A", "b": "arm B"},
        "seeds": [0, 1, 2, 3, 4],
        "budget": budget,
        "metric": "ratio of errors",
        "effect": 1.2345,
        "ci95": ci95,
        "verdict": verdict,
        "minimum_detectable": 0.25,
        "parts": [{"name": "part one", "effect": None, "ci95": None, "verdict": None}],
        "measured": {"a": {"eer": {"mean": 0.125, "sd": 0.5, "n": 5}}, "b": {}},
        "equal_budget": {"parameters": {}, "steps": {}, "held_equal": [], "equal": False, "problems": ["b is larger"]},
        "cuts": ["fewer steps"],
        "notes": ["a note"],
        "seconds": 90.0,
        "environment": {"cpus": 2},
    }


def results(folder, *entries, name="mambo"):
    (folder / f"{name}.json").write_text(json.dumps({"claims": entries}))
    return pages.claims(folder)


def test_without_results_the_page_says_so(tmp_path):
    (tmp_path / "schema.json").write_text("{}")
    assert "No run has been recorded yet" in pages.claims(tmp_path)


def test_a_full_result_is_shown_with_effect_interval_and_rule(tmp_path):
    shown = results(tmp_path, entry())
    assert "| M9 | A is better than B \\| C. | full | 5 | 1.23 | 1.01 to 1.59 | **refuted** |" in shown
    for text in (
        "Below 1.",
        "ratio of errors: 1.23",
        "0.25",
        "part one",
        "eer 0.125 (0.5)",
        "not equal: b is larger",
        "- a note",
        "- Cut: fewer steps",
        "1.5 minutes",
        "cpus 2",
    ):
        assert text in shown
    assert "No full run" not in shown


def test_quick_results_alone_are_called_quick(tmp_path):
    assert "No full run has been recorded" in results(tmp_path, entry("quick", "no verdict", None))


@pytest.mark.parametrize(("name", "content"), [("mamba", '{"claims": []}'), ("mambo", '{"claims": [{}]}')])
def test_a_wrong_results_file_stops_the_build(tmp_path, name, content):
    (tmp_path / f"{name}.json").write_text(content)
    with pytest.raises(DataError):
        pages.claims(tmp_path)


def test_tables_have_a_row_for_everything():
    assert pages.systems().count("\n") == 1 + len(PAPERS)
    assert "[`mambo`](mambo.md)" in pages.systems()
    assert pages.families().count("\n") == 1 + len(FAMILIES)
    assert f"| speech | {len(embedded.clips('speech'))} |" in pages.corpus()


def test_commands_show_arguments_options_and_examples():
    shown = pages.commands()
    assert "## auricle data list" in shown
    assert "`--keep-going`" in shown
    assert "auricle evaluate mambo --scores scores.txt --key trial_metadata.txt" in shown


def test_a_card_moves_with_its_links(tmp_path):
    text = "[a](../../../docs/papers.md#mambo) [b](https://x.org/a) [c](#here) [d](config.py)"
    moved = pages.moved(text, tmp_path / "auricle/systems/mambo", tmp_path / "docs/systems")
    assert moved == (
        "[a](../papers.md#mambo) [b](https://x.org/a) [c](#here) [d](../../auricle/systems/mambo/config.py)"
    )


def test_a_system_without_a_card_stops_the_build(tmp_path):
    with pytest.raises(DataError, match="is missing"):
        pages.pages(tmp_path / "docs", tmp_path / "auricle")


def test_every_module_of_a_room_is_documented():
    assert {"auricle.core", "auricle.core.errors", "auricle.core.run"} <= set(pages.modules("auricle.core"))
    assert "auricle.nn.ssm.hydra" in pages.modules("auricle.nn")
    assert not [name for name in pages.modules("auricle.data") if name.startswith("auricle.data.embedded.build")]
    index = (pages.DOCS / "api" / "index.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in pages.PACKAGE.glob("*/__init__.py")} - {"cli"}
    assert rooms == set(pages.ROOMS)
    assert all(f"\n{room}\n" in index for room in rooms)


def test_write_removes_what_is_no_longer_wanted(tmp_path):
    (tmp_path / "old.md").write_text("x")
    (tmp_path / "index.md").write_text("kept")
    pages.write({tmp_path / "new.md": "y"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.md", "new.md"]


def mixer_row(case, name, **values):
    return json.dumps({"case": case, "peer_name": name, **values})


def ratio_of(value):
    return {
        "ours": 50.0,
        "peer": 200.0,
        "unit": "ms",
        "ratio": value,
        "ratio_min": value - 1,
        "ratio_max": value + 1,
        "n": 9,
    }


MIXER_ROWS = [
    mixer_row("mamba2-T256-D256-fwdbwd", "torch path", **ratio_of(4.0)),
    mixer_row("mamba2-T256-D256-fwdbwd-memory", "torch path", **ratio_of(4.0) | {"unit": "MB"}),
    mixer_row("mamba2-T512-D256-fwdbwd", "torch path", skipped="predicted to take 31 s a call"),
    mixer_row("mamba2-T512-D256-fwdbwd", "matmul floor", **ratio_of(1.5)),
]


def test_the_mixers_table_and_plot_show_what_was_measured_and_skipped(tmp_path):
    path = tmp_path / "ssm.jsonl"
    path.write_text("\n".join(MIXER_ROWS))
    time, _, memory = pages.mixers(path).partition("**Peak memory**")
    assert "| `mamba2` | fwdbwd | 256 | 256 | 50 | 4.00 (3.00 to 5.00) |  |" in time
    assert (
        "| `mamba2` | fwdbwd | 256 | 512 | 50 | skipped: predicted to take 31 s a call | 1.50 (0.50 to 2.50) |" in time
    )
    assert "| `mamba2` | fwdbwd | 256 | 256 | 50 | 4.00 (3.00 to 5.00) |" in memory
    assert "](_plots/mixers.svg)" in time
    assert pages.mixer_plot(path).count("<svg") == 1


def test_a_line_of_another_benchmark_stops_the_build(tmp_path):
    path = tmp_path / "ssm.jsonl"
    path.write_text('{"case": "an hour of log-mel"}')
    with pytest.raises(DataError, match=r"line 1: no row of benchmarks/ssm\.py"):
        pages.measured(path)


def test_the_published_measurements_can_be_read():
    assert {row["mixer"] for row in pages.measured()} == {"mamba", "mamba2", "gdn", "hydra"}
