"""Files of which Pillow would read something else than the instrument wrote, or nothing."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from served.micrograph_file import READ, grey_values
from served.picture_file import PNG
from tests.served.graphs import encoded

EIGHT = np.arange(12, dtype=np.uint8).reshape(3, 4)
DIM = EIGHT.astype(np.uint16) * 30 + 300  # as 12 bits often are: 1 and 2 where the lower eight bits are lost
FLOATS = EIGHT / np.float32(4)
OPAQUE = np.full_like(DIM, 65535)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = range(4)
KIND = f"received a TIFF of a kind that is not read here; save it as {READ}"
DAMAGED = "expected a PNG, TIFF or JPEG picture, received one that is damaged"
COLOURS = "expected grey or colours of 8 bits, received colours of 16 bits; save it as 16-bit grey"
WHITE = "expected 0 to be black, received floats in a TIFF that says it is white; save it with 0 as black"
CHANNELS = "expected a grey channel or three colours, received {} channels; send one of them"
TRANSPARENT = "expected a picture without transparency; save it without an alpha channel"
STACK = "expected one picture, received a stack; send one plane of it"


def tiff(values: np.ndarray, photometric: int = BLACK_IS_ZERO, more: dict[int, int] | None = None) -> bytes:
    """A TIFF of one strip (TIFF 6.0, sections 2 and 8). The channels are the third axis, if there is one."""
    order, mark = (">", b"MM") if values.dtype.byteorder == ">" else ("<", b"II")
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = {256: values.shape[1], 257: values.shape[0], 258: 8 * values.itemsize, 259: 1, 262: photometric, 273: 0}
    tags |= {277: values[0, 0].size, 279: values.nbytes, 339: kind} | (more or {})
    tags[273] = 8 + 2 + 12 * len(tags) + 4  # where the strip begins
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    head = mark + struct.pack(order + "HIH", 42, 8, len(tags))
    return head + entries + bytes(4) + values.tobytes()


def png(values: np.ndarray, colours: int, transparent: int | None = None) -> bytes:
    """A PNG of 16 bits (PNG specification, section 11); the channels are the third axis, if there is one."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colours, 0, 0, 0))]
    if transparent is not None:
        chunks.append((b"tRNS", struct.pack(">H", transparent)))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    packed = (struct.pack(">I", len(of)) + name + of + struct.pack(">I", zlib.crc32(name + of)) for name, of in chunks)
    return PNG + b"".join(packed)


def channels(*values: np.ndarray) -> np.ndarray:
    return np.stack(values, axis=2)


def saved(values: np.ndarray, **options: Any) -> bytes:
    return base64.b64decode(encoded(values, format="TIFF", **options))


def chain(directories: int) -> bytes:
    """A TIFF of so many pictures, each a list of tags that begins where the one before ends."""
    one = tiff(EIGHT)[8 : -EIGHT.size - 4]
    ends = (struct.pack("<I", 8 + (at + 1) * (len(one) + 4)) for at in range(directories - 1))
    return b"II*\0\x08\0\0\0" + b"".join(one + end for end in ends) + one + bytes(4)


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (png(DIM, 0), DIM),
        (png(DIM, 0, transparent=65535), DIM),
        (tiff(DIM, WHITE_IS_ZERO), 65535 - DIM),
        (saved(DIM, compression="tiff_lzw", tiffinfo={262: WHITE_IS_ZERO}), 65535 - DIM),
        (tiff(EIGHT, WHITE_IS_ZERO), 255 - EIGHT),
        (tiff(EIGHT.astype(np.int8) - 30), np.arange(-30, -18).reshape(3, 4)),
        (tiff(DIM.astype(">i2") - 1000), DIM.astype(int) - 1000),
        (tiff(DIM.astype(np.uint32) * 2**22), DIM.astype(float) * 2**22),
        (tiff(DIM.astype(np.int32) - 1000), DIM.astype(int) - 1000),
        (saved(DIM, big_tiff=True), DIM),
    ],
    ids=[
        "16 bits, PNG", "16 bits, none transparent", "16 bits, 0 is white", "LZW, 0 is white", "8 bits, 0 is white",
        "int8", "int16", "uint32", "int32", "BigTIFF",
    ],
)  # fmt: skip
def test_values_are_those_that_were_written(data: bytes, values: Any) -> None:
    np.testing.assert_array_equal(grey_values(data), values)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_taken_as_they_are_stored(orientation: int, compression: str) -> None:
    data = saved(DIM, compression=compression, tiffinfo={274: orientation})
    np.testing.assert_array_equal(grey_values(data), DIM)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's word for any tags
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(channels(DIM, DIM, DIM), 2), COLOURS),
        (png(channels(DIM, OPAQUE), 4), COLOURS),
        (png(channels(DIM, DIM, DIM, OPAQUE), 6), COLOURS),
        (tiff(channels(DIM, DIM, DIM), RGB), COLOURS),
        (tiff(channels(DIM, DIM, DIM).astype(">u2"), RGB), COLOURS),
        (tiff(channels(DIM, DIM, DIM, OPAQUE), RGB, {338: 2}), COLOURS),
        (png(DIM, 0, transparent=300), TRANSPARENT),
        (tiff(FLOATS, WHITE_IS_ZERO), WHITE),
        (tiff(channels(EIGHT, EIGHT), more={338: 0}), CHANNELS.format(2)),
        (tiff(channels(EIGHT, EIGHT, EIGHT, EIGHT), RGB, {338: 0}), CHANNELS.format(4)),
        (tiff(FLOATS.astype(np.float64)), KIND),
        (tiff(FLOATS.astype(np.float16)), KIND),
        (tiff(DIM.astype(np.uint64)), KIND),
        (tiff(DIM.astype(">u4")), KIND),
        (tiff(channels(FLOATS, FLOATS, FLOATS), RGB), KIND),
        (tiff(DIM, PALETTE), KIND),
        (struct.pack(">2s3HQQQ", b"MM", 43, 8, 0, 16, 0, 0), KIND),
        (tiff(FLOATS.astype(np.float64))[:100], DAMAGED),
        (tiff(DIM)[:-1], DAMAGED),
        (b"II+\0\x08\0\0\0" + b"\xff" * 60, DAMAGED),
        (chain(2), STACK),
    ],
    ids=[
        "RGB, PNG", "grey and alpha", "RGBA, PNG", "RGB", "RGB, big-endian", "RGBA", "transparent", "0 is white",
        "two channels", "four channels", "float64", "float16", "uint64", "uint32, big-endian", "RGB of floats",
        "palette of 16 bits", "BigTIFF, big-endian", "tags cut off", "pixels cut off", "BigTIFF, noise", "stack",
    ],
)  # fmt: skip
def test_what_would_be_read_wrongly_is_refused_in_a_line(data: bytes, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        grey_values(data)
    assert str(raised.value) == message


def test_a_stack_is_refused_before_its_pictures_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow takes seconds to count 30,000."""
    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.n_frames", property(lambda _: pytest.fail("counted")))
    with pytest.raises(ValueError, match=STACK):
        grey_values(chain(30_000))
