"""Sound effects and music of the large corpus; labels follow from file names, credits from the packages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from auricle.core.errors import DataError
from auricle.data.embedded.build.copyrights import SPDX, Stanza, licence_of, stanzas
from auricle.data.embedded.build.deb import Package
from auricle.data.embedded.build.sounds import match_rule, sound_files
from auricle.data.embedded.build.sources import MUSIC, minetest_credit
from auricle.data.rec.packages import Source
from auricle.data.rec.recording import Recording, slug

_DEBIAN_SPDX = {
    **SPDX,
    "GPL-2": "GPL-2.0-only",
    "GPL-2+": "GPL-2.0-or-later",
    "GPL-3": "GPL-3.0-only",
    "GPL-3+": "GPL-3.0-or-later",
    "LGPL-2.1+": "LGPL-2.1-or-later",
    "LGPL-3.0-or-later": "LGPL-3.0-or-later",
    "zlib": "Zlib",
    "Zlib": "Zlib",
    "CC-BY-1.0": "CC-BY-1.0",
    "CC-BY-2.0": "CC-BY-2.0",
    "CC-BY-SA-2.0": "CC-BY-SA-2.0",
    "CC-BY-SA-2.5": "CC-BY-SA-2.5",
    "ISC": "ISC",
    "Apache-2.0": "Apache-2.0",
}
_MOH = "usr/share/asterisk/moh/"
# package: folder of its sounds, and how that folder is called in the source package
_NAMED = {
    "oxygen-sounds": ("usr/share/sounds/", "sounds/"),
    "lincity-ng-data": ("usr/share/games/lincity-ng/", "data/"),
    "lomiri-sounds": ("usr/share/sounds/", "share/sounds/"),
    "bucklespring-data": ("usr/share/", ""),
}
# gcompris: folder in the resources, kind, label; None for the instrument or animal that the file is named after
_GCOMPRIS = (
    ("instruments/resource/", "music", "instrument"),
    ("explore_world_music/", "music", "track"),
    ("explore_farm_animals/", "sound", "animal"),
)


def spdx(name: str) -> str:
    """Give the SPDX expression of a licence as Debian writes it; a ``LicenseRef-Debian-`` where SPDX has no name."""
    parts = re.split(r"\s+(and|or)\s+", name.replace(",", " "))
    known = [
        part.upper() if part in ("and", "or") else _DEBIAN_SPDX.get(part, f"LicenseRef-Debian-{slug(part)}")
        for part in parts
    ]
    return " ".join(known)


def _credit(found: list[Stanza], path: str) -> tuple[str, str]:
    """Give author and licence; empty where the copyright file does not speak of the file, which is then left out."""
    stanza = licence_of(path, found)
    return (stanza.authors, spdx(stanza.licence)) if stanza else ("", "")


def effect_recordings(source: Source, package: Package, helps: dict[str, Package]) -> Iterator[Recording]:
    """Yield all sounds of a package that the embedded corpus knows, with the labels of its rules where one holds."""
    found = stanzas(package.copyright_text())
    for file in sound_files(package, (".wav", ".ogg")):
        suffix = "." + file.source_path.rsplit(".", 1)[-1].replace("oga", "ogg")
        own = minetest_credit(file.name) if package.name == "minetest-data" else None
        author, licence = (own.author, own.licence) if own else _credit(found, file.licence_path)
        kind, extra = _what(package.name, file.name, file.source_path)
        inner = file.source_path.partition("!")[2] or file.source_path.removeprefix("usr/share/")
        name = slug(package.name, inner.rsplit(".", 1)[0].replace("/", "-"))
        load = partial(_same, file.data)
        yield Recording(name, kind, file.source_path, suffix, load, author, licence, extra)


def _same(data: bytes) -> bytes:
    return data


def _what(package: str, name: str, path: str) -> tuple[str, dict[str, str]]:
    plain = name.rsplit("/", 1)[-1].replace("_", " ").replace("-", " ")
    match = match_rule(package, name)
    if match:
        return "sound", {"label": match[0], "detail": match[1]}
    if package == "sonic-pi-samples" and name.startswith("loop_"):
        return "music", {"label": "loop", "detail": plain.removeprefix("loop ")}
    if package == "gcompris-qt-data":
        for folder, kind, label in _GCOMPRIS:
            if folder in path:
                return kind, {"label": label, "detail": plain}
    return "sound", {"detail": plain}


def named_recordings(source: Source, package: Package, helps: dict[str, Package]) -> Iterator[Recording]:
    """Yield sounds whose file name says what they are: notifications, ringtones, key presses, a city."""
    folder, original = _NAMED[package.name]
    found = [] if source.author else stanzas(package.copyright_text())
    for path in sorted(path for path in package.files if path.startswith(folder) and path.endswith((".ogg", ".wav"))):
        stem, suffix = path[len(folder) :].rsplit(".", 1)
        kind, extra = _named(package.name, stem)
        if source.author:
            author, licence = source.author, source.licence
        else:
            author, licence = _credit(found, f"{original}{stem}.{suffix}")
        # a title in letters that an id does not have must not meet another one
        name = slug(package.name, stem.replace("/", "-"))
        yield Recording(name, kind, path, f".{suffix}", partial(package.read, path), author, licence, extra)


def _named(package: str, stem: str) -> tuple[str, dict[str, str]]:
    file = stem.rsplit("/", 1)[-1]
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])|[_-]+", " ", re.sub(r"\d+$", "", file)).strip().lower()
    if package == "bucklespring-data":
        return "sound", {"label": "key_press", "detail": file}
    if package == "lincity-ng-data":
        return ("music", {"label": "track", "detail": file}) if "music/" in stem else ("sound", {"detail": plain})
    if "/ringtones/" in stem:
        return "music", {"label": "ringtone", "detail": plain}
    if "/camera/" in stem:
        return "sound", {"label": "camera_shutter", "detail": plain}
    return "sound", {"label": "notification", "detail": plain}


def music_recordings(source: Source, package: Package, helps: dict[str, Package]) -> Iterator[Recording]:
    """Yield the hold music of Asterisk, whole."""
    for path in package.under(_MOH, ".g722"):
        name = path[len(_MOH) : -len(".g722")]
        credit = next((value for key, value in MUSIC.items() if name.startswith(key)), None)
        if credit is None:
            raise DataError(f"{package.name} {package.version}: no author is known for {path}")
        extra = {"label": "track", "detail": name.split("-")[-1].replace("_", " ")}
        load = partial(package.read, path)
        yield Recording(slug("moh", name), "music", path, ".g722", load, credit.author, credit.licence, extra)
