"""Word error rates of what the codecs make of English speech, beside the original."""

import json

import numpy as np
import pytest

pytest.importorskip("jiwer")
pytest.importorskip("transformers")

from auricle.core.config import override
from auricle.core.errors import DataError
from auricle.core.run import RunFolder
from auricle.data import embedded, fields, manifest
from auricle.report.words import AGAINST_ORIGINAL, ORIGINAL, WER
from auricle.systems.unisrcodec import words
from auricle.systems.unisrcodec.config import smoke
from auricle.systems.unisrcodec.data import BAND, KIND, load_speech
from auricle.systems.unisrcodec.infer import coder_of
from auricle.systems.unisrcodec.peers import CEILING, OPUS, Peer
from auricle.systems.unisrcodec.train import Training


class Heard:
    def __init__(self, text):
        self.text = text


class Ear:
    """Hears the same two words in everything but silence."""

    def transcribe(self, waves, rates_hz):
        return [Heard("one two" if np.abs(wave).max() > 0.001 else "") for wave in waves]


@pytest.fixture
def run(tmp_path):
    """A prepared run: in the test three English recordings of a second and more, a shorter one, a French one."""
    clips = [clip for clip in embedded.clips("speech", "en") if 1.0 < clip.duration_s < 1.5][:3]
    short = next(clip for clip in embedded.clips("speech", "en") if clip.duration_s < 0.9)
    long = next(clip for clip in embedded.clips("speech", "en") if clip.duration_s > 3)
    rows = [(clip, "test", "en") for clip in (*clips[:2], short, long)]
    rows += [(clips[2], "train", "en"), (embedded.clips("speech", "fr")[0], "test", "fr")]
    cuts = []
    for clip, part, language in rows:
        custom = {fields.SPLIT: part, KIND: "speech", BAND: 4000, fields.LANGUAGE: language, fields.SPEAKER: "v"}
        text = {} if clip is clips[0] else {fields.TEXT: "one two"}
        cuts.append(manifest.cut(clip.id, clip.file(), {**custom, **text}))
    folder = RunFolder(tmp_path / "run")
    folder.manifests.mkdir(parents=True)
    manifest.write(cuts, folder.manifests / "recordings.jsonl")
    return folder


def config(*settings):
    return override(smoke(), ["data.longest_s=2.0", "eval.wer_files=20", *settings])


@pytest.fixture
def coder():
    return coder_of(Training(config()).codec.eval(), config(), "smoke")


def test_english_speech_is_drawn_and_of_a_beginning_nobody_knows_the_words(run):
    drawn = {tuple(one.name for one in load_speech(config(f"seed={seed}"), run, "en", 1.0, 2)) for seed in range(9)}
    assert len(drawn) == 3  # all pairs of three
    every = load_speech(config(), run, "en", 1.0, 20)
    assert [one.text for one in every] == ["", "one two", ""]  # the last one is longer than what is taken of it
    assert all((one.language, one.speaker) == ("en", "v") and len(one.wave) <= 2 * 44_100 for one in every)


def test_every_codec_and_the_original_have_rows(run, coder, monkeypatch):
    monkeypatch.setattr(words, "transcriber_or_reason", lambda name, **how: Ear())

    def broken(clip, rate_hz):
        raise DataError("no such file")

    quiet = Peer("quiet", lambda clip, rate_hz: (0 * clip.wave, None))
    rows, notes = words.error_rates(config(), run, coder, None, [quiet, Peer("mine", broken)])
    found = {(row.name, row.baseline): (row.value, row.n) for row in rows}
    assert found[WER, ORIGINAL] == found[WER, CEILING] == found[WER, OPUS] == (0.0, 1)
    assert found[WER, "quiet"] == (100.0, 1)
    assert found[AGAINST_ORIGINAL, "quiet"] == (100.0, 2)
    assert (AGAINST_ORIGINAL, ORIGINAL) not in found
    assert {(WER, None), (AGAINST_ORIGINAL, None)} <= found.keys()
    assert {row.group for row in rows} == {"speech"}
    assert notes[-1] == "wer of mine is missing: no such file"
    assert "mine" not in {row.baseline for row in rows}


def test_what_is_not_measured_is_said(run, coder, monkeypatch):
    nothing = words.error_rates(config("eval.wer_files=0"), run, coder, None, [])
    assert nothing == ([], ["wer was left out: eval.wer_files is 0"])
    monkeypatch.setattr(words, "transcriber_or_reason", lambda name, **how: "wer was left out: no weights")
    assert words.error_rates(config(), run, coder, None, []) == ([], ["wer was left out: no weights"])
    monkeypatch.setattr(words, "transcriber_or_reason", lambda name, **how: Ear())
    monkeypatch.setattr(words, "LANGUAGE", "fi")
    found, (note,) = words.error_rates(config(), run, coder, None, [])
    assert found == []
    assert note == "wer was left out: no English speech of 1 s is among the test recordings"


def test_a_report_of_the_smoke_preset_says_that_it_was_left_out(finished):
    report = json.loads((finished("unisrcodec") / "report.json").read_text())
    assert "wer was left out: eval.wer_files is 0" in report["warnings"]
