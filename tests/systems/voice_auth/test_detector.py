"""The network, its windows, its batches: what is kept of a clip scores as the clip itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from auricle.backbones.tiny import save_tiny, tiny_architecture
from auricle.core.config import override, parse
from auricle.core.errors import ConfigError, DataError
from auricle.data.clips import Clips, windows
from auricle.nn.cnn import PlainCNN
from auricle.systems.voice_auth import controls
from auricle.systems.voice_auth.batches import ClipFeatures, PairedBatches, extract_features
from auricle.systems.voice_auth.config import TrainConfig, VoiceAuthConfig, smoke
from auricle.systems.voice_auth.network import Network, score_items
from auricle.systems.voice_auth.train import fit_detector, new_network, with_detector
from auricle.train.checkpoint import read_meta


def noise(seconds, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16000))).astype(np.float32)


@pytest.mark.parametrize("kind", ["aasist", "cnn"])
@pytest.mark.parametrize("frontend", ["lfcc", "logmel"])
def test_kept_frames_score_as_the_wave_does(kind, frontend):
    network = new_network(with_detector(smoke(), f"detector.kind={kind}", f"detector.frontend={frontend}")).eval()
    wave = noise(1.0)
    with torch.no_grad():
        logits = network(torch.from_numpy(wave)[None])[0]
    assert score_items(network, [network.item(wave)], 4)[0] == pytest.approx(float(logits[1] - logits[0]), abs=1e-4)


def test_windows_overlap_by_half_and_end_where_the_clip_ends():
    item = np.arange(10)[:, None].astype(np.float32)
    assert windows(item, 4)[:, :, 0].tolist() == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert windows(item[:9], 4)[-1, :, 0].tolist() == [5, 6, 7, 8]
    assert windows(item[:3], 4)[:, :, 0].tolist() == [[0, 1, 2, 0]]


def test_the_batch_size_does_not_change_a_score():
    network = new_network(smoke())
    items = [network.item(noise(0.7 + 0.4 * n, n)) for n in range(5)]
    assert score_items(network, items, 2) == pytest.approx(score_items(network, items, 64), abs=1e-5)


def test_a_speech_encoder_and_aasist_score_a_clip(tmp_path):
    pytest.importorskip("transformers")
    save_tiny("xls_r", tmp_path / "tiny", seed=3)
    width = tiny_architecture("xls_r")["hidden_size"]
    own = {"frontend": "ssl", "frontend_dim": width, "encoder": str(tmp_path / "tiny"), "segment_s": 1.0, "width": 24}
    cfg = parse(VoiceAuthConfig, {"detector": own})
    network = new_network(cfg).eval()
    frames = network.encoder.frames(16000)
    shapes = []
    network.body.norm.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    score = score_items(network, [network.item(noise(1.5))], 4)
    assert np.isfinite(score).all()
    assert shapes[0] == (2, 1, 8, frames // 3)
    with pytest.raises(ConfigError, match="both"):
        parse(VoiceAuthConfig, {"detector": {**own, "frontend_dim": width + 1}})


def test_an_encoder_is_asked_for():
    with pytest.raises(ConfigError, match=r"detector\.encoder=FOLDER"):
        Network(with_detector(smoke(), "detector.frontend=ssl"))


def test_the_cnn_looks_at_time_and_frequency():
    torch.manual_seed(0)
    model = PlainCNN((4, 8), 0.0).eval()
    assert model(torch.randn(3, 50, 20)).shape == (3, 2)


def items_of(labels, families, pairs):
    made = [[np.full((30, 3), place, np.float32)] for place in range(len(labels))]
    return ClipFeatures(made, np.array(labels), np.array(families), np.array(["g"] * len(labels)), np.array(pairs))


def test_batches_are_half_real_with_every_family_and_repeat():
    items = items_of([True, True, False, False, False], ["", "", "x", "x", "y"], ["p", "q", "p", "q", "p"])
    batches = PairedBatches(items, steps=10, batch=8, seed=1)
    first, again = list(batches(0)), list(batches(0))
    assert all(torch.equal(a.x, b.x) for a, b in zip(first, again, strict=True))
    for batch in first:
        assert batch.x.shape == (8, 10, 3)
        assert batch.label.tolist() == [1] * 4 + [0] * 4
        who = batch.x[:, 0, 0].int().tolist()
        assert set(who[:4]) <= {0, 1}
        assert sorted(who[4:]).count(4) == 2  # family y has one clip and half of the fakes
    assert [int(b.x[0, 0, 0]) for b in PairedBatches(items, steps=10, batch=2, seed=1)(3, start=1)]


def test_most_fakes_stand_beside_their_own_recording():
    items = items_of([True] * 10 + [False] * 10, [""] * 10 + ["x"] * 10, [str(n % 10) for n in range(20)])
    batches = PairedBatches(items, steps=10, batch=10, seed=2)
    rows = torch.cat(
        [torch.stack([batch.x[:5, 0, 0], batch.x[5:, 0, 0]]) for e in range(40) for batch in batches(e)], 1
    )
    beside = float((rows[0] == rows[1] - 10).float().mean())
    assert 0.7 < beside < 0.88  # three in four, and one in ten of the rest by chance


def test_one_class_is_refused():
    with pytest.raises(DataError, match="both bona fide and spoof"):
        PairedBatches(items_of([True], [""], ["p"]), steps=5, batch=4, seed=0)


@pytest.mark.parametrize("augment", ["rawboost", "white"])
def test_distorted_copies_are_drawn_by_place(augment):
    facts = [{"id": str(n), "label": "spoof" if n == 6 else "bonafide"} for n in range(7)]
    clips = Clips([np.round(3000 * noise(1.0, n) / 0.1).astype(np.int16) for n in range(7)], facts, 16000)
    network = new_network(smoke())
    cfg = TrainConfig(augment=augment, copies=2)
    kept, again = extract_features(clips, network, cfg, seed=4), extract_features(clips, network, cfg, seed=4)
    assert [len(copies) for copies in kept.copies] == [2] * 7
    assert np.array_equal(kept.copies[3][1], again.copies[3][1])
    plain = extract_features(clips, network)
    assert len(plain.copies[0]) == 1
    assert not np.allclose(plain.copies[3][0], kept.copies[3][0])
    assert plain.labels.tolist() == [True] * 6 + [False]


def test_the_controls_keep_all_settings_but_those_that_are_named():
    run = override(smoke(), ["detector.run=runs/mambo", "detector.frontend=logmel"])
    control = with_detector(run, "detector.kind=cnn")
    assert (control.detector.run, control.detector.kind, control.detector.frontend) == (None, "cnn", "logmel")
    assert control.train == run.train
    with pytest.raises(ConfigError, match="kind"):
        with_detector(run, "detector.kind=parrot")


def test_the_recipe_reaches_the_training_loop(tmp_path):
    cfg = override(smoke(), ["train.max_steps=2", "train.accumulate=2", "train.mixed_precision=bf16"])
    network = new_network(cfg)
    draws = np.random.default_rng(0)
    clips = ClipFeatures(
        [[draws.standard_normal((network.steps, 20)).astype(np.float32)] for _ in range(16)],
        np.arange(16) % 2 == 0,
        np.array(["", "x"] * 8),
        np.array(["g"] * 16),
        np.array([str(n // 2) for n in range(16)]),
    )
    result = fit_detector(cfg, network, clips, clips, tmp_path, progress=False)
    settings = read_meta(result.last)["settings"]
    assert (settings["accumulate"], settings["mixed_precision"], settings["max_steps"]) == (2, "bf16", 2)
    with pytest.raises(ConfigError, match="weight_decay"):  # another recipe does not go on with these weights
        fit_detector(override(cfg, ["train.weight_decay=0.5"]), network, clips, clips, tmp_path, progress=False)


def test_a_training_is_kept_under_what_decides_it(tmp_path, monkeypatch):
    cfg = override(smoke(), ["train.max_steps=1"])
    network = new_network(cfg)
    draws = np.random.default_rng(0)

    def features(count):
        return ClipFeatures(
            [[draws.standard_normal((network.steps, 20)).astype(np.float32)] for _ in range(count)],
            np.arange(count) % 2 == 0,
            np.array(["", "x"] * (count // 2)),
            np.array(["g"] * count),
            np.array([str(n) for n in range(count)]),
        )

    train, test = features(8), features(6)
    (scores,), sizes = controls.trained_scores(cfg, train, test, [test], tmp_path)
    assert sizes["steps"] == 1
    assert sizes["parameters"] == sum(weight.numel() for weight in network.parameters())
    assert not list(tmp_path.rglob("*.safetensors"))
    monkeypatch.setattr(controls, "fit_detector", lambda *args, **kwargs: pytest.fail("trained again"))
    (again,), _ = controls.trained_scores(cfg, train, test, [test], tmp_path)
    assert again.tolist() == scores.tolist()
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        controls.trained_scores(cfg, train.where(np.arange(8) < 6), test, [test], tmp_path)
