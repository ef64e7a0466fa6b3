"""FT-GRPO (arXiv 2601.02983): is this audio fake, and where in frequency and time is the evidence?

The verbs are in the files of their names: `data.prepare`, `train.train`, `evaluate.evaluate`, `infer.load`,
`infer.infer`. From outside, ``auricle.load(folder)`` and ``auricle.systems.system("ft_grpo")`` find them.
"""

from auricle.core.names import Spec

SPEC = Spec(
    name="ft_grpo",
    line="any audio: real or fake, with a rationale of frequency and time evidence that can be checked",
    verbs=("prepare", "train", "evaluate", "infer"),
    headline="balanced_accuracy",
    task="detection",
    gives=("json", "image"),
)
