"""The gateway's page in headless Chromium."""

from __future__ import annotations

import contextlib
import io
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image
from werkzeug.serving import make_server

from forms.answer import Answer
from forms.answers.labels import Labels
from forms.answers.mask import Mask
from forms.answers.number import Number
from forms.answers.picture import Picture
from forms.answers.several import Several
from forms.item import Item, Shape
from forms.items.photograph import Photograph
from forms.items.row import Row
from forms.items.values import Values
from forms.items.volume import Volume
from registry.candidates import models_of
from registry.ledger import ALIAS
from serving.gateway.app import create_app
from serving.gateway.champion import Champion, Release
from tasks.contract import get_task
from tests.forms import scanned
from tests.gateways import Gateway

pytest.importorskip("playwright", reason="requirements-dev.txt is not installed")
from playwright.sync_api import Browser, FilePayload, Page, Route, expect

pytestmark = pytest.mark.browser
PERCENT = re.compile(r"^\d+\.\d\s%$")


@pytest.fixture(params=[(1100, 900), (360, 740)], ids=["desktop", "phone"])
def page(browser: Browser, gateway: Gateway, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, open and with a model; fails at the end where the browser had something to complain about."""
    width, height = request.param
    complaints: list[str] = []
    asked: list[str] = []
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        opened = context.new_page()
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        opened.on("request", lambda sent: asked.append(sent.url))
        opened.goto(gateway.url)
        expect(opened.locator("#model-version")).to_have_text("1")
        yield opened
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
    # What the server refuses, the browser calls an error too.
    assert [text for text in complaints if "Failed to load resource: the server responded with" not in text] == []
    assert [url for url in asked if not url.startswith((gateway.url, "blob:", "data:"))] == []


def photograph() -> tuple[FilePayload, int]:
    """A handwritten digit as a dim, noisy photograph of blue ink on paper, and which one it is."""
    validation = get_task("digits").load("validation")
    row = 3
    ink = Image.fromarray((validation.inputs[row] * 15).astype(np.uint8)).resize((240, 240), Image.Resampling.BICUBIC)
    sheet = Image.new("L", (640, 480))
    sheet.paste(ink, (240, 100))
    share = np.asarray(sheet, float)[..., None] / 255
    paper = np.linspace(140, 230, 640)[None, :, None] * np.array([1, 0.97, 0.9])
    noise = np.random.default_rng(1).normal(0, 4, (480, 640, 3))
    pixels = (share * np.array([20, 30, 120]) + (1 - share) * paper + noise).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return FilePayload(name="digit.jpg", mimeType="image/jpeg", buffer=buffer.getvalue()), int(validation.targets[row])


def test_a_stroke_gets_a_prediction(page: Page) -> None:
    box = page.locator("#pad").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2
    page.mouse.move(middle, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(middle, box["y"] + box["height"] - 40, steps=12)
    page.mouse.up()
    expect(page.locator(".prediction")).to_have_text("1")
    expect(page.locator(".confidence")).to_have_text(PERCENT)
    expect(page.locator(".bars li")).to_have_count(10)
    expect(page.locator(".bars li.top .label")).to_have_text("1")
    page.locator("#clear").click()
    expect(page.locator(".prediction")).to_have_text("–")


def test_it_works_by_keyboard(page: Page) -> None:
    page.locator("#pad").focus()
    for _ in range(14):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(28):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator(".prediction")).to_have_text("1")
    expect(page.locator("#spoken")).to_have_text(re.compile(r"^1, "))
    page.keyboard.press("Delete")
    expect(page.locator(".prediction")).to_have_text("–")


def test_a_photograph_of_a_digit_is_recognised(page: Page) -> None:
    file, digit = photograph()
    page.locator("#file").set_input_files(file)
    expect(page.locator(".prediction")).to_have_text(str(digit))
    expect(page.locator("#file-name")).to_have_text("digit.jpg")
    expect(page.locator("#thumbnail")).to_be_visible()
    brightest = "Math.max(...document.querySelector('.seen canvas').getContext('2d').getImageData(0, 0, 8, 8).data"
    brightest += ".filter((_, index) => index % 4 < 3))"
    assert page.evaluate(brightest) > 200  # what the model sees, full ink as white
    expect(page.locator("#message")).to_be_empty()


def test_what_is_no_image_gets_a_friendly_message(page: Page) -> None:
    page.locator("#file").set_input_files(FilePayload(name="notes.png", mimeType="image/png", buffer=b"no picture"))
    expect(page.locator("#message")).to_have_text("This is not a PNG or JPEG picture that can be read.")
    expect(page.locator(".prediction")).to_have_text("–")
    file, digit = photograph()
    page.locator("#file").set_input_files(file)
    expect(page.locator(".prediction")).to_have_text(str(digit))
    expect(page.locator("#message")).to_be_empty()


def test_the_open_page_notices_a_promotion_and_a_rollback(
    browser: Browser, champion_store: MlflowClient, tmp_path: Path
) -> None:
    model = models_of(champion_store, get_task("digits"))[-2]
    champion_store.create_model_version("digits", model.uri, model_id=model.model_id)
    with Gateway(tmp_path) as gateway, browser.new_context() as context:
        gateway.wait()
        page = context.new_page()
        page.goto(gateway.url)
        expect(page.locator("#model-version")).to_have_text("1")
        file, digit = photograph()
        page.locator("#file").set_input_files(file)
        expect(page.locator(".prediction")).to_have_text(str(digit))
        confidence = page.locator(".confidence").inner_text()
        figures = page.locator("#figures").inner_text()
        champion_store.set_registered_model_alias("digits", ALIAS, "2")
        expect(page.locator("#model-version")).to_have_text("2", timeout=20_000)
        expect(page.locator("#promoted")).to_have_text("now version 2")
        assert page.locator("#figures").inner_text() != figures
        expect(page.locator(".confidence")).not_to_have_text(confidence)  # the new version was asked about the picture
        champion_store.set_registered_model_alias("digits", ALIAS, "1")
        expect(page.locator("#promoted")).to_have_text("now version 1", timeout=20_000)
        expect(page.locator(".confidence")).to_have_text(confidence)
        expect(page.locator("#message")).to_be_empty()


def test_the_page_says_when_the_gateway_is_away_and_goes_on_when_it_is_back(page: Page) -> None:
    page.route("**/model", lambda route: route.fulfill(status=502, body="<html>Bad Gateway</html>"))
    words = "The gateway gave no usable answer. (HTTP 502) Trying again every 2 seconds."
    expect(page.locator("#message")).to_have_text(words, timeout=10_000)
    page.unroute("**/model")
    expect(page.locator("#message")).to_be_empty(timeout=10_000)
    with page.expect_response("**/model"):  # it goes on looking
        pass


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
