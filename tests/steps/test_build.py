"""What is wrong with a build is told before Docker is asked; test_container.py builds."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from steps.build import build
from tasks.contract import UserError, get_task

TASK = get_task("digits")


@pytest.mark.parametrize(
    ("model_uri", "variant", "image", "message"),
    [
        ("champion", "small", "", "Unknown variant: 'small'"),
        ("champion", "slim", "digits:3", "image must be a name without a tag, received 'digits:3'"),
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
