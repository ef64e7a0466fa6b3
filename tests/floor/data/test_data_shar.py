import numpy as np
import pytest
import soundfile

from auricle.core.errors import ConfigError, DataError
from auricle.data import embedded, fields, manifest, shar


@pytest.fixture
def source(tmp_path):
    """A manifest over codings of the corpus (G.722, MP3) and a stereo file of which a cut takes a stretch."""
    chosen = embedded.clips(kind="speech")[::400]
    cuts = [
        manifest.cut(clip.id, clip.file(), {"label": "bonafide", "speaker": clip.speaker, "take": 3, "level": 1.5})
        for clip in chosen
    ]
    wave = np.random.default_rng(0).normal(0, 0.1, (16000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "stereo.wav", wave, 16000, subtype="FLOAT")
    stretch = manifest.cut("stretch", tmp_path / "stereo.wav", {"label": "spoof"}).truncate(
        offset=0.25, duration=0.5, preserve_id=True
    )
    manifest.write([*cuts, stretch], tmp_path / "m.jsonl")
    return tmp_path / "m.jsonl", wave[4000:12000].T


def test_round_trip_keeps_audio_fields_and_order(source, tmp_path):
    path, stretch = source
    summary = shar.export(path, tmp_path / "shards", shard_size=2)
    before, after = list(manifest.read(path)), list(shar.read(tmp_path / "shards"))
    assert summary.cuts == len(before) == len(after)
    assert summary.shards == -(-len(before) // 2) > 1
    for old, new in zip(before, after, strict=True):
        assert new.id == old.id
        assert old.custom.pop(fields.FINGERPRINT)
        assert fields.FINGERPRINT not in new.custom
        assert {name: new.custom[name] for name in old.custom} == old.custom
        assert [item.speaker for item in new.supervisions] == [item.speaker for item in old.supervisions]
        assert new.sampling_rate == old.sampling_rate
        np.testing.assert_array_equal(shar.wave(new), shar.wave(old))
        np.testing.assert_array_equal(new.load_audio(), shar.wave(old))  # plain Lhotse gives the same samples
    np.testing.assert_array_equal(shar.wave(after[-1]), stretch)


def test_flac_is_exact_for_sixteen_bits_and_smaller(source, tmp_path):
    path, _ = source
    cuts = [cut for cut in manifest.read(path) if cut.recording.sources[0].source.endswith(".g722")]
    assert cuts
    exact = shar.export(cuts, tmp_path / "wav")
    packed = shar.export(cuts, tmp_path / "flac", form="flac")
    assert packed.size_bytes < exact.size_bytes / 2
    for old, new in zip(cuts, shar.read(tmp_path / "flac"), strict=True):
        assert np.abs(shar.wave(new) - shar.wave(old)).max() <= 1.01 / 32768  # full scale is one step lower in FLAC


def test_shuffled_shards_hold_the_same_cuts_in_a_seeded_order(source, tmp_path):
    path, _ = source
    shar.export(path, tmp_path / "shards", shard_size=1)
    plain = [cut.id for cut in shar.read(tmp_path / "shards")]
    orders = [[cut.id for cut in shar.read(tmp_path / "shards", shuffle=True, seed=seed)] for seed in (0, 0, 1, 2)]
    assert orders[0] == orders[1]
    assert all(sorted(order) == sorted(plain) for order in orders)
    assert any(order != plain for order in orders)


def test_a_bad_file_is_named_and_leaves_no_folder(source, tmp_path):
    path, _ = source
    cuts = list(manifest.read(path))
    (tmp_path / "stereo.wav").write_bytes(b"no longer audio")
    with pytest.raises(DataError, match=r"1 cuts cannot be exported: stretch"):
        shar.export(cuts, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()
    assert not list(tmp_path.glob(".shards-*"))


def test_wrong_use_is_refused(source, tmp_path):
    path, _ = source
    with pytest.raises(ConfigError, match="wav or flac"):
        shar.export(path, tmp_path / "a", form="mp3")
    with pytest.raises(ConfigError, match="at least 1"):
        shar.export(path, tmp_path / "a", shard_size=0)
    with pytest.raises(ConfigError, match="not empty"):
        shar.export(path, tmp_path)
    with pytest.raises(DataError, match="no cut"):
        shar.export([], tmp_path / "a")
    cuts = list(manifest.read(path))
    with pytest.raises(DataError, match="ids must differ"):
        shar.export([cuts[0], cuts[0]], tmp_path / "a")
    with pytest.raises(DataError, match="not a folder of shards"):
        shar.read(tmp_path)
    shar.export(cuts, tmp_path / "shards", shard_size=1)
    (tmp_path / "shards" / "recording.000001.tar").unlink()
    with pytest.raises(DataError, match="shard 000001"):
        shar.read(tmp_path / "shards")
