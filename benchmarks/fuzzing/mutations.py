"""Damage: to bytes, to JSON, to the tags of a TIFF, to the chunks of a PNG."""

from __future__ import annotations

import copy
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

INTERESTING_BYTES = (
    *(b"\0", b"\xff", b"\x7f", b"\x80", b"\n", b'"', b",", b"{", b"[", b"\xed\xa0\x80"),
)
WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, -(2**31), 2**63, 10**400, 0.5, -0.0, 1e308, -1e308),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "\0", "\ud800", "a\udfffb", "ü" * 300),
    *("1e999", "nan", "9" * 5000, "../../etc/passwd", "a\nb", [], {}, [[]], [{}], {"": {}}),
)
"""Values that stand where another was meant."""
PNG_CHUNKS = (b"PLTE", b"tRNS", b"pHYs", b"eXIf", b"iCCP", b"acTL", b"zTXt", b"IEND")
TIFF_TYPES = range(19)
"""Of fields, with some that there are not."""


def damaged_bytes(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, fill, repeat and swap pieces, a few times."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) + 1)
        length = rng.choice((1, 2, 4, 8, 64))
        match rng.randrange(7):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at : at + length]
            case 2:
                del changed[at:]
            case 3:
                changed[at:at] = rng.choice(INTERESTING_BYTES) * length
            case 4:
                width = rng.choice(tuple(WIDTHS))
                most = 256**width
                value = rng.choice((0, 1, most - 1, most // 2, rng.randrange(most)))
                order = rng.choice("<>")
                changed[at : at + width] = struct.pack(order + WIDTHS[width], value)
            case 5:
                changed[at:at] = changed[at : at + length]
            case _:
                other = rng.randrange(len(changed) + 1)
                changed[at : at + length] = changed[other : other + length]
    return bytes(changed)


def damaged_value(rng: random.Random, value: Any) -> Any:
    """JSON with another value at some places, a key that is gone, or one that is there twice."""
    changed = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        places = list(_places(changed))
        if not places:
            return rng.choice(NASTY)
        holder, key = rng.choice(places)
        match rng.randrange(8):
            case 0:
                del holder[key]
            case 1:
                other, its = rng.choice(places)
                holder[key] = copy.deepcopy(other[its])
            case 2:
                holder[key] = [holder[key]]
            case 3 if isinstance(holder[key], list) and holder[key]:
                holder[key] = holder[key] * 2
            case 4 if isinstance(holder[key], int | float):
                holder[key] = holder[key] * rng.choice((-1, 1e6, 1e300, 0))
            case _:
                holder[key] = copy.deepcopy(rng.choice(NASTY))
    return changed


def json_text(rng: random.Random, value: Any) -> bytes:
    """As JSON, which may also be cut off, in another encoding, or deep."""
    text = json.dumps(value)
    match rng.randrange(24):
        case 0:
            depth = rng.choice((50, 500, 5_000, 200_000))
            text = text.replace("[", "[" * depth, 1)
        case 1:
            depth = rng.choice((500, 5_000, 100_000))
            text = '{"a":' * depth + text + "}" * depth
        case 2:
            depth = rng.choice((500, 5_000, 100_000))
            text = text.replace("[", "[" * depth + "]" * depth + ",[", 1)
        case 3:
            return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7")))
        case 4:
            return damaged_bytes(rng, text.encode())
    return text.encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place that holds something: what it is in, and its key there."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = one if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            found.append((one, key))
            waiting.append(one[key])
    return found


def damaged_tiff(rng: random.Random, data: bytes) -> bytes:
    """Change fields of a little-endian TIFF's first directory: tag, type, count or value."""
    changed = bytearray(data)
    (start,) = struct.unpack_from("<I", changed, 4)
    (count,) = struct.unpack_from("<H", changed, start)
    for _ in range(rng.choice((1, 1, 2, 3))):
        field = start + 2 + 12 * rng.randrange(count)
        number = rng.choice((0, 1, 2, 3, 255, 65535, 2**31, 2**32 - 1, rng.randrange(2**32)))
        match rng.randrange(5):
            case 0:
                struct.pack_into("<H", changed, field, rng.choice((*range(254, 350), 34665, 0)))
            case 1:
                struct.pack_into("<H", changed, field + 2, rng.choice(TIFF_TYPES))
            case 2:
                struct.pack_into("<I", changed, field + 4, number)
            case _:
                struct.pack_into("<I", changed, field + 8, number)
    return bytes(changed) if rng.random() < 0.8 else damaged_bytes(rng, bytes(changed))


def damaged_png(rng: random.Random, data: bytes) -> bytes:
    """Change a chunk of a PNG and make its checksum right again."""
    chunks: list[tuple[bytes, bytes]] = []
    at = 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    index = rng.choice((0, rng.randrange(len(chunks))))
    kind, body = chunks[index]
    match rng.randrange(4):
        case 0 if kind == b"IHDR":
            size = rng.choice((0, 1, 2**16, 2**31 - 1, 2**32 - 1, rng.randrange(20_000)))
            offset = rng.choice((0, 4))
            body = body[:offset] + struct.pack(">I", size) + body[offset + 4 :]
        case 1:
            kind = rng.choice(PNG_CHUNKS)
        case 2:
            chunks.insert(index, chunks[index])
        case _:
            body = damaged_bytes(rng, body)
    chunks[index] = (kind, body)
    whole = data[:8]
    for kind, body in chunks:
        whole += struct.pack(">I", len(body)) + kind + body
        whole += struct.pack(">I", zlib.crc32(kind + body))
    return whole
