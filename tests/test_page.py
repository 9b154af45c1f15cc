"""The gateway's page in headless Chromium."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from registry.candidates import models_of
from registry.ledger import ALIAS
from tasks.contract import get_task
from tests.gateways import Gateway

pytest.importorskip("playwright", reason="requirements-dev.txt is not installed")
from playwright.sync_api import Browser, FilePayload, Page, expect

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
