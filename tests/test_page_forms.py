"""The page as each form of item and answer shows itself, in headless Chromium; models are functions."""

from __future__ import annotations

import contextlib
import gzip
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from PIL import Image
from werkzeug.serving import make_server

from forms.answer import Answer
from forms.answers.labels import Labels
from forms.answers.mask import Mask
from forms.answers.number import Number
from forms.answers.picture import Picture
from forms.answers.several import Several
from forms.answers.volume_mask import VolumeMask
from forms.item import Item, Shape
from forms.items.photograph import Photograph
from forms.items.row import Row
from forms.items.values import Values
from forms.items.volume import Volume
from serving.gateway.app import create_app
from serving.gateway.champion import Champion, Release
from tasks.contract import get_task
from tests.forms import scanned

pytest.importorskip("playwright", reason="requirements-dev.txt is not installed")
from playwright.sync_api import Browser, FilePayload, Page, Route, expect

from tests.test_page import photograph

pytestmark = pytest.mark.browser


def slow(route: Route) -> None:
    """A script that comes late: who gives an item as soon as the page lets them must not lose it."""
    time.sleep(0.5)
    route.continue_()


@contextlib.contextmanager
def open_page(browser: Browser, item: Item, shape: Shape, answer: Answer, predict: Any) -> Iterator[Page]:
    """The page of a gateway whose champion has these forms."""
    release = Release("1", item, shape, "float32", answer, {}, predict)
    champion = Champion(lambda: "1", lambda version: release)
    champion.refresh()
    server = make_server("127.0.0.1", 0, create_app(get_task("digits"), champion), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with browser.new_context(viewport={"width": 390, "height": 800}) as context:
            page = context.new_page()
            page.route("**/forms/answers/*.js", slow)
            page.goto(f"http://127.0.0.1:{server.server_port}")
            yield page
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_row_is_filled_with_an_example_and_gets_a_number(browser: Browser) -> None:
    row = Row(("height of it", "it's width"), (180.0, 30.5))
    with open_page(browser, row, (2,), Number("kg"), lambda items: np.array(items, float)[:, :1] - 100) as page:
        expect(page.get_by_label("it's width")).to_have_value("30.5")
        expect(page.locator(".prediction")).to_have_text("80")
        expect(page.locator(".confidence")).to_have_text("kg")
        page.get_by_label("height of it").fill("150.25")
        expect(page.locator(".prediction")).to_have_text("50.25")
        page.get_by_label("height of it").fill("")
        expect(page.locator(".prediction")).to_have_text("–")
        page.locator("#clear").click()
        expect(page.locator(".prediction")).to_have_text("80")
        expect(page.locator("label[for=file]")).not_to_be_visible()
        expected = """-d '{"row": {"height of it": 180, "it'\\''s width": 30.5}}'"""
        assert expected in page.locator("#curl").inner_text()


def test_a_mask_is_shown_over_the_picture_and_can_be_saved(browser: Browser) -> None:
    def left_half(items: list[np.ndarray]) -> np.ndarray:
        found = np.zeros((len(items), 32, 32, 2), np.float32)
        found[:, :, :16, 1] = 1
        found[..., 0] = 1 - found[..., 1]
        return found

    with open_page(browser, Photograph(), (32, 32, 3), Mask(("ground", "cells"), objects=True), left_half) as page:
        expect(page.locator(".state")).to_have_text("Choose a picture to see its mask here.")
        page.locator("#file").set_input_files(photograph()[0])
        expect(page.locator(".shares li").nth(1)).to_have_text("cells50.0\u00a0%")
        pixel = "([x, y]) => [...document.querySelector('canvas.mask').getContext('2d').getImageData(x, y, 1, 1).data]"
        assert page.evaluate(pixel, [15, 31])[3] == 255
        assert page.evaluate(pixel, [16, 31])[3] == 0
        seen = "() => document.querySelector('.under').getContext('2d').getImageData(31, 0, 1, 1).data[0]"
        assert 200 < page.evaluate(seen) < 256  # the right edge of the photograph is light
        expect(page.locator(".state")).to_have_text("Number of cells: 2.")  # twice as long as it is wide
        page.get_by_label("Outlines only").check()
        assert page.evaluate(pixel, [15, 31])[3] == 255
        assert page.evaluate(pixel, [14, 31])[3] == 0
        page.locator(".opacity input").fill("0")
        assert page.evaluate("document.querySelector('canvas.mask').style.opacity") == "0"
        with page.expect_download() as download:
            page.locator(".save").click()
        with Image.open(download.value.path()) as saved:
            assert np.asarray(saved).sum() == 16 * 32
        page.locator("#clear").click()
        expect(page.locator(".save")).not_to_be_visible()


def test_a_volume_is_shown_in_three_planes(browser: Browser) -> None:
    labels, shape = Labels(("left", "right")), (6, 5, 4)
    item = np.zeros(shape, np.uint8)
    item[4, 1, 3] = 9  # one voxel to the right, at the back, above

    def predict(items: list[np.ndarray]) -> np.ndarray:
        return np.array([[1.0, 0.0] if np.asarray(one)[:3].any() else [0.0, 1.0] for one in items])

    def lit(page: Page, name: str) -> list[int]:
        """Where a plane is light: from the left, and from the top."""
        canvas = f"document.querySelector('canvas[aria-label^={name}]')"
        code = f"[...{canvas}.getContext('2d').getImageData(0, 0, {canvas}.width, {canvas}.height).data]"
        pixels = np.reshape(page.evaluate(code), (-1, page.evaluate(f"{canvas}.width"), 4))[..., 0]
        return [int(place) for row, column in np.argwhere(pixels == 255) for place in (column, row)]

    with open_page(browser, Volume(), shape, labels, predict) as page:
        expect(page.locator("label[for=file]")).to_have_text("Choose a volume")
        assert page.locator("#file").get_attribute("accept") == ".nii,.gz"
        expect(page.locator(".empty")).to_have_text("Drop a NIfTI file here")
        sent = FilePayload(name="gland.nii", mimeType="application/octet-stream", buffer=scanned.file(item))
        page.locator("#file").set_input_files(sent)
        expect(page.locator(".prediction")).to_have_text("right")
        expect(page.locator(".plane span")).to_have_text(["2 of 4", "3 of 5", "3 of 6"])
        assert lit(page, "Axial") == []
        for name, position in (("Axial", 4), ("Coronal", 2), ("Sagittal", 5)):
            slider = page.get_by_role("slider", name=name)
            slider.focus()
            while int(slider.input_value()) != position:
                page.keyboard.press("ArrowRight" if int(slider.input_value()) < position else "ArrowLeft")
        assert [lit(page, name) for name in ("Axial", "Coronal", "Sagittal")] == [[4, 3], [4, 0], [1, 0]]
        page.locator("#clear").click()
        expect(page.locator(".empty")).to_be_visible()
        expect(page.locator(".plane").first).not_to_be_visible()


def test_a_mask_lies_over_three_planes_of_its_volume(browser: Browser) -> None:
    mask, shape = VolumeMask(("water", "bubble", "stone")), (None, None, None)
    item = np.zeros((6, 5, 4), np.float32)
    item[4, 1, 3] = 9

    def predict(items: list[np.ndarray]) -> list[np.ndarray]:
        return [np.eye(3, dtype=np.float32)[2 * (np.asarray(one) > 0)] for one in items]

    with open_page(browser, Volume(dtype="float32", any_size=True), shape, mask, predict) as page:
        expect(page.locator(".state")).to_have_text("Choose a volume to see its mask here.")
        sent = FilePayload(name="box.nii", mimeType="application/octet-stream", buffer=scanned.file(item))
        page.locator("#file").set_input_files(sent)
        expect(page.locator("#answer .plane")).to_have_count(3)
        expect(page.locator("#item .plane").first).not_to_be_visible()
        slider = page.get_by_role("slider", name="Axial")
        slider.focus()
        page.keyboard.press("End")
        over = "document.querySelector('#answer .over')"
        code = f"[...{over}.getContext('2d').getImageData(0, 0, {over}.width, {over}.height).data]"
        painted = np.reshape(page.evaluate(code), (5, 6, 4))
        assert np.argwhere(painted[..., 3]).tolist() == [[3, 4]]  # from the top, which is the front, and from the left
        expect(page.locator("ul li b").nth(2)).to_have_text(re.compile("0.8\\s%.*0.001\\sml"))
        page.get_by_role("slider", name="Mask").fill("100")
        assert page.locator("#answer .over").first.evaluate("canvas => canvas.style.opacity") == "1"
        with page.expect_download() as saved:
            page.get_by_text("Save it").click()
        found = Nifti1Image.from_bytes(gzip.decompress(saved.value.path().read_bytes()))
        np.testing.assert_array_equal(np.asarray(found.dataobj), 2 * (item > 0))
        page.locator("#clear").click()
        expect(page.locator(".plane").first).not_to_be_visible()


def test_a_photograph_gets_the_likeliest_of_many_labels(browser: Browser) -> None:
    labels = Labels(tuple(f"animal {number}" for number in range(12)))
    shares = np.array([[number / 66 for number in range(12)]], np.float32)
    with open_page(browser, Photograph(), (32, 32, 3), labels, lambda _: shares) as page:
        page.locator("#file").set_input_files(photograph()[0])
        expect(page.locator(".prediction")).to_have_text("animal 11")
        expect(page.locator(".bars .label")).to_have_text([f"animal {number}" for number in (11, 10, 9, 8, 7)])
        expect(page.locator(".bars .percent").first).to_have_text("16.7\u00a0%")


def test_a_photograph_gets_a_picture_that_can_be_saved(browser: Browser) -> None:
    def negative(items: list[np.ndarray]) -> list[np.ndarray]:
        return [255 - np.asarray(item, np.uint8) for item in items]

    with open_page(browser, Photograph(any_size=True), (None, None, 3), Picture(), negative) as page:
        expect(page.locator(".made img")).not_to_be_visible()
        page.locator("#file").set_input_files(photograph()[0])
        expect(page.locator(".made img")).to_be_visible()
        assert page.evaluate("document.querySelector('.made img').naturalWidth") == 640
        with page.expect_download() as download:
            page.locator(".save").click()
        with Image.open(download.value.path()) as saved:
            assert saved.size == (640, 480)
        page.locator("#clear").click()
        expect(page.locator(".made img")).not_to_be_visible()


def test_several_answers_stand_one_below_the_other(browser: Browser) -> None:
    answer = Several({"side": Labels(("left", "right")), "how_far": Number("m", interval=0.9)})

    def predict(items: Any) -> dict[str, np.ndarray]:
        values = np.array(items, np.float32)
        return {"side": values, "how_far": values[:, :1] * (100, 90, 120)}

    with open_page(browser, Values(), (2,), answer, predict) as page:
        page.locator("#values").fill("0.25, 0.75")
        side, far = page.locator(".part").all()
        expect(side.locator("h3")).to_have_text("side")
        expect(side.locator(".prediction")).to_have_text("right")
        expect(side.locator(".bars li")).to_have_count(2)
        expect(far.locator("h3")).to_have_text("how far")
        expect(far.locator(".prediction")).to_have_text("25")
        expect(far.locator(".confidence")).to_have_text("m")
        expect(far.locator(".interval")).to_have_text("90\u00a0% between 22.5 and 30")
        expect(page.locator("#spoken")).to_have_text(
            "side: right, 75.0\u00a0%; how far: 25 m, 90\u00a0% between 22.5 and 30"
        )
        page.locator("#clear").click()
        expect(far.locator(".prediction")).to_have_text("–")


def test_numbers_are_typed_and_get_a_label(browser: Browser) -> None:
    labels = Labels(("left", "right"))
    with open_page(browser, Values(), (2,), labels, lambda items: np.array(items, np.float32)) as page:
        for typed in ("0.25, 0.75", "0.25 0.75", "[0.25, 0.75]", "0.25\n0.75\n"):
            page.locator("#values").fill(typed)
            expect(page.locator(".prediction")).to_have_text("right")
            expect(page.locator(".confidence")).to_have_text("75.0\u00a0%")
            page.locator("#clear").click()
            expect(page.locator(".prediction")).to_have_text("–")
        page.locator("#values").fill("1, two")
        expect(page.locator("#message")).to_have_text("Expected JSON, received something else.")
        expect(page.locator(".seen canvas")).not_to_be_visible()
