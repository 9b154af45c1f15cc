"""The gateway's HTTP side: `POST /predict`, a page, probes and metrics."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask, Response, g, jsonify, request, send_from_directory
from mlflow.exceptions import MlflowException
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from forms.item import Item, ItemError, Shape
from forms.outputs import Outputs, each
from served.metrics import Metrics
from served.record_files import record_folder
from served.verdicts import Found
from serving.gateway.champion import Champion, Release
from serving.gateway.decoders import BusyError
from serving.gateway.hook import is_signed, secret
from serving.gateway.shadow import Shadow
from tasks.contract import Task

ReadFile = Callable[[bytes, Shape, Item], np.ndarray]
Note = Callable[[Release, Any, Outputs], None]  # is told what a version answered to an item

FOLDER = Path(__file__).parent
MOST_BYTES = Item.most_bytes  # of a request without a file; with one, as many as the item's own form takes
MOST_FORM_PARTS = 1000
MOST_NAME = 40  # characters of what was sent that an answer repeats
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class RequestError(Exception):
    """The request cannot be answered.

    Args:
        message: One line for whoever sent it.
        kind: What it counts as in the metrics, one of `served.refusal.KINDS`; empty where the request is not to blame.
        status: Of the answer.
    """

    def __init__(self, message: str, kind: str, status: int = 400) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


def read_here(data: bytes, shape: Shape, item: Item) -> np.ndarray:
    """Reads a file as the item's form does, in this process."""
    return item.file(data, shape)


