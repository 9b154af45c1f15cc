"""Serves the model and sends it its golden requests, so that Python compiles what serving imports, and only that.

Fails if the server does not start or an answer is not the expected one.
"""

import json
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

SERVE = [sys.executable, "/opt/entrypoint.py"]


def main() -> None:
    golden = json.loads(Path("/opt/ml/model/artifacts/golden.json").read_text())
    server = subprocess.Popen(SERVE)
    while subprocess.run([*SERVE, "--check"], stderr=subprocess.DEVNULL, check=False).returncode:
        if server.poll() is not None:
            sys.exit("the server ended")
        time.sleep(0.2)
    for request in golden["requests"]:
        connection = HTTPConnection("127.0.0.1", 8080)
        connection.request("POST", "/invocations", json.dumps(request["body"]), {"Content-Type": "application/json"})
        answer = json.load(connection.getresponse())
        if not np.allclose(answer.get("predictions"), request["predictions"], rtol=0, atol=golden["tolerance"]):
            sys.exit(f"not the expected answer: {answer}")
    server.terminate()
    server.wait()


main()
