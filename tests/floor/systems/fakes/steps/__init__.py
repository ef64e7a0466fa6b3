"""A system whose stages take no time, for tests of how a run goes on; each call of a stage is noted in `CALLS`."""

from auricle.core.names import Spec

SPEC = Spec(
    name="steps", line="counts lines", verbs=("prepare", "train", "evaluate"), headline="lines", task="counting"
)
CALLS: list[str] = []
