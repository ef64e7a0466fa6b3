"""The paper's claims as small experiments on two cores. Each rule was written before any run and is not tuned.

What differs from the paper in all of them: a network of an eighth of a million parameters, minutes of training on
minutes of audio instead of 10,000 hours, a small codebook, and Griffin-Lim instead of BigVGAN.
"""

from auricle.systems.unisrcodec.claims.codebook import C4
from auricle.systems.unisrcodec.claims.order import C5
from auricle.systems.unisrcodec.claims.representation import C1, C9
from auricle.systems.unisrcodec.claims.training import C2, C3

CLAIMS = (C1, C2, C3, C4, C5, C9)
