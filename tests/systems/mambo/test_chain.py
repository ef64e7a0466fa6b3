import numpy as np
import pytest
from numpy.testing import assert_array_equal

from auricle.audio.level import bandwidth_hz, rms_db
from auricle.core.errors import AudioError
from auricle.core.seed import rng
from auricle.data import equalise
from auricle.systems.mambo.build import Utterance, build
from auricle.systems.mambo.config import DataConfig
from auricle.systems.mambo.data import plan

SETTINGS = {"out_hz": 16000, "longest_s": 3.0, "band_hz": 3800.0, "codec": "none", "snr_db": (40.0, 40.0)}


def noise(seconds, rate=16000):
    return (0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))).astype(np.float32)


def test_everything_leaves_with_one_band_level_and_no_offset():
    out = equalise.equalise(noise(2.0, 44100) + 0.2, 44100, rng=rng(0), **SETTINGS)
    assert bandwidth_hz(out, 16000, below_db=40) < 4300
    assert -30.5 < rms_db(out) < -21.5
    assert abs(out.mean()) < 1e-3


def test_it_is_cut_to_the_longest():
    assert len(equalise.equalise(noise(9.0), 16000, rng=rng(0), **SETTINGS)) == 48000


def test_the_same_draws_give_the_same_clip():
    first, second = (equalise.equalise(noise(2.0), 16000, rng=rng(5), **SETTINGS) for _ in range(2))
    assert_array_equal(first, second)


def test_too_little_sound_is_refused():
    wave = np.zeros(32000, np.float32)
    wave[1000:3000] = noise(0.125)
    with pytest.raises(AudioError, match=r"0\.5 s are needed"):
        equalise.equalise(wave, 16000, rng=rng(0), **SETTINGS)


def test_unknown_channels_are_refused():
    with pytest.raises(Exception, match="carrier-pigeon"):
        equalise.through("carrier-pigeon", noise(1.0), 16000, rng(0))


def test_building_again_makes_the_same_files_and_skips_what_is_there(tmp_path):
    cfg = DataConfig(seen=("lpc_pulse",), unseen=("lpc_noise",))
    task = next(task for task in plan(cfg)[0] if task.split == "test" and len(task.families) == 2)
    first = build(task, cfg, str(tmp_path / "a"))
    again = build(task, cfg, str(tmp_path / "b"))
    assert first.rows == again.rows
    for row in first.rows:
        assert (tmp_path / "a" / row["path"]).read_bytes() == (tmp_path / "b" / row["path"]).read_bytes()
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    (tmp_path / "a" / first.rows[1]["path"]).with_suffix(".json").unlink()  # as if killed between audio and row
    assert build(task, cfg, str(tmp_path / "a")).rows == first.rows
    kept = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns == stamp]
    assert len(kept) == len(stamps) - 2


def test_fakes_say_so_in_name_and_row(tmp_path):
    cfg = DataConfig(seen=("lpc_pulse",), unseen=("lpc_noise",))
    task = Utterance(plan(cfg)[0][0].clip, "g", "train", ("lpc_pulse",), None)
    for row in build(task, cfg, str(tmp_path)).rows:
        assert row["synthetic"] == (row["label"] == "spoof") == ("synthetic" in row["path"])
        assert row["licence"]
