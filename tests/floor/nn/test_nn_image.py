"""The picture encoder and decoder: shapes, norms per frame, and tiles that equal the whole."""

import pytest
import torch

from auricle.core.errors import ConfigError
from auricle.nn.image import Decoder2d, Encoder2d, FrameNorm, begin_with_components, reach_columns

SIZES = {"channels": (4, 4, 8), "strides": (2, 2, 4), "dim": 3, "blocks": 1, "groups": 2}


def test_a_frame_is_normalised_by_itself():
    norm = FrameNorm(6, 3)
    x = torch.randn(2, 6, 5, 7) * 3 + 1
    y = norm(x).reshape(2, 3, 10, 7)
    assert torch.allclose(y.mean(dim=2), torch.zeros(2, 3, 7), atol=1e-5)
    assert torch.allclose(y.square().mean(dim=2), torch.ones(2, 3, 7), atol=1e-3)
    assert torch.allclose(norm(x[..., 2:3]), norm(x)[..., 2:3], atol=1e-6)
    group = torch.nn.GroupNorm(3, 6)  # the same over one frame
    assert torch.allclose(norm(x[..., :1]), group(x[..., :1]), atol=1e-4)


@pytest.mark.parametrize("strides", [(2, 2, 4), (2, 2, 2)])
def test_shapes_mirror(strides):
    sizes = SIZES | {"strides": strides}
    step = strides[0] * strides[1] * strides[2]
    z = Encoder2d(**sizes)(torch.randn(2, 1, 32, 4 * step))
    assert z.shape == (2, 3, 32 // step, 4)
    assert Decoder2d(**sizes)(z).shape == (2, 1, 32, 4 * step)


def test_the_linear_path_adds_a_map_of_each_patch():
    torch.manual_seed(0)
    plain, both = Encoder2d(**SIZES), Encoder2d(**SIZES, linear=True)
    assert plain.patch is None
    x = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        extra = both(x) - both.layers(x)
    patch = x[0, 0, 16:32, 0:16]
    wanted = (both.patch.weight[:, 0] * patch).sum(dim=(1, 2)) + both.patch.bias
    assert torch.allclose(extra[0, :, 1, 0], wanted, atol=1e-4)
    assert Decoder2d(**SIZES, linear=True)(both(x)).shape == x.shape


def test_linear_coding_begins_with_the_principal_components():
    torch.manual_seed(0)
    encoder, decoder = Encoder2d(**SIZES, linear=True), Decoder2d(**SIZES, linear=True)
    size = SIZES["dim"]
    basis = torch.linalg.qr(torch.randn(256, size))[0]
    # 40 patches around a level in a space of as many dimensions as the latents: linear coding loses nothing
    weights = torch.randn(40, size)
    patches = (3.0 + (weights - weights.mean(dim=0)) @ basis.T).view(5, 2, 4, 16, 16)
    pictures = patches.permute(0, 1, 3, 2, 4).reshape(5, 1, 32, 64)
    begin_with_components(encoder, decoder, pictures)
    latents = encoder(pictures)
    assert torch.allclose(decoder(latents), pictures, atol=1e-4)
    spread = latents.detach().transpose(0, 1).flatten(1).std(dim=1, correction=0)
    assert float(spread.mean()) == pytest.approx(1.0, rel=1e-4)
    with pytest.raises(ConfigError, match="linear=True"):
        begin_with_components(Encoder2d(**SIZES), Decoder2d(**SIZES), pictures)


def moved(module, length, at, shape):
    """Which outputs change when one input frame changes."""
    x = torch.randn(*shape, length, dtype=torch.float64)
    other = x.clone()
    other[..., at] += 1.0
    gap = (module.double()(x) - module(other)).abs().flatten(0, -2).amax(dim=0)
    return torch.nonzero(gap > 1e-12).ravel()


def test_the_reach_is_never_more_than_the_bound():
    torch.manual_seed(0)
    bound = reach_columns(SIZES["strides"], SIZES["blocks"])
    columns = moved(Encoder2d(**SIZES), 16 * 31, 16 * 15 + 8, (1, 1, 32))
    assert 15 - bound <= int(columns.min()) <= int(columns.max()) <= 15 + bound
    frames = moved(Decoder2d(**SIZES), 31, 15, (1, 3, 2))
    assert (15 - bound) * 16 <= int(frames.min()) <= int(frames.max()) < (15 + bound + 1) * 16


def test_wrong_levels_are_refused():
    with pytest.raises(ConfigError):
        Encoder2d((4, 4), (2, 2, 4), 3)
    with pytest.raises(ConfigError):
        FrameNorm(6, 4)
