"""The small vocoder of `auricle codec vocoder`: log-mels to samples, trained in minutes beside Griffin-Lim.

`run.run_all` prepares, trains and measures; `load.load` gives a trained one to a codec.
"""

from auricle.core.names import Spec

SPEC = Spec(
    name="unisrcodec_vocoder",
    line="small vocoder for the codec's log-mels",
    verbs=("prepare", "train", "evaluate"),
    headline="mel_distance_44",
    task="vocoder",
)
