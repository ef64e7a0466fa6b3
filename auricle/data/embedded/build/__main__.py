"""Build the embedded corpus: ``python -m auricle.data.embedded.build --packages DIR [--out FOLDER]``."""

from __future__ import annotations

import argparse
import hashlib
import shutil
from collections import Counter
from pathlib import Path

from auricle.core.errors import DataError
from auricle.core.files import atomic_path, write_json, write_jsonl, write_text
from auricle.data.embedded.build.acted import acted_items
from auricle.data.embedded.build.deb import Package, read_package
from auricle.data.embedded.build.items import Item
from auricle.data.embedded.build.licences import licence_files
from auricle.data.embedded.build.music import music_items
from auricle.data.embedded.build.prompts import prompt_items
from auricle.data.embedded.build.sounds import sound_items
from auricle.data.embedded.build.sources import PACKAGES

CORPUS = Path(__file__).resolve().parent.parent
MAX_BYTES = 32 * 10**6
_HRTF = "usr/share/libmysofa/MIT_KEMAR_normal_pinna.sofa"


def all_items(packages: dict[str, Package]) -> list[Item]:
    """Give every clip of the corpus, by kind and id.

    Raises:
        DataError: two clips have one id, or the clips are larger than the corpus may be.
    """
    items = [
        *prompt_items(packages),
        *acted_items(packages),
        *sound_items(packages),
        *music_items(packages),
    ]
    double = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if double:
        raise DataError(f"clips with the same id: {', '.join(double[:5])}")
    total = sum(len(item.data) for item in items)
    if total > MAX_BYTES:
        raise DataError(f"the clips have {total / 1e6:.1f} MB; the corpus may have {MAX_BYTES / 1e6:.0f} MB")
    return sorted(items, key=lambda item: (item.kind, item.id))


def _write_bytes(path: Path, data: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def build(packages_folder: Path, out: Path) -> list[Item]:
    """Write clips, ``clips.jsonl``, the HRTF set and the licence texts; older clips are removed first.

    Args:
        packages_folder: where the Debian packages lie.
        out: the corpus folder.

    Returns:
        The clips.

    Raises:
        DataError: a package is missing or not the expected one, or the selection does not hold.
    """
    packages = {name: read_package(packages_folder / source.deb, source.sha256) for name, source in PACKAGES.items()}
    items = all_items(packages)
    texts = licence_files(packages)
    for folder in ("speech", "sound", "music", "hrtf", "LICENSES"):
        shutil.rmtree(out / folder, ignore_errors=True)
    for item in items:
        path = out / item.path()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.data)
    write_jsonl(out / "clips.jsonl", (item.row() for item in items))
    sofa = packages["libmysofa1"].read(_HRTF)
    _write_bytes(out / "hrtf" / "MIT_KEMAR_normal_pinna.sofa", sofa)
    write_json(
        out / "hrtf" / "hrtf.json",
        {
            "path": "hrtf/MIT_KEMAR_normal_pinna.sofa",
            "package": "libmysofa1",
            "version": packages["libmysofa1"].version,
            "source_path": _HRTF,
            "author": "Bill Gardner and Keith Martin, MIT Media Lab Machine Listening Group, 1994",
            "licence": "LicenseRef-MIT-KEMAR",
            "changes": "none",
            "sha256": hashlib.sha256(sofa).hexdigest(),
        },
    )
    for name, text in texts.items():
        write_text(out / "LICENSES" / name, text)
    return items


def main() -> None:
    """Build the corpus and say what it holds."""
    parser = argparse.ArgumentParser(description="Build the embedded corpus from Debian packages.")
    parser.add_argument("--packages", type=Path, required=True, help="folder with the Debian packages")
    parser.add_argument("--out", type=Path, default=CORPUS, help="corpus folder (default: the one in the package)")
    arguments = parser.parse_args()
    items = build(arguments.packages, arguments.out)
    for kind in ("speech", "sound", "music"):
        clips = [item for item in items if item.kind == kind]
        print(f"{kind}: {len(clips)} clips, {sum(len(item.data) for item in clips) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
