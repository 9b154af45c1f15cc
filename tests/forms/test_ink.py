"""Signs that are drawn or photographed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from forms.items.ink import Ink
from forms.pictures import PictureError
from tests.forms.drawn import file, one

INK = Ink(box=20 / 28)
SHAPE = (28, 28)


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
    check_one(INK.file(file(one()), SHAPE))


def test_light_ink_on_dark_ground_is_the_same() -> None:
    check_one(INK.file(file(one(ink="white", ground="black")), SHAPE))


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
    check_one(INK.file(file(one(ink=ink, ground=ground)), SHAPE))


@pytest.mark.parametrize(("ink", "ground"), [("black", "white"), ("white", "orange")])
def test_what_a_sign_encloses_is_ground(ink: str, ground: str) -> None:
    image = Image.new("RGB", (300, 400), ground)
    ImageDraw.Draw(image).ellipse((60, 60, 240, 340), outline=ink, width=30)
    values = INK.file(file(image), SHAPE)
    assert values[14, 14] == 0
    assert values[4, 14] > 200


@pytest.mark.parametrize("ink", ["navy", "darkred", "green"])
def test_colours_do_not_matter(ink: str) -> None:
    check_one(INK.file(file(one(ink=ink, ground="ivory"), "JPEG", quality=90), SHAPE))


def test_uneven_light_and_noise_are_no_ink() -> None:
    generator = np.random.default_rng(1)
    light = np.linspace(0.55, 1, 300)[None, :, None]
    photo = np.asarray(one(), float) * light + generator.normal(0, 4, (400, 300, 3))
    check_one(INK.file(file(Image.fromarray(photo.clip(0, 255).astype(np.uint8)), "JPEG"), SHAPE))


def test_specks_are_left_out() -> None:
    image = one()
    ImageDraw.Draw(image).rectangle((20, 20, 26, 26), fill="black")
    check_one(INK.file(file(image), SHAPE))


def test_transparent_ground_is_paper() -> None:
    check_one(INK.file(file(one(ground=(0, 0, 0, 0), ink=(0, 0, 0, 255), mode="RGBA")), SHAPE))


def test_sixteen_bits_and_cmyk() -> None:
    grey = np.asarray(one().convert("L")).astype(np.uint16) * 257
    check_one(INK.file(file(Image.fromarray(grey)), SHAPE))
    check_one(INK.file(file(one().convert("CMYK"), "JPEG"), SHAPE))


def test_a_photograph_lying_on_its_side_is_turned_up() -> None:
    turned = one().transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by 90 degrees clockwise
    check_one(INK.file(file(turned, "JPEG", exif=exif), SHAPE))


def test_the_largest_value_and_the_box_are_the_task_s() -> None:
    values = Ink(white=16).file(file(one()), (8, 8))
    assert values.max() == 16
    assert (values.max(axis=1) > 8).all()


def test_a_blank_page_has_nothing_to_see() -> None:
    with pytest.raises(PictureError, match="There is nothing to see"):
        INK.file(file(Image.new("L", (100, 100), 255)), SHAPE)


@pytest.mark.parametrize("size", [(1, 1), (2, 3000), (3000, 1)])
def test_tiny_and_thin_pictures_are_refused_or_used(size: tuple[int, int]) -> None:
    with pytest.raises(PictureError, match="There is nothing to see"):
        INK.file(file(Image.new("L", size, 0)), SHAPE)
    speckled = Image.fromarray(np.random.default_rng(1).integers(0, 256, size[::-1], np.uint8))
    try:
        assert INK.file(file(speckled), SHAPE).shape == SHAPE
    except PictureError as error:
        assert "There is nothing to see" in str(error)
