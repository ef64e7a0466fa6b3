"""Released detectors as runs: the release's own scores, honest answers, refusals by name, and training on from them."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import soundfile
import torch

import auricle
from auricle.backbones.released import xlsr_aasist
from auricle.core.config import override, parse
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.files import read_json, read_jsonl
from auricle.core.report import Report
from auricle.core.run import RunFolder
from auricle.systems.releases import configured, import_release
from auricle.systems.voice_auth import checks, evaluate
from auricle.systems.voice_auth.batches import ClipFeatures
from auricle.systems.voice_auth.config import PRESETS, VoiceAuthConfig, smoke
from auricle.systems.voice_auth.detectors import external_detector
from auricle.systems.voice_auth.network import Network
from auricle.systems.voice_auth.train import Step, fit_detector, new_network, with_detector
from auricle.train.checkpoint import read_meta
from tests import released_aasist as release
from tests.command import in_process

RATE = 16000


def noise(seconds, seed=0, channels=None):
    shape = (round(seconds * RATE),) if channels is None else (round(seconds * RATE), channels)
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def saved(path, sizes=release.SMALL, seed=0):
    state = release.random_state(release.shapes(sizes), seed)
    torch.save(state, path)
    return state


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small release, and the run that was made of it; never write into it."""
    folder = tmp_path_factory.mktemp("released")
    state = saved(folder / "AASIST.pth")
    run, notes = import_release("voice_auth", folder / "AASIST.pth", folder / "run", "detector")
    return state, run, notes


