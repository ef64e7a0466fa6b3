"""mambo on a speech encoder: published sizes, named configurations, the architecture kept in the config."""

import json
import subprocess
import sys

import pytest
import torch

from auricle.backbones import architecture as arch
from auricle.backbones.tiny import save_tiny
from auricle.core.config import override, parse
from auricle.core.errors import CheckpointError, ConfigError
from auricle.systems.mambo.config import NAMED, MamboConfig, laptop, named, paper, smoke
from auricle.systems.mambo.model import MamBo, score
from auricle.systems.mambo.network import Network
from auricle.train import load_model, save_model

# Parameters of the back ends with L = 5, in the order Mamba, Mamba2, Hydra, GDN.
BACK_ENDS = {
    (1, 1): (1_457_623, 1_462_163, 1_562_643, 1_546_303),
    (1, 2): (2_040_663, 2_049_743, 2_250_703, 2_218_023),
    (1, 3): (2_623_703, 2_637_323, 2_938_763, 2_889_743),
    (2, 1): (1_142_743, 1_147_283, 1_247_763, 1_231_423),
    (2, 2): (1_725_783, 1_734_863, 1_935_823, 1_903_143),
    (2, 3): (2_308_823, 2_322_443, 2_623_883, 2_574_863),
    (3, 1): (2_453_463, 2_458_003, 2_558_483, 2_542_143),
    (3, 2): (3_036_503, 3_045_583, 3_246_543, 3_213_863),
    (3, 3): (3_619_543, 3_633_163, 3_934_603, 3_885_583),
    (4, 1): (2_381_143, 2_390_223, 2_591_183, 2_558_503),
    (4, 2): (3_547_223, 3_565_383, 3_967_303, 3_901_943),
    (4, 3): (4_713_303, 4_740_543, 5_343_423, 5_245_383),
}
MIXERS = ("Mamba", "Mamba2", "Hydra", "GDN")


def tiny(folder, kind="xls_r", **settings):
    save_tiny(kind, folder, seed=1)
    asked = {
        "encoder": str(folder),
        "frontend_dim": 32,
        "d_model": 16,
        "d_state": 8,
        "head_dim": 8,
        "layers": 1,
        "n": 1,
    }
    return override(paper(), [f"model.{key}={json.dumps(value)}" for key, value in (asked | settings).items()])


def noise(samples, seed=0):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_full_model_has_the_published_size():
    with torch.device("meta"):
        network = Network(paper())
    assert count(network) == 319_373_323
    assert count(network.encoder) == 315_438_720


def test_there_are_48_names():
    assert len(set(NAMED)) == 48
    assert NAMED[0] == "MamBo-1-Mamba-N1"
    assert NAMED[-1] == "MamBo-4-GDN-N3"


@pytest.mark.parametrize(("topology", "n"), BACK_ENDS)
def test_named_configurations_have_the_published_sizes(topology, n):
    for mixer, expected in zip(MIXERS, BACK_ENDS[topology, n], strict=True):
        cfg = named(f"MamBo-{topology}-{mixer}-N{n}")
        with torch.device("meta"):
            assert count(MamBo(cfg.model)) == expected
        # nothing but the back end differs, and the command line can ask for the same
        settings = [f"model.topology=mambo{topology}", f"model.mixer={mixer.lower()}", f"model.n={n}"]
        assert cfg == override(paper(), settings)


def test_the_headline_model_is_the_preset():
    assert named("MamBo-3-Hydra-N3") == paper()


@pytest.mark.parametrize(
    "name", ["MamBo-5-Hydra-N1", "MamBo-3-LSTM-N1", "MamBo-3-Hydra-N4", "mambo3", "MamBo-3-gdn-N1"]
)
def test_other_names_are_refused(name):
    with pytest.raises(ConfigError, match=r"there is no configuration.*MamBo-3-Hydra-N3"):
        named(name)


def test_the_presets_without_an_encoder_stay_as_they_were():
    for cfg in (smoke(), laptop()):
        assert cfg.model.encoder is cfg.model.encoder_config is None
        assert Network(cfg).encoder is None


