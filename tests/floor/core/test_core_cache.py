import pytest

from auricle.core.cache import ResultCache, combined_key, content_key
from auricle.core.errors import DataError


def test_a_key_is_content_and_suffix(tmp_path):
    for name, data in (("a.wav", b"1"), ("b.wav", b"1"), ("c.WAV", b"1"), ("d.g722", b"1"), ("e.wav", b"2")):
        (tmp_path / name).write_bytes(data)
    a, b, c, d, e = (content_key(tmp_path / name) for name in ("a.wav", "b.wav", "c.WAV", "d.g722", "e.wav"))
    assert a == b == c
    assert len({a, d, e}) == 3
    with pytest.raises(DataError, match="cannot be read"):
        content_key(tmp_path / "none.wav")


def test_combined_keys_know_where_a_part_ends():
    assert combined_key(["ab", "c"]) != combined_key(["a", "bc"]) != combined_key(["abc"])
    assert combined_key(["ab"]) == combined_key([b"ab"])


def test_results_survive_and_a_torn_line_costs_one(tmp_path):
    cache = ResultCache(tmp_path, "f" * 64)
    cache.put("one", {"score": 1.5})
    cache.put("two", {"score": 2.5})
    cache.close()
    with open(cache.file, "ab") as out:
        out.write(b'{"key": "three", "va')
    again = ResultCache(tmp_path, "f" * 64)
    assert len(again) == 2
    assert again.get("two") == {"score": 2.5}
    assert again.get("three") is None
    again.put("four", 4)
    again.close()
    assert ResultCache(tmp_path, "f" * 64).get("four") == 4
    assert len(ResultCache(tmp_path, "e" * 64)) == 0
