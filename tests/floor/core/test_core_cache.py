import json
import subprocess
import sys

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


def test_two_processes_share_a_file_and_lose_no_line(tmp_path):
    code = (
        "import sys; from auricle.core.cache import ResultCache\n"
        f"cache = ResultCache({str(tmp_path)!r}, 'f' * 64)\n"
        "for i in range(300): cache.put(f'{sys.argv[1]}{i}', 'x' * (i * 40))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    cache = ResultCache(tmp_path, "f" * 64)
    assert len(cache) == 600
    assert all(json.loads(line) for line in cache.file.read_bytes().splitlines())


def test_a_full_disk_is_an_error_and_leaves_no_half_line(tmp_path):
    """The kernel takes a part of a line and refuses the rest."""
    code = (
        "import resource, signal; from auricle.core.cache import ResultCache\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"cache = ResultCache({str(tmp_path)!r}, 'f' * 64); cache.put('one', 1)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: cache.put('two', 'x' * 9000)\n"
        "except OSError as error: print(error)\n"
        "assert cache.get('two') is None; cache.put('three', 3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"No space left on device: '{tmp_path}" in done.stdout
    lines = next(tmp_path.glob("*.jsonl")).read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["one", "three"]


def test_a_line_nested_deeply_is_passed_over(tmp_path):
    (tmp_path / f"{'f' * 32}.jsonl").write_text('{"key": "a", "value": 1}\n' + "[" * 100_000 + "\n")
    assert len(ResultCache(tmp_path, "f" * 64)) == 1