def test_the_config_keeps_the_architecture(tmp_path):
    cfg = tiny(tmp_path / "encoder")
    kept = cfg.model.encoder_config
    assert (kept["name"], kept["revision"]) == (str(tmp_path / "encoder"), arch.XLS_R_300M_REVISION)
    assert (kept["model_type"], kept["hidden_size"]) == ("wav2vec2", 32)
    (tmp_path / "encoder").rename(tmp_path / "moved")
    assert parse(MamboConfig, json.loads(cfg.model_dump_json())) == cfg  # a run is read without the folder
    with pytest.raises(ConfigError, match="there is no folder"):
        override(paper(), [f"model.encoder={tmp_path / 'encoder'}", "model.frontend_dim=32"])


def test_another_encoder_brings_its_own_architecture(tmp_path):
    first = tiny(tmp_path / "one")
    save_tiny("wavlm_large", tmp_path / "two")
    second = override(first, [f"model.encoder={tmp_path / 'two'}"])
    assert second.model.encoder_config["model_type"] == "wavlm"


def test_reading_the_preset_is_light():
    code = (
        "import sys, auricle.systems.mambo.config as c; c.paper(); "
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_that_do_not_fit_are_refused(tmp_path):
    cfg = tiny(tmp_path)
    with pytest.raises(ConfigError, match="frontend_dim is 33 and the encoder's frames are 32 wide"):
        override(cfg, ["model.frontend_dim=33"])
    with pytest.raises(ConfigError, match="encoder_layer is 4; this encoder has 0 to 3"):
        override(cfg, ["model.encoder_layer=4"])
    with pytest.raises(ConfigError, match="encoder_layer"):
        override(cfg, ["model.encoder_layer=top"])
    with pytest.raises(ConfigError, match=r"pinned revision"):
        override(paper(), ["model.encoder_revision=null"])
    with pytest.raises(ConfigError, match="speech encoders take 16000 Hz"):
        Network(override(cfg, ["data.rate_hz=8000"]))
    with pytest.raises(ConfigError, match=r"needs a speech encoder: give model\.encoder=FOLDER"):
        Network(override(cfg, ["model.encoder=null", "model.encoder_config=null"]))


@pytest.mark.parametrize("kind", ["xls_r", "wav2vec2_base"])
def test_padding_and_batch_mates_never_change_a_score(kind, tmp_path):
    network = Network(tiny(tmp_path, kind)).eval()
    sizes = (8000, 5999, 4000)
    junk = torch.full((3, 12000), 7.0)
    for row, size in enumerate(sizes):
        junk[row, :size] = noise(size, row)
    with torch.no_grad():
        together = score(network(junk, torch.tensor(sizes)))
        for row, size in enumerate(sizes):
            alone = score(network(noise(size, row)[None]))
            assert float((together[row] - alone[0]).abs()) <= 1e-5 * max(1.0, float(alone.abs()))


@pytest.mark.parametrize(
    ("settings", "still"),
    [({}, set()), ({"encoder_layer": "weighted"}, set()), ({"encoder_layer": 1, "encoder_freeze": True}, {"encoder"})],
)
def test_gradients_reach_what_is_trained(settings, still, tmp_path):
    network = Network(tiny(tmp_path, **settings)).train()
    output = network(torch.stack([noise(8000, 0), noise(8000, 1)]))
    assert output.frame_logits.shape == (2, 24, 2)
    output.logits.square().sum().backward()
    for name, parameter in network.named_parameters():
        expected = name != "encoder.model.masked_spec_embed" and name.split(".")[0] not in still
        assert (parameter.grad is not None) == expected, name


def test_a_checkpoint_brings_the_tuned_encoder_and_needs_no_folder(tmp_path):
    cfg = tiny(tmp_path / "encoder")
    network = Network(cfg).eval()
    wave = noise(8000)[None]
    with torch.no_grad():
        before = score(network(wave))
        next(iter(network.encoder.model.feature_projection.parameters())).mul_(1.5)
        tuned = score(network(wave))
    assert not torch.equal(before, tuned)
    save_model(tmp_path / "saved", network, {})
    (tmp_path / "encoder").rename(tmp_path / "moved")
    again = Network(parse(MamboConfig, json.loads(cfg.model_dump_json()))).eval()
    with pytest.raises(ConfigError, match="there is no folder"):
        again(wave)
    load_model(tmp_path / "saved", again)
    with torch.no_grad():
        assert torch.equal(score(again(wave)), tuned)


def test_the_network_is_not_saved_before_it_has_an_encoder(tmp_path):
    with pytest.raises(CheckpointError, match="NaN"):
        save_model(tmp_path / "saved", Network(tiny(tmp_path / "encoder")), {})
