"""Every payload of MLflow's scoring protocol.

The signature of a model says what it takes, and the model looks at each item itself. MLflow is told so by a note in the
MLmodel file that it makes for models with type hints; a model without it has its nested lists copied and cast number by
number first, which takes most of the time of a request. With that note MLflow 3.17 hands over what stands under
"inputs" as it came, and refuses the other payloads of its own protocol. They are put back here.
"""

import sys
from typing import Any

TABLES = ("dataframe_split", "dataframe_records")


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
