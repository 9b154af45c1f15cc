"""What is wrong with a build is told before Docker is asked; test_container.py builds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mlflow import MlflowClient

from lifecycle import building
from lifecycle.building import build
from registry.ledger import ALIAS
from tasks.contract import UserError, get_task

TASK = get_task("digits")


@pytest.mark.parametrize(
    ("model_uri", "variant", "image", "message"),
    [
        ("champion", "small", "", "Unknown variant: 'small'"),
        ("champion", "slim", "digits:3", "image must be a name without a tag, received 'digits:3'"),
        ("champion", "slim", "localhost:5000/digits:3", "image must be a name without a tag"),
        ("champion", "slim", "localhost:5000/digits", "digits has no champion yet"),
        (
            "champion",
            "slim",
            "",
            "digits has no champion yet. Promote one first: mlflow run . -e promote -P task=digits",
        ),
        ("latest", "slim", "", "is no registered version; promote it first"),
    ],
)
def test_what_cannot_be_built_is_told(
    trained_store: MlflowClient, model_uri: str, variant: str, image: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build(TASK, model_uri, variant, image)


def test_the_version_that_was_named_is_built(champion_store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A logged model may have several; people register it again by hand."""
    source = str(champion_store.get_model_version("digits", "1").source)
    champion_store.create_model_version("digits", source)
    champion_store.set_registered_model_alias("digits", ALIAS, "2")
    built: list[str] = []

    def call(command: list[str]) -> None:
        if "--model-uri" in command:
            note = Path(command[command.index("--model-uri") + 1], "registered_model_meta").read_text()
            built.extend(re.findall("model_version: '(.*)'", note))

    monkeypatch.setattr(building, "_check_docker", lambda: None)
    monkeypatch.setattr(building, "_call", call)
    assert build(TASK, "champion", "mlflow", "") == "dlc-digits:2"
    assert build(TASK, "models:/digits/1", "mlflow", "") == "dlc-digits:1"
    assert build(TASK, source, "mlflow", "") == "dlc-digits:1"
    assert built == ["2", "1", "1"]


def test_the_slim_image_is_built_from_the_files_that_were_checked(
    champion_store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: set[str] = set()

    def call(command: list[str]) -> None:
        if command[:2] == ["docker", "build"]:
            context = Path(command[-1])
            built.update(str(path.relative_to(context)) for path in context.rglob("*") if path.is_file())
            assert (context / "card.md").read_text().startswith("# digits: dense, seed 1")

    monkeypatch.setattr(building, "_check_docker", lambda: None)
    monkeypatch.setattr(building, "_call", call)
    assert build(TASK, "champion", "slim", "") == "dlc-digits:1"
    assert {
        "Dockerfile",
        "constraints.txt",
        "manifest.json",
        "model_dir/MLmodel",
        "model_dir/requirements.txt",
    } <= built
