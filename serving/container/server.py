"""MLflow's scoring server with a shorter way for the plain request: `{"inputs": [...]}` as JSON to /invocations.

The shorter way saves what surrounds the model, which takes most of the time of a small request. Whatever is not plain
goes MLflow's own way. A refusal has MLflow's form, but does not repeat what was sent.
"""

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import scoring_server

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# A larger request is answered in a thread: the server goes on accepting others meanwhile. A smaller one is done before
# a thread would have taken it over, but for pictures of any size, which the model takes long for.
SMALL_BYTES = 100_000
MOST_BYTES = int(os.environ.get("MOST_BODY_BYTES", 100_000_000))  # what MLflow's container allows
MODEL_PATH = "__pyfunc_model_path__"  # how MLflow tells its scoring server what to load

model = scoring_server.load_model_with_mlflow_config(os.environ[MODEL_PATH])  # type: ignore[no-untyped-call]
python_model = model.unwrap_python_model()
any_size = getattr(python_model, "any_size", False)  # versions of before there were such models have no such attribute
# Without the check of types that MLflow wraps around it: that walks all items, and the model checks them itself.
predict = functools.partial(inspect.unwrap(type(python_model).predict), python_model)
mlflow_app = scoring_server.init(model)


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if not _is_plain(scope):
        await mlflow_app(scope, receive, send)
        return
    body = await _body(receive)
    if body is None:  # the client is gone
        return
    if len(body) > MOST_BYTES:
        reply: tuple[int, bytes] | None = (413, orjson.dumps({"message": f"expected at most {MOST_BYTES} bytes"}))
    elif len(body) > SMALL_BYTES or any_size:
        reply = await asyncio.to_thread(_reply, body)
    else:
        reply = _reply(body)
    if reply is None:
        await mlflow_app(scope, _replayed(body, receive), send)
        return
    status, content = reply
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _is_plain(scope: Message) -> bool:
    return (
        scope["type"] == "http"
        and scope["path"] == "/invocations"
        and scope["method"] == "POST"
        and dict(scope["headers"]).get(b"content-type") == b"application/json"
    )


async def _body(receive: Receive) -> bytes | None:
    """The body of a request, of too large a one only the beginning; None where it never came."""
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > MOST_BYTES or not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _reply(body: bytes) -> tuple[int, bytes] | None:
    """Status and content for a plain request; None for another, which is MLflow's to answer."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return _refusal(MlflowException(f"expected JSON: {error}", error_code=BAD_REQUEST))
    if not isinstance(request, dict) or request.keys() != {"inputs"}:
        return None
    try:
        outputs = predict(None, request["inputs"])
    except MlflowException as error:
        return _refusal(error)
    return 200, orjson.dumps({"predictions": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)


def _refusal(error: MlflowException) -> tuple[int, bytes]:
    """As MLflow's server gives it."""
    status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
    return status, error.serialize_as_json().encode()  # type: ignore[no-untyped-call]


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` as it was before the body was read."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
