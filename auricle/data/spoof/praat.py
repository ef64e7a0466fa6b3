"""Praat through parselmouth: its own PSOLA and its "Change gender". Part of the extra `gpl`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.core.errors import AudioError
from auricle.core.extras import require
from auricle.data.spoof import pitch
from auricle.data.spoof.result import Spoof, finish, fit_length

FLOOR_HZ = 75
CEIL_HZ = 500


def modify(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Change pitch (``pitch-0.85``) or formants (``gender-1.18``) in Praat; nothing is drawn from `rng`.

    Raises:
        AudioError: less than 0.1 s of the clip is voiced, or Praat refuses it.
    """
    parselmouth = require("parselmouth", "gpl", "the spoof family 'praat'")
    pitch.require_voiced(pitch.track(wave, rate_hz), "praat")
    what, factor = variant.split("-")
    call = parselmouth.praat.call
    sound = parselmouth.Sound(wave.astype(np.float64), sampling_frequency=float(rate_hz))
    try:
        if what == "gender":
            changed = call(sound, "Change gender", FLOOR_HZ, CEIL_HZ, float(factor), 0, 1, 1)
        else:
            manipulation = call(sound, "To Manipulation", pitch.PERIOD_S, FLOOR_HZ, CEIL_HZ)
            tier = call(manipulation, "Extract pitch tier")
            call(tier, "Multiply frequencies", sound.xmin, sound.xmax, float(factor))
            call([tier, manipulation], "Replace pitch tier")
            changed = call(manipulation, "Get resynthesis (overlap-add)")
    except parselmouth.PraatError as error:
        raise AudioError(f"Praat cannot work on this clip: {str(error).splitlines()[0]}") from None
    # "Change gender" resamples inside and comes back at the rate it worked at
    if round(changed.sampling_frequency) != rate_hz:
        changed = call(changed, "Resample", rate_hz, 50)
    return finish(fit_length(changed.values[0], len(wave)), rate_hz, f"praat-{variant}", like=wave)
