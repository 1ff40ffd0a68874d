"""Detect a file's type from its first bytes, and an image's size from its header, without a library."""

import struct
import zlib
from dataclasses import dataclass

from swarmchat.swarm.errors import ImageError

ACCEPTED = "PNG, JPEG, GIF or WebP"
"""The kinds of images that the chat API takes (https://platform.openai.com/docs/guides/images-vision)."""

_PNG = b"\x89PNG\r\n\x1a\n"
_NO_SIZE_MARKS = (0xC4, 0xC8, 0xCC)
"""Segments of a JPEG among those of the frame headers that are none."""
_OTHERS = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"BM": "a BMP image",
    b"II*\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
    b"\x1f\x8b": "a gzip archive",
    b"ID3": "an audio file",
    b"OggS": "an audio or video file",
    b"fLaC": "an audio file",
    b"\x1aE\xdf\xa3": "a video file",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"SQLite format 3\x00": "a SQLite database",
}
_BRANDS = {b"heic": "a HEIC image", b"heix": "a HEIC image", b"mif1": "a HEIC image", b"avif": "an AVIF image"}


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of an image says. ``type`` is its media type; ``animated``: it has several frames."""

    type: str
    width: int
    height: int
    animated: bool = False


def is_image(data: bytes) -> bool:
    """Whether ``data`` begins as an image of a kind that is accepted."""
    riff = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return data.startswith((_PNG, b"\xff\xd8\xff", b"GIF87a", b"GIF89a")) or riff


def read_header(data: bytes) -> Header:
    """Return the header of an image. Raises ImageError if it is of no kind that is accepted, cut off or damaged."""
    if not is_image(data):
        raise ImageError(f"it is {kind_of(data) or 'no image'}, expected {ACCEPTED}")
    try:
        if data.startswith(_PNG):
            header = _png(data)
        elif data.startswith(b"GIF"):
            header = _gif(data)
        else:
            header = _jpeg(data) if data.startswith(b"\xff\xd8") else _webp(data)
    except (struct.error, IndexError):
        raise _damaged("it is cut off") from None
    if not header.width or not header.height:
        raise _damaged("its header contains no size")
    return header


def kind_of(data: bytes) -> str | None:
    """Return the type of a file that is neither text nor an accepted image, for errors; ``None`` if unknown."""
    if data[:4] == b"RIFF":
        return "an audio or video file"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "an audio or video file")
    return next((kind for start, kind in _OTHERS.items() if data.startswith(start)), None)


def _damaged(why: str) -> ImageError:
    return ImageError(f"the image is damaged: {why}; open and save it again")


def _png(data: bytes) -> Header:
    """Read a PNG, chunk by chunk (https://www.w3.org/TR/png-3/)."""
    position, animated, kind = len(_PNG), False, b""
    width = height = 0
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, position)
        (expected,) = struct.unpack_from(">I", data, position + 8 + length)
        if zlib.crc32(data[position + 4 : position + 8 + length]) != expected:
            raise _damaged(f"the checksum of its part {kind.decode('ascii', 'replace')} is wrong")
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", data, position + 8)
        animated = animated or kind == b"acTL"
        position += 12 + length
    return Header("image/png", width, height, animated)


def _gif(data: bytes) -> Header:
    """Read a GIF, block by block (https://www.w3.org/Graphics/GIF/spec-gif89a.txt)."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position, frames = 13 + _colours(flags), 0
    while (mark := data[position]) != 0x3B:
        if mark == 0x2C:
            frames += 1
            position += 11 + _colours(data[position + 9])
        elif mark == 0x21:
            position += 2
        else:
            raise _damaged(f"a block begins with 0x{mark:02x}")
        while length := data[position]:
            position += 1 + length
        position += 1
    return Header("image/gif", width, height, frames > 1)


def _colours(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _jpeg(data: bytes) -> Header:
    """Read a JPEG up to the header of its frame (https://www.w3.org/Graphics/JPEG/itu-t81.pdf)."""
    position = 2
    while True:
        if data[position] != 0xFF:
            raise _damaged("a segment has no marker")
        mark = data[position + 1]
        if mark == 0xFF:
            position += 1
            continue
        if 0xC0 <= mark <= 0xCF and mark not in _NO_SIZE_MARKS:
            height, width = struct.unpack_from(">HH", data, position + 5)
            break
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]
    if data.rfind(b"\xff\xd9") < position:
        raise _damaged("it is cut off")
    return Header("image/jpeg", width, height)


def _webp(data: bytes) -> Header:
    """Read a WebP (https://developers.google.com/speed/webp/docs/riff_container)."""
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise _damaged("it is cut off")
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return Header("image/webp", width, height, bool(data[20] & 2))
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return Header("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 ":
        width, height = (each & 0x3FFF for each in struct.unpack_from("<HH", data, 26))
        return Header("image/webp", width, height)
    raise _damaged("it contains no picture")
