"""Qt resource files (``.rcc``): a tree of folders whose leaves are files, some of them compressed.

The header is the mark ``qres`` and three or four 32-bit numbers, big-endian: format version, then the
offsets of tree, data and names. A tree node has a name offset and 16-bit flags (1 zlib, 2 folder,
4 zstandard); a folder then has a child count and the index of the first child, a file a country, a
language and a data offset. Layout as Qt's own resource reader documents it in ``qresource.cpp``.
"""

from __future__ import annotations

import struct
import zlib

from auricle.core.errors import DataError

_ZLIB, _FOLDER, _ZSTD = 1, 2, 4


def rcc_files(data: bytes, suffixes: tuple[str, ...]) -> dict[str, bytes]:
    """Read the files of a ``.rcc`` whose names end in one of `suffixes`.

    Args:
        data: the whole resource file.
        suffixes: such as ``(".wav", ".ogg")``.

    Returns:
        Content by path, without a leading slash.

    Raises:
        DataError: not a Qt resource file, or a wanted file is packed with zstandard.
    """
    if data[:4] != b"qres":
        raise DataError("not a Qt resource file: expected the mark 'qres' at the start")
    version, tree, blobs, names = struct.unpack_from(">4I", data, 4)
    node_bytes = 14 if version < 2 else 22  # from version 2 on a node also has a time of 8 bytes
    found: dict[str, bytes] = {}
    stack = [(0, "")]
    while stack:
        index, parent = stack.pop()
        at = tree + index * node_bytes
        name_offset, flags = struct.unpack_from(">IH", data, at)
        path = parent
        if index:
            (length,) = struct.unpack_from(">H", data, names + name_offset)
            start = names + name_offset + 6  # the length and a hash come first
            name = data[start : start + 2 * length].decode("utf-16-be")
            path = f"{parent}/{name}" if parent else name
        if flags & _FOLDER:
            count, first = struct.unpack_from(">II", data, at + 6)
            stack += [(child, path) for child in range(first, first + count)]
        elif path.endswith(suffixes):
            (offset,) = struct.unpack_from(">I", data, at + 10)
            (size,) = struct.unpack_from(">I", data, blobs + offset)
            content = data[blobs + offset + 4 : blobs + offset + 4 + size]
            if flags & _ZSTD:
                raise DataError(f"{path} inside the Qt resource file is packed with zstandard, which is not read here")
            # qCompress puts the unpacked size, four bytes, before the zlib stream
            found[path] = zlib.decompress(content[4:]) if flags & _ZLIB else content
    return found
