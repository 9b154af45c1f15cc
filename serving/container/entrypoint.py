"""Entry point of the container: MLflow's scoring server with as many workers as it has CPUs and memory for.

`--check` asks the running server whether it is ready instead. uvicorn reads its own options from `UVICORN_*`.
"""

import json
import os
import socket
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

PEAK = Path(__file__).with_name("peak_bytes")  # what a worker of this model was seen to take when the image was made
MANIFEST = Path(__file__).with_name("manifest.json")  # the model's files as they were when the image was made
MODEL_PATH = "__pyfunc_model_path__"  # how MLflow tells its scoring server what to load
SPARE_BYTES = 96 * 2**20  # for requests at once, and for larger ones
CHECK_SECONDS = 2.0
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where a server that listens everywhere is asked
# What is freed goes back to the operating system: blocks of a megabyte and more, and the end of the heap above 16 MB.
# Left to itself, glibc raises the first limit to 32 MB and keeps what is below for each thread. With a lower second one
# the same memory would be given back and asked for again with every batch of pictures.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**20), "MALLOC_TRIM_THRESHOLD_": str(2**24)}


def main() -> None:
    port = number("UVICORN_PORT", 65535) or 8000  # what uvicorn takes itself
    if sys.argv[1:] == ["--check"]:
        check(port)
        return
    check_model()
    number("MOST_BODY_BYTES")
    number("MOST_REQUEST_SECONDS")
    for name, value in MALLOC.items():
        os.environ.setdefault(name, value)
    folder = str(Path(__file__).parent)
    command = ["uvicorn", "server:app", "--app-dir", folder, "--http", "protocol:BoundedProtocol"]
    # Replaces this process, so that uvicorn gets the container's signals.
    os.execvp(command[0], [*command, "--workers", str(workers())])


def check(port: int) -> None:
    """Ends this process with an error unless the server says that it is ready."""
    try:
        server = connection(port)
        server.request("GET", "/ping")
        status = server.getresponse().status
    except (OSError, HTTPException) as error:
        sys.exit(f"error: the server does not answer: {error or type(error).__name__}")
    if status != 200:
        sys.exit(f"error: expected status 200 from /ping, received {status}.")


def connection(port: int) -> HTTPConnection:
    """To the server, where uvicorn's own variables have put it."""
    host = os.environ.get("UVICORN_HOST") or "127.0.0.1"
    host = LOOPBACK.get(host, host)
    path = os.environ.get("UVICORN_UDS")
    if path and sys.platform != "win32":  # a container's system never is
        result = HTTPConnection(host, timeout=CHECK_SECONDS)
        result.sock = socket.socket(socket.AF_UNIX)
        result.sock.settimeout(CHECK_SECONDS)
        result.sock.connect(path)
        return result
    if os.environ.get("UVICORN_SSL_CERTFILE"):
        trusting = ssl._create_unverified_context()  # its certificate is for another name than this address
        return HTTPSConnection(host, port, timeout=CHECK_SECONDS, context=trusting)
    return HTTPConnection(host, port, timeout=CHECK_SECONDS)


def number(name: str, most: int = sys.maxsize) -> int | None:
    """The whole number in an environment variable; None where it is not set."""
    text = os.environ.get(name)
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= most:
        bounds = "of at least 1" if most == sys.maxsize else f"from 1 to {most}"
        sys.exit(f"error: {name} must be a whole number {bounds}, received {text!r}.")
    return int(text)


def check_model() -> None:
    """Ends the start where the model's files are not those that the image was made with."""
    if not MANIFEST.exists():  # this is no image
        return
    from serving.manifest import difference, manifest_of  # --check, every few seconds, does without them

    folder = Path(os.environ[MODEL_PATH])
    if problem := difference(manifest_of(folder), json.loads(MANIFEST.read_text())):
        sys.exit(f"error: {folder} is not what the image was made with: {problem}. Restore the file, or build anew.")


def workers() -> int:
    """As many as MLFLOW_MODELS_WORKERS says, else as there are CPUs and memory for."""
    if chosen := number("MLFLOW_MODELS_WORKERS"):
        return chosen
    from served.machine import cpus, memory

    return max(1, min(cpus(), memory() // (int(PEAK.read_text()) + SPARE_BYTES)))


if __name__ == "__main__":
    main()
