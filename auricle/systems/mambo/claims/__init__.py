"""The paper's claims as small experiments on two cores. Each rule was written before any run and is not tuned.

What differs from the paper in all of them: log spectra and a small convolution instead of XLS-R, real recordings of
the embedded corpus and spoofs made of them instead of ASVspoof, 200 to 500 steps instead of 20 epochs.
"""

from __future__ import annotations

from auricle.systems.mambo.claims.detectors import M1, M2, M4, M5
from auricle.systems.mambo.claims.timing import M6

CLAIMS = (M1, M2, M4, M5, M6)
