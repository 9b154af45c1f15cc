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
from served.any_size import Micrographs, Volumes
from served.model import OnnxModel
from served.refusal import Refused
from tests.served.graphs import encoded, loaded

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
    reader = Volumes((None, None, None), np.dtype(np.float32), spacing=1.0, distinct=4)
    scan = np.arange(4, dtype=np.uint8).repeat(250_000 * 4).reshape(100, 100, 400)  # the last value is found last
    (batch,) = reader.batches([base64.b64encode(nifti(scan)).decode()])
    np.testing.assert_array_equal(batch, scan[None])
    message = "received a volume with no more than 3 different values, like a mask"
    for mask in (base64.b64encode(nifti(scan % 3)).decode(), (scan[::25, ::25, ::25] % 3).tolist()):
        with pytest.raises(Refused, match=message):
            reader.batches([mask])


def test_a_file_whose_header_lies_behind_a_long_note_gets_a_mask() -> None:
    """The note is gzip's own, of 20 kB, between its first bytes and what is packed (RFC 1952, section 2.3)."""
    voxels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    plain = gzip.compress(nifti(voxels))
    noted = plain[:3] + bytes([plain[3] | 16]) + plain[4:10] + b"n" * 20_000 + b"\0" + plain[10:]
    assert gzip.decompress(noted) == nifti(voxels)
    answer = VolumeMasks().one(np.eye(2, dtype=np.float32)[voxels % 2][None], base64.b64encode(noted).decode())
    found = Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(str(answer))))
    np.testing.assert_array_equal(np.asarray(found.dataobj), voxels % 2)
