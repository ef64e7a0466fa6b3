"""An hour of audio through the laptop codec, block by block: as many tokens as it has columns, those of its parts."""

import numpy as np
import pytest

from auricle.audio.token_files import dumps, loads
from auricle.systems.unisrcodec.config import laptop
from auricle.systems.unisrcodec.infer import coder_of
from auricle.systems.unisrcodec.train import Training

pytestmark = pytest.mark.slow
BLOCK = 441_000  # ten seconds
BLOCKS = 360


def test_an_hour_has_the_tokens_of_its_minutes():
    cfg = laptop()
    codec = Training(cfg).codec.eval()
    coder = coder_of(codec, cfg, "laptop")

    def blocks(count):
        for place in range(count):
            yield (0.1 * np.random.default_rng(place).standard_normal(BLOCK)).astype(np.float32)

    hour, minute = coder.encode_blocks(blocks(BLOCKS)), coder.encode_blocks(blocks(6))
    assert hour.samples == BLOCKS * BLOCK
    assert len(hour.indices) == -(-hour.samples // codec.column)
    same = len(minute.indices) - codec.reach - 1  # beyond that the minute's end is heard
    assert np.array_equal(hour.indices[:same], minute.indices[:same])
    assert np.array_equal(loads(dumps(hour)).indices, hour.indices)
    pieces = coder.decode_pieces(hour)
    assert len(next(pieces)) > 0
