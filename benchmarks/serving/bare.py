"""The limit: uvicorn, orjson and ONNX Runtime without MLflow, FastAPI or checks. MODEL names model.onnx."""

import binascii
import os
from typing import Any

import numpy as np
import onnxruntime
import orjson

options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = b"\n"
    if body:
        items = orjson.loads(body)["inputs"]
        raw = b"".join(map(binascii.a2b_base64, items))
        batch = np.frombuffer(raw, np.uint8).reshape(-1, 28, 28)
        outputs = session.run(None, {name: batch})[0]
        answer = orjson.dumps({"predictions": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