def answers(run, *files):
    done = in_process("infer", "voice_auth", "--run", run, *files, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(("sizes", "seconds"), [(release.FULL, 1.3), (release.LIGHT, 5.0), (release.SMALL, 1.3)])
def test_it_scores_as_the_release_does(tmp_path, sizes, seconds):
    state = saved(tmp_path / "AASIST.pth", sizes, seed=3)
    run, _ = import_release("voice_auth", tmp_path / "AASIST.pth", tmp_path / "run", "detector")
    wave = noise(seconds, 2)  # cut where it is longer than the window, else tiled
    wanted = release.Release(state, sizes).logits(wave)[1]
    assert auricle.load(run).score(wave, RATE) == pytest.approx(wanted, abs=2e-5 * max(1.0, abs(wanted)))


def test_xls_r_and_aasist_score_as_the_release_does(tmp_path):
    pytest.importorskip("transformers")
    encoder, width = release.Encoder(), 24
    names = {**release.shapes(release.SMALL, width), **release.encoder_shapes(encoder, width)}
    state = release.random_state(names, seed=4)
    wrapped = {"model_state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}
    torch.save(wrapped, tmp_path / "LA_model.pth")
    run, notes = import_release("voice_auth", tmp_path / "LA_model.pth", tmp_path / "run")
    assert any("XLS-R hears the waveform as it is" in note for note in notes)
    model = auricle.load(run)
    wave = noise(1.5, 5) + 0.05  # an offset and a level that normalising would take away
    frames = frames_of(state, encoder, release.heard(wave))
    ours = model.detector.network.encoder(release.heard(wave).float()[None])[0][0]
    assert torch.allclose(ours.double(), frames, atol=1e-4)
    wanted = release.Release(state, release.Sizes(keep=(0.5, 0.5, 0.5))).logits_of_frames(frames)[1]
    assert model.score(wave, RATE) == pytest.approx(wanted, abs=2e-5)


def test_names_and_shapes_of_xls_r_300m_and_aasist_are_those_of_the_paper_preset():
    pytest.importorskip("transformers")
    encoder = release.Encoder(1024, 4096, 24, 512, 128, 16)
    names = {**release.shapes(release.FULL, 128), **release.encoder_shapes(encoder, 128)}
    found = xlsr_aasist.read({name: torch.empty(shape, device="meta") for name, shape in names.items()})
    cfg = configured(PRESETS["paper"](), found.settings)
    assert cfg.detector == PRESETS["paper"]().detector.model_copy(update={"hearing": "released"})
    with torch.device("meta"):
        network = Network(cfg)
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == {
        name: tensor.shape for name, tensor in found.state.items()
    }
    assert sum(parameter.numel() for parameter in network.parameters()) == 315_438_720 + 447_242


def frames_of(state, sizes, wave):
    """wav2vec 2.0 with norms before its layers, as fairseq has it: samples (N,) to frames (T, D)."""
    own = {key.removeprefix(release.ENCODER): value.double() for key, value in state.items()}

    def norm(x, name):  # (T, D)
        return torch.nn.functional.layer_norm(x, x.shape[1:], own[f"{name}.weight"], own[f"{name}.bias"])

    def linear(x, name):
        return x @ own[f"{name}.weight"].T + own[f"{name}.bias"]

    x, gelu = wave[None], torch.nn.functional.gelu
    for index in range(7):
        layer = f"feature_extractor.conv_layers.{index}."
        weight, bias = own[f"{layer}0.weight"], own[f"{layer}0.bias"]
        x = torch.nn.functional.conv1d(x[None], weight, bias, stride=5 if index == 0 else 2)[0]
        x = gelu(norm(x.T, f"{layer}2.1")).T
    x = linear(norm(x.T, "layer_norm"), "post_extract_proj")
    v, g = own["encoder.pos_conv.0.weight_v"], own["encoder.pos_conv.0.weight_g"]
    taps = g * v / v.square().sum((0, 1), keepdim=True).sqrt()
    places = torch.nn.functional.conv1d(
        x.T[None], taps, own["encoder.pos_conv.0.bias"], padding=sizes.positions // 2, groups=sizes.groups
    )[0]
    x = x + gelu(places[:, : len(x)]).T
    for index in range(sizes.layers):
        layer = f"encoder.layers.{index}."
        y = norm(x, f"{layer}self_attn_layer_norm")
        q, k, v = (linear(y, f"{layer}self_attn.{one}_proj") for one in "qkv")
        heads = []
        for start in range(0, sizes.hidden, 64):
            part = slice(start, start + 64)
            heads.append(torch.softmax(q[:, part] @ k[:, part].T / 8.0, 1) @ v[:, part])
        x = x + linear(torch.cat(heads, 1), f"{layer}self_attn.out_proj")
        x = x + linear(gelu(linear(norm(x, f"{layer}final_layer_norm"), f"{layer}fc1")), f"{layer}fc2")
    return norm(x, "encoder.layer_norm")


def test_an_answer_is_a_detection_that_decides_nothing_without_labelled_clips(small, tmp_path):
    state, run, notes = small
    soundfile.write(tmp_path / "clip.wav", noise(5.0), RATE, "FLOAT")
    (row,) = answers(run, tmp_path / "clip.wav")
    assert row["score"] == pytest.approx(release.Release(state, release.SMALL).logits(noise(5.0))[1], abs=1e-4)
    assert row["p_bonafide"] is row["label"] is row["threshold"] is None
    assert list(row)[:2] == ["input", "reason"]
    assert row["reason"].startswith("uncalibrated")
    assert "first-window: only the first 4.04 s were used" in row["warnings"]
    assert not {"cosine", "best_match", "decision"} & set(row)
    assert any(f"detector.start={run}" in note for note in notes)
    facts = RunFolder(run).facts("import")
    assert (facts["file"], len(facts["sha256"])) == ("AASIST.pth", 64)


def test_odd_files_are_answered_or_refused_by_the_rules_of_the_house(small, tmp_path):
    state, run, _ = small
    wave = noise(2.0, 6)
    files = {
        "short": wave[:4000],
        "stereo": np.stack([0.1 * noise(2.0, 7), wave], axis=1),
        "silent": np.zeros(RATE, np.float32),
        "rate": wave,
    }
    for name, samples in files.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 8000 if name == "rate" else RATE, "FLOAT")
    (tmp_path / "text.wav").write_text("no audio")
    rows = answers(run, *[tmp_path / f"{name}.wav" for name in ("short", "stereo", "silent", "rate", "text")])
    theirs = release.Release(state, release.SMALL)
    assert rows[0]["score"] == pytest.approx(theirs.logits(wave[:4000])[1], abs=1e-4)
    assert any(text.startswith("too-short: 0.25 s") for text in rows[0]["warnings"])
    assert rows[1]["score"] == pytest.approx(theirs.logits(wave)[1], abs=1e-4)  # the loudest channel, never the mean
    assert "silen" in rows[2]["error"]
    assert rows[3]["duration_s"] == 4.0
    assert "error" in rows[4]


def test_batch_mates_change_no_score(small):
    model = auricle.load(small[1])
    waves = [noise(1.0, 1), noise(6.0, 2), noise(3.0, 3)]
    together = model.scores(waves, [RATE] * 3)
    assert together == pytest.approx([model.score(wave, RATE) for wave in waves], abs=1e-5)
    with pytest.raises(ConfigError, match="3 waveforms and 1 rates"):
        model.scores(waves, [RATE])


def test_labelled_clips_give_probability_label_and_threshold(tmp_path):
    saved(tmp_path / "AASIST.pth")
    rows = ["path,label"]
    for number in range(12):
        real = number % 2 == 0
        soundfile.write(tmp_path / f"{number}.wav", noise(1.5, number) * (1.0 if real else 0.05), RATE, "FLOAT")
        rows.append(f"{number}.wav,{'bonafide' if real else 'spoof'}")
    (tmp_path / "list.csv").write_text("\n".join(rows))
    in_process("manifest", tmp_path / "list.csv", "--out", tmp_path / "dev.jsonl")
    in_process(
        *("models", "import", "voice_auth", tmp_path / "AASIST.pth", "--out", tmp_path / "run"),
        *("--part", "detector", "--dev", tmp_path / "dev.jsonl"),
    )
    found = in_process("evaluate", "voice_auth", "--run", tmp_path / "run", "--manifest", tmp_path / "dev.jsonl")
    assert "detector EER" in found.stdout or "detector_eer" in found.stdout
    report = Report.load(tmp_path / "run" / "report-dev.json")
    assert {row.name for row in report.metrics} == {"detector_eer", "auc"}
    scores = {row["id"]: row["score"] for row in read_jsonl(tmp_path / "run" / "scores" / "dev.jsonl")}
    (row,) = answers(tmp_path / "run", tmp_path / "0.wav")
    assert len(scores) == 12
    assert row["score"] == pytest.approx(next(iter(scores.values())), abs=1e-6)
    assert row["label"] in ("bonafide", "spoof", "undecided")
    assert 0 <= row["p_bonafide"] <= 1
    assert isinstance(row["threshold"], float)
    (tmp_path / "list.csv").write_text("\n".join(rows[:2]))
    in_process("manifest", tmp_path / "list.csv", "--out", tmp_path / "one.jsonl")
    with pytest.raises(DataError, match="bonafide and spoof are both needed"):
        import_release("voice_auth", tmp_path / "AASIST.pth", tmp_path / "other", dev=tmp_path / "one.jsonl")
    assert not (tmp_path / "other").exists()


class Shout:
    def __reduce__(self):
        return (print, ("this must not be printed",))


def test_what_is_no_release_is_refused_by_name_and_leaves_nothing(tmp_path, capsys):
    state = saved(tmp_path / "whole.pth")
    (tmp_path / "truncated.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:5000])
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"first_bn.weight": Shout()}))
    torch.save({**state, "master2": torch.zeros(1, 1, 7)}, tmp_path / "shape.pth")
    torch.save({"layer.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    torch.save({**state, "head.weight": torch.zeros(1)}, tmp_path / "more.pth")
    for name, says in (
        ("truncated", "truncated.pth is no checkpoint of torch, or a truncated one"),
        ("code", "code.pth holds Python code"),
        ("shape", "shape.pth does not fit together: wrong shape: body.branches.1.master is .1, 1, 7.*needed"),
        ("other", "no whole state of the AASIST release; missing: .*; left over: layer.weight"),
        ("more", "left over: head.weight"),
        ("absent", "absent.pth is no file"),
    ):
        with pytest.raises(CheckpointError, match=says):
            import_release("voice_auth", tmp_path / f"{name}.pth", tmp_path / "run")
    for given, says in (({"part": "verifier"}, "--part verifier"), ({"encoder": tmp_path}, "leave it out")):
        with pytest.raises(ConfigError, match=says):
            import_release("voice_auth", tmp_path / "whole.pth", tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()
    assert "must not" not in capsys.readouterr().out


def test_it_is_audited_inside_a_run_and_not_alone(small):
    _, run, _ = small
    with pytest.raises(CheckpointError, match=rf"detector alone.*detector\.run={run}"):
        evaluate.evaluate(PRESETS["paper"](), RunFolder(run))
    assert external_detector(run).scores([noise(1.0)], [RATE]) == [auricle.load(run).score(noise(1.0), RATE)]


def items(network, count=8):
    """Clips whose class can be heard: noise, and noise without its high half."""
    waves = [noise(0.6, number) for number in range(count)]
    waves = [wave if n % 2 == 0 else np.convolve(wave, np.ones(8) / 3, "same") for n, wave in enumerate(waves)]
    return ClipFeatures(
        [[network.item(wave)] for wave in waves],
        np.arange(count) % 2 == 0,
        np.array(["", "x"] * (count // 2)),
        np.array(["g"] * count),
        np.array([str(n // 2) for n in range(count)]),
    )


def test_training_goes_on_from_the_imported_weights(small, tmp_path):
    state, run, _ = small
    cfg = override(smoke(), [f"detector.start={run}", "train.max_steps=6", "train.eval_every=6", "train.lr=1e-2"])
    assert (cfg.detector.frontend, cfg.detector.dead_norm, cfg.detector.hearing) == ("raw", True, "whole")
    assert (cfg.detector.channels, cfg.detector.frontend_dim, cfg.detector.keep) == ((4, 8), 9, release.SMALL.keep)
    network = new_network(cfg)
    assert torch.equal(network.body.head.weight, state["out_layer.weight"])
    assert torch.equal(network.body.encoder[3].first.weight, state["encoder.3.0.conv1.weight"])
    clips = items(network)
    batch = torch.from_numpy(np.stack([np.resize(copies[0], network.samples) for copies in clips.copies]))

    @torch.no_grad()
    def loss():
        logits = network.eval()(batch)
        return float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(clips.labels).long()))

    before = loss()
    fit_detector(cfg, network, clips, clips, tmp_path, progress=False)
    assert loss() < before - 0.05
    assert torch.equal(network.body.encoder[3].before[0].weight, torch.ones(8))  # the dead norm stays as it began
    assert not torch.equal(network.body.head.weight, state["out_layer.weight"])


def test_a_start_is_kept_with_the_run_and_checked(small, tmp_path, verifier):
    _, run, _ = small
    cfg = override(smoke(), [f"detector.start={run}"])
    again = parse(VoiceAuthConfig, json.loads(cfg.model_dump_json()).copy())
    assert again == cfg
    gone = json.loads(cfg.model_dump_json().replace(str(run), str(tmp_path / "gone")))
    assert parse(VoiceAuthConfig, gone).detector.channels == (4, 8)  # the folder is not needed to read a run
    checks.need_workable(cfg, "smoke")
    control = with_detector(cfg, "detector.kind=cnn", "detector.start=null")
    assert new_network(control).body(torch.zeros(1, 20, 9)).shape == (1, 2)
    with pytest.raises(CheckpointError, match="wrong shape"):
        new_network(override(cfg, ["detector.channels=[4, 6]"]))
    with pytest.raises(ConfigError, match=r"works at 16000 Hz; set data\.rate_hz"):
        new_network(override(cfg, ["data.rate_hz=8000"]))
    with pytest.raises(CheckpointError, match="not a run folder"):
        override(smoke(), [f"detector.start={tmp_path / 'nowhere'}"])
    with pytest.raises(ConfigError, match=r"detector\.start=.* would decide nothing: it needs detector\.kind=aasist"):
        checks.need_workable(override(cfg, ["detector.kind=cnn"]), "smoke")


def test_the_paper_preset_is_the_reference_and_the_others_are_as_they_were():
    paper = PRESETS["paper"]()
    assert (paper.detector.dead_norm, paper.detector.normalize, paper.detector.hearing) == (True, False, "whole")
    with torch.device("meta"):
        network = Network(paper)
    assert network.encoder.values["normalize"] is False
    assert network.body.encoder[1].dead_norm
    for name in ("smoke", "laptop"):
        detector = PRESETS[name]().detector
        assert (detector.dead_norm, detector.normalize, detector.hearing) == (False, None, "whole")


def test_an_encoder_that_is_fed_otherwise_than_it_was_trained_gets_its_weights(tmp_path):
    pytest.importorskip("transformers")
    from auricle.backbones.tiny import save_tiny, tiny_architecture

    save_tiny("xls_r", tmp_path / "tiny", seed=3)
    own = {"frontend": "ssl", "encoder": str(tmp_path / "tiny"), "segment_s": 1.0, "width": 24}
    own["frontend_dim"] = tiny_architecture("xls_r")["hidden_size"]
    wave = torch.from_numpy(noise(1.0))[None]
    frames = {}
    for normalize in (None, True, False):
        network = Network(parse(VoiceAuthConfig, {"detector": {**own, "normalize": normalize}})).eval()
        frames[normalize] = network.encoder(wave)[0]
    assert torch.equal(frames[None], frames[True])
    assert not torch.allclose(frames[None], frames[False], atol=1e-3)


def test_a_step_trains_on_waves_and_meta_says_what_a_run_is(small):
    _, run, _ = small
    meta = read_meta(run / "checkpoints" / "final")
    assert (meta["part"], meta["calibration"]) == ("detector", None)
    assert read_json(run / "config.json")["preset"] == "paper"
    cfg = override(smoke(), ["detector.frontend=raw", "detector.frontend_dim=9", "detector.segment_s=0.5"])
    network = new_network(cfg)
    batch = type("B", (), {"x": torch.from_numpy(np.stack([noise(0.5, n) for n in range(4)]))})()
    batch.label = torch.tensor([1, 0, 1, 0])
    Step(cfg.train)(network, batch)["loss"].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters() if p.requires_grad)
