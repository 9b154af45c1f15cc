"""What the served model accepts and refuses, on graphs small enough to know the answer."""

from __future__ import annotations

import base64
import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from onnx import TensorProto
from PIL import Image

from forms.pictures import pixels
from served import machine
from served.model import OnnxModel
from serving.package import write_code
from tests.conftest import ROOMS
from tests.served.graphs import NUMBERS, PICTURES, encoded, loaded, raw

HEIGHT, WIDTH = 2, 3
PIXELS = np.array([[0, 1, 2], [253, 254, 255]], np.uint8)


@pytest.fixture
def grey(tmp_path: Path) -> OnnxModel:
    return loaded(tmp_path, TensorProto.UINT8, (HEIGHT, WIDTH), "pictures")


@pytest.fixture
def rgb(tmp_path: Path) -> OnnxModel:
    return loaded(tmp_path, TensorProto.UINT8, (HEIGHT, WIDTH, 3), "pictures")


@pytest.fixture
def any_size(tmp_path: Path) -> OnnxModel:
    return loaded(tmp_path, TensorProto.UINT8, ("height", "width", 3), "pictures of any size", PICTURES)


@pytest.fixture
def series(tmp_path: Path) -> OnnxModel:
    return loaded(tmp_path, TensorProto.FLOAT, (4,), "values")


@pytest.mark.parametrize(
    "item",
    [PIXELS, PIXELS.tolist(), PIXELS.astype(float).tolist(), raw(PIXELS), encoded(PIXELS)],
    ids=["array", "integers", "whole floats", "raw", "png"],
)
def test_every_form_of_an_item_means_the_same(grey: OnnxModel, item: Any) -> None:
    np.testing.assert_array_equal(grey.predict(None, [item]), [2.0 * PIXELS])


def test_forms_can_be_mixed_in_a_batch(grey: OnnxModel) -> None:
    outputs = grey.predict(None, [PIXELS.tolist(), raw(PIXELS), encoded(PIXELS)])
    np.testing.assert_array_equal(outputs, np.stack([2.0 * PIXELS] * 3))


def test_a_jpeg_and_a_coloured_png_are_brought_to_grey(grey: OnnxModel) -> None:
    flat = np.full((HEIGHT, WIDTH), 128, np.uint8)
    np.testing.assert_array_equal(grey.predict(None, [encoded(flat, format="JPEG")]), [2.0 * flat])
    np.testing.assert_array_equal(grey.predict(None, [encoded(np.dstack([flat] * 3))]), [2.0 * flat])


def test_a_grey_png_is_brought_to_colour(rgb: OnnxModel) -> None:
    np.testing.assert_array_equal(rgb.predict(None, [encoded(PIXELS)]), [2.0 * np.dstack([PIXELS] * 3)])


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, raw], ids=["array", "list", "raw"])
def test_series_are_floats(series: OnnxModel, form: Callable[[np.ndarray], Any]) -> None:
    values = np.array([0.5, -1.0, 2.25, 3.0], np.float32)
    np.testing.assert_array_equal(series.predict(None, [form(values)]), [2 * values])


def test_raw_bytes_that_begin_like_a_picture_are_raw_bytes(grey: OnnxModel, series: OnnxModel) -> None:
    pixels = np.array([[0xFF, 0xD8, 1], [2, 3, 4]], np.uint8)
    np.testing.assert_array_equal(grey.predict(None, [raw(pixels)]), [2.0 * pixels])
    values = np.frombuffer(b"\xff\xd8\xff\x00" + bytes(12), np.float32)
    np.testing.assert_array_equal(series.predict(None, [raw(values)]), [2 * values])


def test_whole_numbers_are_floats_too(series: OnnxModel) -> None:
    np.testing.assert_array_equal(series.predict(None, [[1, 2, 3, 4]]), [[2.0, 4.0, 6.0, 8.0]])


