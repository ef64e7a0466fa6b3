"""A little music: stretches of the hold music for Asterisk, and free drum and guitar loops."""

from __future__ import annotations

from auricle.core.errors import DataError
from auricle.data.embedded.build.copyrights import licence_of, stanzas
from auricle.data.embedded.build.deb import Package
from auricle.data.embedded.build.items import G722_BYTES_PER_S, Item
from auricle.data.embedded.build.sounds import spdx
from auricle.data.embedded.build.sources import MUSIC

_FOLDER = "usr/share/asterisk/moh/"
_STRETCH_S = 10
_STRETCHES = 4  # per track
_LOOPS = ("loop_amen", "loop_breakbeat", "loop_tabla")
_LOOP_FOLDER = "usr/share/sonic-pi/samples/"


def music_items(packages: dict[str, Package]) -> list[Item]:
    """Give ten-second stretches of each hold-music track, cut between bytes of its G.722 stream, and the loops.

    G.722 adapts as it goes and a byte is two samples, so a cut is exact to 0.125 ms and costs the decoder a few
    milliseconds to settle. The stretches lie evenly between 5 % and 85 % of the track.

    Args:
        packages: the packages by name.

    Raises:
        DataError: a track or loop whose author or licence is not known.
    """
    return _stretches(packages["asterisk-moh-opsound-g722"]) + _loops(packages["sonic-pi-samples"])


def _stretches(package: Package) -> list[Item]:
    items = []
    for path in package.under(_FOLDER, ".g722"):
        name = path[len(_FOLDER) : -len(".g722")]
        credit = next((value for key, value in MUSIC.items() if name.startswith(key)), None)
        if credit is None:
            raise DataError(f"{package.name}: no author is known for {path}")
        data = package.files[path]
        for index in range(_STRETCHES):
            start_s = int(len(data) / G722_BYTES_PER_S * (0.05 + 0.8 * index / (_STRETCHES - 1)))
            start = start_s * G722_BYTES_PER_S
            end_s = start_s + _STRETCH_S
            title = name.split("-")[-1].replace("_", " ")
            items.append(
                Item(
                    id=f"{name.replace('_', '-')}-{index + 1}",
                    kind="music",
                    suffix=".g722",
                    data=data[start : start + _STRETCH_S * G722_BYTES_PER_S],
                    package=package.name,
                    version=package.version,
                    source_path=path,
                    author=credit.author,
                    licence=credit.licence,
                    changes=f"cut from {start_s} s to {end_s} s at byte boundaries of the G.722 stream, not recoded",
                    extra={"label": "track", "detail": title},
                )
            )
    return items


def _loops(package: Package) -> list[Item]:
    found = stanzas(package.copyright_text())
    items = []
    for name in _LOOPS:
        stanza = licence_of(f"etc/samples/{name}.flac", found)
        licence = spdx(stanza.licence) if stanza else None
        if stanza is None or licence is None:
            raise DataError(f"{package.name}: {name}.flac is not under a licence that the corpus takes")
        path = f"{_LOOP_FOLDER}{name}.flac"
        items.append(
            Item(
                id=name.replace("_", "-"),
                kind="music",
                suffix=".flac",
                data=package.read(path),
                package=package.name,
                version=package.version,
                source_path=path,
                author=stanza.authors,
                licence=licence,
                changes="renamed, bytes unchanged",
                extra={"label": "loop", "detail": name.split("_", 1)[1].replace("_", " ")},
            )
        )
    return items
