"""Requests that cannot be answered."""

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

# Why a request can be without an answer; "internal" is the model's own fault.
KINDS = ("type", "empty", "shape", "range", "encoding", "image", "internal")


class Refused(MlflowException):
    """A request that cannot be answered, told in one line; `kind` groups them in the metrics."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message, error_code=BAD_REQUEST)
        self.kind = kind
