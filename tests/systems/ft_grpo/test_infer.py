"""Answers about files: windows, evidence in hertz and seconds, pictures, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from auricle.core.answers import Refused
from auricle.core.errors import AudioError, CheckpointError, ConfigError
from auricle.core.request import Request
from auricle.core.run import open_run
from auricle.metrics.calibration import Calibration
from auricle.systems.batching import Decoded
from auricle.systems.engines import output_folder, row_of
from auricle.systems.ft_grpo import SPEC
from auricle.systems.ft_grpo.boxes import claimed_boxes, true_boxes
from auricle.systems.ft_grpo.config import paper
from auricle.systems.ft_grpo.generate import Generations
from auricle.systems.ft_grpo.infer import Detector, Window, infer, load, sounding, window_edges
from auricle.systems.ft_grpo.model import build
from auricle.systems.ft_grpo.page import examples
from auricle.systems.ft_grpo.rationale import Evidence, read, write

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


def window(start_s: float, end_s: float, score: float = 0.0, text: str = "", label="undecided") -> Window:
    return Window(start_s, end_s, score, text, label)


def test_evidence_is_in_hertz_and_in_seconds_of_the_file() -> None:
    made = window(2.0, 3.5, text=write(FOUND)).evidence()
    assert made["frequency"] == {"kind": "notch", "band": 3, "low_hz": 1220.0, "high_hz": 1780.0}
    assert made["time"] == {"kind": "click", "bin": 5, "start_s": 2.9375, "end_s": 3.125}
    cut = write(Evidence("fake", "cutoff", 2, "none", None))
    made = window(0.0, 1.5, text=cut).evidence()
    assert made["frequency"]["high_hz"] == 3800.0  # a cut-off goes to the top
    assert made["time"] is None
    assert window(0.0, 1.5, text="it sounds odd").evidence() == {"frequency": None, "time": None}
    short = window(0.25, 0.75, text=write(FOUND)).evidence()["time"]
    assert 0.25 <= short["start_s"] < short["end_s"] <= 0.75  # a tiled clip: inside the file


def test_label_answer_text_and_evidence_agree(detector) -> None:
    """Whatever the windows say, the row tells one story, or says that the texts tell another."""
    real, fake = write(Evidence("real", "none", None, "none", None)), write(FOUND)
    draws = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        count = int(draws.integers(1, 5))
        scores = draws.normal(0, 0.5, count)
        texts = [str(draws.choice([real, fake, "hm"])) for _ in range(count)]
        windows = tuple(
            window(place, place + 1.5, float(score), text, detector.calibration.label(float(score)))
            for place, (score, text) in enumerate(zip(scores, texts, strict=True))
        )
        clip = Decoded(Request(Path("x.wav")), noise(1.5), 16_000, 1.5)
        made = detector._detection(clip, windows)
        row = made.as_dict()
        assert row["answer"] == {"bonafide": "real", "spoof": "fake", "undecided": "undecided"}[row["label"]]
        said = read(row["rationale"]).label
        differs = any(text.startswith("text-differs") for text in row["warnings"])
        if row["answer"] != "undecided":
            assert differs == (said != row["answer"])
            assert differs == (row["answer"] not in [read(text).label for text in texts])
        if row["evidence"]["frequency"]:
            assert row["answer"] in ("fake", "undecided")
        for one, own in zip(row["segments"], windows, strict=True):
            assert one["answer"] == {"bonafide": "real", "spoof": "fake", "undecided": "undecided"}[own.label]
        answers = [one["answer"] for one in row["segments"]]
        assert any(text.startswith("windows-differ") for text in row["warnings"]) == ({"real", "fake"} <= set(answers))
        seen.add((row["label"], differs))
    assert len(seen) == 5


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
    assert [(one.start_s, one.end_s) for one in made.segments] == [(0.0, 1.5)]  # what follows is silence
    assert any(text.startswith("unreadable: 1 of 1") for text in made.warnings)
    assert any(text.startswith("text-differs: no window's text says real") for text in made.warnings)
    assert made.as_dict()["evidence"] == {"frequency": None, "time": None}


@pytest.fixture
def own(cfg) -> Detector:
    return Detector(build(cfg).eval(), cfg, "smoke", Calibration(1.0, 0.0, 0.0, -0.2, 0.2))


def test_a_file_is_answered_alike_in_any_company(own) -> None:
    waves = [noise(seconds, seed=place) for place, seconds in enumerate((0.7, 1.5, 2.6))]
    together = own.scores(waves, [16_000] * 3)
    assert [own.score(wave, 16_000) for wave in waves] == pytest.approx(together, abs=1e-5)
    clips = [Decoded(Request(Path(f"{n}.wav")), wave, 16_000, len(wave) / 16_000) for n, wave in enumerate(waves)]
    rows = own.detections(clips)
    assert [row.score for row in rows] == pytest.approx(together, abs=1e-5)
    alone = [own.detections([clip])[0] for clip in clips]
    for row, other in zip(rows, alone, strict=True):
        assert [(one.start_s, one.text) for one in row.segments] == [(one.start_s, one.text) for one in other.segments]


def test_any_array_of_the_same_sound_has_the_same_score(own) -> None:
    whole = np.round(noise(2.0) * 32768).astype(np.int16)
    wave = (whole / 32768).astype(np.float32)
    quiet = 0.1 * wave[::-1]
    expected = own.score(wave, 16_000)
    alike = {
        "(1, T)": wave[None], "(T, 1)": wave[:, None], "(2, T)": np.stack([wave, quiet]),
        "(T, 2)": np.stack([quiet, wave], axis=1), "int16": whole, "float64": wave.astype(np.float64),
        "tensor": torch.from_numpy(wave), "grad": torch.from_numpy(wave).requires_grad_(), "list": wave.tolist(),
        "list of lists": [wave.tolist()],
    }  # fmt: skip
    for name, given in alike.items():
        assert own.score(given, 16_000) == pytest.approx(expected, abs=1e-5), name
    assert own.scores(list(alike.values()), [16_000] * len(alike)) == pytest.approx([expected] * len(alike), abs=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(16_000, np.uint8), "uint8"),
        (np.ones(16_000, bool), "bool"),
        (np.zeros((1, 1, 16_000), np.float32), "shape"),
        (np.full(16_000, np.nan, np.float32), "NaN"),
        (np.zeros(16_000, np.float32), "silence"),
        (noise(0.01), "at least"),
        (np.zeros(16_000, np.complex64), "complex"),
    ],
)
def test_what_is_no_waveform_is_refused(given, message, own) -> None:
    with pytest.raises(AudioError, match=message):
        own.score(given, 16_000)
    with pytest.raises(AudioError, match=message):
        own.scores([noise(1.5), given], [16_000, 16_000])


@pytest.mark.parametrize("rates", ["16000", 16_000, ["16000"], [None], [True], [16_000.5], [float("nan")], [], [1, 2]])
def test_rates_that_are_none_are_refused(rates, own) -> None:
    with pytest.raises(ConfigError, match="whole number of hertz"):
        own.scores([noise(1.5)], rates)
    with pytest.raises(ConfigError, match="whole number of hertz"):
        own.score(noise(1.5), "16000")
    with pytest.raises(AudioError, match="allowed are"):
        own.score(noise(1.5), 100)
    assert own.score(noise(1.5), 16_000.0) == own.score(noise(1.5), 16_000)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("seconds", [0.7, 1.5, 4.0])
@pytest.mark.parametrize("pad_s", [0.3, 0.1237])
def test_digital_silence_at_the_ends_is_no_evidence(rate, seconds, pad_s, own) -> None:
    sound = noise(seconds, rate)
    zeros = np.zeros(round(pad_s * rate), np.float32)
    (plain,), (padded,) = (own.windows([(wave, rate)]) for wave in (sound, np.concatenate([zeros, sound, zeros])))
    assert [one.score for one in padded] == [one.score for one in plain]
    shift = len(zeros) / rate
    assert [one.start_s - shift for one in padded] == pytest.approx([one.start_s for one in plain])
    assert padded[-1].end_s - shift == pytest.approx(plain[-1].end_s)


def test_padding_with_an_inaudible_floor_is_padding_too() -> None:
    sound = np.concatenate([np.zeros(4800), noise(1.5).clip(-0.3, 0.3), np.zeros(4800)])
    floor = 10 ** (-72 / 20) * 0.1 * np.random.default_rng(1).standard_normal(len(sound))
    first, last = sounding((sound + floor).astype(np.float32), 16_000)
    assert abs(first - 4800) < 16
    assert abs(last - 28_800) < 16
    click = np.zeros(16_000, np.float32)
    click[8000] = 0.5
    assert sounding(click, 16_000) == (0, 16_000)  # too little to be all of it
    assert sounding(np.zeros(1600, np.float32), 16_000) == (0, 1600)


@pytest.mark.parametrize(
    "name", ["a$b$c", "a$\\frac{$", "two\nlines", "caf\udce9", "[bold]x[/]", "\u202edrow", "x" * 230]
)
@pytest.mark.filterwarnings("error")
def test_a_picture_takes_any_name(name, detector, tmp_path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1.5), 16_000)
    (answer,) = infer(detector, [Request(tmp_path / "a.wav")])
    replace(answer, input=f"{name}.wav").outputs()["plot"].write(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_drawn_costs_the_picture(detector, tmp_path, monkeypatch) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1.5), 16_000)
    request = Request(tmp_path / "a.wav")
    (answer,) = infer(detector, [request])

    def broken(*_):
        raise FloatingPointError("no")

    monkeypatch.setattr("auricle.systems.ft_grpo.infer.save_png", broken)
    row = row_of(request, answer, SPEC, tmp_path / "mine")
    assert row["plot"] is None
    assert row["label"] == answer.label
    assert any(text.startswith("no-plot") for text in row["warnings"])


def test_a_detector_shows_itself_in_one_line(detector) -> None:
    assert "\n" not in repr(detector)
    assert len(repr(detector)) < 120
    assert "laptop" in repr(detector)


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
