"""Speaker verifiers behind one small protocol.

What the two with weights in a package do on the embedded corpus, measured with `load_verifier` as it is here: 300 clips
of at least 2 s (20 from each of the 15 speaker groups that have such clips, seed 0), every pair a trial (2,850 of one
group, 42,000 of two); in brackets the 95 % interval over claimed speakers.

- ``ge2e``: EER 9.0 % [5.9, 12.0]; against impostors of the same language alone 12.9 %.
- ``voicefilter``: EER 8.9 % [5.0, 12.8]; against impostors of the same language alone 13.3 %. Its front end was chosen
  among four on nearly these clips (floor of the logarithm 1e-10 or 1e-6, with or without trimming and levelling: 13.2,
  11.6, 11.8, 8.8 %), so its figure is the more flattering one of the two.

Nine of the groups are actors of one game, at 11 kHz, the others telephone prompts at 8 or 16 kHz: a hard corpus.
"""

from auricle.backbones.speaker.load import NAMES, load_verifier
from auricle.backbones.speaker.verifier import Verifier

__all__ = ["NAMES", "Verifier", "load_verifier"]
