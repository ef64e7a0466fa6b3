"""EfficientNet-Lite0: the figures of efficientnet-lite-pytorch 0.1.0, any image, wrong files."""

import os

import numpy as np
import pytest
import torch

from auricle.backbones.image import EfficientNetLite0, ImageEncoder, square
from auricle.core import extras
from auricle.core.errors import CheckpointError, DataError, MissingExtra

needs = pytest.mark.skipif(
    extras.weights_path("efficientnet-lite0") is None, reason="needs auricle models add efficientnet-lite0"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A random network under the names of the released file."""
    torch.manual_seed(0)
    state = EfficientNetLite0().state_dict()
    path = tmp_path_factory.mktemp("image") / "weights.pth"
    released = {
        ".".join(f"_{part}" if not part.isdigit() and part not in LEAVES else part for part in name.split(".")): value
        for name, value in state.items()
    }
    torch.save(released, path)
    return path


LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def test_a_file_with_the_released_names_fills_the_network(file):
    encoder = ImageEncoder(file)
    given = torch.load(file, weights_only=True)
    assert sum(value.numel() for value in encoder.network.parameters()) == 4_652_008
    assert torch.equal(encoder.network.blocks[3].depthwise_conv.weight, given["_blocks.3._depthwise_conv.weight"])
    images = [np.random.default_rng(n).integers(0, 256, (60 + n, 300, 3)).astype(np.uint8) for n in range(3)]
    together = encoder.embed(images, batch=2)
    assert together.shape == (3, encoder.dim) == (3, 1280)
    np.testing.assert_allclose(together[1:2], encoder.embed(images[1:2]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(encoder.classify(images).sum(1), 1, atol=1e-5)
    assert encoder.embed([]).shape == (0, 1280)


def test_the_middle_is_looked_at():
    image = np.zeros((512, 1024, 3), np.uint8)
    image[:, 256:768] = 200
    found = square(image)
    assert found.shape == (3, 224, 224)
    torch.testing.assert_close(found, torch.full_like(found, (200 - 127) / 128))
    torch.testing.assert_close(square(image.astype(np.float32) / 255), found, rtol=0, atol=1e-5)
    assert square(np.zeros((9, 8, 3), np.uint8)).shape == (3, 224, 224)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((20, 20), np.uint8), r"give \(H, W, 3\)"),
        (np.zeros((20, 20, 4), np.uint8), r"give \(H, W, 3\)"),
        (np.zeros((4, 20, 3), np.uint8), "at least 8 pixels"),
        (np.zeros((20, 20, 3), np.int64), "give uint8, or floats from 0 to 1"),
        (np.full((20, 20, 3), 2.0), "give uint8, or floats from 0 to 1"),
        (np.full((20, 20, 3), np.nan), "give uint8, or floats from 0 to 1"),
    ],
)
def test_what_is_no_image_is_named(file, image, message):
    with pytest.raises(DataError, match=f"image 2 .*{message}"):
        ImageEncoder(file).embed([np.zeros((20, 20, 3), np.uint8), image])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("lacking", r"Missing key.*fc\.bias"),
        ("more", "Unexpected key.*more"),
        ("shape", r"size mismatch for fc\.bias"),
        ("text", "cannot be read"),
        ("code", "cannot be read"),
        ("none", "does not exist"),
    ],
)
def test_a_wrong_file_is_refused(file, tmp_path, content, message):
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    state, path = torch.load(file, weights_only=True), tmp_path / "weights.pth"
    if content == "lacking":
        state.pop("_fc.bias")
    elif content == "more":
        state["_more"] = torch.zeros(1)
    elif content == "shape":
        state["_fc.bias"] = torch.zeros(3)
    elif content == "code":
        state["_fc.bias"] = Code()
    if content == "text":
        path.write_bytes(b"these are no weights")
    elif content != "none":
        torch.save(state, path)
    with pytest.raises(CheckpointError, match=f"{message}.*auricle models add efficientnet-lite0"):
        ImageEncoder(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.skipif(extras.weights_path("efficientnet-lite0") is not None, reason="the weights are installed")
def test_without_the_weights_the_command_is_named():
    with pytest.raises(MissingExtra, match="auricle models add efficientnet-lite0"):
        ImageEncoder()


@needs
def test_the_network_gives_the_figures_of_the_original():
    encoder = ImageEncoder()
    pixels = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32))
    with torch.inference_mode():
        embedding, logits = (found[0].numpy() for found in encoder.network(pixels))
    # efficientnet_lite_pytorch's EfficientNet on the same weights and pixels
    np.testing.assert_allclose(embedding[:4], [0.02655716, 0, 1.80509603, 0], atol=1e-4)
    np.testing.assert_allclose(embedding.mean(), 0.08875412, atol=1e-5)
    np.testing.assert_allclose(logits[:4], [-2.24512792, 0.56084061, 1.389853, 0.01313031], atol=1e-3)


@needs
def test_a_flower_is_a_flower():
    from sklearn.datasets import load_sample_image

    found = ImageEncoder().classify([load_sample_image("flower.jpg"), load_sample_image("china.jpg")])
    assert found.argmax(1).tolist() == [985, 698]  # daisy, palace
    np.testing.assert_allclose(found.max(1), [0.354, 0.318], atol=0.01)
