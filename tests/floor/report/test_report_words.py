from dataclasses import dataclass

import numpy as np
import pytest

from auricle.audio.resample import resample
from auricle.core import extras
from auricle.core.errors import AudioError
from auricle.data import embedded
from auricle.metrics.asr import word_error_rate
from auricle.report.words import AGAINST_ORIGINAL, ORIGINAL, OURS, WER, Spoken, transcriber_or_reason, word_rows

pytest.importorskip("jiwer")
pytest.importorskip("transformers")

# what a transcriber of numbers hears: sample 0 of a wave is the number of its text
TEXTS = ["", "one two three four", "one two three for", "five six", "five", "seven"]


@dataclass
class Heard:
    text: str


def transcribe(waves, rates_hz):
    assert rates_hz == [8000] * len(waves)
    if any(wave[0] < 0 for wave in waves):
        raise AudioError("no audio")
    return [Heard(TEXTS[int(wave[0])]) for wave in waves]


def wave(number):
    return np.full(4, float(number), np.float32)


def rows_of(spoken):
    rows, notes = word_rows(spoken, transcribe, 8000, transcriber="Ear", group="speech", replicates=100, seed=0)
    assert all((row.unit, row.group) == ("%", "speech") for row in rows)
    return {(row.name, row.baseline): (row.value, row.n) for row in rows}, notes


def test_the_truth_is_the_text_and_else_what_is_heard_in_the_original():
    spoken = [
        Spoken("One, two, three, four.", "a", wave(2), {OURS: wave(1), "opus": wave(0)}),
        Spoken("", "a", wave(1), {OURS: wave(2), "opus": wave(1)}),
        Spoken("", "b", wave(3), {OURS: wave(4), "opus": wave(3)}),
        Spoken("", "b", wave(0), {OURS: wave(5), "opus": wave(0)}),  # no word is heard in it: it cannot be judged
    ]
    found, notes = rows_of(spoken)
    assert found == {
        (WER, ORIGINAL): (25.0, 1),
        (WER, None): (0.0, 1),
        (WER, "opus"): (100.0, 1),
        (AGAINST_ORIGINAL, None): (pytest.approx(100 * 2 / 6), 2),
        (AGAINST_ORIGINAL, "opus"): (0.0, 2),
    }
    assert word_error_rate([TEXTS[1], TEXTS[3]], [TEXTS[2], TEXTS[4]], seed=0).rate == pytest.approx(2 / 6)
    assert [note.split(" is what Ear hears against ")[0] for note in notes] == [WER, AGAINST_ORIGINAL]
    assert "the corpus's own text" in notes[0]
    assert "4 words of 1 English" in notes[0]
    assert "its own errors do not count" in notes[1]
    assert "6 words of 2 English recordings, intervals over utterances; 1 more have no word" in notes[1]


def test_what_cannot_be_transcribed_costs_its_own_rows():
    spoken = [Spoken("five six", "a", wave(3), {OURS: wave(-1), "opus": wave(4)})]
    found, notes = rows_of(spoken)
    assert found == {(WER, ORIGINAL): (0.0, 1), (WER, "opus"): (50.0, 1)}
    assert notes[-1] == "the transcript of the system failed and has no rows in this report: no audio"
    found, notes = rows_of([Spoken("five six", "a", wave(-1), {OURS: wave(3)})])
    assert found == {}
    assert notes == ["the transcript of original failed and has no rows in this report: no audio"]


def test_where_nothing_is_said_there_is_no_rate():
    found, notes = rows_of([Spoken("", "a", wave(0), {OURS: wave(1)})])
    assert found == {}
    assert notes == ["no word error rate: no word is heard in the 1 English recordings"]


def test_a_transcriber_that_is_not_there_is_said_with_its_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("auricle.backbones.whisper.converted_folder", lambda name: tmp_path / name)
    reason = transcriber_or_reason("whisper-tiny-en")
    assert reason.startswith("wer was left out: ")
    assert "auricle models add whisper-tiny-en" in reason
    assert capsys.readouterr().err == f"note: {reason}\n"
    find = extras.importlib.util.find_spec
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None if name == "jiwer" else find(name))
    assert "pip install 'auricle[asr]'" in transcriber_or_reason("whisper-tiny-en")


@pytest.mark.skipif(not extras.weights_ready("whisper-tiny-en"), reason="needs auricle models add whisper-tiny-en")
def test_noise_over_speech_costs_words():
    clips = [clip for clip in embedded.clips("speech", "en") if 1.5 < clip.duration_s < 3][:2]
    waves = [resample(clip.read().mono(), clip.rate_hz, 16_000) for clip in clips]
    noise = np.random.default_rng(0)
    loud = [wave + noise.normal(0, 3 * wave.std(), len(wave)).astype(np.float32) for wave in waves]
    spoken = [Spoken("", "a", wave, {OURS: wave, "loud": made}) for wave, made in zip(waves, loud, strict=True)]
    ear = transcriber_or_reason("whisper-tiny-en", context_s=15.0)
    rows, _ = word_rows(spoken, ear.transcribe, 16_000, transcriber="whisper-tiny-en", seed=0)
    rates = {row.baseline: row.value for row in rows}
    assert rates[None] == 0
    assert rates["loud"] > 50
