from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from sklearn.datasets import load_sample_image

from forms import pictures
from forms.items.ink import Ink
from forms.items.photograph import Photograph
from forms.pictures import CUT_OFF, DAMAGED, TOO_MUCH_WORK, UNKNOWN, PictureError, PictureItem
from served.picture_file import MOST_PIECES, SCAN
from served.picture_file import PNG as PNG_SIGNATURE
from tests.forms.drawn import file, one, progressive

INK = Ink(box=20 / 28)
PHOTOGRAPH = Photograph()
SHAPE = (28, 28)
LINES = (CUT_OFF, DAMAGED, TOO_MUCH_WORK, UNKNOWN)


def test_a_photograph_is_scaled_and_cropped_to_the_middle() -> None:
    image = Image.new("RGB", (64, 32), "red")
    ImageDraw.Draw(image).rectangle((16, 0, 47, 31), fill=(10, 20, 200))
    values = seen(file(image))
    assert (values[2:-2, 2:-2] == (10, 20, 200)).all()


def seen(data: bytes, shape: tuple[int, ...] = (32, 32, 3)) -> np.ndarray:
    """What a model of photographs gets."""
    values = PHOTOGRAPH.file(data, shape)
    assert values.shape == shape
    assert values.dtype == np.uint8
    return values


def test_a_photograph_is_the_same_in_every_kind_of_file(flower: Image.Image) -> None:
    expected = seen(file(flower)).astype(int)
    kinds = {
        "JPEG": file(flower, "JPEG", quality=95),
        "CMYK": file(flower.convert("CMYK"), "JPEG", quality=95),
        "opaque": file(flower.convert("RGBA")),
        "palette": file(flower.quantize(256)),
    }
    differences = {kind: np.abs(seen(data) - expected).mean() for kind, data in kinds.items()}
    assert max(differences.values()) < 3, differences


def test_a_grey_photograph_of_sixteen_bits_is_scaled_and_not_cut_off(flower: Image.Image) -> None:
    grey = flower.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert np.abs(seen(file(deep)) - seen(file(grey)).astype(int)).max() <= 1


def test_what_is_transparent_in_a_photograph_is_white(flower: Image.Image) -> None:
    pixels = np.dstack([np.asarray(flower), np.full((flower.height, flower.width), 255, np.uint8)])
    pixels[flower.height // 2 :, :, 3] = 0
    values = seen(file(Image.fromarray(pixels)))
    assert (values[18:] >= 250).all()
    np.testing.assert_array_equal(values[:12], seen(file(flower))[:12])


def test_a_single_pixel_is_an_even_photograph() -> None:
    assert (seen(file(Image.new("RGB", (1, 1), (10, 200, 30)))) == (10, 200, 30)).all()


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (31, 33)])
def test_a_thin_photograph_is_cropped_to_its_middle(size: tuple[int, int]) -> None:
    assert (seen(file(Image.new("RGB", size, (10, 200, 30)))) == (10, 200, 30)).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_photograph_that_ends_early_is_refused(flower: Image.Image, kind: str, share: float) -> None:
    data = file(flower, kind)
    with pytest.raises(PictureError, match="The file is cut off"):
        seen(data[: int(share * len(data))])


def test_an_empty_file_is_told() -> None:
    with pytest.raises(PictureError, match="The file is empty"):
        INK.file(b"", SHAPE)


@pytest.mark.parametrize("data", [b"no picture", b"\xff", b"\x89PNG", file(one(), "GIF"), file(one(), "WEBP")])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="This is not a PNG or JPEG picture that can be read"):
        INK.file(data, SHAPE)


@pytest.mark.parametrize("picture", [INK, PHOTOGRAPH], ids=lambda picture: picture.name)
@pytest.mark.parametrize("side", [8_000, 20_000])
def test_a_huge_picture_is_refused_before_it_is_decoded(side: int, picture: PictureItem) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    idat = b"IDAT" + zlib.compress(bytes(10))
    png += struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    with pytest.raises(PictureError, match="The picture has too many pixels"):
        picture.file(png, SHAPE)