def create_app(task: Task, champion: Champion, read_file: ReadFile = read_here, shadow: Shadow | None = None) -> Flask:
    """The gateway's WSGI application.

    Args:
        task: Names what is served.
        champion: Gives the version that answers; it is started and stopped by the caller.
        read_file: Turns an uploaded file into an item. What strangers can reach needs `Decoders.read`, which bounds
            what a file can cost.
        shadow: Has what is answered answered by a challenger, too; it is started and stopped by the caller.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = max(MOST_BYTES, task.item.most_bytes)
    app.config["MAX_FORM_MEMORY_SIZE"] = MOST_BYTES
    app.config["MAX_FORM_PARTS"] = MOST_FORM_PARTS
    app.url_map.merge_slashes = False  # it would redirect, to whatever host the request names
    app.json.sort_keys = False  # type: ignore[attr-defined]
    registry = CollectorRegistry()
    metrics = Metrics(registry, task.name, "", {})
    registry.register(Found(record_folder(), task.name))
    champion.count = metrics.traffic
    _around_every_request(app, task, champion, registry)
    _for_browsers(app)
    _for_operators(app, task, metrics, registry)
    _for_the_registry(app, champion, secret())
    _for_programs(app, task, metrics, read_file, _noted_by(shadow, registry))
    _when_it_fails(app, metrics)
    return app


def _around_every_request(app: Flask, task: Task, champion: Champion, registry: CollectorRegistry) -> None:
    """Settles which version answers, and says it; counts answers and their time."""
    requests = Counter("http_requests", "Answers", ["route", "status"], registry=registry)
    seconds = Histogram("http_request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=registry)

    @app.before_request
    def begin() -> None:
        g.started = time.perf_counter()
        g.status = champion.status
        g.release = g.status.release  # the whole request is answered by one version
        if request.mimetype != "multipart/form-data":
            request.max_content_length = MOST_BYTES

    @app.after_request
    def finish(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        requests.labels(route, str(response.status_code)).inc()
        seconds.labels(route).observe(time.perf_counter() - g.started)
        response.headers.update(HEADERS)
        response.headers["X-Model-Name"] = task.name
        if g.release:
            response.headers["X-Model-Version"] = g.release.version
        if g.get("id"):
            response.headers["X-Request-Id"] = g.id
        return response


def _noted_by(shadow: Shadow | None, registry: CollectorRegistry) -> Note:
    """Whom to tell what was answered; the challenger that answers it, too, is counted."""
    if shadow is None:
        return lambda *_: None
    words = "Items that the challenger was to answer in the champion's shadow, by what became of them"
    items = Counter("model_shadow_items", words, ["version", "outcome"], registry=registry)
    shadow.tally = lambda version, outcome, number: items.labels(version, outcome).inc(number)
    return shadow.note


def _for_browsers(app: Flask) -> None:
    @app.get("/", strict_slashes=False)  # an address without a path is "/" too (RFC 9110, section 4.2.3), not elsewhere
    def page() -> Response:
        return send_from_directory(FOLDER / "static", "index.html")

    @app.get("/static/<path:name>")
    def static_file(name: str) -> Response:
        return send_from_directory(FOLDER / "static", name)


def _for_operators(app: Flask, task: Task, metrics: Metrics, registry: CollectorRegistry) -> None:
    @app.get("/healthz")
    def healthy() -> Response:
        return jsonify(status="ok")

    @app.get("/readyz")
    def ready() -> Response:
        version = _release().version
        # A version that answers is ready to, also where another one should.
        differs = {"champion": g.status.champion, "problem": g.status.problem} if g.status.problem else {}
        return jsonify(status="ready", version=version, **differs)

    behind = Gauge("model_behind_alias", "1 while the alias points to another version than answers", registry=registry)

    @app.get("/metrics")
    def measured() -> Response:
        release: Release | None = g.release
        metrics.serves(task.name, release.version if release else "", release.answer.counted if release else {})
        behind.set(g.status.is_behind)
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _for_the_registry(app: Flask, champion: Champion, secret: str) -> None:
    """Takes its hints where they are signed with this secret; none where that is empty."""
    if not secret:
        return

    @app.post("/hooks/registry")
    def hinted() -> tuple[str, int]:
        if not is_signed(request.headers, request.get_data(), secret, time.time()):
            raise RequestError("Expected a webhook of MLflow, signed with the secret that is set here.", "", 403)
        champion.look_soon()
        return "", 204


def _for_programs(app: Flask, task: Task, metrics: Metrics, read_file: ReadFile, note: Note) -> None:
    @app.get("/openapi.json")
    def openapi() -> Response:
        description = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
        schemas = description["components"]["schemas"]
        if g.release:
            item = g.release.item
            schemas["Item"] = item.schema(g.release.shape, g.release.dtype)
            schemas["Prediction"] = g.release.answer.schema()
            schemas["Prediction"]["properties"] |= item.seen_schema()
            prediction = description["paths"]["/predict"]["post"]
            prediction["requestBody"] = item.request_schema()
            prediction["responses"]["413"]["description"] = f"More than {app.config['MAX_CONTENT_LENGTH'] // 10**6} MB."
        return jsonify(description)

    @app.get("/model")
    def model() -> Response:
        release = _release()
        response = jsonify(
            name=task.name,
            version=release.version,
            summary=task.summary,
            **release.answer.described(),
            shape=release.shape,
            **release.item.described(),
            most_bytes=app.config["MAX_CONTENT_LENGTH"],
            figures=release.figures,
        )
        # Pages that are open ask every few seconds whether another version answers.
        response.cache_control.no_cache = True
        response.add_etag()
        response.make_conditional(request)
        return response

    @app.post("/predict")
    def predict() -> Response:
        release = _release()
        g.id = release.traffic.named(request.headers.get("X-Request-Id", ""))
        _refuse_encoded()
        file = _uploaded(release.item) if request.mimetype == "multipart/form-data" else None
        item = _numbers(release) if file is None else _read(release, file, read_file)
        outputs = metrics.observed(functools.partial(_predicted, release), [item], release.answer.counted)
        output = each(lambda values: values[0], outputs)
        note(release, item, output)
        return jsonify(**release.answer.reply(output, file), **({} if file is None else release.item.seen(item)))


def _when_it_fails(app: Flask, metrics: Metrics) -> None:
    """Every error is JSON with one line for whoever asked."""

    @app.errorhandler(RequestError)
    def refused(error: RequestError) -> tuple[Response, int, dict[str, str]]:
        if error.kind:
            metrics.refused(error.kind)
            g.release.traffic.refused(error.kind, time.perf_counter() - g.started)
        return jsonify(error=str(error)), error.status, {"Retry-After": "2"} if error.status == 503 else {}

    @app.errorhandler(MlflowException)
    def refused_by_the_model(error: MlflowException) -> tuple[Response, int]:
        status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
        return jsonify(error=sentence(str(error.message))), status

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Response:
        problem = sentence(error.description or error.name)
        response = jsonify(error=too_large(request.max_content_length or 0) if error.code == 413 else problem)
        response.status_code = error.code or 500
        for name, value in error.get_headers(request.environ):
            if name == "Allow":
                response.headers[name] = value
        return response


def _release() -> Release:
    """The version that answers this request."""
    release: Release | None = g.release
    if release is None:
        raise RequestError(g.status.problem, "", 503)
    return release


def _predicted(release: Release, items: list[Any]) -> Any:
    """What the version answers. Of what would end the thread that asks it, e.g. sys.exit, an error is made."""
    try:
        return release.predict(items)
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        raise RuntimeError("the version tried to end the process") from error


def _refuse_encoded() -> None:
    """A body that is compressed or otherwise encoded as a whole (RFC 9110, section 8.4)."""
    encoding = request.headers.get("Content-Encoding", "").strip()
    if encoding.lower() not in ("", "identity"):
        name = encoding[:MOST_NAME]
        raise RequestError(f"Content-Encoding {name!r} is not supported; send the body as it is.", "encoding", 415)


def _file(field: str) -> FileStorage:
    """The file in that field of the form."""
    if not request.mimetype_params.get("boundary"):
        raise RequestError("Expected the form's boundary in its Content-Type.", "type")
    try:
        files = request.files.getlist(field)
    except RequestEntityTooLarge:
        if (request.content_length or 0) > (request.max_content_length or 0):
            raise
        message = f"Expected a form of at most {MOST_FORM_PARTS:,} fields."
        raise RequestError(message, "type") from None
    if len(files) != 1:
        raise RequestError(f"Expected a form with a file in the field '{field}', received {_sent(field)}.", "type")
    return files[0]


def _sent(field: str) -> str:
    """What a form has in place of one file in that field."""
    if files := request.files.getlist(field):
        return f"{len(files)}; send them one by one"
    if field in request.form:
        return f"text there; put an @ before the name of the file: {field}=@file"
    others = {*request.files, *request.form}
    if named := sorted(filter(None, others)):
        return f"the field {named[0][:MOST_NAME]!r}"
    return "a field without a name" if others else "none that can be read"


def _uploaded(item: Item) -> bytes:
    """The uploaded file."""
    file = _file(item.field)
    if not item.noun:
        raise RequestError("This model does not take files.", "type", 415)
    return file.read()


def _read(release: Release, file: bytes, read_file: ReadFile) -> np.ndarray:
    """The file as an item."""
    try:
        return read_file(file, release.shape, release.item)
    except ItemError as error:
        raise RequestError(str(error), error.kind, 422) from error
    except BusyError as error:
        raise RequestError(str(error), "", 503) from error


def _numbers(release: Release) -> Any:
    """The numbers in the JSON object as an item."""
    item = release.item
    if request.mimetype != "application/json":
        files = f", or multipart/form-data with a {item.noun}" if item.noun else ""
        received = "" if request.mimetype else ", received no Content-Type"
        raise RequestError(f"Expected application/json{files}{received}.", "type", 415)
    try:
        body = json.loads(request.get_data())  # in UTF-8, 16 or 32, with a byte order mark or without
    except (ValueError, RecursionError):
        raise RequestError("Expected JSON, received something else.", "encoding") from None
    try:
        return item.numbers(body.get(item.field) if isinstance(body, dict) else None, release.shape)
    except ItemError as error:
        raise RequestError(str(error), error.kind) from error


def too_large(most_bytes: int) -> str:
    return f"Expected at most {most_bytes // 10**6} MB."


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
