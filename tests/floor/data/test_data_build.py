from __future__ import annotations

import io
import struct
import tarfile
import zlib

import numpy as np
import pytest
import soundfile

from auricle.core.errors import DataError
from auricle.core.files import read_json
from auricle.data import embedded
from auricle.data.embedded.build.amazon_queen import entries, parts
from auricle.data.embedded.build.copyrights import licence_of, licence_text, stanzas
from auricle.data.embedded.build.deb import read_package
from auricle.data.embedded.build.items import measure, to_flac
from auricle.data.embedded.build.names import VOICES_JSON
from auricle.data.embedded.build.qt_resources import rcc_files
from auricle.data.embedded.build.sounds import spdx


def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def ar(members):
    data = b"!<arch>\n"
    for name, content in members.items():
        data += f"{name:<16}{0:<12}{0:<6}{0:<6}{0o644:<8}{len(content):<10}`\n".encode() + content
        data += b"\n" * (len(content) % 2)
    return data


def test_a_package_is_read(tmp_path):
    content = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": tar({"./control": b"Package: x\nVersion: 1:2-3\n"}),
        "data.tar.xz": tar({"./usr/a.wav": b"abc"}),
    }
    (tmp_path / "x.deb").write_bytes(ar(content))
    package = read_package(tmp_path / "x.deb")
    assert (package.name, package.version, package.files) == ("x", "1:2-3", {"usr/a.wav": b"abc"})
    with pytest.raises(DataError, match="no file usr/b"):
        package.read("usr/b")
    with pytest.raises(DataError, match="another version, or a damaged download"):
        read_package(tmp_path / "x.deb", "0" * 64)
    (tmp_path / "x.deb").write_bytes(ar(content)[:-40])
    with pytest.raises(DataError, match="cut short"):
        read_package(tmp_path / "x.deb")
    (tmp_path / "x.deb").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a Debian package"):
        read_package(tmp_path / "x.deb")


COPYRIGHT = """Format: x

Files: *
Copyright: 2001 A
License: GPL-2+

Files: snd/*.ogg snd/?.wav
Copyright: 2002 B
           2003 C
License: CC-BY-3.0 and CC0-1.0

Files: snd/bad.ogg
Copyright: D
License: GPL-2

License: CC-BY-3.0
 First line.
 .
 Last line.
"""


def test_the_last_matching_paragraph_decides():
    found = stanzas(COPYRIGHT)
    assert licence_of("snd/deep/x.ogg", found).authors == "2002 B / 2003 C"
    assert licence_of("snd/a.wav", found).licence == "CC-BY-3.0 and CC0-1.0"
    assert licence_of("snd/ab.wav", found).licence == "GPL-2+"
    assert licence_of("snd/bad.ogg", found).licence == "GPL-2"
    assert licence_text(COPYRIGHT, "CC-BY-3.0") == "First line.\n\nLast line."
    assert licence_text(COPYRIGHT, "MIT") == ""


def test_only_listed_licences_are_taken():
    assert spdx("CC-BY-3.0 and CC0-1.0") == "CC-BY-3.0 AND CC0-1.0"
    assert spdx("Expat") == "MIT"
    for name in ("GPL-2+", "GPL-3", "LGPL-3.0-or-later", "CC-BY-3.0 and GPL-2", "CC-sampling-plus-1.0", "free-art"):
        assert spdx(name) is None


def test_the_game_table_and_its_text():
    table = b"QTBLCEM10\0\0\0\x01" + struct.pack(">H", 1)
    table += struct.pack(">12sBII", b"010001P1.SB", 1, len(table) + 21, 3)
    assert entries(table + b"abc") == {"010001P1.SB": b"abc"}
    with pytest.raises(DataError, match="ends behind the file"):
        entries(table + b"ab")
    with pytest.raises(DataError, match="expected the mark"):
        entries(b"something else")
    assert parts("Hello*FL there.*XY00(237,112)Go!") == ["Hello", "there.", "Go!"]
    assert parts("One*12") == ["One"]
    assert parts("No commands") == ["No commands"]


def test_a_qt_resource_file_is_read():
    names, offsets = b"", {}
    for name in ("dir", "a.wav", "b.wav", "c.txt"):
        offsets[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    packed = struct.pack(">I", 5) + zlib.compress(b"bbbbb")
    blobs = struct.pack(">I", 3) + b"aaa" + struct.pack(">I", len(packed)) + packed
    nodes = struct.pack(">IHII", 0, 2, 1, 1) + struct.pack(">IHII", offsets["dir"], 2, 3, 2)
    for name, flags, at in (("a.wav", 0, 0), ("b.wav", 1, 7), ("c.txt", 0, 0)):
        nodes += struct.pack(">IHHHI", offsets[name], flags, 0, 0, at)
    start = 20
    header = b"qres" + struct.pack(">4I", 1, start, start + len(nodes), start + len(nodes) + len(blobs))
    assert rcc_files(header + nodes + blobs + names, (".wav",)) == {"dir/a.wav": b"aaa", "dir/b.wav": b"bbbbb"}
    with pytest.raises(DataError, match="not a Qt resource file"):
        rcc_files(b"RIFF", (".wav",))


def test_wav_to_flac_keeps_every_sample():
    wave = np.random.default_rng(0).integers(-(2**15), 2**15, 4000).astype(np.int16)
    wav = io.BytesIO()
    soundfile.write(wav, wave, 8000, format="WAV")
    flac = to_flac(wav.getvalue())
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(flac), dtype="int16")[0], wave)
    assert measure(flac, ".flac") == (8000, 0.5)
    assert measure(bytes(8000), ".g722") == (16000, 1.0)
    assert measure(bytes(33 * 50), ".gsm") == (8000, 1.0)
    with pytest.raises(DataError, match=r"type \.aac"):
        measure(b"", ".aac")


def test_the_grouping_of_voices_follows_from_its_figures():
    voices = read_json(VOICES_JSON)
    errors, groups = voices["verification_error"], voices["groups"]
    of = {name: group for group, members in groups.items() for name in members}
    assert not set(of) & set(voices["left_out"])
    for a in of:
        for b in of:
            if a != b and errors[a][b] >= voices["threshold"]:
                assert of[a] == of[b], (a, b)
    for members in groups.values():
        for name in members:
            others = [errors[name][other] for other in members if other != name]
            assert not others or max(others) >= voices["threshold"]
    check = voices["check"]
    assert check["mean_similarity_same_group"] > check["mean_similarity_different_groups"] + 0.1
    used = set(voices["used"])
    assert not used & set(voices["rejected"])
    taken = [clip.source_path.rsplit("!", 1)[-1] for clip in embedded.clips("speech") if "!" in clip.source_path]
    assert set(taken) <= used
    assert set(groups) <= set(embedded.speakers().values())