PNG_BOMB = encoded(np.zeros((5000, 5000), np.uint8))
CMYK = encoded(Image.new("CMYK", (WIDTH, HEIGHT)), format="JPEG")


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "expected at least one item, received none"),
        ([[[1, 2], [3, 4]]], r"expected an item of shape \(2, 3\), received \(2, 2\)"),
        ([PIXELS.tolist()[0]], r"expected an item of shape \(2, 3\), received \(3,\)"),
        ([7], r"expected an item of shape \(2, 3\), received \(\)"),
        ([[[1, 2, 3], [4, 5]]], r"expected an item of shape \(2, 3\), received a ragged list"),
        ([[[1, 2, 3], [4, 5, 256]]], "expected whole numbers from 0 to 255"),
        ([[[1, 2, 3], [4, 5, -1]]], "expected whole numbers from 0 to 255"),
        ([[[1, 2, 3], [4, 5, 0.5]]], "expected whole numbers from 0 to 255"),
        ([[[1, 2, 3], [4, 5, float("nan")]]], "expected whole numbers from 0 to 255"),
        ([[[1, 2, 3], [4, 5, float("inf")]]], "expected whole numbers from 0 to 255"),
        ([[[1, 2, 3], [4, 5, 10**30]]], "expected whole numbers from 0 to 255"),
        ([[[1, 2, 3], [4, 5, 10**400]]], "expected finite numbers only"),
        ([[[1, 2, 3], [4, 5, "6"]]], "expected numbers only"),
        ([[[1, 2, 3], [4, 5, None]]], "expected numbers only"),
        ([[[True, True, True], [True, True, True]]], "expected numbers only"),
        ([{"a": 1}], r"expected an item of shape \(2, 3\), received \(\)"),
        (["not base64!"], "expected a string to be base64"),
        (["ééé"], "expected a string to be base64"),
        (["AAAA"], "expected a PNG, a JPEG or 6 bytes of raw values, received 3 bytes"),
        ([encoded(np.zeros((4, 4), np.uint8))], "expected an image of 3×2 pixels, received 4×4"),
        ([PNG_BOMB], "expected an image of 3×2 pixels, received 5000×5000"),
        ([encoded(PIXELS)[:40]], "cannot read the image"),
        ([base64.b64encode(b"\xff\xd8\xff no jpeg").decode()], "cannot read the image"),
        ([encoded(np.full((HEIGHT, WIDTH), 40_000, np.uint16))], "a grey or RGB image of 8 bits without transparency"),
        ([encoded(np.zeros((HEIGHT, WIDTH, 4), np.uint8))], "a grey or RGB image of 8 bits without transparency"),
        ([CMYK], "expected a grey or RGB image of 8 bits without transparency, received mode CMYK"),
        ([encoded(np.zeros((1, 1), np.uint8))], "expected an image of 3×2 pixels, received 1×1"),
    ],
)
def test_what_cannot_be_an_item_is_refused(grey: OnnxModel, items: list[Any], message: str) -> None:
    with pytest.raises(MlflowException, match=message) as caught:
        grey.predict(None, items)
    assert caught.value.error_code == "BAD_REQUEST"  # MLflow makes that a 400


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300])
def test_a_series_must_be_finite(series: OnnxModel, value: float) -> None:
    with pytest.raises(MlflowException, match="expected finite numbers only"):
        series.predict(None, [[1.0, 2.0, 3.0, value]])


def test_an_answer_that_is_not_finite_is_not_given(series: OnnxModel) -> None:
    with pytest.raises(MlflowException, match="the model has no finite answer"):
        series.predict(None, [[3e38, 0.0, 0.0, 0.0]])


def test_a_long_string_among_the_numbers_takes_no_more_memory_than_itself(grey: OnnxModel) -> None:
    items: Any = [[["7" * 1_000_000, 1, 2], [3, 4, 5]]]
    tracemalloc.start()
    with pytest.raises(MlflowException, match="expected numbers only"):
        grey.predict(None, items)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("items", [{"a": [1]}, "text", 7, None])
def test_what_is_no_list_is_refused(grey: OnnxModel, items: Any) -> None:
    with pytest.raises(MlflowException, match=r"[Ee]xpected (a )?list"):
        grey.predict(None, items)