def test_a_jpeg_may_have_more_pixels_than_a_png(monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not be decoded at full size."""
    monkeypatch.setattr(pictures, "MOST_PIXELS", {"JPEG": 5_000_000, "PNG": 2_000_000})
    small, large = Image.new("RGB", (2_000, 2_000)), Image.new("RGB", (2_500, 2_500))
    assert PHOTOGRAPH.file(file(small, "JPEG"), SHAPE).shape == SHAPE
    for data in (file(small, "PNG"), file(large, "JPEG")):
        with pytest.raises(PictureError, match="Allowed are 5 million of a JPEG, 2 million of a PNG"):
            PHOTOGRAPH.file(data, SHAPE)


def test_a_broken_note_in_a_picture_does_not_matter(capfd: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    good = file(one(), "JPEG", exif=exif)
    at = good.index(b"Exif")
    generator = np.random.default_rng(1)
    for _ in range(300):
        broken = bytearray(good)
        for position in generator.integers(at + 6, at + len(exif.tobytes()), 4):
            broken[position] = generator.integers(256)
        assert pictures.opened(bytes(broken), 32).mode == "RGB"
    assert capfd.readouterr().err == ""  # a file with thousands of broken notes would fill the log


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_picture_is_turned_as_the_camera_was_held(kind: str, orientation: int) -> None:
    """Pillow's own reading of the note is the right one."""
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif[0x0112] = orientation
    data = file(Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40), kind, exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    np.testing.assert_array_equal(pictures.opened(data, 3), expected)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """The file with these behind its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8))
PNG, JPEG = file(NOISE), file(NOISE, "JPEG")
MPO = file(NOISE, "MPO", save_all=True, append_images=[Image.new("RGB", (32, 24))])
MEBIBYTES = zlib.compress(bytes(2 << 20), 9)
WHOLE = {
    "MPO": (MPO, JPEG),
    "MPO whose note is broken": (MPO.replace(b"MPF\0", b"MPF\0no"), JPEG),
    "text of 2 MB": (with_chunks(PNG, chunk(b"zTXt", b"a\0\0" + MEBIBYTES)), PNG),
    "international text of 2 MB": (with_chunks(PNG, chunk(b"iTXt", b"a\0\1\0\0\0" + MEBIBYTES)), PNG),
    "profile of 2 MB": (with_chunks(PNG, chunk(b"iCCP", b"a\0\0" + MEBIBYTES)), PNG),
    "profiles that inflate to 10 GB": (with_chunks(PNG, *[chunk(b"iCCP", b"a\0\0" + MEBIBYTES)] * 5_000), PNG),
    "a text whose checksum is wrong": (with_chunks(PNG, chunk(b"tEXt", b"a\0b")[:-1] + b"x"), PNG),
    "a text behind the pixels whose checksum is wrong": (PNG[:-12] + b"\0\0\0\0tEXtabcd" + PNG[-12:], PNG),
    "a moving picture": (file(NOISE, save_all=True, append_images=[NOISE.rotate(180)]), PNG),
    "no IEND": (PNG[:-12], PNG),
    "something behind the PNG": (PNG + b"something", PNG),
    "no EOI": (JPEG[:-2], JPEG),
    "half an EOI": (JPEG[:-1], JPEG),
    "something behind the JPEG": (JPEG + SCAN * 1_000, JPEG),
    "scans in a preview": (JPEG[:2] + segment(0xE3, SCAN * 1_000) + JPEG[2:], JPEG),
    "a broken profile": (JPEG[:2] + segment(0xE2, b"ICC_PROFILE\0") + JPEG[2:], JPEG),
    "bytes between segments": (JPEG[:2] + b"abc\xff\xff" + JPEG[2:], JPEG),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_not_the_picture_may_be_large_or_broken(name: str) -> None:
    odd, plain = WHOLE[name]
    np.testing.assert_array_equal(seen(odd), seen(plain))


@pytest.mark.parametrize(("width", "scans"), [(32, 101), (4_000, 63)])
def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(width: int, scans: int) -> None:
    with pytest.raises(PictureError, match="takes too long to decode"):
        seen(progressive(width, scans))
    assert (seen(progressive(32, 100)) == seen(file(Image.new("RGB", (32, 32), "orange"), "JPEG", quality=10))).all()


@pytest.mark.parametrize(
    "data",
    [
        with_chunks(PNG, *[chunk(b"tEXt", b"a\0")] * MOST_PIECES),
        with_chunks(PNG, *[chunk(b"IDAT", b"")] * MOST_PIECES),
        JPEG[:2] + segment(0xFE, b"") * MOST_PIECES + JPEG[2:],
    ],
    ids=["texts", "empty IDAT", "comments"],
)
def test_a_file_in_too_many_pieces_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="The file has more than 50000 pieces"):
        seen(data)


@pytest.mark.parametrize(
    ("kind", "options", "missing"),
    [
        ("PNG", {}, 21),  # the checksums and IEND
        ("JPEG", {}, 2),
        ("JPEG", {"progressive": True}, 0),  # whether a scan is missing cannot be known
        ("MPO", {}, 2),
    ],
    ids=["PNG", "JPEG", "progressive", "MPO"],
)
def test_a_file_that_is_cut_off_is_the_whole_picture_or_refused(kind: str, options: Any, missing: int) -> None:
    data = file(NOISE.resize((9, 7)), kind, **options)
    whole = pictures.opened(data, 9).tobytes()
    for length in range(len(data) - missing, len(data)):
        assert pictures.opened(data[:length], 9).tobytes() == whole
    for length in range(len(PNG_SIGNATURE), len(data) - missing):
        with pytest.raises(PictureError, match="The file is cut off"):
            pictures.opened(data[:length], 9)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16", "JPEG", "CMYK", "MPO"])
def test_whatever_is_wrong_with_a_file_is_told_in_one_line(mode: str, capfd: pytest.CaptureFixture[str]) -> None:
    small = NOISE.resize((9, 7))
    if mode in ("JPEG", "CMYK", "MPO"):
        good = file(small.convert("CMYK") if mode == "CMYK" else small, "MPO" if mode == "MPO" else "JPEG")
    else:
        good = file(Image.new(mode, (9, 7), 3) if mode == "I;16" else small.convert(mode))
    generator = np.random.default_rng(1)
    for _ in range(100):
        broken = bytearray(good)
        for position in generator.integers(len(good), size=generator.integers(1, 4)):
            broken[position] = generator.integers(256)
        try:
            assert pictures.opened(bytes(broken), 9).mode == "RGB"
        except PictureError as error:
            assert str(error) in LINES or "too many pixels" in str(error)
    assert capfd.readouterr().err == ""


@pytest.fixture(scope="module")
def flower() -> Image.Image:
    return Image.fromarray(load_sample_image("flower.jpg"))
