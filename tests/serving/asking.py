"""How the tests of the gateway ask it."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from PIL import Image, ImageDraw
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from serving.gateway.champion import Release
from tasks.contract import get_task


class Alias:
    version: str | None = "1"


def drawing() -> bytes:
    image = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(image).line((100, 30, 100, 170), fill=0, width=20)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def upload(client: FlaskClient, data: bytes, field: str = "image") -> TestResponse:
    return client.post("/predict", data={field: (io.BytesIO(data), "picture.png")})


def post(client: FlaskClient, body: str | bytes, content_type: str = "application/json") -> TestResponse:
    return client.post("/predict", data=body, content_type=content_type)


def totals(client: FlaskClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


TASK = get_task("digits")


def release(version: str, predict: Callable[[list[Any]], Any]) -> Release:
    return Release(version, TASK.item, (8, 8), "uint8", TASK.answer, {"test_accuracy": 0.5}, predict)
