"""The MamBo detector: published sizes, topologies, padding, frame scores, meta device."""

import pytest
import torch

from auricle.core.config import parse
from auricle.core.errors import ConfigError, DataError
from auricle.systems.mambo.config import ModelConfig
from auricle.systems.mambo.model import BackEnd, MamBo, make_mixer, score, unit

MIXERS = ("mamba", "mamba2", "hydra", "gdn")
# Parameters of projection, backbone (L = 5), pooling and head: papers/mambo.md, section 3.5; rows N = 1, 2, 3.
PUBLISHED = {
    "mambo1": (
        (1_457_623, 1_462_163, 1_562_643, 1_546_303),
        (2_040_663, 2_049_743, 2_250_703, 2_218_023),
        (2_623_703, 2_637_323, 2_938_763, 2_889_743),
    ),
    "mambo2": (
        (1_142_743, 1_147_283, 1_247_763, 1_231_423),
        (1_725_783, 1_734_863, 1_935_823, 1_903_143),
        (2_308_823, 2_322_443, 2_623_883, 2_574_863),
    ),
    "mambo3": (
        (2_453_463, 2_458_003, 2_558_483, 2_542_143),
        (3_036_503, 3_045_583, 3_246_543, 3_213_863),
        (3_619_543, 3_633_163, 3_934_603, 3_885_583),
    ),
    "mambo4": (
        (2_381_143, 2_390_223, 2_591_183, 2_558_503),
        (3_547_223, 3_565_383, 3_967_303, 3_901_943),
        (4_713_303, 4_740_543, 5_343_423, 5_245_383),
    ),
}
TINY = {"n": 1, "layers": 1, "d_model": 32, "frontend": "lfcc", "frontend_dim": 12}


def tiny(**settings):
    return MamBo(parse(ModelConfig, {"topology": "mambo3", "mixer": "hydra", **TINY, **settings}))


DESIGNS = [
    *((topology, "hydra") for topology in ("mambo1", "mambo2", "mambo3", "mambo4", "transformer")),
    *(("mambo3", m) for m in ("mamba", "mamba2", "gdn", "bimamba_add", "bimamba_concat")),
    *(("mambo1", m) for m in ("bimamba2_add", "bimamba2_concat")),
]


@pytest.mark.parametrize("topology", PUBLISHED)
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("mixer", MIXERS)
def test_published_parameter_counts(topology, n, mixer):
    with torch.device("meta"):
        back = BackEnd(1024, ModelConfig(topology=topology, mixer=mixer, n=n, layers=5))
    assert all(p.is_meta for p in back.parameters())
    assert sum(p.numel() for p in back.parameters()) == PUBLISHED[topology][n - 1][MIXERS.index(mixer)]


