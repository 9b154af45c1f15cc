from __future__ import annotations

import base64
import gzip
import itertools
import math
from typing import Any

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image, Nifti1Pair
from nibabel.nifti2 import Nifti2Image

from forms.item import ItemError
from forms.items.volume import BOMB_SIDE, Volume, nifti
from forms.volumes import MOST_SHOWN
from served import volume_file as volumes
from served.volume_file import DAMAGED, EMPTY, MANY_PARTS
from served.volume_header import ANALYZE, CUT_OFF, LONG_HEADER, PAIR, UNKNOWN
from tests.forms.scanned import BOX, START, affine_of, file, stored_as, with_extension

BYTES, FLOATS = Volume(), Volume("float32")
AXES = " (to the right, to the front, up)"
COLOURS = np.zeros(BOX.shape, [(colour, "u1") for colour in "RGB"])


def told(data: bytes, form: Volume = BYTES, shape: tuple[int | None, ...] = BOX.shape) -> str:
    """What is said of a file that is no item."""
    with pytest.raises(ItemError) as caught:
        form.file(data, shape)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", list(itertools.product((1, -1), repeat=3)))
def test_a_volume_is_the_same_however_its_axes_are_stored(axes: tuple[int, ...], signs: tuple[int, ...]) -> None:
    stored = stored_as(BOX, axes, signs)
    data = file(stored, affine_of(axes, signs))
    np.testing.assert_array_equal(BYTES.file(data, BOX.shape), BOX)
    np.testing.assert_array_equal(BYTES.file(gzip.compress(data), BOX.shape), BOX)


def test_an_axis_that_runs_to_the_left_is_reversed() -> None:
    seen = BYTES.file(file(BOX, np.diag([-1, 1, 1, 1])), BOX.shape)
    assert seen[0, 0, 0] == 12  # the last along the first axis


def test_an_oblique_volume_takes_the_closest_axes() -> None:
    angle = math.radians(30)
    turn = [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, -1]]
    affine = np.eye(4)
    affine[:3, :3] = np.array(turn)
    np.testing.assert_array_equal(BYTES.file(file(BOX, affine), BOX.shape), BOX[:, :, ::-1])


def test_the_qform_counts_where_there_is_no_sform_and_neither_means_as_it_is() -> None:
    image = Nifti1Image(BOX, None)
    image.header.set_qform(np.diag([-2, 1, 3, 1]), code=1)
    qform = image.to_bytes()
    np.testing.assert_array_equal(BYTES.file(qform, BOX.shape), BOX[::-1])
    np.testing.assert_array_equal(BYTES.file(Nifti1Image(BOX, None).to_bytes(), BOX.shape), BOX)


@pytest.mark.parametrize("length", [0, float("nan"), -1])
def test_a_header_without_spacing_does_no_harm(length: float) -> None:
    spacing = [1.0, *[length] * 3, 0, 0, 0, 0]
    np.testing.assert_array_equal(BYTES.file(file(pixdim=spacing), BOX.shape), BOX)
    only_qform = file(pixdim=spacing, sform_code=0, qform_code=1)
    np.testing.assert_array_equal(BYTES.file(only_qform, BOX.shape), BOX)


