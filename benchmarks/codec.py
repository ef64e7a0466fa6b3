"""Encoding and decoding with unisrcodec, beside DAC 44.1 kHz of the published sizes with random weights.

python benchmarks/codec.py [--quick] [--json] [--only encode]

Random weights do not change the time. Times are of one second of audio: 1000 over `ours` in ms is the speed over real
time. Sides that differ much get audio of different length. The memory case is the peak of a process that encodes an
hour (ten minutes with --quick), with that of one minute as its peer: near 1 means that length does not cost memory.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
from contract import Case, run
from transformers import DacConfig, DacModel

from auricle.systems.unisrcodec.config import CodecConfig, laptop, paper
from auricle.systems.unisrcodec.infer import Coder, coder_of
from auricle.systems.unisrcodec.model import Codec

RATE_HZ = 44_100
LONG_S, SHORT_S = 30, 2


def coder(cfg: CodecConfig) -> Coder:
    """Build a codec with random weights."""
    torch.manual_seed(0)
    return coder_of(Codec(cfg.model).eval(), cfg, "laptop")


def noise(seconds: int) -> np.ndarray:
    """Make audio, (T,) float32."""
    return np.random.default_rng(0).standard_normal(seconds * RATE_HZ, dtype=np.float32) * np.float32(0.1)


def dac() -> DacModel:
    """Build DAC as published for 44.1 kHz: hop 512, 9 codebooks."""
    torch.manual_seed(0)
    return DacModel(DacConfig(sampling_rate=RATE_HZ, downsampling_ratios=[2, 4, 8, 8], n_codebooks=9)).eval()


def dac_job(model: DacModel, wave: np.ndarray, decode: bool) -> Callable[[], torch.Tensor]:
    """Encode, and decode if asked."""
    audio = torch.from_numpy(wave)[None, None]

    @torch.inference_mode()
    def job() -> torch.Tensor:
        codes = model.encode(audio).audio_codes
        return model.decode(audio_codes=codes).audio_values if decode else codes

    return job


def peak_of(minutes: int) -> int:
    """Give the peak memory in bytes of a process that encodes noise for so long."""
    command = [sys.executable, __file__, "--child", str(minutes)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def child(minutes: int) -> None:
    """Encode, and print this process's peak memory in bytes."""
    block = noise(10)
    coder(laptop()).encode_blocks(block for _ in range(6 * minutes))
    print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def cases(quick: bool) -> Iterator[Case]:
    small, peer = coder(laptop()), dac()
    long, short = noise(LONG_S), noise(SHORT_S)
    items = (LONG_S, SHORT_S)
    name = "DAC 44.1 kHz, Transformers"
    heard = dac_job(peer, short, False)
    yield Case("encode-laptop", lambda: small.encode_blocks([long]), heard, name, "ms", items=items)
    yield Case(
        "encode-decode-laptop-griffin-lim-32",
        lambda: small.decode(small.encode_blocks([long])),
        dac_job(peer, short, True),
        name,
        "ms",
        items=items,
    )
    large = coder(paper())
    yield Case(
        "encode-paper-size",
        lambda: large.encode_blocks([short]),
        heard,
        name,
        "ms",
        items=(SHORT_S, SHORT_S),
    )
    minutes = 10 if quick else 60
    jobs = {"ours": minutes, "peer": 1}
    yield Case(
        f"memory-encode-{minutes}-min",
        lambda: jobs["ours"],
        lambda: jobs["peer"],
        "the same, 1 min",
        "MB",
        measure=lambda job: float(peak_of(int(str(job())))),
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]))
    else:
        run(__doc__ or "", cases)
