"""Hints of MLflow's registry that an alias moved."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from mlflow.webhooks.delivery import _generate_hmac_signature

from registry.ledger import champion as champion_version
from serving.gateway.app import create_app
from serving.gateway.champion import Champion
from serving.gateway.hook import SECRET, is_signed, look_every
from serving.gateway.server import listening
from serving.server import free_port, running
from tasks.contract import UserError, get_task
from tests.serving.test_champion import Alias, release, wait_until

NOW = 1_800_000_000
BODY = b'{"entity": "model_version_alias"}'


def headers(secret: str = "s3cret", sent: str = str(NOW), body: bytes = BODY) -> dict[str, str]:
    """What MLflow sends with that body."""
    signature = _generate_hmac_signature(secret, "d-1", sent, body.decode())
    return {"X-MLflow-Delivery-Id": "d-1", "X-MLflow-Timestamp": sent, "X-MLflow-Signature": signature}


def test_what_mlflow_signed_lately_is_taken() -> None:
    assert is_signed(headers(), BODY, "s3cret", NOW + 10)
    assert is_signed(headers(), BODY, "s3cret", NOW - 200)  # its clock is ahead


@pytest.mark.parametrize(
    "given",
    [
        {},
        headers(secret="another"),
        headers(body=b"{}"),
        headers() | {"X-MLflow-Delivery-Id": "d-2"},
        headers() | {"X-MLflow-Signature": "v1,é"},
        headers(sent=str(NOW - 301)),
        headers(sent=str(NOW + 301)),
        headers(sent="9" * 5000),
        headers(sent="-1"),
        headers(sent="٣"),
        headers(sent="soon"),
    ],
    ids=range(11),
)
def test_anything_else_is_not(given: dict[str, str]) -> None:
    assert not is_signed(given, BODY, "s3cret", NOW)


def test_without_a_secret_there_is_no_such_address(monkeypatch: pytest.MonkeyPatch) -> None:
    alias = Alias()
    app = create_app(get_task("digits"), Champion(alias.look, alias.load))
    assert app.test_client().post("/hooks/registry", data=BODY, headers=headers()).status_code == 404
    monkeypatch.setenv(SECRET, "s3cret")
    app = create_app(get_task("digits"), Champion(alias.look, alias.load))
    reply = app.test_client().post("/hooks/registry", data=BODY)
    assert reply.status_code == 403
    assert reply.json == {"error": "Expected a webhook of MLflow, signed with the secret that is set here."}


@pytest.mark.parametrize("given", ["0", "-1", "nan", "often", "1e9"])
def test_no_such_time_between_two_looks(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look_every() == 1
    monkeypatch.setenv("LOOK_SECONDS", given)
    with pytest.raises(UserError, match=rf"LOOK_SECONDS must be a number from 1 to 3600, it is '{given}'\."):
        look_every()


def test_where_something_is_wrong_it_looks_often() -> None:
    alias = Alias()
    alias.down = ConnectionError("the registry is away")
    champion = Champion(alias.look, alias.load, look_every=3600)
    champion.start()
    try:
        wait_until(lambda: champion.problem == "The registry cannot be asked.")
        alias.down, alias.version = None, "1"
        wait_until(lambda: champion.release is not None)
    finally:
        champion.stop()


@pytest.mark.slow
def test_a_webhook_has_the_gateway_look_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a real server of MLflow, which sends it. Else the gateway would look in an hour."""
    monkeypatch.setenv(SECRET, "s3cret")
    port, hook = free_port(), free_port()
    server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    local: Any = {"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true"}
    with running([*server, "--port", str(port), "--workers", "1"], port, "/health", **local):
        client = MlflowClient(f"http://127.0.0.1:{port}")
        client.create_registered_model("digits")
        for _ in range(2):
            client.create_model_version("digits", source="s3://nowhere/model")
        event = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
        address = f"http://127.0.0.1:{hook}/hooks/registry"
        client.create_webhook("gateway", address, [event], secret="s3cret")
        champion = Champion(lambda: champion_version(client, "digits"), release, look_every=3600)
        gateway = listening(create_app(get_task("digits"), champion), "127.0.0.1", hook)
        threading.Thread(target=gateway.run, daemon=True).start()
        champion.start()
        try:
            client.set_registered_model_alias("digits", "champion", "1")
            wait_until(lambda: champion.release is not None)
            client.set_registered_model_alias("digits", "champion", "2")
            deadline = time.monotonic() + 10
            while champion.release.version != "2":  # type: ignore[union-attr]
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            champion.stop()
            gateway.close()
