"""Micrographs and their masks, as the served model takes and gives them."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from nibabel.nifti1 import Nifti1Image
from onnx import TensorProto

from forms.items.volume import nifti
from served.answers import Masks, VolumeMasks
from served.any_size import Micrographs
from served.model import OnnxModel
from served.refusal import Refused
from served.volumes import Volumes, VolumesOfAnySize
from tests.served.graphs import encoded, loaded, raw

VALUES = np.array([[0, 70_000, 2.5], [-1, 4, 8]], np.float32)


@pytest.fixture
def model(tmp_path: Path) -> OnnxModel:
    return loaded(tmp_path, TensorProto.FLOAT, ("height", "width"), "micrographs")


@pytest.mark.parametrize(
    "item", [VALUES, VALUES.tolist(), encoded(VALUES, format="TIFF")], ids=["array", "numbers", "file"]
)
def test_micrographs_of_many_sizes_come_as_values_or_as_files(model: OnnxModel, item: Any) -> None:
    found, other = model.predict(None, [item, [[3.0]]])
    np.testing.assert_array_equal(found, 2 * VALUES)
    np.testing.assert_array_equal(other, [[6.0]])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ([1.0], r"expected an item of shape \(height, width\), received \(1,\)"),
        ([[[1.0]]], r"expected an item of shape \(height, width\), received \(1, 1, 1\)"),
        ([[]], f"expected 1 to {Micrographs.most} pixels, received 0"),
        ([[float("nan")]], "expected finite numbers only"),
        ([[1, 2], [3]], r"expected an item of shape \(height, width\), received a ragged list"),
        (base64.b64encode(b"seven").decode(), "expected a PNG, TIFF or JPEG picture, received something else"),
        (np.zeros((2049, 2048), np.float32), f"expected 1 to {Micrographs.most} pixels, received 4196352"),
    ],
)
def test_what_is_no_micrograph_is_refused(model: OnnxModel, item: Any, message: str) -> None:
    with pytest.raises(MlflowException, match=message):
        model.predict(None, [item])


def test_many_large_ones_in_a_request_are_refused(model: OnnxModel) -> None:
    large = np.zeros((2048, 2048), np.float32)
    with pytest.raises(MlflowException, match="expected at most 4194304 pixels in all"):
        model.predict(None, [large, [[1.0]]])


def test_a_mask_is_a_file_where_one_came() -> None:
    probabilities = np.array([[[[0.9, 0.1], [0.2, 0.8]]]], np.float32)
    writer = Masks()
    np.testing.assert_array_equal(writer.one(probabilities, None), probabilities[0])
    assert writer.one(probabilities, "a file") == encoded(np.array([[0, 1]], np.uint8), compress_level=1)


def test_a_mask_in_place_of_a_scan_is_refused() -> None:
    reader = VolumesOfAnySize((None, None, None), np.dtype(np.float32), spacing=1.0, distinct=4)
    scan = np.arange(4, dtype=np.uint8).repeat(250_000 * 4).reshape(100, 100, 400)  # the last value is found last
    (batch,) = reader.batches([base64.b64encode(nifti(scan)).decode()])
    np.testing.assert_array_equal(batch, scan[None])
    message = "received a volume with no more than 3 different values, like a mask"
    for mask in (base64.b64encode(nifti(scan % 3)).decode(), (scan[::25, ::25, ::25] % 3).tolist()):
        with pytest.raises(Refused, match=message):
            reader.batches([mask])


@pytest.mark.parametrize(
    "scan",
    [
        1e9 + np.arange(1000.0),  # float32 has 17 numbers there
        np.append(np.arange(999) / 999, 3.4e38),
        np.append(np.arange(999) / 999, -1e6),
        np.append(np.arange(499) / 999, np.full(501, -1e6)),  # a border of a fill value
    ],
    ids=["an offset", "a largest value", "a least value", "a fill value"],
)
def test_a_scan_whose_voxels_are_alike_beside_the_largest_is_refused(scan: np.ndarray) -> None:
    reader = VolumesOfAnySize((None, None, None), np.dtype(np.float32), spacing=1.0, distinct=16)
    cube = scan.reshape(10, 10, 10)
    for sent in (base64.b64encode(nifti(cube)).decode(), cube.tolist()):
        with pytest.raises(Refused, match=r"alike beside the largest value, (1|3\.4)e\+(09|38|06)\."):
            reader.batches([sent])
    bright = np.append(np.arange(999), 50_000).reshape(10, 10, 10)  # a vessel, or metal
    np.testing.assert_array_equal(reader.batches([bright.tolist()])[0][0], bright)


def test_what_is_wrong_with_numbers_is_said_before_what_they_look_like() -> None:
    reader = VolumesOfAnySize((None, None, None), np.dtype(np.float32), spacing=1.0, distinct=16)
    for value in (float("nan"), float("inf"), 1e39):
        with pytest.raises(Refused, match="expected finite numbers only"):
            reader.batches([[[[0.0, value]]]])
    with pytest.raises(Refused, match="There is nothing to see in the volume: all voxels are 3"):
        reader.batches([[[[3.0, 3.0]]]])


def test_thin_volumes_count_as_what_they_are_padded_to() -> None:
    reader = VolumesOfAnySize((None, None, None), np.dtype(np.float32))
    reader.check_shape((512, 512, 512))
    reader.check_shape((16_000, 1000, 1))
    for shape, received in (((17_000, 1000, 1), 136_000_000), ((513, 512, 512), 134_479_872), ((9, 0, 9), 0)):
        expected = rf"expected 1 to 134217728 voxels \(a side of fewer than 8 counts as 8\), received {received}"
        with pytest.raises(Refused, match=expected):
            reader.check_shape(shape)


def test_volumes_of_one_shape_are_looked_at_however_they_come() -> None:
    gland = np.pad(np.full((2, 2, 2), 255, np.uint8), 1)
    plain = Volumes.of({"form": "volume"}, (4, 4, 4), np.dtype(np.uint8))  # of before there were such options
    outline = Volumes((4, 4, 4), np.dtype(np.uint8), outline=True)
    for sent in (gland, gland.tolist(), raw(gland)):
        np.testing.assert_array_equal(outline.batches([sent, sent])[0], [gland, gland])
    for wrong, message in ((0 * gland, "all voxels are 0"), (0 * gland + 9, "all voxels are 9")):
        for sent in ([gland, wrong], [gland.tolist(), wrong.tolist()], [raw(wrong)], np.stack([gland, wrong])):
            for reader in (plain, outline):
                with pytest.raises(Refused, match=message):
                    reader.batches(sent)
    inverted = 255 - gland
    np.testing.assert_array_equal(plain.batches([inverted])[0][0], inverted)
    with pytest.raises(Refused, match="received one that fills 88 % of the volume"):
        outline.batches([inverted.tolist()])


def test_a_file_whose_header_lies_behind_a_long_note_gets_a_mask() -> None:
    """The note is gzip's own, of 20 kB, between its first bytes and what is packed (RFC 1952, section 2.3)."""
    voxels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    plain = gzip.compress(nifti(voxels))
    noted = plain[:3] + bytes([plain[3] | 16]) + plain[4:10] + b"n" * 20_000 + b"\0" + plain[10:]
    assert gzip.decompress(noted) == nifti(voxels)
    answer = VolumeMasks().one(np.eye(2, dtype=np.float32)[voxels % 2][None], base64.b64encode(noted).decode())
    found = Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(str(answer))))
    np.testing.assert_array_equal(np.asarray(found.dataobj), voxels % 2)
