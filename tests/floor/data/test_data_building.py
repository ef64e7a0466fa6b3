import os

import pytest
import torch

from auricle.core.run import RunFolder
from auricle.data import embedded, fields
from auricle.data.building import audio_folder, build_all, provenance


def threads(task):
    return task * 2, torch.get_num_threads(), os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_whatever_the_workers(workers):
    results = list(build_all(threads, list(range(9)), workers))
    assert [double for double, _, _ in results] == list(range(0, 18, 2))
    own = {pid for _, _, pid in results} == {os.getpid()}
    assert own == (workers == 1)
    if workers > 1:
        assert {count for _, count, _ in results} == {1}


def test_nothing_to_do_is_nothing():
    assert list(build_all(threads, [], 2)) == []


def test_what_decides_the_audio_names_its_folder(tmp_path):
    one = RunFolder(tmp_path / "seed-0")
    settings = {"rate_hz": 16000, "workers": 3}
    assert audio_folder(one, settings) == audio_folder(RunFolder(tmp_path / "seed-1"), {"rate_hz": 16000, "workers": 0})
    assert audio_folder(one, settings) != audio_folder(one, {"rate_hz": 8000})
    assert audio_folder(one, settings).parent == tmp_path / "cache"


def test_nobody_forgets_where_a_clip_came_from():
    clip = embedded.clips(kind="speech")[0]
    found = provenance(clip)
    assert found[fields.SOURCE] == clip.package
    assert found[fields.LICENCE] == clip.licence
    assert found[fields.AUTHOR] == clip.author
    assert found[fields.SPEAKER] == clip.speaker
    music = provenance(embedded.clips(kind="music")[0])
    assert fields.LANGUAGE not in music or music[fields.LANGUAGE]
