"""Manifests and shards that came from somebody else: nothing in them is executed, fetched or unpacked elsewhere."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import io
import json
import pickle
import tarfile
import threading

import numpy as np
import pytest
import soundfile

from auricle.core.errors import DataError
from auricle.data import manifest, shar
from auricle.data.clips import load_clips
from auricle.data.cut_audio import read_cut

RATE = 16_000


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, RATE), RATE)
    return path


def cut(kind, source, number=0):
    recording = {
        "id": f"r{number}",
        "sources": [{"type": kind, "channels": [0], "source": source}],
        "sampling_rate": RATE,
        "num_samples": RATE,
        "duration": 1.0,
        "channel_ids": [0],
    }
    return {
        "id": f"c{number}",
        "start": 0,
        "duration": 1.0,
        "channel": 0,
        "supervisions": [],
        "recording": recording,
        "custom": {"label": "spoof"},
        "type": "MonoCut",
    }


def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Bomb:
    """What a pickle does when it is opened."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@contextlib.contextmanager
def server():
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/a.wav", asked
        running.shutdown()


def places(command_cut, wav):
    """The hostile source in each place of a cut where Lhotse would find it."""
    source = command_cut["recording"]["sources"][0]
    clean = cut("file", str(wav))
    yield command_cut
    yield {**clean, "custom": {"label": "spoof", "target_recording": command_cut["recording"]}}
    yield {**clean, "recording": {**clean["recording"], "sources": [*clean["recording"]["sources"], source]}}
    track = {"type": "MonoCut", "cut": {**clean, "recording": command_cut["recording"]}, "offset": 0.0}
    yield {"id": "m", "tracks": [{"cut": clean, "type": "MonoCut", "offset": 0.0}, track], "type": "MixedCut"}


@pytest.mark.parametrize("kind", ["command", "url", "memory", "shar", "Command", None])
def test_sources_of_other_types_are_refused_wherever_they_stand_and_nothing_runs(tmp_path, wav, kind):
    mark = tmp_path / "PWNED"
    with server() as (url, asked):
        hostile = cut(kind, url if kind == "url" else f"touch {mark}; cat {wav}")
        for row in places(hostile, wav):
            path = written(tmp_path / "m.jsonl", cut("file", str(wav), 1), row)
            with pytest.raises(
                DataError, match=r"m\.jsonl, entry 2: audio from a source of type .*nothing received is"
            ):
                manifest.read(path)
            with pytest.raises(DataError, match="audio from a source of type"):
                shar.export(path, tmp_path / "out")
        assert not asked
    assert not mark.exists()
    assert not (tmp_path / "out").exists()


def test_cuts_that_python_made_are_refused_too(tmp_path, wav):
    from lhotse import AudioSource

    mark = tmp_path / "PWNED"
    made = manifest.cut("c", wav, {"label": "spoof"})
    made.recording.sources = [AudioSource(type="command", channels=[0], source=f"touch {mark}; cat {wav}")]
    for use in (
        read_cut,
        lambda one: load_clips([one], RATE),
        lambda one: shar.export([one], tmp_path / "out"),
        lambda one: manifest.write([one], tmp_path / "m.jsonl"),
        shar.wave,
    ):
        with pytest.raises(DataError, match="c: audio from a source of type 'command'"):
            use(made)
    assert not mark.exists()


def shard(folder, rows, members):
    """Write a shard by hand."""
    folder.mkdir()
    with gzip.open(folder / "cuts.000000.jsonl.gz", "wt") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    with tarfile.open(folder / "recording.000000.tar", "w") as tar:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data) if isinstance(data, bytes) else None)
    return folder


