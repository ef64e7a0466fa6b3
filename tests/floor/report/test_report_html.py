"""The page: well-formed, self-contained, escaped, complete."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from auricle.core.errors import AudioError, ConfigError, DataError
from auricle.core.report import MetricRow, Report, pool
from auricle.report.html import MAX_BYTES, render
from auricle.report.players import Player, encode, hardest_errors

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Checks nesting and collects tags, texts and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data + "\n"

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == name]


def page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def full(tmp_path_factory, make_report, parts) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    render(make_report(leak=True), path, **parts)
    return path


def test_everything_is_in_it(full):
    got = page(full)
    assert full.stat().st_size < MAX_BYTES
    for text in ("TOY RESULT", "LEAK", "LFCC+GMM", "metadata only", "constant answer", "seen families", "12.4 %"):
        assert text in got.text
    for text in (
        "95 %: 9.2 to 16.5",
        "Leak checks",
        "False accepts",
        "False rejects",
        "not measured",
        "2.12.1",
        "hydra",
    ):
        assert text in got.text
    assert len(got.all("audio")) == 10
    # one DET plot, five histograms, two training plots
    assert len(got.all("img")) == 8
    assert "dev_eer from" in got.all("img")[-1]["alt"]


def test_it_needs_nothing_from_outside(full):
    got = page(full)
    addresses = [attrs[key] for _, attrs in got.tags for key in ("src", "href", "srcset", "data") if attrs.get(key)]
    assert len(addresses) == 18
    assert all(address.startswith("data:") for address in addresses)
    assert not got.all("script")
    assert not got.all("link")
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+|http-equiv", "", full.read_text())


def test_hostile_names_are_text(full):
    raw = full.read_text()
    assert "<script" not in raw
    assert raw.count("&lt;script&gt;") >= 4
    got = page(full)
    assert '<script>alert("x")</script>.wav' in got.text
    # no attribute was broken open by a quote
    assert all(set(attrs) <= {"class", "controls", "preload", "aria-label", "src"} for attrs in got.all("audio"))


def test_it_can_be_read_by_machines_for_people(full):
    got = page(full)
    assert all(attrs.get("alt") for attrs in got.all("img"))
    assert all(attrs.get("scope") in ("col", "row") for attrs in got.all("th"))
    assert len(got.all("caption")) == len(got.all("table")) == 4
    assert got.all("html")[0]["lang"] == "en"
    assert any("width=device-width" in (attrs.get("content") or "") for attrs in got.all("meta"))
    assert len(got.all("h1")) == 1


def test_plots_are_whole_svg_and_clips_can_be_decoded(full, parts):
    got = page(full)
    for attrs in got.all("img"):
        root = ElementTree.fromstring(base64.b64decode(attrs["src"].split(",")[1]))
        assert root.tag.endswith("svg")
    wave, rate = soundfile.read(io.BytesIO(base64.b64decode(got.all("audio")[1]["src"].split(",")[1])))
    assert rate == 16000
    assert np.abs(wave - parts["players"][1].wave).max() < 1e-4


def test_marks_follow_the_report(tmp_path, report):
    render(report.model_copy(update={"toy": False}), tmp_path / "a.html")
    text = page(tmp_path / "a.html").text
    assert "TOY" not in text
    assert "LEAK" not in text
    assert "Detection error" not in text


def test_same_report_same_bytes(tmp_path, report, parts):
    for name in ("a", "b"):
        render(report, tmp_path / name, curves=parts["curves"], histograms=parts["histograms"][:1])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pooled_reports_say_what_the_interval_is(tmp_path):
    reports = [
        Report(
            system="mambo",
            preset="laptop",
            data="embedded",
            toy=False,
            seeds=[seed],
            environment={},
            metrics=[MetricRow(name="eer", value=value, unit="%", n=100, group="seen")],
        )
        for seed, value in enumerate([10.0, 12.0, 14.0])
    ]
    render(pool(reports), tmp_path / "a.html")
    text = page(tmp_path / "a.html").text
    assert "95 %: 7.0 to 17.0" in text
    assert "sd 2.0 % over 3 seeds" in text
    assert "t interval of that mean" in text


def test_a_page_stays_under_its_limit_and_says_what_is_missing(tmp_path, report):
    noise = np.random.default_rng(0).uniform(-1, 1, 16000 * 11)
    render(report, tmp_path / "a.html", players=[Player(f"{i}", noise, 16000, "noise") for i in range(20)])
    got = page(tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < MAX_BYTES
    shown = len(got.all("audio"))
    assert 5 < shown < 20
    assert f"{20 - shown} more clips are not in this page" in got.text
    assert "first 10 s of 11.0 s" in got.text


def test_hardest_errors_by_hand():
    scores, labels = [0.9, 0.1, 0.8, 0.4, 0.6, 0.2], [0, 1, 0, 1, 1, 0]
    assert hardest_errors(scores, labels, 0.5) == ([0, 2], [1, 3])
    assert hardest_errors(scores, labels, 0.5, k=1) == ([0], [1])
    assert hardest_errors(scores, labels, 0.95) == ([], [1, 3, 4])
    with pytest.raises(ConfigError, match="at least 0"):
        hardest_errors(scores, labels, 0.5, k=-1)


def test_bad_clips_and_empty_plots_are_refused(tmp_path, report):
    for wave in (np.zeros(0), np.zeros((2, 10)), np.array([0.0, np.nan])):
        with pytest.raises(AudioError, match="one channel"):
            encode(Player("x", wave, 16000, ""))
    with pytest.raises(DataError, match="training curves need"):
        render(report, tmp_path / "a.html", training=[{"step": 1}])
    assert not (tmp_path / "a.html").exists()
