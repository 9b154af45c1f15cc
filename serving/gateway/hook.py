"""Webhooks of MLflow's registry: a hint that an alias may have moved. The alias itself stays the truth, for a hint can
be lost, and comes only where aliases are set through a server."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
from typing import Protocol

from serving.gateway.champion import LOOK_EVERY_SECONDS
from tasks.contract import UserError

SECRET = "WEBHOOK_SECRET"  # the environment variable; without it no hints are taken
MOST_AGE_SECONDS = 300.0  # of a hint, so that nobody can send one again later; clocks may differ as much
VERSION = "v1"
MOST_LOOK_SECONDS = 3600.0


class Headers(Protocol):
    """Of a request, by names in which upper case does not count."""

    def get(self, name: str, default: str, /) -> str: ...


def secret() -> str:
    """What the registry's hints are signed with; empty where none are taken."""
    return os.environ.get(SECRET, "")


def is_signed(headers: Headers, body: bytes, secret: str, now: float) -> bool:
    """Whether MLflow sent that, and lately.

    The signature is HMAC-SHA256 of "<delivery id>.<timestamp>.<body>" (mlflow.webhooks.delivery).

    Args:
        headers: Of the request.
        body: The same.
        secret: That the webhook was made with.
        now: In seconds since 1970.
    """
    delivery, sent = headers.get("X-MLflow-Delivery-Id", ""), headers.get("X-MLflow-Timestamp", "")
    if not (sent.isascii() and sent.isdecimal() and abs(now - int(sent[:12])) <= MOST_AGE_SECONDS):
        return False
    digest = hmac.new(secret.encode(), f"{delivery}.{sent}.".encode() + body, hashlib.sha256).digest()
    expected = f"{VERSION},{base64.b64encode(digest).decode()}"
    return hmac.compare_digest(expected.encode(), headers.get("X-MLflow-Signature", "").encode())


def look_every() -> float:
    """Seconds between two looks at the alias, `LOOK_SECONDS`. Webhooks make up for long ones.

    Raises:
        UserError: It is no number, or out of bounds.
    """
    given = os.environ.get("LOOK_SECONDS") or str(LOOK_EVERY_SECONDS)
    with contextlib.suppress(ValueError):
        if LOOK_EVERY_SECONDS <= (seconds := float(given)) <= MOST_LOOK_SECONDS:
            return seconds
    raise UserError(
        f"LOOK_SECONDS must be a number from {LOOK_EVERY_SECONDS:g} to {MOST_LOOK_SECONDS:g}, it is {given!r}."
    )
