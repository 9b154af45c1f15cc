"""What a PNG or JPEG file is made of. A decoder is given only what the pixels need."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator

from PIL import Image

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
SCAN, END = b"\xff\xda", b"\xff\xd9"  # of a JPEG
# Within a scan 0xFF is followed by 0 or a restart marker, before a marker by itself too (ITU T.81, section B.1.1).
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
# Tables, frames, scans, and JFIF's and Adobe's notes of which colours they are.
SEGMENTS = {bytes([kind]) for kind in (*range(0xC0, 0xD0), *range(0xD9, 0xDE), 0xE0, 0xEE)}
CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
MOST_PIECES = 50_000  # a PNG of 100 MB in the usual chunks of 8 kB has 12,000
MOST_SCANS = 100  # of a JPEG; encoders write about ten, and each is a pass over the whole picture
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def bare(data: bytes) -> tuple[bytes, bytes]:
    """A PNG or JPEG file without what its pixels do not need, and its Exif data, empty where there is none.

    Comments, profiles, previews and further pictures may be broken where the picture is not, and may take Pillow
    minutes: it inflates every profile, of which 10 MB can hold 10,000.

    Raises:
        ValueError: It is in too many pieces, each of which takes its time.
    """
    is_png = data.startswith(PNG)
    needed, exif_at = (CHUNKS, 8) if is_png else (SEGMENTS, 10)
    kept, exif = [PNG if is_png else JPEG], b""
    for count, (kind, piece) in enumerate(_chunks(data) if is_png else _segments(data)):
        if count == MOST_PIECES:
            raise ValueError(f"expected at most {MOST_PIECES} chunks or segments")
        if kind in needed:
            kept.append(piece)
        elif not exif and piece[4:].startswith((b"eXIf", b"Exif\0\0")):
            exif = piece[exif_at:]
    return b"".join(kept), exif


def ended(file: bytes) -> bool:
    """Whether a file that `bare` gave has its end."""
    return file.endswith(END) if file.startswith(JPEG) else file[-8:-4] == b"IEND"


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and whole of each chunk, the last of which may be cut off (PNG specification, section 5.3)."""
    at, kind = len(PNG), b""
    while len(png) - at >= 8 and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", png, at)
        yield kind, png[at : at + 12 + length]
        at += 12 + length


def _segments(jpeg: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Marker and whole of each segment, a scan with its pixels (ITU T.81, section B.1.1)."""
    at, kind = len(JPEG), b""
    while kind != END[1:] and (found := MARKER.search(jpeg, at)):
        kind, at = found[1], found.end()
        if kind not in (b"\x01", JPEG[1:], END[1:]):  # these stand alone; the others say how long they are
            at += int.from_bytes(jpeg[at : at + 2], "big")
        if kind == SCAN[1:]:
            following = MARKER.search(jpeg, at)
            at = following.start() if following else len(jpeg)
        yield kind, jpeg[found.start() : at]


def upright(image: Image.Image, exif: bytes) -> Image.Image:
    """As the camera was held, where the Exif data say it (Exif 2.32, sections 4.5 and 4.6.4).

    Pillow would read all other notes too, warn of each that is broken, and write them anew.
    """
    order = ">" if exif.startswith(b"MM") else "<"
    with contextlib.suppress(struct.error):  # a broken note; the picture may be good
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if tag == 0x0112:
                return image.transpose(TURNS[value]) if value in TURNS else image
    return image