@pytest.mark.parametrize(("topology", "mixer"), DESIGNS)
def test_every_design_steps_with_finite_gradients(topology, mixer):
    torch.manual_seed(0)
    model = tiny(topology=topology, mixer=mixer)
    features, mask = torch.randn(3, 21, 12), torch.arange(21)[None] < torch.tensor([21, 8, 1])[:, None]
    output = model(features, mask)
    assert output.logits.shape == (3, 2)
    assert output.frame_logits.shape == (3, 11, 2)
    assert output.frame_mask.sum(1).tolist() == [11, 4, 1]
    assert output.embedding.shape == (3, 32)
    torch.nn.functional.cross_entropy(output.logits, torch.tensor([0, 1, 0])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("frontend", ["lfcc", "ssl"])
@pytest.mark.parametrize(("topology", "mixer"), DESIGNS)
def test_padding_and_batch_mates_never_change_a_result(topology, mixer, frontend):
    torch.manual_seed(0)
    model = tiny(topology=topology, mixer=mixer, frontend=frontend).eval()
    lengths = [23, 9, 1, 16]
    features = torch.full((4, 23, 12), float("nan"))
    for row, length in enumerate(lengths):
        features[row, :length] = torch.randn(length, 12)
    mask = torch.arange(23)[None] < torch.tensor(lengths)[:, None]
    with torch.no_grad():
        batch = model(features, mask)
        for row, length in enumerate(lengths):
            alone = model(features[row : row + 1, :length])
            frames = alone.frame_logits.shape[1]
            assert frames == int(batch.frame_mask[row].sum())
            for a, b in (
                (batch.logits[row], alone.logits[0]),
                (batch.embedding[row], alone.embedding[0]),
                (batch.frame_logits[row, :frames], alone.frame_logits[0]),
            ):
                assert (a - b).abs().max() <= 1e-5 * max(1.0, b.abs().max().item())
            assert (batch.frame_logits[row, frames:] == 0).all()


def test_clip_logits_are_the_pooled_frame_logits():
    torch.manual_seed(0)
    model = tiny(topology="mambo3", mixer="hydra").eval()
    seen = {}
    model.back.pool.register_forward_hook(lambda pool, args, out: seen.update(weights=pool.weights(*args)))
    output = model(torch.randn(2, 30, 12))
    pooled = torch.einsum("bt,btk->bk", seen["weights"], output.frame_logits)
    torch.testing.assert_close(pooled, output.logits, rtol=0, atol=1e-5)


def test_score_is_bona_fide_less_spoof():
    model = tiny(topology="mambo1", mixer="gdn")
    output = model(torch.randn(2, 5, 12))
    assert torch.equal(score(output), output.logits[:, 1] - output.logits[:, 0])


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    model, features = tiny(topology="mambo3", mixer="mamba2"), torch.randn(2, 9, 12)
    assert not torch.equal(model(features).logits, model(features).logits)
    model.eval()
    assert torch.equal(model(features).logits, model(features).logits)


def test_units():
    assert unit("mambo1", 2) == ["ssm", "ssm", "ffn"]
    assert unit("mambo2", 1) == ["ssm", "mha"]
    assert unit("mambo3", 3) == ["ssm", "ssm", "ssm", "ffn", "mha", "ffn"]
    assert unit("mambo4", 2) == ["ssm", "ssm", "ffn", "ssm", "ssm", "mha"]
    assert unit("transformer", 2) == ["mha", "ffn", "mha", "ffn"]


def test_paper_size_builds_on_the_meta_device_from_a_config():
    cfg = ModelConfig(topology="mambo3", mixer="hydra", n=3, layers=5, frontend="ssl", frontend_dim=1024)
    with torch.device("meta"):
        model = MamBo(cfg)
    # With the encoder's 315,438,720 this is the published total of 319.37 M.
    assert sum(p.numel() for p in model.parameters()) + 315_438_720 == 319_373_323


def test_residual_stream_stays_in_float32_under_autocast():
    torch.manual_seed(0)
    model = tiny(topology="mambo3", mixer="hydra").eval()
    seen = []
    for block in model.back.blocks:
        block.register_forward_hook(lambda block, args, out: seen.append(out.dtype))
    with torch.no_grad():
        features = torch.randn(2, 20, 12)
        expected = model(features).logits
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = model(features).logits
    assert set(seen) == {torch.float32}
    assert got.dtype == torch.float32
    assert (got - expected).abs().max() <= 2e-2 * max(1.0, expected.abs().max().item())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"topology": "mambo5"}, "mambo4"),
        ({"mixer": "s4"}, "bimamba2_concat"),
        ({"n": 0}, "n: .*greater than or equal to 1"),
        ({"layers": 0}, "layers: .*greater than or equal to 1"),
        ({"frontend": "mfcc"}, "logmel"),
        ({"dropout": 1.0}, "dropout"),
        ({"heads": 5}, "multiple of heads"),
        ({"mixer": "gdn", "d_state": 8}, "d_state"),
        ({"mixer": "mamba", "head_dim": 8}, "head_dim"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**settings)


def test_wrong_batches_are_refused():
    model = tiny(topology="mambo1", mixer="mamba")
    with pytest.raises(DataError, match="12"):
        model(torch.randn(2, 5, 13))
    with pytest.raises(DataError, match="valid frame"):
        model(torch.randn(2, 5, 12), torch.tensor([[True] * 5, [False] * 5]))


def test_mixer_sizes_pass_through():
    assert make_mixer(ModelConfig(mixer="hydra", d_model=32, d_state=8, head_dim=16)).heads == 4
    assert make_mixer(ModelConfig(mixer="mamba", d_model=32, d_state=8)).d_state == 8
    assert make_mixer(ModelConfig(mixer="bimamba2_add", d_model=32, d_state=8, head_dim=32)).ahead.heads == 2
