"""Checkpoint folders: round trips, what is refused, and the average."""

import json
import os
import stat

import pytest
import torch
from torch import nn

from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.leftovers import part_path
from auricle.train.checkpoint import (
    META,
    MODEL,
    STATE,
    average,
    load_model,
    load_state,
    read_meta,
    save_model,
    save_state,
    sweep,
)


class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.a = nn.Linear(2, width)
        self.tied = nn.Linear(2, width, bias=False)
        self.tied.weight = self.a.weight
        self.norm = nn.BatchNorm1d(width)


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def rehash(folder):
    """Make the checksums right again, as an attacker would."""
    import hashlib

    meta = json.loads((folder / META).read_text())
    for name in meta["sha256"].keys() - {META}:
        meta["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / META).write_text(json.dumps(meta))


def test_round_trip_with_a_tied_weight_and_buffers(tmp_path):
    torch.manual_seed(0)
    one, two = Net(), Net()
    one.norm(torch.randn(5, 3))
    save_model(tmp_path / "c", one, {"step": 7, "config": {"d": 3}})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c"]
    assert load_model(tmp_path / "c", two) == {"step": 7, "config": {"d": 3}}
    assert equal(one, two)
    assert two.tied.weight is two.a.weight


def test_views_of_one_storage(tmp_path):
    model, other = nn.Module(), nn.Module()
    base = torch.arange(6.0)
    for module, values in ((model, base), (other, torch.zeros(6))):
        module.register_buffer("front", values[:4])
        module.register_buffer("back", values[2:].clone() if module is other else values[2:])
    save_model(tmp_path / "c", model, {})
    load_model(tmp_path / "c", other)
    assert other.front.tolist() == [0, 1, 2, 3]
    assert other.back.tolist() == [2, 3, 4, 5]


def test_an_older_folder_is_replaced(tmp_path):
    save_model(tmp_path / "c", nn.Linear(1, 1), {"step": 1})
    newer, loaded = nn.Linear(1, 1), nn.Linear(1, 1)
    save_model(tmp_path / "c", newer, {"step": 2})
    assert load_model(tmp_path / "c", loaded)["step"] == 2
    assert equal(newer, loaded)
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_keys_and_shapes_are_named_and_the_model_stays_as_it_was(tmp_path):
    save_model(tmp_path / "c", nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), {})
    model = nn.Sequential(nn.Linear(2, 4), nn.Identity(), nn.Linear(3, 1))
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path / "c", model)
    text = str(caught.value)
    assert "0.weight is (3, 2) there and (4, 2) in the model" in text
    assert "missing: 2.weight, 2.bias" in text
    assert "unexpected: 1.bias, 1.weight" in text
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_not_strict_still_refuses_shapes(tmp_path):
    save_model(tmp_path / "c", nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)), {})
    model = nn.Sequential(nn.Linear(2, 3))
    load_model(tmp_path / "c", model, strict=False)
    with pytest.raises(CheckpointError, match="wrong shape"):
        load_model(tmp_path / "c", nn.Sequential(nn.Linear(2, 9)), strict=False)


def test_missing_folder_and_files(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_model(tmp_path / "none", nn.Linear(1, 1))
    folder = save_model(tmp_path / "c", nn.Linear(1, 1), {})
    (folder / MODEL).unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_model(folder, nn.Linear(1, 1))
    (folder / META).unlink()
    with pytest.raises(CheckpointError, match="not a whole checkpoint"):
        load_model(folder, nn.Linear(1, 1))


@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty"])
def test_damaged_weights(tmp_path, damage):
    folder = save_model(tmp_path / "c", nn.Linear(4, 4), {})
    content = bytearray((folder / MODEL).read_bytes())
    if damage == "one bit":
        content[-3] ^= 1
    (folder / MODEL).write_bytes({"truncated": content[:-8], "one bit": content, "empty": b""}[damage])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        load_model(folder, nn.Linear(4, 4))


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"sha256": 3}', "null", "[" * 100_000, '{"a":' * 100_000])
def test_damaged_meta(tmp_path, text):
    folder = save_model(tmp_path / "c", nn.Linear(4, 4), {})
    (folder / META).write_text(text)
    with pytest.raises(CheckpointError):
        load_model(folder, nn.Linear(4, 4))


@pytest.mark.parametrize(
    ("given", "changed"),
    [(-1.35, 1.35), (0.5, 0.50001), ([1, 2], [2, 1]), ({"a": None}, {}), ("bonafide", "spoof"), (1, 1.0), (True, 1)],
)
def test_meta_data_that_somebody_changed_are_refused(tmp_path, given, changed):
    """The sign of a threshold stands in them."""
    folder = save_model(tmp_path / "c", nn.Linear(2, 1), {"threshold": given, "step": 3})
    meta = json.loads((folder / META).read_text())
    (folder / META).write_text(json.dumps(meta))  # laid out otherwise, the same content
    assert read_meta(folder) == {"threshold": given, "step": 3}
    meta["threshold"] = changed
    (folder / META).write_text(json.dumps(meta))
    for read in (read_meta, lambda folder: load_model(folder, nn.Linear(2, 1)), lambda folder: average([folder])):
        with pytest.raises(CheckpointError, match=r"meta\.json is damaged or was changed"):
            read(folder)


def test_meta_data_keep_every_value_and_name(tmp_path):
    meta = {"é": 0.1 + 0.2, "big": 2**70, "small": 5e-324, "deep": {"a": [None, True, "\u2028"]}}
    assert read_meta(save_model(tmp_path / "c", nn.Linear(2, 1), meta)) == meta


def test_a_checkpoint_from_before_meta_data_had_a_checksum_is_read(tmp_path):
    folder = save_model(tmp_path / "c", nn.Linear(2, 1), {"step": 3})
    meta = json.loads((folder / META).read_text())
    del meta["sha256"][META]
    (folder / META).write_text(json.dumps(meta))
    assert read_meta(folder) == {"step": 3}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002, 0o077])