def test_a_model_that_fails_tells_no_details(grey: OnnxModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(grey._session, "_session", SimpleNamespace(run=broken))
    with pytest.raises(MlflowException) as caught:
        grey.predict(None, [PIXELS.tolist()])
    assert caught.value.message == "the model failed"
    assert caught.value.error_code == "INTERNAL_ERROR"  # MLflow makes that a 500


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000"}, 4),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "900000 100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ],
)
def test_threads_follow_what_a_container_may_use(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert machine.cpus() == expected


def test_what_ships_stands_alone(tmp_path: Path) -> None:
    """It must run where neither this project nor TensorFlow is installed."""
    write_code(tmp_path)
    code = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "runpy.run_path(sys.path[0] + '/model.py')\n"
        f"needless = {{*{ROOMS!r}, 'tensorflow', 'keras'}}\n"
        "needless &= {name.split('.')[0] for name in sys.modules}\n"
        "assert not needless, needless"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_pictures_of_any_size_come_back_in_the_form_they_came_in(any_size: OnnxModel) -> None:
    """Doubled, and what would be more than white is white."""
    small, wide = (np.full((*shape, 3), 100, np.uint8) for shape in ((1, 1), (20, 30)))
    wide[0] = 200
    doubled = np.minimum(2 * wide.astype(int), 255)
    items: list[Any] = [small.tolist(), wide, encoded(wide)]
    one, other, file = any_size.predict(None, items)
    np.testing.assert_array_equal(one, [[[200] * 3]])
    np.testing.assert_array_equal(other, doubled)
    assert isinstance(other, np.ndarray)
    assert other.dtype == np.uint8
    assert isinstance(file, str)
    with Image.open(io.BytesIO(base64.b64decode(file))) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), doubled)


def test_many_large_pictures_in_a_request_are_refused(any_size: OnnxModel) -> None:
    """Black ones take a few hundred bytes each."""
    black = encoded(Image.new("1", (1024, 1024)))
    assert len(any_size.predict(None, [black])) == 1
    with pytest.raises(MlflowException, match="expected at most 1048576 pixels in all"):
        any_size.predict(None, [black] * 100_000)


def test_a_photograph_is_turned_as_the_camera_was_held(any_size: OnnxModel) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    (file,) = any_size.predict(None, [encoded(np.zeros((20, 30, 3), np.uint8), format="JPEG", exif=exif)])
    assert isinstance(file, str)
    with Image.open(io.BytesIO(base64.b64decode(file))) as image:
        assert image.size == (20, 30)


def test_grey_files_become_coloured_pictures(any_size: OnnxModel) -> None:
    (file,) = any_size.predict(None, [encoded(PIXELS)])
    assert isinstance(file, str)
    with Image.open(io.BytesIO(base64.b64decode(file))) as image:
        assert image.size == (WIDTH, HEIGHT)
        assert image.mode == "RGB"


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (PIXELS.tolist(), r"expected an item of shape \(height, width, 3\), received \(2, 3\)"),
        ([[[1, 2, 3], [4, 5]]], r"expected an item of shape \(height, width, 3\), received a ragged list"),
        ([[[1, 2, 3, 4]]], r"expected an item of shape \(height, width, 3\), received \(1, 1, 4\)"),
        ([[[1, 2, 300]]], "expected whole numbers from 0 to 255"),
        ([[[1, 2, float("nan")]]], "expected whole numbers from 0 to 255"),
        ([], r"expected an item of shape \(height, width, 3\), received \(0,\)"),
        (np.zeros((0, 5, 3), np.uint8), "expected 1 to 1048576 pixels, received 0"),
        (np.zeros((1025, 1024, 3), np.uint8), "expected 1 to 1048576 pixels, received 1049600"),
        (raw(np.zeros((2, 2, 3), np.uint8)), "expected a string to be base64 of a PNG or JPEG file"),
        (
            encoded(Image.new("L", (20_000, 20_000))),
            "(at most 1048576 pixels, received 20000×20000|400000000 pixels.* exceeds limit)",
        ),
        (encoded(Image.new("RGBA", (4, 4))), "of 8 bits without transparency, received mode RGBA"),
        (encoded(Image.fromarray(np.zeros((4, 4), np.uint16))), "of 8 bits without transparency, received mode I;16"),
        (encoded(Image.new("CMYK", (4, 4)), format="JPEG"), "of 8 bits without transparency, received mode CMYK"),
    ],
    ids=[
        *("two dimensions", "ragged", "four channels", "above 255", "NaN", "empty", "no pixels", "too many pixels"),
        *("no file", "20,000 pixels wide", "alpha", "16 bits", "CMYK"),
    ],
)
def test_pictures_that_cannot_be_taken_are_refused(any_size: OnnxModel, item: Any, message: str) -> None:
    with pytest.raises(MlflowException, match=message):
        any_size.predict(None, [item])