def test_no_spacing_in_the_sform_is_told() -> None:
    for row in ([0, 0, 0, 0], [float("nan")] * 4):
        expected = "The header does not say in which directions the axes run: its sform has none. Set it anew."
        assert told(file(srow_x=row)) == expected


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("kind", [Nifti1Image, Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_of_every_type_and_order_of_bytes_are_read(dtype: Any, kind: Any, order: str) -> None:
    header = kind.header_class(endianness=order)
    header.set_data_dtype(dtype)
    data = kind(BOX.astype(dtype), np.eye(4), header).to_bytes()
    np.testing.assert_array_equal(BYTES.file(data, BOX.shape), BOX)
    found = FLOATS.file(data, BOX.shape)
    np.testing.assert_array_equal(found, BOX)
    assert found.dtype == np.float32


def test_scaling_is_applied() -> None:
    data = file(BOX, scl_slope=2, scl_inter=-7)
    np.testing.assert_array_equal(FLOATS.file(data, BOX.shape), 2.0 * BOX - 7)
    shares = file(BOX, scl_slope=1 / 255, scl_inter=0)
    assert FLOATS.file(shares, BOX.shape).max() == pytest.approx(23 / 255)
    tens = file(BOX, scl_slope=np.float32(0.1) * 10)  # 1.0000000149 as float32, which is rounded back
    np.testing.assert_array_equal(BYTES.file(tens, BOX.shape), BOX)
    for slope in (0, float("nan"), float("inf")):  # none, as the standard says
        np.testing.assert_array_equal(BYTES.file(file(BOX, scl_slope=slope, scl_inter=5), BOX.shape), BOX)


def test_extensions_and_a_series_of_one_are_no_matter() -> None:
    np.testing.assert_array_equal(BYTES.file(with_extension(b"seen by A. N. Other" * 99), BOX.shape), BOX)
    np.testing.assert_array_equal(BYTES.file(file(BOX[..., None]), BOX.shape), BOX)
    np.testing.assert_array_equal(BYTES.file(file(vox_offset=0), BOX.shape), BOX)
    assert told(file(vox_offset=2**25)) == LONG_HEADER


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.ones((2, 3, 5)), f"Expected a volume of 2×3×4, received one of 2×3×5 voxels{AXES}."),
        (np.ones((1, 1, 1)), f"Expected a volume of 2×3×4, received one of 1×1×1 voxels{AXES}."),
        (np.ones((2, 3)), "Expected a volume with three sides, received one of 2×3 voxels."),
        (np.ones((2, 3, 4, 5)), "Expected one volume, received 5 (2×3×4 voxels). Send one of them."),
        (np.ones((2, 3, 4, 1, 3)), "Expected one volume, received 3 (2×3×4 voxels). Send one of them."),
        (BOX.astype(np.complex64), "Expected a number for each voxel, received complex numbers."),
        (COLOURS, "Expected a number for each voxel, received colours."),
        (np.full((2, 3, 4), 7.0), "There is nothing to see in the volume: all voxels are 7."),
        (BOX + 0.5, "Expected whole numbers from 0 to 255 for voxels, received values from 0.5 to 23.5."),
        (BOX - 1.0, "Expected whole numbers from 0 to 255 for voxels, received values from -1 to 22."),
        (BOX * 12.0, "Expected whole numbers from 0 to 255 for voxels, received values from 0 to 276."),
        (np.where(BOX == 3, np.nan, BOX), "Some voxels are NaN or infinite. Expected a finite number for each."),
        (np.where(BOX == 3, -np.inf, BOX), "Some voxels are NaN or infinite. Expected a finite number for each."),
    ],
)  # fmt: skip
def test_a_volume_that_is_no_item_is_told(voxels: np.ndarray, message: str) -> None:
    assert told(file(voxels)) == message


def test_a_number_too_large_for_the_item_is_told() -> None:
    large = np.where(BOX == 3, 1e300, BOX)
    assert told(file(large), FLOATS).startswith("Expected numbers from -3.40282e+38 to 3.40282e+38 for voxels")


def test_files_that_are_none_are_told() -> None:
    whole = file()
    assert told(b"") == EMPTY
    assert told(b"no volume") == UNKNOWN
    assert told(gzip.compress(b"no volume")) == UNKNOWN
    assert told(whole[:100]) == told(whole[:-1]) == told(whole[: START - 1]) == CUT_OFF
    assert told(gzip.compress(whole)[:-9]) == told(gzip.compress(whole)[:40]) == told(b"\x1f\x8b") == CUT_OFF
    broken = bytearray(gzip.compress(whole))
    broken[-6] ^= 1  # of the check sum
    assert told(bytes(broken)) == DAMAGED
    assert told(bytes(Nifti1Pair(BOX, np.eye(4)).header.binaryblock)) == PAIR
    assert told(whole[:344] + bytes(4) + whole[348:]) == ANALYZE


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"dim": [0] * 8}, "dim"),
        ({"dim": [3, 2, -3, 4, 1, 1, 1, 1]}, "dim"),
        ({"vox_offset": float("nan")}, "vox_offset"),
        ({"vox_offset": 1}, "vox_offset"),  # within the header
        ({"vox_offset": 351}, "vox_offset"),
        ({"vox_offset": -16}, "vox_offset"),
        ({"magic": b"n+2"}, "magic"),  # of the other kind
        ({"magic": b"n+1", "kind": Nifti2Image}, "magic"),
        ({"magic": b"n+3"}, "magic"),
        ({"magic": b"x"}, "magic"),
        ({"scl_slope": 2, "scl_inter": float("nan")}, "scl_inter"),
    ],
)
def test_a_header_that_makes_no_sense_is_told(fields: dict[str, Any], field: str) -> None:
    assert told(file(**fields)) == f"The header of the volume is damaged: its {field} makes no sense. Save it anew."


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (1, "single bits"),
        (1536, "numbers of 128 bits"),
        (2048, "complex numbers"),
        (2304, "colours"),
        (0, "data of the unknown type 0"),
        (77, "data of the unknown type 77"),
        (255, "data of the unknown type 255"),
    ],
)
def test_data_that_are_no_numbers_are_called_what_they_are(number: int, kind: str) -> None:
    assert told(file(datatype=number)) == f"Expected a number for each voxel, received {kind}."


GLAND = np.pad(np.full((4, 4, 4), 7, np.uint8), 2)  # an eighth of 8×8×8 voxels


