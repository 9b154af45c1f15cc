"""Serves the model and sends it its golden requests, so that Python compiles what serving imports, and only that. Says
how much memory a worker took, by which `entrypoint.py` decides on their number.

Fails if the server does not start or an answer is not the expected one.
"""

import base64
import json
import os
import re
import subprocess
import sys
import time
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SERVE = [sys.executable, "/opt/entrypoint.py"]
PEAK = Path("/opt/peak_bytes")
LARGEST_SIDE = 1024  # of such a picture


def main() -> None:
    golden = json.loads(Path("/opt/ml/model/artifacts/golden.json").read_text())
    # Several have a supervisor, whose modules are compiled too.
    server = subprocess.Popen(SERVE, env=os.environ | {"MLFLOW_MODELS_WORKERS": "2"})
    while subprocess.run([*SERVE, "--check"], stderr=subprocess.DEVNULL, check=False).returncode:
        if server.poll() is not None:
            sys.exit("the server ended")
        time.sleep(0.2)
    for request in golden["requests"]:
        compare(predictions(request["body"]), request["predictions"], golden["tolerance"])
    if large := golden.get("largest") or (picture() if sends_files(golden) else ""):
        predictions({"inputs": [large]})
    PEAK.write_text(str(peak_bytes()))
    server.terminate()
    server.wait()


def compare(served: Any, expected: Any, tolerance: Any) -> None:
    """Ends this process with an error where predictions, which may be several by name, are not the expected ones."""
    if isinstance(expected, dict):
        for name, one in expected.items():
            compare(served[name], one, tolerance[name])
    elif any(isinstance(one, str) for one in expected):  # a file, of which the rehearsal knows how to compare it
        if not all(isinstance(one, str) for one in served):
            sys.exit("not the expected answer: it is no file")
    elif not (difference := np.abs(np.subtract(served, expected)).max()) <= tolerance:
        sys.exit(f"not the expected answer: it differs by {difference}")


def sends_files(golden: dict[str, Any]) -> bool:
    """Whether answers can be files, as pictures of any size are."""
    answers = [request["predictions"] for request in golden["requests"]]
    each = [one for answer in answers for one in (answer.values() if isinstance(answer, dict) else [answer])]
    return any(isinstance(one[0], str) for one in each)


def predictions(body: dict[str, Any]) -> Any:
    connection = HTTPConnection("127.0.0.1", 8080)
    connection.request("POST", "/invocations", json.dumps(body), {"Content-Type": "application/json"})
    answer = json.load(connection.getresponse())
    if "predictions" not in answer:
        sys.exit(f"not the expected answer: {answer}")
    return answer["predictions"]


def picture() -> str:
    """The largest picture that is answered, for models of before golden requests had one."""
    buffer = BytesIO()
    Image.new("RGB", (LARGEST_SIDE, LARGEST_SIDE)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def peak_bytes() -> int:
    """The most memory that one of the processes here has had, which is that of a worker."""
    status = "".join(file.read_text() for file in Path("/proc").glob("[0-9]*/status"))
    return max(int(kibibytes) for kibibytes in re.findall(r"VmHWM:\s+(\d+) kB", status)) * 1024


main()
