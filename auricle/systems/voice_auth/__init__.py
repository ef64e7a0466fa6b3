"""Voice authentication under attack (arXiv 2601.02914): how far does a voice login hold against cloned speech?

The verbs are in the files of their names: `data.prepare`, `train.train`, `evaluate.evaluate`, `infer.load`,
`infer.infer`. From outside, ``auricle.load(folder)`` and ``auricle.systems.system("voice_auth")`` find them.
"""

from auricle.core.names import Spec

SPEC = Spec(
    name="voice_auth",
    line="audit of a speaker verifier and a spoof detector against cloned speech",
    verbs=("prepare", "train", "evaluate", "infer"),
    headline="bypass_rate",
    task="verification",
    items="trials",
    titles={
        "detector_eer": "detector EER",
        "logo_eer": "EER with one generator left out",
        "zero_effort_far": "zero-effort FAR",
        "tandem_zero_effort_far": "tandem zero-effort FAR",
        "a_dcf": "a-DCF",
        "min_a_dcf": "min a-DCF",
        "tandem_a_dcf": "tandem a-DCF",
        "min_tdcf": "min t-DCF",
    },
)
