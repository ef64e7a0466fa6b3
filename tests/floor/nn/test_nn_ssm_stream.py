"""Frame by frame a causal mixer gives what it gives for the whole, and remembers no more for a longer stream."""

import pytest
import torch

from auricle.core.errors import ConfigError
from auricle.nn.conv import DepthwiseConv
from auricle.nn.ssm.bidirectional import Bidirectional
from auricle.nn.ssm.gated_delta import GatedDeltaNet
from auricle.nn.ssm.hydra import Hydra
from auricle.nn.ssm.mamba import Mamba
from auricle.nn.ssm.mamba2 import Mamba2

CAUSAL = {
    "mamba": lambda: Mamba(16, d_state=4),
    "mamba2": lambda: Mamba2(16, d_state=6, head_dim=8),
    "gdn": lambda: GatedDeltaNet(16, heads=2),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("name", CAUSAL)
def test_steps_give_what_the_whole_gives(name, dtype, agree):
    torch.manual_seed(0)
    mixer = CAUSAL[name]().to(dtype)
    u = torch.randn(3, 71, 16, dtype=dtype)
    stream, frames = mixer.begin(3), []
    sizes = [t.shape for t in stream]
    with torch.no_grad():
        for frame in u.unbind(1):
            out, stream = mixer.step(frame, stream)
            frames.append(out)
        agree(torch.stack(frames, 1), mixer(u))
    assert [t.shape for t in stream] == sizes
    assert all(t.dtype == dtype for t in stream)


@pytest.mark.parametrize("make", [lambda: Hydra(16, head_dim=8), lambda: Bidirectional(16, lambda: Mamba(16))])
def test_what_looks_ahead_has_no_stream(make):
    with pytest.raises(ConfigError, match="not causal"):
        make().begin(1)
    with pytest.raises(ConfigError, match="not causal"):
        make().step(torch.zeros(1, 16), None)


def test_a_centred_filter_has_no_step():
    with pytest.raises(ConfigError, match="frames to come"):
        DepthwiseConv(4, 3, mode="centred").step(torch.zeros(1, 4), torch.zeros(1, 2, 4))