def test_what_is_no_outline_is_told() -> None:
    form = Volume(outline=True)
    assert Volume.of(form.metadata()) == form
    for number in (1, 7, 255):
        data = file(np.minimum(GLAND, 1) * np.uint8(number))
        np.testing.assert_array_equal(form.file(data, GLAND.shape) > 0, GLAND > 0)
    resampled = np.minimum(GLAND, 1) * np.float32(254.9999) + np.float32(1e-5)  # as whole as floats get
    np.testing.assert_array_equal(form.file(file(resampled), GLAND.shape), np.minimum(GLAND, 1) * 255)
    organs = np.where(np.arange(8) < 2, 3, GLAND)
    for wrong, message in (
        (organs, "0 outside and one number inside, received 3 different values, from 0 to 7."),
        (GLAND + 1, "0 outside and one number inside, received 2 different values, from 1 to 8."),
        (np.where(GLAND, 0, 7), "received one that fills 88 % of the volume, as if inside and outside were exchanged."),
    ):
        assert told(file(wrong.astype(np.uint8)), form, GLAND.shape) == f"Expected an outline, {message}"
        assert len(np.unique(BYTES.file(file(wrong.astype(np.uint8)), GLAND.shape))) > 1  # others take it


def test_a_thin_volume_counts_as_what_it_is_padded_to() -> None:
    scans = Volume("float32", any_size=True)
    thin = file(dim=[3, 4000, 1000, 1, 1, 1, 1, 1])  # 32 million with a third side of 8
    assert told(thin, scans, (None, None, None)) == (
        "The volume takes too long, 4000×1000×1 voxels: a side of fewer than 8 counts as 8, and then 16 million are "
        "allowed. Crop it, or send it in parts."
    )
    assert told(file(dim=[3, 2000, 1000, 1, 1, 1, 1, 1]), scans, (None, None, None)) == CUT_OFF  # it would be read


def test_parts_with_nothing_in_them_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volumes, "MOST_PARTS", 3)
    whole = gzip.compress(file())
    np.testing.assert_array_equal(BYTES.file(whole + 2 * gzip.compress(b""), BOX.shape), BOX)
    assert told(whole + 3 * gzip.compress(b"")) == MANY_PARTS


def test_a_bomb_is_refused_by_its_header_and_no_voxel_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    def inflate(*_: Any) -> None:
        raise AssertionError

    bomb = gzip.compress(nifti(np.zeros((BOMB_SIDE,) * 3, np.uint8)))
    assert len(bomb) < 20_000
    monkeypatch.setattr(volumes, "voxels", inflate)
    assert told(bomb).startswith("Expected a volume of 2×3×4, received one of 220×220×220 voxels")
    huge = file(dim=[3, 30_000, 30_000, 30_000, 1, 1, 1, 1])
    assert told(huge) == "The volume has too many voxels, 30000×30000×30000. Allowed are 16 million."
    with pytest.raises(ItemError, match="too many voxels"):
        BYTES.work(huge)


def test_what_follows_the_voxels_is_not_inflated() -> None:
    asked = []

    class Counted(gzip.GzipFile):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    whole = gzip.compress(file() + bytes(10**7))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("served.volume_file.gzip.open", lambda data: Counted(fileobj=data))
        np.testing.assert_array_equal(BYTES.file(whole, BOX.shape), BOX)
    assert asked == [540, START + BOX.size, 1]


def test_reading_takes_as_long_as_there_are_voxels() -> None:
    assert BYTES.work(file()) == volumes.VOXEL_WORK * BOX.size
    assert BYTES.work(gzip.compress(file())) == volumes.VOXEL_WORK * BOX.size


def shades(seen: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(seen["volume"]["bytes"]), np.uint8).reshape(seen["volume"]["shape"])


def test_what_was_seen_is_from_the_least_value_to_the_largest() -> None:
    item = np.array([-5, 0, 5, 15], np.float32).reshape(1, 2, 2)
    np.testing.assert_array_equal(shades(FLOATS.seen(item)), [[[0, 64], [128, 255]]])
    assert shades(BYTES.seen(np.zeros((2, 2, 2), np.uint8))).max() == 0


def test_what_was_seen_is_bounded() -> None:
    item = np.zeros((3, 2 * MOST_SHOWN, 2 * MOST_SHOWN + 1), np.uint8)
    item[0, 2, 3] = 1
    seen = shades(BYTES.seen(item))
    assert seen.shape == (3, MOST_SHOWN, 43)  # every third of 129
    assert seen[0, 1, 1] == 255


def test_what_is_hostile_is_no_item() -> None:
    outlined = dict(Volume(outline=True).hostile(GLAND))
    assert set(outlined["volume that shows nothing"]) == {0}
    assert outlined["inverted outline"].count(1) == 7 * GLAND.size // 8
    for item in (np.zeros((2, 2, 2)), np.zeros(START + 8)):
        for _, data in BYTES.hostile(item):
            assert len(data) not in (item.size, 4 * item.size)
