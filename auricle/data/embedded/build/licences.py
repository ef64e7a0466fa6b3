"""The licence texts beside the corpus, copied from the packages that carry them."""

from __future__ import annotations

import gzip
import textwrap

from auricle.core.errors import DataError
from auricle.data.embedded.build.copyrights import licence_text
from auricle.data.embedded.build.deb import Package
from auricle.data.embedded.build.names import GAME

# file stem: package whose copyright file has the text, and the licence's name in it
_TEXTS = {
    "CC-BY-SA-3.0": ("sound-theme-freedesktop", "CC-BY-SA-3.0"),
    "CC-BY-3.0": ("sound-theme-freedesktop", "CC-BY-3.0"),
    "CC-BY-SA-4.0": ("gcompris-qt-data", "CC-BY-SA-4.0"),
    "CC0-1.0": ("sonic-pi-samples", "CC0"),
    "MIT": ("sonic-pi-samples", "MIT"),
    "LicenseRef-PublicDomain": ("ufoai-sound", "public-domain"),
    "LicenseRef-MIT-KEMAR": ("libmysofa1", "mit-kemar"),
    "LicenseRef-CC-BY-SA-3.0-IT": ("asterisk-prompt-it-menardi-wav", "CC-SA-BY-3.0"),
}
_ITALIAN = "asterisk-prompt-it-menardi-wav"
_ARMELLE = "asterisk-prompt-fr-armelle"


def _between(text: str, start: str, end: str) -> str:
    if start not in text or end not in text:
        raise DataError(f"the copyright file has no passage from {start!r} to {end!r}: another version of the package")
    return text[text.index(start) : text.index(end)].rstrip()


def _unmarked(text: str) -> str:
    lines = [line.strip() for line in textwrap.dedent(text).splitlines()]
    return "\n".join("" if line == "." else line for line in lines).strip()


def licence_files(packages: dict[str, Package]) -> dict[str, str]:
    """Give the text of each licence of the corpus by file name.

    Args:
        packages: the packages by name.

    Raises:
        DataError: a package does not carry the text that is expected of it.
    """
    files = {}
    for stem, (package, name) in _TEXTS.items():
        text = licence_text(packages[package].copyright_text(), name)
        if not text:
            raise DataError(f"the copyright file of {package} has no text for the licence {name}")
        files[stem] = text
    # the author's own condition (visible credit and address) stands in a comment before the licence
    notice = _between(packages[_ITALIAN].copyright_text(), "Copyright:", "Files: debian/*")
    files["LicenseRef-CC-BY-SA-3.0-IT"] = _unmarked(notice) + "\n\n" + files["LicenseRef-CC-BY-SA-3.0-IT"]
    files["LicenseRef-Armelle"] = _between(
        packages[_ARMELLE].copyright_text(), "It was downloaded from", "The Debian packaging"
    )
    readme = gzip.decompress(packages[GAME].read(f"usr/share/doc/{GAME}/readme.txt.gz"))
    files["LicenseRef-FOTAQ"] = readme.decode("latin-1").replace("\r\n", "\n").rstrip()
    kemar = _between(packages["libmysofa1"].copyright_text(), "Copyright: 1994, Bill Gardner", "License: mit-kemar")
    files["LicenseRef-MIT-KEMAR"] = _unmarked(kemar) + "\n\n" + files["LicenseRef-MIT-KEMAR"]
    return {f"{stem}.txt": text + "\n" for stem, text in sorted(files.items())}