def test_what_is_not_the_picture_may_be_large_or_broken(rgb: OnnxModel) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    second = {"save_all": True, "append_images": [Image.new("RGB", (4, 4))]}
    plain, mpo = encoded(pixels, format="JPEG"), encoded(pixels, format="MPO", **second)
    np.testing.assert_array_equal(rgb.predict(None, [mpo]), rgb.predict(None, [plain]))
    png = base64.b64decode(encoded(pixels))
    profile = b"iCCPa\0\0" + zlib.compress(bytes(2 << 20), 9)
    noted = png[:33] + (struct.pack(">I", len(profile) - 4) + profile + b"sums") * 1_000 + png[33:]
    np.testing.assert_array_equal(rgb.predict(None, [base64.b64encode(noted).decode()]), [2.0 * pixels])


def test_a_jpeg_of_many_scans_is_refused(any_size: OnnxModel) -> None:
    data = base64.b64decode(encoded(Image.new("RGB", (64, 64)), format="JPEG", progressive=True))
    scan = data[data.rindex(b"\xff\xc4") : -2]
    many = base64.b64encode(data[:-2] + 100 * scan + data[-2:]).decode()
    with pytest.raises(MlflowException, match="expected a JPEG of at most 100 scans"):
        any_size.predict(None, [many])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_that_cannot_be_read_is_told_in_one_line(rgb: OnnxModel, kind: str) -> None:
    """Pillow's own words have memory addresses and parts of what was sent in them."""
    data = base64.b64decode(encoded(np.zeros((HEIGHT, WIDTH, 3), np.uint8), format=kind))
    generator, broken = np.random.default_rng(1), [data[:length] for length in range(8, len(data))]
    for _ in range(200):
        changed = bytearray(data)
        changed[generator.integers(8, len(data))] = generator.integers(256)
        broken.append(bytes(changed))
    reasons = set()
    for file in broken:
        try:
            rgb.predict(None, [base64.b64encode(file).decode()])
        except MlflowException as error:
            assert error.error_code == "BAD_REQUEST"
            reasons.add(error.message)
    assert {"cannot read the image, it is cut off", "cannot read the image, it is damaged"} <= reasons
    assert not [reason for reason in reasons if "0x" in reason or "\n" in reason]


def test_several_outputs_are_answered_by_name(tmp_path: Path) -> None:
    answer = {"answers": {"same": NUMBERS, "doubled": PICTURES}}
    model = loaded(tmp_path, TensorProto.FLOAT, (2,), "values", answer, ("same", "doubled"))
    outputs: Any = model.predict(None, [[1.2, 200.0], [3.0, -4.0]])
    np.testing.assert_allclose(outputs["same"], [[1.2, 200.0], [3.0, -4.0]], rtol=1e-6)
    np.testing.assert_array_equal(outputs["doubled"], [[2, 255], [6, 0]])


def test_several_answers_to_pictures_of_any_size_are_lists_by_name(tmp_path: Path) -> None:
    answer = {"answers": {"same": NUMBERS, "doubled": PICTURES}}
    shape = ("height", "width", 3)
    model = loaded(tmp_path, TensorProto.UINT8, shape, "pictures of any size", answer, ("same", "doubled"))
    small, wide = np.full((1, 2, 3), 7, np.uint8), np.full((3, 5, 3), 9, np.uint8)
    outputs: Any = model.predict(None, [small.tolist(), encoded(wide)])
    np.testing.assert_array_equal(outputs["same"][0], small)
    np.testing.assert_array_equal(outputs["same"][1], wide)
    np.testing.assert_array_equal(outputs["doubled"][0], 2 * small)
    np.testing.assert_array_equal(pixels(outputs["doubled"][1]), 2 * wide)


def test_a_graph_with_more_outputs_than_its_answer_has_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the graph has the outputs \['doubled', 'same'\], its answer"):
        loaded(tmp_path, TensorProto.FLOAT, (2,), "values", outputs=("same", "doubled"))
