"""`auricle models import mambo`: an imported detector scores as the release does, and says what it cannot say."""

import json

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("transformers")

from auricle.backbones.released import mambo
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.files import read_json
from auricle.data import embedded, fields, manifest
from auricle.systems.mambo.config import paper
from auricle.systems.mambo.infer import load
from auricle.systems.mambo.network import Network
from auricle.systems.releases import configured, fill, import_release
from auricle.train.checkpoint import read_meta
from tests.command import in_process
from tests.released_mambo import BLOCKS, ENCODER, MIXERS, UNITS, Sizes, random_release, released_score

RATE = 16000


def noise(samples, level=0.1, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def saved(folder, sizes, **changes):
    state = {**random_release(sizes), **changes}
    torch.save({f"_orig_mod.{name}": tensor for name, tensor in state.items()}, folder / "best.pth")
    return folder / "best.pth", state


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A small release, its state, and the run folder that it became."""
    folder, sizes = tmp_path_factory.mktemp("release"), Sizes(n=2)
    file, state = saved(folder, sizes)
    run, _ = import_release("mambo", file, folder / "run")
    return file, state, run


@pytest.mark.parametrize(
    ("sizes", "golden"),
    [
        (Sizes("mambo3", "hydra", n=2), [-0.262027, -0.257622, -0.412495, -0.280213]),
        (Sizes("mambo1", "mamba2"), [-0.575821, -0.614443, -0.65526, -0.759275]),
        (Sizes("mambo2", "gdn"), None),
        (Sizes("mambo4", "mamba"), None),
        (Sizes("mambo1", "bimamba_add", layers=2), None),
        (Sizes("mambo4", "bimamba2_add"), None),
    ],
    ids=lambda value: f"{value.topology}-{value.mixer}" if isinstance(value, Sizes) else "",
)
def test_a_score_is_the_releases(tmp_path, sizes, golden):
    file, state = saved(tmp_path, sizes)
    run, _ = import_release("mambo", file, tmp_path / "run")
    detector = load(run)
    # longer than the window, exactly it, tiled; and so quiet that the floor of the variance decides
    waves = [noise(70_000), noise(66_800, seed=1), noise(20_000, seed=2), noise(30_000, level=0.001, seed=3)]
    ours, theirs = detector.scores(waves, [RATE] * 4), [released_score(state, sizes, wave) for wave in waves]
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert len({round(score, 3) for score in ours}) == 4
    if golden is not None:
        assert theirs == pytest.approx(golden, abs=1e-5)


def test_without_the_releases_floor_a_quiet_clip_scores_otherwise(released):
    _, _, run = released
    detector, wave = load(run), noise(30_000, level=0.001, seed=3)
    before = detector.score(wave, RATE)
    detector.network.encoder.values.pop("variance_floor")
    assert abs(detector.score(wave, RATE) - before) > 1e-3


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("topology", UNITS)
def test_every_topology_and_mixer_fills_our_network(tmp_path, topology, mixer):
    sizes = Sizes(topology, mixer, n=2)
    found = mambo.read(random_release(sizes, seed=None))
    with torch.device("meta"):
        network = Network(configured(paper(), found.settings))
    fill(network, found.state, tmp_path)
    assert network.state_dict().keys() == found.state.keys()


def test_the_published_sizes_are_the_paper_preset():
    sizes = Sizes(
        n=3, layers=5, hidden=1024, inside=4096, encoder_layers=24, channels=512, positions=128, groups=16, d=128,
        state=64, head=64,
    )  # fmt: skip
    found = mambo.read(random_release(sizes, seed=None))
    cfg = configured(paper(), found.settings)
    assert cfg.data.window == 66_800
    with torch.device("meta"):
        ours, published = Network(cfg), Network(paper())
        fill(ours, found.state, "best.pth")
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == {
        name: tensor.shape for name, tensor in published.state_dict().items()
    }


def test_the_command_makes_a_run_that_answers_without_a_probability(released, tmp_path):
    file, state, _ = released
    done = in_process("models", "import", "mambo", file, "--out", tmp_path / "run")
    assert f"auricle infer mambo --run {tmp_path / 'run'} FILE" in done.stdout
    assert "note: the release normalises a clip together with its batch mates" in done.stderr
    assert "note: uncalibrated" in done.stderr
    clip, long = tmp_path / "clip.wav", tmp_path / "long.wav"
    soundfile.write(clip, noise(50_000), RATE, subtype="FLOAT")
    soundfile.write(long, noise(61 * RATE, seed=1), RATE, subtype="FLOAT")
    done = in_process("infer", "mambo", "--run", tmp_path / "run", clip, long)
    short, streamed = (json.loads(line) for line in done.stdout.splitlines())
    for answer in (short, streamed):
        assert [answer[key] for key in ("p_bonafide", "label", "threshold")] == [None, None, None]
        assert list(answer)[:2] == ["input", "reason"]
        assert answer["reason"].startswith("uncalibrated: ")
    assert short["score"] == pytest.approx(released_score(state, Sizes(n=2), noise(50_000)), abs=1e-5)
    first = noise(61 * RATE, seed=1)[:66_800]
    assert streamed["score"] == pytest.approx(released_score(state, Sizes(n=2), first), abs=1e-5)
    heard = "first-window: only the first 4.175 s of 61.0 s were heard"
    assert heard in streamed["warnings"]
    assert not any(warning.startswith("first-window") for warning in short["warnings"])
    assert streamed["segments"][-1]["end_s"] <= 4.5


def test_the_run_is_complete_and_says_where_it_is_from(released):
    file, _, run = released
    assert read_meta(run / "checkpoints" / "final")["calibration"] is None
    about = read_json(run / "stages.json")["import"]
    assert about["file"] == file.name
    assert len(about["sha256"]) == 64
    assert (read_json(run / "config.json")["system"], read_json(run / "config.json")["preset"]) == ("mambo", "paper")
    (run / "environment.json").read_text()


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A manifest of twelve clips, half of them called fakes."""
    folder = tmp_path_factory.mktemp("labelled")
    cuts = []
    for index, clip in enumerate(embedded.clips(kind="speech")[::120][:12]):
        kind = fields.SPOOF if index % 2 else fields.BONAFIDE
        cuts.append(manifest.cut(f"c{index}", clip.file(), {fields.LABEL: kind, fields.SPEAKER: f"v{index}"}))
    manifest.write(cuts, folder / "mine.jsonl")
    return folder / "mine.jsonl", cuts


def test_labelled_clips_are_measured_and_calibrate(released, labelled, tmp_path):
    file, _, run = released
    path, cuts = labelled
    done = in_process("evaluate", "mambo", "--run", run, "--manifest", path)
    assert "eer" in done.stdout
    assert "uncalibrated" in done.stdout + done.stderr
    made = in_process("models", "import", "mambo", file, "--out", tmp_path / "run", "--dev", path)
    assert "uncalibrated" not in made.stderr
    detector = load(tmp_path / "run")
    scores = detector.cut_scores(cuts)
    assert detector.calibration is not None
    assert scores.min() < detector.calibration.threshold < scores.max()
    answer = json.loads(
        in_process("infer", "mambo", "--run", tmp_path / "run", embedded.clips(kind="speech")[0].file()).stdout
    )
    assert answer["label"] in ("bonafide", "spoof", "undecided")
    assert answer["threshold"] is not None


def test_without_test_clips_it_says_how_to_measure(released):
    done = in_process("evaluate", "mambo", "--run", released[2], check=False)
    assert done.returncode == 2
    assert "holds released weights and no test clips" in done.stderr
    assert "--manifest FILE" in done.stderr


def test_one_class_cannot_calibrate_and_leaves_nothing(released, labelled, tmp_path):
    only = [cut for cut in labelled[1] if cut.custom[fields.LABEL] == fields.SPOOF]
    manifest.write(only, tmp_path / "one.jsonl")
    with pytest.raises(DataError, match="bonafide and spoof are both needed"):
        import_release("mambo", released[0], tmp_path / "run", dev=tmp_path / "one.jsonl")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "shape", "match"),
    [
        (f"{BLOCKS}0.mamba.A_log", (3,), "best.pth does not fit together: Hydra: the inner width 32"),
        (f"{BLOCKS}0.mamba.D", (3,), r"wrong shape: mambo.back.blocks.0.mixer.D is \(3,\), needed \(4,\)"),
        ("classifier.weight", (3, 16), r"wrong shape: mambo.back.head.weight is \(3, 16\), needed \(2, 16\)"),
        (f"{ENCODER}encoder.transformer.layers.1.attention.q_proj.bias", (7,), r"layers.1.attention.q_proj.bias"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_by_name(tmp_path, name, shape, match):
    file, _ = saved(tmp_path, Sizes(), **{name: torch.zeros(shape)})
    with pytest.raises(CheckpointError, match=match):
        import_release("mambo", file, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_imported_is_one_line(released, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine")
    for arguments, said in (
        (
            ["unisrcodec", released[0], "--out", "new"],
            "'unisrcodec' reads no released weights; these systems do: mambo",
        ),
        (["mambo", tmp_path / "none.pth", "--out", "new"], "none.pth is no file"),
        (["mambo", released[0], "--out", tmp_path / "full"], "is there and not empty; give the name of a new folder"),
        (["mambo", released[0], "--out", released[0]], "is there and not empty"),
        (["mambo", released[0], "--out", "new", "--part", "head"], "leave --part head out"),
        (["mambo", released[0], "--out", "new", "--encoder", "nowhere"], "nowhere"),
    ):
        done = in_process("models", "import", *arguments, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr
    with pytest.raises(ConfigError, match="there is no system 'nobody'"):
        import_release("nobody", released[0], tmp_path / "new")
