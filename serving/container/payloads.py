"""What a request to /invocations asks about, in the forms of MLflow's scoring protocol, and the form of the answer.

`inputs` and `instances` are items as they are; `dataframe_split`, `dataframe_records` and CSV are tables, whose answers
have names. Parquet is not read: a file of some kilobytes can hold gigabytes.
"""

import io
import json
from typing import Any

import orjson
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import scoring_server

ITEMS = ("inputs", "instances")
TABLES = ("dataframe_split", "dataframe_records")
EXPECTED = f'expected a JSON object with a list of items, {{"inputs": [...]}}, or with one of {", ".join(TABLES)}'
is_unified_llm_input = scoring_server.is_unified_llm_input  # type: ignore[attr-defined]


def json_request(body: bytes | bytearray) -> tuple[Any, Any]:
    """What is asked about, and `params`. As in MLflow's server other fields are let through, but for those that make it
    take the request for one to a language model.

    Raises:
        MlflowException: It is no such JSON.
    """
    request = _parsed(body)
    if not isinstance(request, dict) or is_unified_llm_input(request):
        raise MlflowException(EXPECTED, error_code=BAD_REQUEST)
    for name in ITEMS:
        if name in request:
            return request[name], request.get("params")
    for name in TABLES:
        if name in request:
            return _table(name, request[name]), request.get("params")
    raise MlflowException(EXPECTED, error_code=BAD_REQUEST)


def csv_request(body: bytes | bytearray) -> pd.DataFrame:
    """The table in a CSV file whose first row has the columns' names.

    Raises:
        MlflowException: It is none.
    """
    try:
        return pd.read_csv(io.BytesIO(body))
    except (ValueError, OverflowError):  # pandas's errors are ValueErrors, and repeat what was sent
        message = "expected CSV in UTF-8 with the columns' names in its first row"
        raise MlflowException(message, error_code=BAD_REQUEST) from None


def content(answers: Any) -> bytes:
    """The answers as JSON, those to a table with the names of what they consist of."""
    plain = answers.to_dict(orient="records") if isinstance(answers, pd.DataFrame) else answers
    return orjson.dumps({"predictions": plain}, option=orjson.OPT_SERIALIZE_NUMPY)


def _table(name: str, sent: Any) -> pd.DataFrame:
    try:
        if name == "dataframe_records":
            return pd.DataFrame.from_records(_checked(sent, list))
        sent = _checked(sent, dict)
        return pd.DataFrame(sent["data"], sent.get("index"), sent.get("columns"))
    except Exception:  # of pandas, which has no common class for what may be wrong, and repeats what was sent
        raise MlflowException(f"expected {name} to be a table", error_code=BAD_REQUEST) from None


def _checked(sent: Any, kind: type) -> Any:
    if not isinstance(sent, kind):
        raise TypeError
    return sent


def _parsed(body: bytes | bytearray) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = str(error)  # the error itself holds all that was sent
    # MLflow's server has Python's parser, which takes more: a byte order mark, UTF-16, UTF-32, NaN, half a surrogate.
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise MlflowException(f"expected JSON: {reason}", error_code=BAD_REQUEST) from None