def test_a_checkpoint_has_the_mode_of_the_umask(tmp_path, umask):
    """safetensors makes private files, which a colleague cannot read."""
    before = os.umask(umask)
    try:
        model = nn.Linear(2, 1)
        folder = save_state(tmp_path / "c", model, torch.optim.AdamW(model.parameters()), {"step": 1}, {"step": 1})
    finally:
        os.umask(before)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == dict.fromkeys(
        (MODEL, META, STATE), 0o666 & ~umask
    )
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask


def test_only_what_the_dead_have_half_written_is_swept(tmp_path):
    mine = part_path(tmp_path / "state-000003")
    dead = tmp_path / mine.name.replace(f"-part-{os.getpid()}-", "-part-999999999-")
    older = tmp_path / ".state-000003-a1b2c3d4"  # as an earlier version named them
    for folder in (mine, dead, older):
        (folder / "state-000003").mkdir(parents=True)
    (tmp_path / ".my-notes").write_text("")
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([mine.name, ".my-notes"])


def test_garbage_with_a_right_checksum(tmp_path):
    folder = save_model(tmp_path / "c", nn.Linear(4, 4), {})
    (folder / MODEL).write_bytes(b"\xff" * 64)
    rehash(folder)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_model(folder, nn.Linear(4, 4))


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_nothing_in_a_state_is_executed(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    folder = save_state(tmp_path / "s", model, optimizer, {"step": 1}, {})
    assert load_state(folder, model, optimizer) == {"step": 1}
    torch.save({"optimizer": Hostile(tmp_path / "owned"), "progress": {}}, folder / STATE)
    rehash(folder)
    with pytest.raises(CheckpointError, match="not a training state"):
        load_state(folder, model, optimizer)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk", b"\x80\x02N."])
def test_garbage_state(tmp_path, content):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    folder = save_state(tmp_path / "s", model, optimizer, {"step": 1}, {})
    (folder / STATE).write_bytes(content)
    rehash(folder)
    with pytest.raises(CheckpointError, match="not a training state"):
        load_state(folder, model, optimizer)


def test_state_of_another_optimiser(tmp_path):
    model = nn.Linear(2, 2)
    folder = save_state(tmp_path / "s", model, torch.optim.AdamW(model.parameters()), {}, {})
    groups = [{"params": [model.weight]}, {"params": [model.bias]}]
    with pytest.raises(CheckpointError, match="another optimiser"):
        load_state(folder, model, torch.optim.AdamW(groups))


def test_refused_before_anything_is_written(tmp_path):
    model = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match="not JSON"):
        save_model(tmp_path / "c", model, {"value": float("nan")})
    model.weight.data[0, 0] = float("inf")
    with pytest.raises(CheckpointError, match="weight is NaN or infinite"):
        save_model(tmp_path / "c", model, {})
    assert list(tmp_path.iterdir()) == []


def test_average_by_hand(tmp_path):
    folders = []
    for index, values in enumerate([[1.0, 2.0], [3.0, 5.0], [8.0, 8.0]]):
        module = nn.Module()
        module.register_buffer("w", torch.tensor(values))
        module.register_buffer("bf16", torch.tensor(values, dtype=torch.bfloat16))
        module.register_buffer("count", torch.tensor(10 + index))
        folders.append(save_model(tmp_path / str(index), module, {}))
    mean = average(folders)
    assert mean["w"].tolist() == [4.0, 5.0]
    assert mean["bf16"].dtype == torch.bfloat16
    assert mean["bf16"].tolist() == [4.0, 5.0]
    assert mean["count"].item() == 10


def test_average_refuses(tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint"):
        average([])
    one = save_model(tmp_path / "1", nn.Linear(2, 2), {})
    two = save_model(tmp_path / "2", nn.Linear(2, 3), {})
    with pytest.raises(CheckpointError, match="weight"):
        average([one, two])
