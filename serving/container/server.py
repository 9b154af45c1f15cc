"""MLflow's scoring server with a way of its own for what is sent to /invocations.

It takes what MLflow's server takes for a model of this project, but for Parquet, and saves what surrounds the model
there, which takes most of the time of a small request. A refusal has MLflow's form, and is one line that does not
repeat what was sent. MLflow's own application is left with the paths that say how the server is.
"""

import asyncio
import functools
import inspect
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import scoring_server
from payloads import content, csv_request, json_request  # type: ignore[import-not-found]  # beside this file
from protocol import MOST_BODY_BYTES, TOO_LONG_A_BODY, refusal  # type: ignore[import-not-found]  # beside this file

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


JSON = b"application/json"
CSV = b"text/csv"
ID_HEADER = b"x-request-id"
MARKDOWN = b"text/markdown; charset=utf-8"


class Reply(NamedTuple):
    """Status and content; of a refused method those that are allowed."""

    status: int
    content: bytes
    allow: str = ""
    media_type: bytes = JSON


# A larger request is answered in a thread: the server goes on accepting others meanwhile. A smaller one is done before
# a thread would have taken it over, but for pictures of any size, which the model takes long for.
SMALL_BYTES = 100_000
INVOCATIONS = "/invocations"
CARD_PATH = "/card"
MODEL_PATH = "__pyfunc_model_path__"  # how MLflow tells its scoring server what to load

logger = logging.getLogger("uvicorn.error")  # uvicorn shows it, and no other
model = scoring_server.load_model_with_mlflow_config(os.environ[MODEL_PATH])  # type: ignore[no-untyped-call]
python_model = model.unwrap_python_model()
any_size = getattr(python_model, "any_size", False)  # versions of before there were such models have no such attribute
# Without the check of types that MLflow wraps around it: that walks all items, and the model checks them itself.
predict = functools.partial(inspect.unwrap(type(python_model).predict), python_model)
# Gives a request the id by which the traffic record knows it, where there is one; earlier versions keep none.
begin = getattr(python_model, "begin", None) if os.environ.get("TRAFFIC_DIR") else None
mlflow_app = scoring_server.init(model)
param_names = [param.name for param in model.metadata.get_params_schema() or ()]
methods = {route.path: route.methods for route in mlflow_app.routes} | {CARD_PATH: {"GET"}}
# As it was when the image was made; where there is no image, as it was when the model was trained.
CARDS = (Path(__file__).with_name("card.md"), Path(os.environ[MODEL_PATH], "artifacts", "card.md"))
card = next((path.read_bytes() for path in CARDS if path.exists()), None)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] != "http":  # the server's start and end
        await mlflow_app(scope, receive, send)
        return
    path = scope["path"].removeprefix(scope["root_path"])
    name = ""
    if path == INVOCATIONS and scope["method"] == "POST":
        headers = dict(reversed(scope["headers"]))  # the first of a name counts, as for MLflow
        if begin is not None:
            name = begin(headers.get(ID_HEADER, b"").decode("latin-1"))
        reply = await _invoke(headers, receive)
    elif path not in methods:
        message = f"expected one of the paths {', '.join(methods)}"
        reply = Reply(404, refusal(message, "ENDPOINT_NOT_FOUND"))
    elif scope["method"] not in methods[path]:
        allow = ", ".join(sorted(methods[path]))
        reply = Reply(405, refusal(f"expected the method {allow}"), allow)
    elif path == CARD_PATH:
        no_card = Reply(404, refusal("this model was logged without a card", "ENDPOINT_NOT_FOUND"))
        reply = no_card if card is None else Reply(200, card, media_type=MARKDOWN)
    else:
        await mlflow_app(scope, receive, send)
        return
    if reply is not None:
        await _send(reply, send, name)


async def _send(reply: Reply, send: Send, name: str) -> None:
    headers = [(b"content-type", reply.media_type), (b"content-length", str(len(reply.content)).encode())]
    if reply.allow:
        headers.append((b"allow", reply.allow.encode()))
    if name:
        headers.append((ID_HEADER, name.encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.content})


async def _invoke(headers: dict[bytes, bytes], receive: Receive) -> Reply | None:
    """The answer to what was sent to /invocations; None where the client is gone."""
    is_csv = False
    if headers.get(b"content-type") != JSON or b"content-encoding" in headers:
        media_type, refused = _media_type(headers)
        if refused:
            return refused
        is_csv = media_type == CSV
    body = await _body(receive)
    if body is None:
        return None
    if len(body) > MOST_BODY_BYTES:
        status, message = TOO_LONG_A_BODY
        return Reply(status, refusal(message))
    if len(body) > SMALL_BYTES or any_size or is_csv:
        return await asyncio.to_thread(_answer, body, is_csv)
    return _answer(body)


def _media_type(headers: dict[bytes, bytes]) -> tuple[bytes, Reply | None]:
    """The media type, and a refusal unless it is JSON or CSV in UTF-8, sent as it is (RFC 9110, sections 8.3 and
    8.4)."""
    media_type, *parameters = [part.strip() for part in headers.get(b"content-type", b"").lower().split(b";")]
    message = ""
    if headers.get(b"content-encoding", b"").strip().lower() not in (b"", b"identity"):
        message = "Content-Encoding is not supported; send the body as it is"
    elif media_type not in (JSON, CSV):
        message = "expected Content-Type: application/json, or text/csv"
    elif any(parameter.replace(b'"', b"") not in (b"", b"charset=utf-8") for parameter in parameters):
        message = "expected no parameter of Content-Type but charset=utf-8"
    return media_type, Reply(415, refusal(message)) if message else None


async def _body(receive: Receive) -> bytes | bytearray | None:
    """The body of a request, of too large a one only the beginning; None where it never came."""
    message = await receive()
    if not message.get("more_body", False):
        return message.get("body")  # none where the client is gone
    body = bytearray(message["body"])
    while message.get("more_body", False) and len(body) <= MOST_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
    return body


def _answer(body: bytes | bytearray, is_csv: bool = False) -> Reply:
    try:
        asked, params = (csv_request(body), None) if is_csv else json_request(body)
        return Reply(200, content(predict(None, asked, _params(params))))
    except MlflowException as error:
        status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
        return Reply(status, refusal(error.message, error.error_code))
    except (Exception, SystemExit):  # whatever the model's own code does
        logger.exception("The model failed.")
        return Reply(500, refusal("the model failed", "INTERNAL_ERROR"))


def _params(params: Any) -> dict[str, bool | None]:
    """What is said of how the answer is to be given. As in MLflow's server other names are let through.

    Raises:
        MlflowException: It is said in another way.
    """
    if not params:
        return {}
    known = {name: params[name] for name in param_names if name in params} if isinstance(params, dict) else params
    if not isinstance(known, dict) or not all(value is None or isinstance(value, bool) for value in known.values()):
        message = f"expected params to be an object, and true or false for {', '.join(param_names) or 'each'}"
        raise MlflowException(message, error_code=BAD_REQUEST)
    return known
