"""Names that the measuring of voices and the building of clips share; light, without torch."""

from __future__ import annotations

from pathlib import Path

VOICES_JSON = Path(__file__).with_name("voices.json")
GAME = "flight-of-the-amazon-queen"
GAME_FILE = "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"
MIN_S, MAX_S = 1.2, 8.0  # seconds that a spoken line may have
