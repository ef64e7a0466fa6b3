"""The reader of CTranslate2's files: what it reads, and every way in which a file can be wrong."""

import struct

import numpy as np
import pytest

from auricle.backbones.ctranslate2 import read_ctranslate2
from auricle.core.errors import CheckpointError
from tests.floor.backbones.ctranslate2_bytes import file_of, quantised, text, variable

WEIGHT = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def read(tmp_path, content):
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    return read_ctranslate2(path)


@pytest.mark.parametrize("kind", ["float32", "float16", "int16", "int8"])
def test_a_file_is_read_as_it_was_written(tmp_path, kind):
    stored, wanted = quantised("a/weight", WEIGHT, kind)
    bias = np.arange(3, dtype=np.float32)
    found = read(tmp_path, file_of([*stored, ("a/bias", bias), ("n", np.int16(6))], [("b/weight", "a/weight")]))
    assert (found.spec, found.revision, found.flags) == ("WhisperSpec", 3, {"n": 6.0})
    assert found.aliases == {"b/weight": "a/weight"}
    assert set(found.weights) == {"a/weight", "a/bias"}  # a scale is used up
    np.testing.assert_allclose(found.weights["a/weight"], wanted, rtol=1e-6)
    np.testing.assert_array_equal(found.weights["a/bias"], bias)
    assert found.weights["a/weight"].dtype == np.float32


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    whole = file_of([("a/weight", WEIGHT), ("n", np.int8(1))], [("b", "a/weight")])
    for size in range(len(whole)):
        with pytest.raises(CheckpointError, match=r"ends within|follow after|is no plain text"):
            read(tmp_path, whole[:size])
    with pytest.raises(CheckpointError, match="1 bytes follow after its end"):
        read(tmp_path, whole + b"x")


WRONG = {
    "version": (file_of([], version=5), "its version is 5, and only version 6"),
    "pickle": (b"\x80\x04cos\nsystem\n(S'touch x'\ntR.", "its version is"),
    "zip": (b"PK\x03\x04" + bytes(60), "its version is"),
    "many": (file_of([], count=2**31), "2147483648 variables; at most"),
    "rank": (file_of([text("a") + b"\xff" + bytes(2000)]), "a has 255 dimensions"),
    "promise": (
        file_of([variable("a", np.zeros(2, np.float32), shape=(2**32 - 1,) * 4)]),
        "says 8 bytes for the shape",
    ),
    "large": (file_of([variable("a", np.zeros(2, np.float32), size=2**32 - 4, shape=(2**30 - 1,))]), "ends within a"),
    "shape": (file_of([variable("a", np.zeros(2, np.float32), shape=(3,))]), r"says 8 bytes for the shape \(3,\)"),
    "int32": (file_of([("a", np.zeros(2, np.int32))]), "a is stored as int32"),
    "bfloat16": (file_of([variable("a", np.zeros(2, np.float16), code=5)]), "a is stored as bfloat16"),
    "unknown": (file_of([variable("a", np.zeros(2, np.float16), code=77)]), "the unknown type 77"),
    "twice": (file_of([("a", WEIGHT), ("a", WEIGHT)]), "a is there twice"),
    "scale": (file_of([("a", np.zeros((2, 2), np.int8))]), "a is stored in int8 without its scale a_scale"),
    "scales": (file_of([("a", np.zeros((2, 2), np.int8)), ("a_scale", np.ones(3, np.float32))]), "no scale above 0"),
    "zero": (file_of([("a", np.zeros((2, 2), np.int8)), ("a_scale", np.zeros(2, np.float32))]), "no scale above 0"),
    "lonely": (file_of([("a_scale", np.float32(1))]), "a_scale is the scale of nothing"),
    "nan": (file_of([("a", np.array([1, np.nan], np.float16))]), "a has numbers that are not finite"),
    "alias": (file_of([("a", WEIGHT)], [("b", "c")]), "the alias b of c"),
    "name": (file_of([text("a\nb") + bytes(6)]), "is no plain text"),
    "empty name": (file_of([struct.pack("<H", 0) + bytes(6)]), "is 0 bytes long"),
    "long name": (file_of([struct.pack("<H", 60000) + bytes(60006)]), "is 60000 bytes long"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_refused_by_name(tmp_path, case):
    content, message = WRONG[case]
    with pytest.raises(CheckpointError, match=message) as caught:
        read(tmp_path, content)
    assert "model.bin is no model file of CTranslate2" in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_ctranslate2(path)
