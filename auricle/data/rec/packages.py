"""The Debian packages of the corpus, with the credit of those whose copyright file is not machine-readable."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A package: its name, the recipe that reads it, and author and licence where they hold for all of it."""

    package: str
    recipe: str
    author: str = ""
    licence: str = ""
    helps: tuple[str, ...] = ()  # packages that must be unpacked too, such as the one with the words


_FISH = "ALTAR interactive, Ivo Danihelka, Pavel Danihelka and others, http://fillets.sourceforge.net"

PROFILES: dict[str, tuple[Source, ...]] = {
    "rec": (
        Source("asterisk-core-sounds-en-g722", "prompts"),
        Source("asterisk-core-sounds-es-g722", "prompts"),
        Source("asterisk-core-sounds-fr-g722", "prompts"),
        Source("asterisk-core-sounds-it-g722", "prompts"),
        Source("asterisk-core-sounds-ru-g722", "prompts"),
        Source("asterisk-prompt-it-menardi-wav", "prompts"),
        Source("asterisk-prompt-fr-armelle", "prompts"),
        Source("asterisk-prompt-es-co", "prompts"),
        Source("flight-of-the-amazon-queen", "acted"),
        Source("tuxpaint-stamps-default", "stamps", "Bill Kendrick and the volunteers of Tux Paint", "GPL-2.0-only"),
        Source("fillets-ng-data", "fish", _FISH, "GPL-2.0-only"),
        Source("fillets-ng-data-cs", "fish", _FISH, "GPL-2.0-only", ("fillets-ng-data",)),
        Source("klettres-data", "letters", "Anne-Marie Mahfouf and the translators of KDE", "GPL-2.0-or-later"),
        Source("asterisk-moh-opsound-g722", "music"),
        Source("minetest-data", "effects"),
        Source("ufoai-sound", "effects"),
        Source("gcompris-qt-data", "effects"),
        Source("sonic-pi-samples", "effects"),
        Source("sound-theme-freedesktop", "effects"),
        Source("oxygen-sounds", "named", "Nuno Filipe Povoa", "LGPL-3.0-or-later"),
        Source("lincity-ng-data", "named"),
        Source("lomiri-sounds", "named"),
        Source("bucklespring-data", "named", "Ico Doornekampt", "GPL-2.0-or-later"),
    ),
}
