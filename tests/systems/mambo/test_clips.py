import numpy as np
import pytest

from auricle.core.errors import DataError
from auricle.data.clips import Clips, windows
from auricle.train.pairs import PairedBatches, distorted_clips, splice


def clips(labels, pairs, seconds=1.0, rate=1000):
    waves = [np.full(round(seconds * rate), index + 1, np.int16) for index in range(len(labels))]
    facts = [
        {"label": "bonafide" if label else "spoof", "pair": pair} for label, pair in zip(labels, pairs, strict=True)
    ]
    return Clips(waves, facts, rate)


def test_windows_overlap_by_half_and_end_with_the_clip():
    wave = np.arange(25, dtype=np.float32)
    cut = windows(wave, 10)
    assert [int(piece[0]) for piece in cut] == [0, 5, 10, 15]
    assert windows(np.arange(23), 10)[-1][-1] == 22


def test_a_short_clip_is_tiled():
    assert windows(np.array([1, 2, 3]), 7).tolist() == [[1, 2, 3, 1, 2, 3, 1]]


def test_a_clip_of_exactly_one_window_is_one_window():
    assert windows(np.arange(10), 10).shape == (1, 10)


def test_half_of_a_batch_is_real_and_each_fake_is_of_its_neighbour():
    data = clips([1, 1, 1, 0, 0, 0], ["a", "b", "c", "a", "b", "c"])
    batches = PairedBatches(data, length=500, batch=6, hop=10, splice=0.0, seed=0)
    for batch in batches(0):
        assert batch.label.tolist() == [1, 0] * 3
        first = (batch.wave[:, 0].numpy() * 32768).round().astype(int)
        assert (first[1::2] - first[0::2] == 3).all()
        assert (batch.truth == batch.label[:, None]).all()


def test_an_epoch_can_be_entered_anywhere_and_repeats():
    data = clips([1] * 8 + [0] * 8, [str(i % 8) for i in range(16)], seconds=2.0)
    batches = PairedBatches(data, length=500, batch=4, hop=10, splice=0.5, seed=1)
    whole, late = list(batches(3)), list(batches(3, start=2))
    assert len(whole) == 4
    assert all(np.array_equal(a.wave, b.wave) for a, b in zip(whole[2:], late, strict=True))
    assert not np.array_equal(whole[0].wave, next(iter(batches(4))).wave)


def test_fewer_clips_than_a_batch_still_fill_one():
    data = clips([1, 0], ["a", "a"])
    assert next(iter(PairedBatches(data, length=500, batch=8, hop=10, splice=0.0, seed=0)(0))).wave.shape == (8, 500)


def test_one_class_cannot_be_trained_on():
    with pytest.raises(DataError, match="both bona fide and spoof"):
        PairedBatches(clips([1, 1], ["a", "b"]), length=500, batch=4, hop=10, splice=0.0, seed=0)


def test_splice_pastes_where_its_truth_says():
    real, fake = np.ones(100, np.float32), -np.ones(100, np.float32)
    mixed, truth = splice(real, fake, start=3, size=4, hop=10)
    assert truth.tolist() == [1, 1, 1, 0, 0, 0, 0, 1, 1, 1]
    assert (mixed[:25] == 1).all()
    assert (mixed[35:65] == -1).all()
    assert (mixed[75:] == 1).all()


def test_a_spliced_fake_is_a_spoof_with_real_frames():
    data = clips([1, 0], ["a", "a"])
    batch = next(iter(PairedBatches(data, length=500, batch=2, hop=10, splice=1.0, seed=0)(0)))
    assert batch.label.tolist() == [1, 0]
    assert batch.truth[0].all()
    assert 0 < int(batch.truth[1].sum()) < 50


def noisy(count):
    data = clips([1, 0] * (count // 2), [str(i // 2) for i in range(count)], rate=8000)
    draws = np.random.default_rng(0)
    data.waves[:] = [np.round(draws.normal(0, 2000, 8000)).astype(np.int16) for _ in data.waves]
    return data


def test_rawboost_distorts_each_window_alike_wherever_an_epoch_is_entered():
    data = noisy(8)
    settings = {"length": 4000, "batch": 4, "hop": 80, "splice": 0.5, "seed": 1}
    plain, boosted = PairedBatches(data, **settings), PairedBatches(data, **settings, boost=5)
    clean, whole, late = next(iter(plain(0))), list(boosted(0)), list(boosted(0, start=1))
    assert np.array_equal(whole[1].wave, late[0].wave)
    assert not np.array_equal(whole[0].wave, next(iter(boosted(1))).wave)
    assert np.array_equal(whole[0].truth, clean.truth)
    changed = (whole[0].wave - clean.wave).square().mean(dim=1) / clean.wave.square().mean(dim=1)
    assert (changed > 1e-4).all()  # every row
    # two rows that hold the same samples do not get the same distortion
    data.waves[:] = [data.waves[0]] * len(data.waves)
    batch = next(iter(PairedBatches(data, **{**settings, "length": 8000, "splice": 0.0}, boost=3)(0)))
    assert not np.array_equal(batch.wave[0], batch.wave[1])


def test_rawboost_of_dev_clips_repeats():
    data = noisy(4)
    once, again = distorted_clips(data, 3, seed=7), distorted_clips(data, 3, seed=7)
    assert all(np.array_equal(a, b) for a, b in zip(once.waves, again.waves, strict=True))
    assert not np.array_equal(once.waves[0], data.waves[0])
    assert once.facts == data.facts


def test_rawboost_leaves_a_silent_window_as_it_is():
    data = noisy(2)
    data.waves[0][:4000] = 0
    batches = PairedBatches(data, length=4000, batch=2, hop=80, splice=0.0, seed=0, boost=3)
    batches._window = lambda index, where: data.wave(index)[:4000]
    batch = next(iter(batches(0)))
    assert not batch.wave[0].any()
    assert batch.wave[1].any()
