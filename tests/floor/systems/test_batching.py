"""Files decoded ahead and scored in batches: the order, the refusals and the mates."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from auricle.audio.files import write
from auricle.core.errors import AudioError
from auricle.core.request import Request
from auricle.systems.batching import decoded, map_ahead, score_files, torch_pool


def tone(path, seconds, level=0.1, rate_hz=8000):
    write(path, level * np.sin(np.arange(round(seconds * rate_hz)) * 0.3), rate_hz)
    return path


@pytest.fixture
def files(tmp_path):
    made = [tone(tmp_path / f"{index:02}.wav", 0.2 + 0.01 * index, 0.01 * (index + 1)) for index in range(11)]
    made[4].write_bytes(b"not audio")
    return made


def ask(files):
    return [Request(audio=file) for file in files]


def peaks(clips):
    return [float(np.abs(clip.wave).max()) for clip in clips]


@pytest.mark.parametrize("batch", [1, 3, 32])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_file_has_its_own_result_in_order_whatever_the_batches(files, batch, threads):
    rows = list(score_files(peaks, ask(files), batch, threads))
    assert [clip.input for clip, _ in rows] == [str(file) for file in files]
    assert [value is None for _, value in rows] == [index == 4 for index in range(11)]
    assert rows[4][0].error
    assert [value for _, value in rows if value is not None] == pytest.approx(
        [0.01 * (index + 1) for index in range(11) if index != 4], rel=0.02
    )


def test_a_clip_that_the_scorer_refuses_does_not_take_its_mates_with_it(files):
    def picky(clips):
        if any(clip.input.endswith("07.wav") for clip in clips):
            raise AudioError("not this one")
        return peaks(clips)

    rows = list(score_files(picky, ask(files), 5, 2))
    assert [clip.error for clip, _ in rows if clip.input.endswith("07.wav")] == ["not this one"]
    assert sum(value is not None for _, value in rows) == 9


def test_an_error_that_is_no_refusal_is_raised(files):
    with pytest.raises(ZeroDivisionError):
        list(score_files(lambda clips: [1 / 0], ask(files), 5, 2))


def test_a_missing_input_is_a_row_with_a_reason(files, tmp_path):
    rows = list(score_files(peaks, ask([tmp_path / "nobody.wav", files[0]]), 4, 1))
    assert "nobody.wav" in rows[0][0].error
    assert rows[1][1] is not None


def test_of_a_long_file_the_beginning_is_read_and_the_length_told(tmp_path):
    clip = decoded(Request(audio=tone(tmp_path / "long.wav", 3.0)), longest_s=1.0)
    assert len(clip.wave) == 8000
    assert clip.duration_s == 3.0
    assert decoded(Request(audio=tone(tmp_path / "short.wav", 0.5)), longest_s=1.0).duration_s == 0.5


def test_all_channels_come_when_they_are_asked_for(tmp_path):
    two = np.stack([0.1 * np.sin(np.arange(4000) * 0.3), 0.2 * np.sin(np.arange(4000) * 0.5)])
    write(tmp_path / "two.wav", two, 8000)
    asked = Request(audio=tmp_path / "two.wav")
    assert decoded(asked).wave.shape == (4000,)
    np.testing.assert_allclose(decoded(asked, channels="all").wave, two, atol=1e-4)


def test_a_request_without_audio_is_refused():
    assert decoded(Request(text="words")).error == "the request has no audio"


def test_no_more_than_asked_for_waits():
    taken = []

    def items():
        for index in range(50):
            taken.append(index)
            yield index

    hold = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        results = map_ahead(pool, lambda index: (hold.wait(5), index)[1], items(), 4)
        threading.Timer(0.2, hold.set).start()
        assert next(results) == 0
        assert len(taken) <= 6
        assert list(results) == list(range(1, 50))


def test_the_caller_keeps_its_torch_threads_and_the_pool_has_one_each():
    before = torch.get_num_threads()
    with torch_pool(2) as pool:
        assert {pool.submit(torch.get_num_threads).result() for _ in range(4)} == {1}
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before
