"""The mask of a volume lies where the volume does, however its axes run."""

from __future__ import annotations

import base64
import gzip
import itertools
from typing import Any

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from nibabel.nifti2 import Nifti2Image

from forms.answers.volume_mask import VolumeMask
from forms.item import ItemError
from forms.items.volume import Volume
from forms.volumes import MOST_SHOWN
from tests.forms.scanned import BOX, affine_of, file, stored_as

MASK = VolumeMask(("other", "head", "tail"))
CLASSES = BOX % 3
SERVED = np.eye(3, dtype=np.float32)[CLASSES]
SCANS = Volume(dtype="float32", any_size=True, spacing=2.0)
UNKNOWN = "The header does not say how far voxels are apart (pixdim {}). Set it, or convert the volume anew."
ANY = (None, None, None)


def image_of(reply: dict[str, Any], kind: Any = Nifti1Image) -> Any:
    return kind.from_bytes(gzip.decompress(base64.b64decode(reply["mask"])))


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
def test_a_mask_has_the_order_the_directions_and_the_place_of_the_file(axes: Any, signs: Any) -> None:
    affine = affine_of(axes, signs)
    affine[:3, 3] = 7, -8, 9
    sent = gzip.compress(file(stored_as(BOX, axes, signs), affine))
    np.testing.assert_array_equal(SCANS.file(sent, ANY), BOX)
    mask = image_of(MASK.reply(SERVED, sent))
    np.testing.assert_array_equal(mask.affine, affine)
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asarray(mask.dataobj), stored_as(CLASSES, axes, signs))


def test_an_oblique_file_gets_an_oblique_mask() -> None:
    turn = np.array([[1.8, -0.9, 0, 3], [0.9, 1.8, 0, 4], [0, 0, -2, 5], [0, 0, 0, 1]])
    sent = file(BOX, turn)
    mask = image_of(MASK.reply(np.eye(3, dtype=np.float32)[SCANS.file(sent, ANY).astype(int) % 3], sent))
    np.testing.assert_allclose(mask.affine, turn)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), CLASSES)


def test_what_the_file_says_of_its_own_voxels_is_not_said_of_the_mask() -> None:
    sent = file(BOX.astype(np.int16), affine_of((0, 1, 2), (1, 1, 1)), scl_slope=3, scl_inter=7, cal_max=90)
    mask = image_of(MASK.reply(SERVED, sent))
    np.testing.assert_array_equal(np.asarray(mask.dataobj), CLASSES)
    assert float(mask.header["cal_max"]) == 0


def test_a_file_of_the_second_kind_gets_one_too() -> None:
    mask = image_of(MASK.reply(SERVED, file(BOX, np.diag([2, 2, 2, 1]), Nifti2Image)), Nifti2Image)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), CLASSES)


def test_sizes_are_told_in_millilitres_where_a_file_says_how_large_voxels_are() -> None:
    sent = file(BOX, np.diag([2, 2, 2, 1]))  # 8 mm³ each, 8 of each class
    assert MASK.reply(SERVED, sent)["millilitres"] == {"head": 0.064, "tail": 0.064}
    plain = MASK.reply(SERVED)
    assert "millilitres" not in plain
    assert plain["shares"] == pytest.approx(dict.fromkeys(MASK.classes, 1 / 3))
    np.testing.assert_array_equal(image_of(plain).affine, np.eye(4))


def test_what_is_shown_is_bounded() -> None:
    large = np.zeros((2 * MOST_SHOWN, 3, 4, 3), np.float32)
    large[..., 2] = 1
    shown = MASK.reply(large)["shown"]
    assert shown["shape"] == [MOST_SHOWN, 3, 4]
    assert base64.b64decode(shown["bytes"]) == bytes([2]) * (MOST_SHOWN * 12)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ((2, 2, 3), "Expected voxels of 2×2×2 mm, received 2×2×3 mm. Resample the volume first."),
        ((0, 2, 2), UNKNOWN.format("0×2×2")),
        ((np.nan, 2, 2), UNKNOWN.format("nan×2×2")),
    ],
)
def test_voxels_have_to_be_as_far_apart_as_those_that_were_learnt_from(lengths: Any, message: str) -> None:
    with pytest.raises(ItemError) as raised:
        SCANS.file(file(BOX, np.diag([2, 2, 2, 1]), pixdim=[1, *lengths, 0, 0, 0, 0]), ANY)
    assert str(raised.value) == message


def test_metres_and_microns_are_understood() -> None:
    for unit, length in ((1, 0.002), (3, 2000.0)):  # NIfTI-1, "xyzt_units"
        data = file(BOX, np.diag([2, 2, 2, 1]), pixdim=[1, *[length] * 3, 0, 0, 0, 0], xyzt_units=unit)
        np.testing.assert_array_equal(SCANS.file(data, ANY), BOX)


def test_files_that_were_sent_are_read_again() -> None:
    np.testing.assert_array_equal(MASK.received(MASK.sent(SERVED[None], as_files=True)[0]), CLASSES)
    assert MASK.difference(CLASSES[None], np.where(CLASSES == 2, 1, CLASSES)[None]) == pytest.approx(1 / 3)
