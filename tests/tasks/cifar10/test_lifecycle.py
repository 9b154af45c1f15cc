"""A small network on real photographs, all the way: trained, evaluated, rehearsed, promoted, served."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient
from PIL import Image

from lifecycle.promotion import promote
from lifecycle.scoring import evaluate
from lifecycle.training import train
from tasks.contract import get_task
from tests.conftest import available, few, use_store
from tests.gateways import Gateway, gateway_of

TASK = get_task("cifar10")
# As little as it takes to be better than chance, which is what is asked here of it.
EASY = few(dataclasses.replace(TASK, primary=dataclasses.replace(TASK.primary, floor=0.2)), 2000)
SMALL = {"width": "8", "batch_size": "100"}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def promoted_database(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a champion, version 1."""
    available("cifar10")
    path = tmp_path_factory.mktemp("cifar10") / "mlflow.db"
    shutil.copy(empty_database, path)
    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, path)
        trained = train(EASY, EASY.configure("fast", SMALL, epochs=2))
        evaluate(EASY, trained.model_uri)
        promote(EASY, "best")
    return path


@pytest.fixture
def promoted(promoted_database: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """That store, which MLflow is set to."""
    return use_store(monkeypatch, promoted_database)


@pytest.fixture(scope="module")
def gateway(promoted_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    yield from gateway_of(promoted_database, tmp_path_factory.mktemp("gateway"), "cifar10")


def test_it_is_rehearsed_and_promoted(promoted: MlflowClient) -> None:
    version = promoted.get_model_version_by_alias("cifar10", "champion")
    assert int(version.version) == 1
    assert json.loads(version.tags["rehearsal"])["golden"] == 3


def photograph(size: tuple[int, int]) -> bytes:
    picture = Image.fromarray(TASK.load("validation").inputs[0]).resize(size)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_the_gateway_takes_photographs_of_any_size(gateway: Gateway) -> None:
    for size in ((32, 32), (640, 480), (1, 1)):
        reply = requests.post(f"{gateway.url}/predict", files={"image": photograph(size)}, timeout=30)
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        assert len(answer["image"]) == 32 * 32 * 3
        assert len(answer["probabilities"][0]) == 10
        assert sum(answer["probabilities"][0]) == pytest.approx(1, abs=1e-4)
        assert reply.headers["X-Model-Version"] == "1"
    assert requests.get(f"{gateway.url}/model", timeout=5).json()["picture"] == "photograph"


@pytest.mark.browser
def test_the_page_shows_the_likeliest_classes_of_a_photograph(gateway: Gateway, browser: Any) -> None:
    with browser.new_context(viewport={"width": 1100, "height": 900}) as context:
        page = context.new_page()
        page.goto(gateway.url)
        page.locator("#pad").wait_for(state="hidden")
        file = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": photograph((640, 480))}
        page.locator("#file").set_input_files(file)
        page.locator(".bars li.top").wait_for()
        assert page.locator(".prediction").inner_text() in TASK.answer.counted
        shares = [float(text.split()[0]) for text in page.locator(".bars .percent").all_inner_texts()]
        assert len(shares) == 5
        assert shares == sorted(shares, reverse=True)
