"""XLSR-MamBo (arXiv 2601.02944): is this speech synthetic? SSM and attention hybrids on frame features.

The verbs are in the files of their names: `data.prepare`, `train.train`, `evaluate.evaluate`, `infer.load`,
`infer.infer`. From outside, ``auricle.load(folder)`` and ``auricle.systems.system("mambo")`` find them.
"""

from auricle.core.names import Spec

SPEC = Spec(
    name="mambo",
    line="speech deepfake detection with SSM/attention hybrids",
    verbs=("prepare", "train", "evaluate", "infer"),
    headline="eer",
    task="detection",
)
