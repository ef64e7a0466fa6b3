"""What every system's model, config and card keep; a system's own facts are in `tests/systems/NAME/adapter.py`."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import auricle
from auricle.core.config import keys, override
from auricle.core.errors import ConfigError, MissingExtra
from auricle.core.names import PAPERS, PRESETS
from auricle.systems import NAMES, system
from auricle.train.checkpoint import load_model, save_model
from tests.contract.adapter import Adapter, adapter_of

HEADINGS = (
    "Task",
    "Paper",
    "Method",
    "Data",
    "Commands",
    "Results",
    "Differences from the paper",
    "Claims",
    "Limits and misuse",
    "Citation",
)
SYSTEMS = Path(auricle.__file__).parent / "systems"


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def adapter(name):
    return adapter_of(name)


def folder_of(name):
    return Path(str(importlib.import_module(f"auricle.systems.{name}").__file__)).parent


def padded(items):
    lengths = torch.tensor([len(item) for item in items])
    return torch.nn.utils.rnn.pad_sequence(items, batch_first=True), lengths


def close(ours, theirs, tolerance=1e-5):
    gap = (ours - theirs).abs().max()
    assert gap <= tolerance * max(1.0, float(theirs.abs().max())), float(gap)


def test_the_table_and_the_folders_agree():
    folders = {path.name for path in SYSTEMS.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(NAMES) == {row.system for row in PAPERS if row.works}


def test_every_system_has_an_adapter(name):
    assert isinstance(adapter_of(name), Adapter)


def test_a_system_without_an_adapter_is_told_where_to_write_one():
    with pytest.raises(AssertionError, match=r"'clsp' .* write tests/systems/clsp/adapter\.py"):
        adapter_of("clsp")


def test_spec_names_the_folder_and_has_its_verbs(name):
    module = system(name)
    assert module.spec.name == name
    for verb in module.spec.verbs:
        assert callable(module.verb(verb))
    assert module.spec.takes
    assert "json" in module.spec.gives
    keys_of = [more.key for more in module.spec.more]
    assert len(set(keys_of)) == len(keys_of)
    assert not set(keys_of) & {"audio", "text", "image", "video", "input", "request"}


def test_importing_a_system_is_light(name):
    code = f"import sys, auricle.systems.{name}; print([m for m in ('torch','lhotse','sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_steps_with_finite_gradients_for_every_parameter(adapter):
    cfg = adapter.config()
    model = adapter.build(cfg)
    losses = adapter.step(cfg, model, adapter.batch(cfg))
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
    assert sum(float(parameter.grad.abs().sum()) for parameter in model.parameters()) > 0


def test_save_and_load_give_the_same_output(adapter, tmp_path):
    cfg = adapter.config()
    model = adapter.build(cfg).eval()
    waves, lengths = padded(adapter.inputs(3))
    save_model(tmp_path / "model", model, {})
    other = adapter.build(cfg.model_copy(update={"seed": cfg.seed + 1})).eval()
    assert not torch.equal(adapter.forward(other, waves, lengths), adapter.forward(model, waves, lengths))
    load_model(tmp_path / "model", other)
    assert torch.equal(adapter.forward(other, waves, lengths), adapter.forward(model, waves, lengths))


def test_padding_never_changes_a_result(adapter):
    model = adapter.build(adapter.config()).eval()
    items = adapter.inputs(3)
    waves, lengths = padded(items)
    junk = torch.cat([waves, torch.zeros_like(waves)], dim=1)
    for row, length in enumerate(lengths):
        junk[row, length:] = 7.0
    with torch.no_grad():
        close(adapter.forward(model, junk, lengths), adapter.forward(model, waves, lengths))


def test_batch_mates_never_change_a_result(adapter):
    model = adapter.build(adapter.config()).eval()
    items = adapter.inputs(4)
    waves, lengths = padded(items)
    with torch.no_grad():
        together = adapter.forward(model, waves, lengths)
        for row, item in enumerate(items):
            alone = adapter.forward(model, item[None], torch.tensor([len(item)]))
            close(together[row : row + 1], alone)


def test_the_same_seed_gives_the_same_numbers(adapter):
    cfg = adapter.config()
    waves, lengths = padded(adapter.inputs(2))
    first, second = (adapter.forward(adapter.build(cfg).eval(), waves, lengths) for _ in range(2))
    assert torch.equal(first, second)


def test_unknown_key_is_refused_with_the_nearest_one(name):
    cfg = system(name).config("laptop")
    known = keys(type(cfg))[1]
    with pytest.raises(ConfigError, match=r"unknown setting.*did you mean"):
        override(cfg, [f"{known}x=1"])


def test_wrong_type_is_refused_with_the_key(name):
    with pytest.raises(ConfigError, match=r"seed.*given: 'soon'"):
        override(system(name).config("laptop"), ["seed=soon"])


@pytest.mark.parametrize("preset", PRESETS)
def test_configs_survive_json(name, preset):
    if preset == "small" and preset not in importlib.import_module(f"auricle.systems.{name}.config").PRESETS:
        pytest.skip(f"{name} has no pretrained parts")
    cfg = system(name).config(preset)
    assert system(name).parse_config(json.loads(cfg.model_dump_json())) == cfg


def test_paper_builds_on_the_meta_device(adapter):
    with torch.device("meta"):
        model = adapter.meta()
    assert all(parameter.is_meta for parameter in model.parameters())


def test_a_missing_extra_names_itself(monkeypatch):
    from auricle.core import extras

    monkeypatch.setattr(extras, "available", lambda package: False)
    for extra, packages in extras.EXTRAS.items():
        for package, purpose in packages.items():
            with pytest.raises(MissingExtra, match=re.escape(f"auricle[{extra}]")):
                extras.require(package, extra, purpose)


def test_the_card_is_complete(name):
    card = (folder_of(name) / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^## (.+)$", card, flags=re.MULTILINE)
    assert found == list(HEADINGS)
    arxiv = next(row.arxiv for row in PAPERS if row.system == name)
    assert arxiv in card
    assert not re.search(r"\b(TODO|TBD|FIXME)\b", card)


def test_the_paper_has_an_entry_in_the_docs(name):
    folder = folder_of(name)
    page = SYSTEMS.parent.parent / "docs" / "papers.md" if folder.parent == SYSTEMS else folder.parents[1] / "papers.md"
    assert f"## {name}" in page.read_text(encoding="utf-8")
