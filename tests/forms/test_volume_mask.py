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


def test_what_the_file_says_of_a_person_or_of_its_meaning_is_not_said_of_the_mask() -> None:
    fields = {"descrip": b"A. N. Other", "db_name": b"Other", "aux_file": b"other.txt", "intent_name": b"T score"}
    sent = file(BOX, intent_code=3, intent_p1=7, **fields)
    packed = gzip.decompress(base64.b64decode(MASK.reply(SERVED, sent)["mask"]))
    header = Nifti1Image.from_bytes(packed).header
    assert (int(header["intent_code"]), float(header["intent_p1"])) == (0, 0)
    assert b"ther" not in packed
    assert b"score" not in packed


# Fields that nibabel fails on, or changes, once a file is written.
@pytest.mark.parametrize("kind", [Nifti1Image, Nifti2Image])
@pytest.mark.parametrize(
    "fields",
    [
        {"sform_code": 77},
        {"qform_code": 77},
        {"sform_code": 0, "qform_code": 1, "quatern_b": 2},
        {"sform_code": 0, "qform_code": -3},
        {"quatern_b": np.nan},
        {"pixdim": [np.nan] * 8},
        {"pixdim": [7, -1, 1, 1, -1, 0, 0, 0]},
        {"qoffset_x": np.inf, "srow_x": [1, 0, 0, np.nan]},
        {"srow_x": [1e38, 1e38, 1e38, 0]},
        {"bitpix": 7, "slice_code": 99, "dim_info": 255, "intent_code": 30_000, "xyzt_units": 199},
        {"vox_offset": 100},
        {"vox_offset": -7},
        {"magic": b"n+3"},
        {"magic": b"n+1"},
        {"magic": b"n+2"},
        {"datatype": 0},
        {"datatype": -5},
        {"dim": [3, 2, 3, 4, 9, 9, 9, 9]},
    ],
    ids=str,
)
def test_a_header_is_refused_in_words_or_its_mask_says_the_same_place(kind: Any, fields: dict[str, Any]) -> None:
    form = Volume(dtype="float32", any_size=True)
    sent = file(BOX, np.diag([2, 2, 2, 1]), kind, **fields)
    try:
        form.file(sent, ANY)
    except ItemError as error:
        assert str(error).endswith(".")
        return
    packed = gzip.decompress(base64.b64decode(MASK.reply(SERVED, sent)["mask"]))
    size = kind.header_class.sizeof_hdr
    said, meant = (kind.header_class(data[:size], check=False) for data in (packed, sent))
    for field in ("sform_code", "srow_x", "srow_z", "qform_code", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(said[field], meant[field])
    np.testing.assert_array_equal(np.frombuffer(packed, np.uint8, offset=size + 4), CLASSES.ravel(order="F"))


def test_a_mask_that_is_too_long_for_the_first_kind_is_of_the_second() -> None:
    long = np.zeros((40_000, 1, 1, 3), np.float32)
    assert image_of(MASK.reply(long), Nifti2Image).shape == (40_000, 1, 1)


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
        ((2, 2, 2.1), ""),
        ((2, 2, 3), "Expected voxels of 2×2×2 mm, received 2×2×3 mm. Resample the volume first."),
        ((0, 2, 2), UNKNOWN.format("0×2×2")),
        ((np.nan, 2, 2), UNKNOWN.format("nan×2×2")),
    ],
)
def test_voxels_have_to_be_as_far_apart_as_those_that_were_learnt_from(lengths: Any, message: str) -> None:
    sent = file(BOX, np.diag([2, 2, 2, 1]), pixdim=[1, *lengths, 0, 0, 0, 0], sform_code=0, qform_code=1)
    for data in (sent, file(BOX, np.diag([2, *lengths[1:], 1]), pixdim=[1, *lengths, 0, 0, 0, 0])):
        if not message:
            np.testing.assert_array_equal(SCANS.file(data, ANY), BOX)
            continue
        with pytest.raises(ItemError) as raised:
            SCANS.file(data, ANY)
        assert str(raised.value) == message


def test_a_header_that_says_two_things_of_the_spacing_is_told() -> None:
    data = file(BOX, np.diag([2, 2, 2, 1]), pixdim=[1, 1, 1, 1, 0, 0, 0, 0])
    expected = "The header contradicts itself: its sform says 2×2×2 mm a voxel, its pixdim 1×1×1. Set one of them anew."
    with pytest.raises(ItemError) as raised:
        SCANS.file(data, ANY)
    assert str(raised.value) == expected
    np.testing.assert_array_equal(Volume().file(data, BOX.shape), BOX)  # a model to which spacing is no matter


def test_metres_and_microns_are_understood_and_an_unknown_unit_is_a_millimetre() -> None:
    # NIfTI-1, "xyzt_units": the three lowest bits are of lengths, those above of time.
    for unit, length in ((1, 0.002), (3, 2000.0), (3 + 8, 2000.0), (2, 2.0), (0, 2.0), (5, 2.0), (255, 2.0)):
        affine = np.diag([length, length, length, 1])
        data = file(BOX, affine, pixdim=[1, *[length] * 3, 0, 0, 0, 0], xyzt_units=unit)
        np.testing.assert_array_equal(SCANS.file(data, ANY), BOX)
        reply = MASK.reply(SERVED, data)
        assert reply["millilitres"] == {"head": 0.064, "tail": 0.064}
        mask = image_of(reply)
        np.testing.assert_allclose(mask.affine, affine, rtol=1e-6)
        assert mask.header["xyzt_units"] == (unit & 3 if unit < 4 or unit == 11 else 0)


def test_files_that_were_sent_are_read_again() -> None:
    np.testing.assert_array_equal(MASK.received(MASK.sent(SERVED[None], as_files=True)[0]), CLASSES)
    assert MASK.difference(CLASSES[None], np.where(CLASSES == 2, 1, CLASSES)[None]) == pytest.approx(1 / 3)
