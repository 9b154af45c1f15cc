"""Grey pictures as microscopes make them, and what is none."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from forms.item import ItemError
from forms.items.micrograph import SHOWN_SIDE, Micrograph, written
from forms.pictures import BOMB_SIDE, PNG_WORK, black
from served.micrograph_file import MOST_PIXELS, grey_values
from tests.served.graphs import encoded

EIGHT = np.arange(256, dtype=np.uint8).reshape(8, 32)
SIXTEEN = (EIGHT.astype(np.uint16) * 257)[::-1].copy()
NOISE = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)  # does not get smaller when it is packed
FLOATS = np.linspace(-3.5, 1e6, 256, dtype=np.float32).reshape(8, 32)
ANY = (None, None)


def file(picture: np.ndarray | Image.Image, **options: Any) -> bytes:
    return base64.b64decode(encoded(picture, **options))


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (file(EIGHT), EIGHT),
        (file(EIGHT, format="TIFF"), EIGHT),
        (file(EIGHT, format="TIFF", compression="tiff_lzw"), EIGHT),
        (file(SIXTEEN), SIXTEEN),
        (file(SIXTEEN, format="TIFF"), SIXTEEN),
        (file(SIXTEEN, format="TIFF", compression="tiff_adobe_deflate"), SIXTEEN),
        (file(FLOATS, format="TIFF"), FLOATS),
        (file(EIGHT > 100), 255 * (EIGHT > 100)),
        (file(np.stack([EIGHT] * 3, axis=2)), EIGHT),
        (file(np.stack([EIGHT] * 3, axis=2), format="TIFF"), EIGHT),
        (file(np.stack([*[EIGHT] * 3, np.full_like(EIGHT, 255)], axis=2)), EIGHT),
        (file(np.full((4, 4), 90, np.uint8), format="JPEG"), np.full((4, 4), 90)),
        (file(np.array([[7]], np.uint8)), [[7]]),
    ],
    ids=[
        "8 bits", "8 bits, TIFF", "LZW", "16 bits", "16 bits, TIFF", "16 bits, deflate", "floats", "1 bit", "RGB",
        "RGB, TIFF", "opaque RGBA", "JPEG", "one pixel",
    ],
)  # fmt: skip
def test_a_file_has_the_values_that_the_instrument_wrote(data: bytes, values: Any) -> None:
    item = Micrograph().file(data, ANY)
    assert item.dtype == np.float32
    np.testing.assert_array_equal(item, values)


def test_colours_become_their_luminance() -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_array_equal(grey_values(file(red)), np.full((2, 2), 76))  # 0.299 of 255, ITU-R BT.601


def stack() -> bytes:
    buffer = io.BytesIO()
    first, *more = [Image.fromarray(EIGHT) for _ in range(3)]
    first.save(buffer, "TIFF", save_all=True, append_images=more)
    return buffer.getvalue()


def nan() -> bytes:
    values = FLOATS.copy()
    values[3, 3] = np.nan
    return file(values, format="TIFF")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Expected a PNG, TIFF or JPEG picture, received an empty file."),
        (b"seven", "Expected a PNG, TIFF or JPEG picture, received something else."),
        (file(NOISE)[:800], "Expected a PNG, TIFF or JPEG picture, received one that is cut off."),
        (file(NOISE, format="TIFF")[:800], "Expected a PNG, TIFF or JPEG picture, received one that is damaged."),
        (b"II*\0" + b"\xff" * 60, "Expected a PNG, TIFF or JPEG picture, received one that is damaged."),
        (stack(), "Expected one picture, received a stack; send one plane of it."),
        (nan(), "Expected finite values only, received NaN or infinity."),
        (
            file(np.stack([EIGHT] * 4, axis=2)),
            "Expected a picture without transparency; save it without an alpha channel.",
        ),
        (
            black(BOMB_SIDE),
            f"Expected at most {MOST_PIXELS:,} pixels, as 2048×2048, received 13000×13000; send it in parts.",
        ),
        (
            file(Image.new("CMYK", (4, 4)), format="TIFF"),
            "Expected a grey or RGB picture, received mode CMYK.",
        ),
    ],
    ids=["empty", "text", "cut off", "cut off, TIFF", "noise", "stack", "NaN", "transparent", "bomb", "CMYK"],
)
def test_what_is_no_micrograph_is_told_in_a_line(data: bytes, message: str) -> None:
    with pytest.raises(ItemError) as raised:
        Micrograph().file(data, ANY)
    assert str(raised.value) == message


def test_reading_takes_as_long_as_there_are_pixels() -> None:
    assert Micrograph().work(file(EIGHT)) == PNG_WORK * 256
    assert Micrograph().work(black(BOMB_SIDE)) == PNG_WORK * MOST_PIXELS
    assert Micrograph().work(b"seven") == 0


@pytest.mark.parametrize("values", [EIGHT, SIXTEEN, FLOATS], ids=["8 bits", "16 bits", "floats"])
def test_items_are_sent_as_corners_and_as_files(values: np.ndarray) -> None:
    inputs = np.pad(values, ((0, 92), (0, 68)), mode="edge")[None].astype(np.float32)
    numbers, files = Micrograph().ways(inputs)
    np.testing.assert_array_equal(numbers.sent, inputs[:, :64, :64])
    np.testing.assert_array_equal(grey_values(base64.b64decode(files.sent[0])), inputs[0])
    assert files.as_files


def test_what_was_seen_is_shown_from_the_darkest_to_the_lightest() -> None:
    dim = np.full((20, 3000), 1000, np.float32)
    dim[:, 1500:] = 1010
    seen = Image.open(io.BytesIO(base64.b64decode(Micrograph().seen(dim)["seen"])))
    assert max(seen.size) == SHOWN_SIDE
    assert seen.getextrema() == (0, 255)
    flat = Image.open(io.BytesIO(base64.b64decode(Micrograph().seen(np.zeros((2, 2), np.float32))["seen"])))
    assert flat.getextrema() == (0, 0)


def test_numbers_come_as_rows() -> None:
    assert Micrograph().numbers([[1, 2]], ANY) == [[1, 2]]
    with pytest.raises(ItemError, match=r'Expected a JSON object with rows of numbers: {"image": \[\[...\], ...\]}'):
        Micrograph().numbers("seven", ANY)


def test_eight_bits_are_sent_as_a_png() -> None:
    assert base64.b64decode(written(EIGHT.astype(np.float32))).startswith(b"\x89PNG")
    assert base64.b64decode(written(SIXTEEN.astype(np.float32))).startswith(b"II*\0")
