from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from serving import pictures
from serving.gateway.pictures import item
from serving.pictures import PictureError
from tasks.contract import Picture

INK = Picture("ink", box=20 / 28)
PHOTOGRAPH = Picture("photograph")
SHAPE = (28, 28)


def file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def one(
    size: tuple[int, int] = (300, 400), ink: Any = "black", ground: Any = "white", mode: str = "RGB"
) -> Image.Image:
    """A vertical stroke right of the middle."""
    image = Image.new(mode, (300, 400), ground)
    ImageDraw.Draw(image).rectangle((200, 100, 230, 299), fill=ink)
    return image


def check_one(values: np.ndarray) -> None:
    """It is 20 pixels high and 3 wide, light on dark, with its centre of mass in the middle."""
    assert values.dtype == np.uint8
    assert values.shape == SHAPE
    rows, columns = np.flatnonzero(values.max(axis=1) > 128), np.flatnonzero(values.max(axis=0) > 128)
    assert (rows[0], rows[-1]) == (4, 23)
    assert len(columns) == 3
    assert abs(columns.mean() - 13.5) <= 0.5
    assert values.max() == 255
    assert values[0, 0] == 0


def test_a_drawing_is_cut_out_fitted_and_centred() -> None:
    check_one(item(file(one()), SHAPE, INK))


def test_light_ink_on_dark_ground_is_the_same() -> None:
    check_one(item(file(one(ink="white", ground="black")), SHAPE, INK))


@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("white", "orange"),
        ("white", "lime"),
        ("yellow", "lightskyblue"),
        ((200, 200, 200), (128, 128, 128)),
        ((100, 100, 100), (60, 60, 60)),
        ((60, 60, 60), (110, 110, 110)),
        ((255, 0, 0), (0, 150, 0)),  # of one brightness
    ],
)
def test_the_sign_may_be_lighter_or_darker_than_a_ground_of_any_colour(ink: Any, ground: Any) -> None:
    check_one(item(file(one(ink=ink, ground=ground)), SHAPE, INK))


@pytest.mark.parametrize(("ink", "ground"), [("black", "white"), ("white", "orange")])
def test_what_a_sign_encloses_is_ground(ink: str, ground: str) -> None:
    image = Image.new("RGB", (300, 400), ground)
    ImageDraw.Draw(image).ellipse((60, 60, 240, 340), outline=ink, width=30)
    values = item(file(image), SHAPE, INK)
    assert values[14, 14] == 0
    assert values[4, 14] > 200


@pytest.mark.parametrize("ink", ["navy", "darkred", "green"])
def test_colours_do_not_matter(ink: str) -> None:
    check_one(item(file(one(ink=ink, ground="ivory"), "JPEG", quality=90), SHAPE, INK))


def test_uneven_light_and_noise_are_no_ink() -> None:
    generator = np.random.default_rng(1)
    light = np.linspace(0.55, 1, 300)[None, :, None]
    photo = np.asarray(one(), float) * light + generator.normal(0, 4, (400, 300, 3))
    check_one(item(file(Image.fromarray(photo.clip(0, 255).astype(np.uint8)), "JPEG"), SHAPE, INK))


def test_specks_are_left_out() -> None:
    image = one()
    ImageDraw.Draw(image).rectangle((20, 20, 26, 26), fill="black")
    check_one(item(file(image), SHAPE, INK))


def test_transparent_ground_is_paper() -> None:
    check_one(item(file(one(ground=(0, 0, 0, 0), ink=(0, 0, 0, 255), mode="RGBA")), SHAPE, INK))


def test_sixteen_bits_and_cmyk() -> None:
    grey = np.asarray(one().convert("L")).astype(np.uint16) * 257
    check_one(item(file(Image.fromarray(grey)), SHAPE, INK))
    check_one(item(file(one().convert("CMYK"), "JPEG"), SHAPE, INK))


def test_a_photograph_lying_on_its_side_is_turned_up() -> None:
    turned = one().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by 90 degrees clockwise
    check_one(item(file(turned, "JPEG", exif=exif), SHAPE, INK))


def test_the_largest_value_and_the_box_are_the_task_s() -> None:
    values = item(file(one()), (8, 8), Picture("ink", white=16))
    assert values.max() == 16
    assert (values.max(axis=1) > 8).all()


def test_a_photograph_is_scaled_and_cropped_to_the_middle() -> None:
    image = Image.new("RGB", (64, 32), "red")
    ImageDraw.Draw(image).rectangle((16, 0, 47, 31), fill=(10, 20, 200))
    values = seen(file(image))
    assert (values[2:-2, 2:-2] == (10, 20, 200)).all()


@pytest.fixture(scope="module")
def flower() -> Image.Image:
    return Image.fromarray(load_sample_image("flower.jpg"))


def seen(data: bytes, shape: tuple[int, ...] = (32, 32, 3)) -> np.ndarray:
    """What a model of photographs gets."""
    values = item(data, shape, PHOTOGRAPH)
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
    with pytest.raises(PictureError, match="This is not a PNG or JPEG picture that can be read"):
        seen(data[: int(share * len(data))])


def test_a_blank_page_has_nothing_to_see() -> None:
    with pytest.raises(PictureError, match="There is nothing to see"):
        item(file(Image.new("L", (100, 100), 255)), SHAPE, INK)


@pytest.mark.parametrize("size", [(1, 1), (2, 3000), (3000, 1)])
def test_tiny_and_thin_pictures_are_refused_or_used(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match="There is nothing to see"):
        item(file(Image.new("L", size, 0)), SHAPE, INK)
    speckled = Image.fromarray(np.random.default_rng(1).integers(0, 256, size[::-1], np.uint8))
    try:
        assert item(file(speckled), SHAPE, INK).shape == SHAPE
    except PictureError as error:
        assert "There is nothing to see" in str(error)


def test_an_empty_file_is_told() -> None:
    with pytest.raises(PictureError, match="The file is empty"):
        item(b"", SHAPE, INK)


@pytest.mark.parametrize("data", [b"no picture", b"\x89PNG\r\n\x1a\n123", file(one())[:200], file(one(), "GIF")])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="This is not a PNG or JPEG picture that can be read"):
        item(data, SHAPE, INK)


@pytest.mark.parametrize("picture", [INK, PHOTOGRAPH], ids=lambda picture: picture.kind)
@pytest.mark.parametrize("side", [8_000, 20_000])
def test_a_huge_picture_is_refused_before_it_is_decoded(side: int, picture: Picture) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    idat = b"IDAT" + zlib.compress(bytes(10))
    png += struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    with pytest.raises(PictureError, match="The picture has too many pixels"):
        item(png, SHAPE, picture)


def test_a_jpeg_may_have_more_pixels_than_a_png(monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not be decoded at full size."""
    monkeypatch.setattr(pictures, "MOST_PIXELS", {"JPEG": 5_000_000, "PNG": 2_000_000})
    small, large = Image.new("RGB", (2_000, 2_000)), Image.new("RGB", (2_500, 2_500))
    assert item(file(small, "JPEG"), SHAPE, PHOTOGRAPH).shape == SHAPE
    for data in (file(small, "PNG"), file(large, "JPEG")):
        with pytest.raises(PictureError, match="Allowed are 5 million of a JPEG, 2 million of a PNG"):
            item(data, SHAPE, PHOTOGRAPH)


def test_a_broken_note_in_a_picture_does_not_matter() -> None:
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
