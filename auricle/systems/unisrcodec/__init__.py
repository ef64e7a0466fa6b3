"""UniSRCodec (arXiv 2601.02776): how few tokens can carry this sound? One codebook over mel pictures.

The verbs are in the files of their names: `data.prepare`, `train.train`, `evaluate.evaluate`, `infer.load`,
`infer.infer`. From outside, ``auricle.load(folder)`` and ``auricle.systems.system("unisrcodec")`` find them.
"""

from auricle.core.names import Spec

SPEC = Spec(
    name="unisrcodec",
    line="low-rate codec with one codebook for speech, music and sound",
    verbs=("prepare", "train", "evaluate", "infer"),
    headline="mel_l1",
    task="codec",
)
