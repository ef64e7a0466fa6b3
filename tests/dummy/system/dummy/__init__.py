"""The dummy (no paper): does a tone rise or fall? A whole system in few lines, by the recipe of CONTRIBUTING.md."""

from auricle.core.names import More, Spec, Take

SPEC = Spec(
    name="dummy",
    line="tells rising tones from falling ones",
    verbs=("prepare", "train", "evaluate", "infer"),
    headline="accuracy",
    task="classification",
    takes=(Take("audio"), Take("text", needed=False)),
    more=(More("digits", int, "decimals of the probability"),),
    items="tones",
)