def link(name, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def test_a_good_shard_made_by_hand_is_read(tmp_path, wav):
    placed = cut("shar", "")
    folder = shard(
        tmp_path / "s",
        [placed],
        [("c0.wav", wav.read_bytes()), ("c0.json", json.dumps(placed["recording"]).encode())],
    )
    (found,) = shar.read(folder)
    np.testing.assert_array_equal(shar.wave(found)[0], soundfile.read(wav, dtype="float32")[0])


def test_hostile_shards_are_refused_and_nothing_runs(tmp_path, wav):
    mark = tmp_path / "PWNED"
    audio, placed, run = wav.read_bytes(), cut("shar", ""), cut("command", f"touch {mark}; cat {wav}")
    meta, bad = (json.dumps(row["recording"]).encode() for row in (placed, run))
    bomb = pickle.dumps(Bomb(mark))
    features = {**placed["recording"], "sources": []}
    cases = {
        "source of type 'command'": [
            ([run], [("c0.nodata", b""), ("c0.nometa", b"")]),
            ([run], [("c0.wav", audio), ("c0.json", meta)]),
            ([placed], [("c0.wav", audio), ("c0.json", bad)]),
        ],
        "where audio and its": [
            ([placed], [("c0.nodata", b""), ("c0.nometa", b"")]),
            ([placed], [("c0.pkl", bomb), ("c0.json", meta)]),
            ([placed], [("c0.npy", bomb), ("c0.json", meta)]),
            ([placed], [("c0.wav", audio), ("c0.pickle", bomb)]),
        ],
        "a name outside its folder": [
            ([placed], [("../c0.wav", audio), ("c0.json", meta)]),
            ([placed], [("a/../../c0.wav", audio), ("c0.json", meta)]),
            ([placed], [("/c0.wav", audio), ("c0.json", meta)]),
        ],
        "is no plain file": [([placed], [(link("c0.wav", "/etc/passwd"), None), ("c0.json", meta)])],
        "where the cut 'c0' belongs": [([placed], [("c1.wav", audio), ("c1.json", meta)])],
        "no audio for the cut": [([placed], []), ([placed], [("c0.wav", audio)])],
        "belongs to no cut": [
            ([placed], [("c0.wav", audio), ("c0.json", meta), ("c1.wav", audio), ("c1.json", meta)]),
        ],
        "expected a Lhotse recording": [([placed], [("c0.wav", audio), ("c0.json", b"{}")])],
        "of one source": [([placed], [("c0.wav", audio), ("c0.json", json.dumps(features).encode())])],
        "not JSON": [([placed], [("c0.wav", audio), ("c0.json", bomb[:0] + b"not json")])],
        "expected a Lhotse cut": [([{"id": "x", "type": "Nothing"}], [("c0.wav", audio), ("c0.json", meta)])],
    }
    number = 0
    for message, shards in cases.items():
        for rows, members in shards:
            number += 1
            folder = shard(tmp_path / f"s{number}", rows, members)
            with pytest.raises(DataError, match=message):
                [shar.wave(one) for one in shar.read(folder)]
    assert not mark.exists()


def test_a_shard_that_was_cut_off_is_named(tmp_path, wav):
    manifest.write([manifest.cut(f"c{n}", wav, {"label": "spoof"}) for n in range(3)], tmp_path / "m.jsonl")
    shar.export(tmp_path / "m.jsonl", tmp_path / "s")
    tar = tmp_path / "s" / "recording.000000.tar"
    tar.write_bytes(tar.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"recording\.000000\.tar is damaged"):
        list(shar.read(tmp_path / "s"))


@pytest.mark.parametrize("name", ["../x.wav", "/abs/x.wav", "a/../../x.wav", "./x.wav", "a//x.wav"])
def test_an_export_writes_no_name_that_leads_out_of_a_folder(tmp_path, wav, name):
    found = shar.export([manifest.cut(name, wav, {"label": "spoof"})], tmp_path / "s")
    assert found.renamed == (name,)
    assert "1 ids lead out of a folder" in str(found)
    with tarfile.open(tmp_path / "s" / "recording.000000.tar") as tar:
        names = tar.getnames()
    assert all(".." not in one.split("/") and not one.startswith("/") for one in names)
    (back,) = shar.read(tmp_path / "s")
    assert f"{back.id}.wav" == names[0]
    from lhotse import CutSet

    (plain,) = CutSet.from_shar(in_dir=tmp_path / "s")
    np.testing.assert_array_equal(plain.load_audio(), shar.wave(back))
