"""What a request to /invocations asks about, in the forms of MLflow's scoring protocol, and the form of the answer.

`inputs` and `instances` are items as they are; `dataframe_split`, `dataframe_records` and CSV are tables, whose answers
have names. Parquet is not read: a file of some kilobytes can hold gigabytes.
"""

import csv
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
        names = next(csv.reader([body[: _line_end(body)].decode()]))
        # Values that a row has too few of are filled up: a small file could become a table of gigabytes. In one that is
        # whole there is a byte after every value.
        if len(names) * max(body.count(b"\n"), body.count(b"\r")) > len(body):
            raise ValueError
        return pd.read_csv(io.BytesIO(body))
    except (ValueError, OverflowError, StopIteration, csv.Error):  # pandas's are ValueErrors, and repeat what was sent
        message = "expected CSV in UTF-8 with the columns' names in its first row, and a value of each in every other"
        raise MlflowException(message, error_code=BAD_REQUEST) from None


def _line_end(body: bytes | bytearray) -> int:
    """Where the first line ends."""
    return min(end if end >= 0 else len(body) for end in (body.find(b"\n"), body.find(b"\r")))


def content(answers: Any) -> bytes:
    """The answers as JSON, those to a table with the names of what they consist of."""
    plain = answers.to_dict(orient="records") if isinstance(answers, pd.DataFrame) else answers
    return orjson.dumps({"predictions": plain}, option=orjson.OPT_SERIALIZE_NUMPY)


def _table(name: str, sent: Any) -> pd.DataFrame:
    """A table all of whose rows have the same columns: pandas would fill up what is missing, and a small request could
    become a table of gigabytes."""
    try:
        if name == "dataframe_records":
            names = sent[0].keys()
            rows, is_whole = sent, all(row.keys() == names for row in sent)
        else:
            names = sent.get("columns", range(len(sent["data"][0])))
            rows, is_whole = sent["data"], all(isinstance(row, list) and len(row) == len(names) for row in sent["data"])
        if is_whole:
            return pd.DataFrame(rows, columns=list(names))
    except Exception:  # of pandas, or of what is no table: there is no common class, and pandas repeats what was sent
        pass
    message = f"expected {name} to be a table, with the same columns in every row"
    raise MlflowException(message, error_code=BAD_REQUEST)


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
