"""Every payload of MLflow's scoring protocol, and a name for every request.

The signature of a model says what it takes, and the model looks at each item itself. MLflow is told so by a note in the
MLmodel file that it makes for models with type hints; a model without it has its nested lists copied and cast number by
number first, which takes most of the time of a request. With that note MLflow 3.17 hands over what stands under
"inputs" as it came, and refuses the other payloads of its own protocol. They are put back here.
"""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

TABLES = ("dataframe_split", "dataframe_records")
INVOCATIONS = "/invocations"
ID_HEADER = b"x-request-id"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def take_every_payload() -> None:
    """Has the scoring server of this process, if it is one, take `instances` and tables too."""
    server: Any = sys.modules.get("mlflow.pyfunc.scoring_server")
    if server is None or hasattr(server, "takes_every_payload"):
        return
    parse_json, parse_csv = server._parse_json_data, server.parse_csv_input

    def parsed(data: Any, metadata: Any, input_schema: Any) -> Any:
        request = server._decode_json_input(data)
        payloads = server.SUPPORTED_FORMATS.intersection(request)
        if payloads == {"instances"}:
            request = {"inputs" if name == "instances" else name: value for name, value in request.items()}
        if "inputs" in payloads or payloads.isdisjoint(TABLES):
            return parse_json(request, metadata, input_schema)
        table = server.infer_and_parse_data({name: request[name] for name in payloads}, None)
        return server.ParsedJsonInput(table, request.get("params"), False)

    def columns(csv_input: Any, schema: Any = None) -> Any:
        return parse_csv(csv_input)  # a schema of tensors has no columns for MLflow to look up

    server._parse_json_data, server.parse_csv_input = parsed, columns
    server.takes_every_payload = True


def name_requests(begin: Callable[[str], str], end: Callable[[], None]) -> None:
    """Has the scoring server of this process, if it is one, give every request an id.

    Args:
        begin: Is called with the id that was sent, in the context that answers; gives the one that is sent back.
        end: Is called when the last request is answered. No other moment is sure: uvicorn ends its process with a
            signal, which leaves Python no time.
    """
    if "mlflow.pyfunc.scoring_server" not in sys.modules:
        return
    from fastapi import FastAPI

    if hasattr(FastAPI, "names_requests"):
        return
    answer = FastAPI.__call__

    async def named(self: Any, scope: Message, receive: Receive, send: Send) -> None:
        async def ending() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                end()
            return message

        if scope["type"] == "http" and scope["path"].endswith(INVOCATIONS):
            sent = dict(reversed(scope["headers"])).get(ID_HEADER, b"")  # the first of a name counts
            await answer(self, scope, receive, naming(send, begin(sent.decode("latin-1"))))
        else:
            await answer(self, scope, ending if scope["type"] == "lifespan" else receive, send)

    FastAPI.__call__ = named  # type: ignore[method-assign]
    FastAPI.names_requests = True  # type: ignore[attr-defined]


def naming(send: Send, name: str) -> Send:
    """As `send`, and says the id of the request in the header of its answer."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (ID_HEADER, name.encode())]
        await send(message)

    return sent
