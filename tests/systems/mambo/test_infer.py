"""What the detector makes of waves, files and long files, with the model that comes in the package."""

import shutil

import numpy as np
import pytest
import soundfile
import torch

import auricle
from auricle.audio.files import read_mono
from auricle.audio.hearing import heard, sound_of
from auricle.core.answers import Detection, Refused
from auricle.core.errors import CheckpointError
from auricle.core.request import Request
from auricle.data import embedded
from auricle.systems.mambo import infer as module
from auricle.systems.mambo.infer import infer, load
from auricle.train.checkpoint import save_model


@pytest.fixture(scope="module")
def detector():
    return auricle.pretrained("mambo")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Speech of several lengths and codings; one file is not audio, and one would be streamed."""
    path = tmp_path_factory.mktemp("files")
    files = [clip.file() for clip in embedded.clips(kind="speech")[::150]]
    draws = np.random.default_rng(1)
    for name, seconds, rate_hz in (
        ("short", 0.4, 8000),
        ("two", 2.0, 16000),
        ("mid", 7.3, 44100),
        ("long", 65.2, 16000),
    ):
        wave = draws.normal(0, 0.1, round(seconds * rate_hz)).astype(np.float32)
        if name == "mid":
            wave[: 3 * rate_hz] = 0.0  # a recorder that was started early: digital silence inside a good file
        files.append(path / f"{name}.wav")
        soundfile.write(files[-1], wave, rate_hz)
    files.insert(3, path / "broken.wav")
    files[3].write_bytes(b"not audio")
    return files


def answer(detector, path):
    (found,) = infer(detector, [Request(audio=path)])
    return found


def close(one, other):
    """Equal answers; numbers to 1e-5."""
    assert (one.input, one.label, one.warnings) == (other.input, other.label, other.warnings)
    assert one.reason == other.reason
    assert (one.p_bonafide is None) == (other.p_bonafide is None) == (one.reason is not None)
    for name in ("score", "threshold", "duration_s") + (() if one.reason else ("p_bonafide",)):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-5)
    for a, b in zip(one.segments, other.segments, strict=True):
        assert a.as_dict() == pytest.approx(b.as_dict(), abs=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_files_together_equal_files_alone(detector, files, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = list(infer(detector, [Request(audio=file) for file in files]))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert [one.input for one in together] == [str(file) for file in files]
    assert [file.name for file, one in zip(files, together, strict=True) if isinstance(one, Refused)] == ["broken.wav"]
    for file, one in zip(files, together, strict=True):
        if isinstance(one, Detection):
            close(one, answer(detector, file))


@torch.no_grad()
def test_the_score_is_the_mean_over_windows_and_segments_cover_what_is_heard(detector, files):
    for file in files[-4:]:
        found = answer(detector, file)
        wave, _, _ = read_mono(file, 16000)
        sound = sound_of(wave, 16000)
        pieces = np.stack([window for _, window in heard([wave], sound, detector.cfg.data.window)])
        logits = detector.network(torch.from_numpy(pieces)).logits
        assert found.score == pytest.approx(float((logits[:, 1] - logits[:, 0]).mean()), abs=1e-5)
        starts = max(0.0, sound.start / 16000)
        assert found.segments[0].start_s == starts // 0.5 * 0.5
        assert found.segments[-1].end_s == pytest.approx(found.duration_s)
        assert all(a.end_s == b.start_s for a, b in zip(found.segments, found.segments[1:], strict=False))


def test_waves_together_equal_waves_alone(detector):
    draws = np.random.default_rng(3)
    waves = [draws.normal(0, 0.1, size).astype(np.float32) for size in (4000, 90_000, 32_000)]
    together = detector.scores(waves, [8000, 44100, 16000])
    alone = [detector.score(wave, rate) for wave, rate in zip(waves, (8000, 44100, 16000), strict=True)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_long_files_are_streamed(detector, files, monkeypatch):
    whole = answer(detector, files[-2])
    monkeypatch.setattr(module, "WHOLE_S", 1.0)
    monkeypatch.setattr(module, "read", lambda path, **how: pytest.fail("a long file was read whole"))
    close(answer(detector, files[-2]), whole)


def test_a_long_file_that_breaks_off_after_it_was_judged_is_refused_and_the_rest_goes_on(detector, files, monkeypatch):
    def torn(*given):
        for number, chunk in enumerate(chunks(*given)):
            if number == 3 and next(surveyed, None) is None:  # not while it is judged
                raise module.AudioError("the disk was pulled out")
            yield chunk

    surveyed, chunks = iter([True]), module._chunks
    monkeypatch.setattr(module, "_chunks", torn)
    first, broken, last = infer(detector, [Request(audio=file) for file in (files[0], files[-1], files[-3])])
    assert isinstance(first, Detection)
    assert broken == Refused(str(files[-1]), "the disk was pulled out")
    close(last, answer(detector, files[-3]))


def test_a_request_without_audio_is_refused(detector):
    assert list(infer(detector, [Request(text="who?")])) == [Refused("who?", "the request has no audio")]


def test_requests_are_taken_as_they_are_needed(detector, files):
    taken = []

    def endless():
        while True:
            taken.append(files[-3])
            yield Request(audio=files[-3])

    stream = infer(detector, endless())
    first = next(stream)
    stream.close()
    assert first.input == str(files[-3])
    assert len(taken) < 500


@pytest.fixture
def rewritten(detector, domain, tmp_path):
    """The packaged run with other facts beside its weights."""

    def rewrite(**changed):
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(auricle.systems.system("mambo").pretrained(), folder)
        facts = {"calibration": detector.calibration.to_dict(), "domain": domain.to_dict()}
        save_model(folder / "checkpoints" / "final", detector.network, facts | changed)
        return folder

    return rewrite


def test_weights_that_nobody_calibrated_give_a_score_and_say_so(detector, files, rewritten):
    uncalibrated = load(rewritten(calibration=None, domain=None))
    found, plain = answer(uncalibrated, files[0]), answer(detector, files[0])
    assert (found.score, found.segments) == (plain.score, plain.segments)
    assert (found.label, found.p_bonafide, found.threshold) == (None, None, None)
    assert found.reason.startswith("uncalibrated: ")


def test_a_calibration_that_is_not_used_leaves_the_label(detector, files, rewritten):
    values = {**detector.calibration.to_dict(), "used": False, "cllr": 1.231}
    found, plain = answer(load(rewritten(calibration=values, domain=None)), files[0]), answer(detector, files[0])
    assert (found.score, found.threshold, found.p_bonafide) == (plain.score, plain.threshold, None)
    assert found.label == detector.calibration.label(found.score)
    assert "worse than none on held-out dev voices (Cllr 1.23)" in found.reason


def test_a_run_without_todays_check_of_the_domain_says_so(files, rewritten):
    old = {"mean": [0.0] * 41, "scale": [1.0] * 41, "whiten": [[0.0] * 41] * 41, "far": 1.0}
    for domain in (None, old):
        assert any(text.startswith("unchecked: ") for text in answer(load(rewritten(domain=domain)), files[0]).warnings)
    assert not any(text.startswith("unchecked: ") for text in answer(load(rewritten()), files[0]).warnings)


@pytest.mark.parametrize(
    "changed",
    [
        {"calibration": {"slope": 1.0}},
        {"domain": {"steady": 1.0}},
        {"domain": 7},
        {"domain": {"mean": [0.0], "scale": [1.0], "whiten": [[1.0, 2.0]], "steady": 1.0, "short": 0.0, "far": 1.0}},
    ],
)
def test_damaged_meta_is_named(rewritten, changed):
    with pytest.raises(CheckpointError, match=r"meta\.json is damaged"):
        load(rewritten(**changed))


def test_what_is_no_speech_is_undecided_and_the_reason_comes_first(detector, files):
    found = answer(detector, files[-1])  # white noise
    assert (found.label, found.p_bonafide) == ("undecided", None)
    assert found.threshold == detector.calibration.threshold
    assert found.reason == found.warnings[0]
    assert found.reason.startswith("non-speech: ")
