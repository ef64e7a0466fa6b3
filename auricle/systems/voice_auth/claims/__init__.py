"""The paper's claims as small experiments on two cores. Each rule was written before any run and is not tuned.

What differs from the paper in all of them: GE2E instead of ECAPA-TDNN, AASIST on LFCC instead of XLS-R + AASIST,
classical attacks between the voices of the embedded corpus instead of neural clones of AISHELL-3 speakers.

`arms` has what all of them share: data, features, trained detectors, intervals. `verifier`, `training` and `use` have
the claims about the verifier, about what a detector was trained on, and about a detector in use.
"""

from auricle.systems.voice_auth.claims.training import V3, V4, V5
from auricle.systems.voice_auth.claims.use import V6, V7, V10
from auricle.systems.voice_auth.claims.verifier import V1, V9

CLAIMS = (V1, V3, V4, V5, V6, V7, V10, V9)
