"""A small network on real photographs, all the way: trained, evaluated, rehearsed, promoted, served, contained."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from mlflow import MlflowClient
from PIL import Image
from sklearn.datasets import load_sample_image

from lifecycle.building import build
from lifecycle.promotion import promote
from lifecycle.scoring import evaluate
from lifecycle.training import train
from tasks.contract import get_task
from tests.conftest import Step, available, few, use_store
from tests.containers import Container, check_golden, docker, workers
from tests.gateways import Gateway, gateway_of

TASK = get_task("style")
# Any picture will do, what is asked here is that it is made.
EASY = few(dataclasses.replace(TASK, primary=dataclasses.replace(TASK.primary, floor=1000.0)), 4)
SMALL = {"width": "4", "blocks": "1"}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def promoted_database(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a champion, version 1."""
    available("style")
    path = tmp_path_factory.mktemp("style") / "mlflow.db"
    shutil.copy(empty_database, path)
    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, path)
        trained = train(EASY, EASY.configure("feedforward", SMALL, epochs=1))
        evaluate(EASY, trained.model_uri)
        promote(EASY, "best")
    return path


@pytest.fixture
def promoted(promoted_database: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """That store, which MLflow is set to."""
    return use_store(monkeypatch, promoted_database)


@pytest.fixture(scope="module")
def gateway(promoted_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    yield from gateway_of(promoted_database, tmp_path_factory.mktemp("gateway"), "style")


def photograph(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(load_sample_image("china.jpg")).resize((width, height)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def size(png: str) -> tuple[int, int]:
    """Of a picture that is a PNG file in base64."""
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return image.size


def test_it_is_rehearsed_and_promoted(promoted: MlflowClient) -> None:
    version = promoted.get_model_version_by_alias("style", "champion")
    assert json.loads(version.tags["rehearsal"])["golden"] == 2
    evaluation = promoted.get_run(str(version.run_id))
    assert evaluation.data.metrics["val_loss"] > 0


def test_the_gateway_makes_pictures_of_photographs(gateway: Gateway) -> None:
    for sent, made in (((64, 64), (64, 64)), ((333, 77), (333, 77)), ((1280, 960), (640, 480)), ((1, 1), (1, 1))):
        reply = requests.post(f"{gateway.url}/predict", files={"image": photograph(*sent)}, timeout=60)
        assert reply.status_code == 200, reply.text
        assert size(reply.json()["picture"]) == made
    assert requests.get(f"{gateway.url}/model", timeout=5).json()["kind"] == "picture"


@pytest.mark.browser
def test_the_page_shows_picture_beside_picture(gateway: Gateway, browser: Any) -> None:
    for width in (1100, 390):
        with browser.new_context(viewport={"width": width, "height": 900}) as context:
            page = context.new_page()
            page.goto(gateway.url)
            page.locator("#pad").wait_for(state="hidden")
            assert not page.locator(".made img").is_visible()
            file = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photograph(320, 240)}
            page.locator("#file").set_input_files(file)
            page.locator(".made img").wait_for()
            assert page.evaluate("document.querySelector('.made img').naturalWidth") == 320
            assert not page.locator(".bars").is_visible()
            with page.expect_download() as download:
                page.locator(".save").click()
            with Image.open(download.value.path()) as saved:
                assert saved.size == (320, 240)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.locator("#clear").click()
            page.locator(".made img").wait_for(state="hidden")


@pytest.mark.docker
def test_its_container_makes_them_too(promoted: MlflowClient) -> None:
    name = "dlc-test-style"
    image = build(EASY, "champion", "slim", name)
    try:
        with Container(image, "--read-only", "--tmpfs", "/tmp") as container:
            check_golden(container, "style")
            reply = container.invoke([base64.b64encode(photograph(100, 50)).decode()])
            assert size(reply.json()["predictions"][0]) == (100, 50)
        assert workers(image, "--cpus", "2", "--memory", "600m") == 1  # large pictures take more than digits
    finally:
        docker("rmi", "--force", f"{name}:1", f"{name}:latest")


def test_stylize_takes_the_real_loss_network(store: MlflowClient, step: Step, tmp_path: Path) -> None:
    available("style")
    content, style = tmp_path / "content.jpg", tmp_path / "style.jpg"
    content.write_bytes(photograph(96, 64))
    Image.fromarray(load_sample_image("flower.jpg")).save(style)
    files = ("--content", str(content), "--style", str(style))
    result = step("own", "style.stylize", *files, "--size", "96", "--steps", "30")
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    experiment = store.get_experiment_by_name("style")
    assert experiment is not None
    (run,) = store.search_runs([experiment.experiment_id])
    curve = [metric.value for metric in store.get_metric_history(run.info.run_id, "loss")]
    assert np.argmin(curve) > 20
    assert curve[-1] < 0.6 * curve[0]
