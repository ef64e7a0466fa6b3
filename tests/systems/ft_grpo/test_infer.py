"""Answers about files: windows, evidence in hertz and seconds, pictures, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from auricle.core.answers import Refused
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.request import Request
from auricle.core.run import open_run
from auricle.metrics.calibration import Calibration
from auricle.systems.batching import Decoded
from auricle.systems.engines import output_folder, row_of
from auricle.systems.ft_grpo import SPEC
from auricle.systems.ft_grpo.boxes import claimed_boxes, true_boxes
from auricle.systems.ft_grpo.config import paper
from auricle.systems.ft_grpo.generate import Generations, pooled, prefix
from auricle.systems.ft_grpo.infer import Detector, Window, infer, load, window_edges
from auricle.systems.ft_grpo.model import build
from auricle.systems.ft_grpo.page import examples
from auricle.systems.ft_grpo.rationale import Evidence, write

FOUND = Evidence("fake", "notch", 3, "click", 5)


class Scripted(Detector):
    """Says of every window what it was told to."""

    text = write(FOUND)

    def generate(self, waves):
        return Generations([self.text] * len(waves), np.linspace(0.5, -1.0, len(waves)))


@pytest.fixture
def detector(cfg) -> Detector:
    return Scripted(build(cfg).eval(), cfg, "laptop", Calibration(1.0, 0.0, 0.0, -0.2, 0.2))


def noise(seconds: float, rate: int = 16000, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate)).astype(np.float32)


def test_windows_overlap_by_half_and_the_last_one_ends_with_the_clip() -> None:
    assert window_edges(10_000) == [(0, 10_000)]
    assert window_edges(24_000) == [(0, 24_000)]
    assert window_edges(40_000) == [(0, 24_000), (12_000, 36_000), (16_000, 40_000)]
    assert window_edges(48_000) == [(0, 24_000), (12_000, 36_000), (24_000, 48_000)]


def test_evidence_is_in_hertz_and_in_seconds_of_the_file() -> None:
    made = Window(2.0, 3.5, 0.0, write(FOUND)).evidence(5.0)
    assert made["frequency"] == {"kind": "notch", "band": 3, "low_hz": 1220.0, "high_hz": 1780.0}
    assert made["time"] == {"kind": "click", "bin": 5, "start_s": 2.9375, "end_s": 3.125}
    cut = write(Evidence("fake", "cutoff", 2, "none", None))
    made = Window(0.0, 1.5, 0.0, cut).evidence(5.0)
    assert made["frequency"]["high_hz"] == 3800.0  # a cut-off goes to the top
    assert made["time"] is None
    assert Window(0.0, 1.5, 0.0, "it sounds odd").evidence(5.0) == {"frequency": None, "time": None}
    short = Window(0.0, 0.5, 0.0, write(FOUND)).evidence(0.5)["time"]
    assert 0 <= short["start_s"] < short["end_s"] <= 0.5  # a tiled clip: inside the file


def test_an_answer_has_the_fields_of_detection_and_the_evidence(detector, tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(3.0, 22_050), 22_050)
    (tmp_path / "b.wav").write_text("not audio")
    answers = list(infer(detector, [Request(tmp_path / "a.wav"), Request(tmp_path / "b.wav")]))
    assert isinstance(answers[1], Refused)
    good, bad = (answer.as_dict() for answer in answers)
    assert set(bad) == {"input", "error"}
    assert {"input", "score", "p_bonafide", "label", "threshold", "duration_s", "segments", "warnings"} <= set(good)
    assert [(one["start_s"], one["end_s"]) for one in good["segments"]] == [(0, 1.5), (0.75, 2.25), (1.5, 3.0)]
    assert good["score"] == pytest.approx(-0.25)
    assert good["label"] == "spoof"
    assert good["answer"] == "fake"
    assert good["rationale"] == write(FOUND)
    assert good["evidence"]["time"]["start_s"] == 1.5 + 5 * 0.1875  # of the window with the lowest score
    assert any(text.startswith("laptop-model") for text in good["warnings"])
    assert any(text.startswith("windows-differ") for text in good["warnings"])
    assert good["plot"] is None


def test_a_picture_is_drawn_only_where_it_is_asked_for(detector, tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1.5), 16_000)
    request = Request(tmp_path / "a.wav")
    (answer,) = infer(detector, [request])
    assert row_of(request, answer, SPEC, None)["plot"] is None
    row = row_of(request, answer, SPEC, tmp_path / "mine")
    assert Path(row["plot"]).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    again = row_of(request, answer, SPEC, tmp_path / "mine")
    assert again["plot"] == row["plot"]  # the same file, the same picture
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [Path(row["plot"]).name]
    (tmp_path / "file").write_text("in the way")
    row = row_of(request, answer, SPEC, tmp_path / "file" / "x")
    assert row["plot"] is None
    assert any(text.startswith("no-plot") for text in row["warnings"])


def test_an_output_folder_is_taken_here_and_refused_where_a_system_writes_no_files(tmp_path) -> None:
    assert output_folder(SPEC, tmp_path) == tmp_path
    assert output_folder(SPEC, None) is None
    with pytest.raises(ConfigError, match="writes no files"):
        output_folder(replace(SPEC, gives=("json",)), tmp_path)


def test_windows_without_sound_are_left_out_and_unreadable_texts_are_told(detector) -> None:
    wave = np.concatenate([noise(1.5), np.zeros(48_000, np.float32)])
    Scripted.text, before = "who knows", Scripted.text
    try:
        (made,) = detector.detections([Decoded(Request(Path("x.wav")), wave, 16_000, 4.5)])
    finally:
        Scripted.text = before
    assert [one.start_s for one in made.segments] == [0.0, 0.75]
    assert any(text.startswith("unreadable: 2 of 2") for text in made.warnings)
    assert made.as_dict()["answer"] is None


def test_a_file_is_answered_alike_in_any_company(cfg) -> None:
    network = build(cfg).eval()
    own = Detector(network, cfg, "smoke", Calibration(1.0, 0.0, 0.0, -0.2, 0.2))
    waves = [noise(seconds, seed=place) for place, seconds in enumerate((0.7, 1.5, 2.6))]
    together = own.scores(waves, [16_000] * 3)
    assert [own.score(wave, 16_000) for wave in waves] == pytest.approx(together, abs=1e-5)


def test_the_score_is_that_of_the_mean_probability() -> None:
    odds = torch.tensor([[0.0, 40.0], [2.0, 60.0]])
    mean = (0.5 + torch.sigmoid(torch.tensor(2.0))) / 2
    made = pooled(odds)
    assert made[0].item() == pytest.approx(torch.logit(mean).item(), rel=1e-5)
    assert made[1].item() == pytest.approx(40.0 + np.log(2), rel=1e-4)  # where float probabilities would all be 1


def test_a_rationale_is_taken_up_to_its_answer() -> None:
    assert prefix("<think> x </think>\n<answer>fake</answer>") == "<think> x </think>\n"
    assert prefix("<think> x") == "<think> x\n"


def test_boxes_say_what_is_claimed_and_what_is_true(clips) -> None:
    found = claimed_boxes(FOUND)
    assert [(one.low_hz, one.high_hz, one.start_s, one.end_s) for one in found] == [
        (1220.0, 1780.0, 0.0, 1.5),
        (100.0, 3800.0, 0.9375, 1.125),
    ]
    assert claimed_boxes(Evidence("real", "none", None, "none", None)) == []
    for item in clips[1::2]:
        assert len(true_boxes(item.artefacts)) == len(item.artefacts)
    places = examples(clips, 6)
    assert len(set(places)) == 6
    assert {clips[place].label for place in places} == {"real", "fake"} or len(places) < 7


def test_what_cannot_be_loaded_says_so(cfg, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="not a run folder"):
        load(tmp_path)
    open_run(tmp_path / "run", "ft_grpo", "smoke", cfg)
    with pytest.raises(CheckpointError, match="auricle train ft_grpo"):
        load(tmp_path / "run")
    open_run(tmp_path / "other", "mambo", "smoke", cfg)
    with pytest.raises(CheckpointError, match="'mambo'"):
        load(tmp_path / "other")
    assert paper().model.backbone is not None
