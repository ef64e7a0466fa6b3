"""Tiny ONNX files, written field by field: the tests need no package that writes them."""

import struct


def _field(number, value):
    """One protobuf field: an integer, a text, bytes, or a nested message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value):
    out = bytearray()
    while True:
        out.append((value & 0x7F) | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def message(*fields):
    return b"".join(_field(number, value) for number, value in fields)


def port(name, shape, kind=1):
    """An input or output; a text in `shape` is a free size."""
    dims = b"".join(_field(1, message((2, size) if isinstance(size, str) else (1, size))) for size in shape)
    return message((1, name), (2, message((1, message((1, kind), (2, dims))))))


def constant(name, shape, values, kind=1):
    raw = struct.pack(f"<{len(values)}{'f' if kind == 1 else 'q'}", *values)
    return message(*((1, size) for size in shape), (2, kind), (8, name), (9, raw))


def node(kind, inputs, output, **integers):
    """An operation; attributes are integers or lists of them."""
    attributes = [
        message((1, name), (20, 7), *((8, one) for one in value))
        if isinstance(value, list)
        else message((1, name), (20, 2), (3, value))
        for name, value in integers.items()
    ]
    return message(*((1, name) for name in inputs), (2, output), (4, kind), *((5, one) for one in attributes))


def model(nodes, inputs, outputs, constants=()):
    graph = message(
        *((1, one) for one in nodes),
        (2, "graph"),
        *((5, one) for one in constants),
        *((11, one) for one in inputs),
        *((12, one) for one in outputs),
    )
    return message((1, 8), (7, graph), (8, message((1, ""), (2, 13))))
