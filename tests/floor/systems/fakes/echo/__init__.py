"""A system that gives back what it was asked, for tests of the floor; tests give it other things to take and give."""

from auricle.core.names import More, Spec, Take

SPEC = Spec(
    name="echo",
    line="gives back what it was asked",
    verbs=("infer",),
    headline="none",
    task="echo",
    takes=(Take("audio", needed=False), Take("text", needed=False), Take("image", needed=False)),
    more=(More("n", int, "how often"), More("tags", list, "words")),
)
