from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.hostile import HostileRequest
from serving.rehearsal import Golden, RehearsalError, latency, read_golden, refuse, rehearse, replay
from serving.server import scoring_server
from tests.serving.conftest import servers

BOUND_MS = 200.0  # what a busy machine keeps


@pytest.mark.slow
def test_a_sound_model_passes_and_its_server_is_gone_afterwards(model: Path) -> None:
    rehearsal = rehearse(model, BOUND_MS)
    assert rehearsal.golden == 3
    assert rehearsal.hostile == 27
    assert rehearsal.parity < 1e-5
    assert 0 < rehearsal.ready_seconds < 60
    assert 0 < rehearsal.p50_ms <= rehearsal.p95_ms < BOUND_MS
    assert servers(model) == []


@pytest.fixture(scope="module")
def port(saved: Path) -> Iterator[int]:
    """A server that several tests share."""
    with scoring_server(saved) as number:
        yield number


def test_wrong_answers_fail(port: int, saved: Path) -> None:
    golden = read_golden(saved)
    golden.requests[1]["predictions"][0][0] += 0.1
    with pytest.raises(RehearsalError, match=r"differ from the golden ones by 0\.1, at most 0\.0001 is allowed"):
        replay(port, golden)


def test_a_refused_golden_request_fails(port: int) -> None:
    golden = Golden(1e-4, [{"body": {"inputs": [[1, 2, 3]]}, "predictions": [[1.0]]}])
    with pytest.raises(RehearsalError, match=r"a golden request got HTTP 400: .*expected an item of shape \(8, 8\)"):
        replay(port, golden)


def test_another_number_of_answers_fails(port: int, saved: Path) -> None:
    golden = read_golden(saved)
    golden.requests[0]["predictions"].pop()
    with pytest.raises(RehearsalError, match=r"predictions of shape \(8, 10\), expected \(7, 10\)"):
        replay(port, golden)


def test_a_single_item_that_gets_no_answer_fails(port: int, saved: Path) -> None:
    golden = read_golden(saved)
    golden.requests[-1]["body"]["inputs"][0] = "seven!"
    with pytest.raises(RehearsalError, match="a golden request with one item got HTTP 400"):
        latency(port, golden)


def test_a_hostile_request_that_is_answered_fails(port: int, saved: Path) -> None:
    good = HostileRequest("harmless", json.dumps(read_golden(saved).requests[0]["body"]).encode())
    with pytest.raises(RehearsalError, match=r"a hostile request \(harmless\) got HTTP 200, expected 4xx"):
        refuse(port, good)


def test_a_proxy_in_the_environment_is_not_asked(port: int, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert replay(port, read_golden(saved)) < 1e-5


@pytest.mark.slow
def test_a_model_that_does_not_load_fails_with_its_last_words(model: Path) -> None:
    (model / "artifacts" / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(RehearsalError, match=r"the server ended with exit code 1: onnxruntime.*model\.onnx"):
        rehearse(model, BOUND_MS)


def test_no_golden_requests_no_rehearsal(model: Path) -> None:
    (model / "artifacts" / "golden.json").unlink()
    with pytest.raises(RehearsalError, match="it has no readable golden requests"):
        rehearse(model, BOUND_MS)


@pytest.mark.parametrize(
    "golden",
    [{"tolerance": 1e-4}, {"tolerance": 1e-4, "requests": []}, {"tolerance": 1e-4, "requests": [{"body": {}}]}, []],
)
def test_incomplete_golden_requests_are_no_rehearsal(model: Path, golden: object) -> None:
    (model / "artifacts" / "golden.json").write_text(json.dumps(golden))
    with pytest.raises(RehearsalError, match="it has no readable golden requests"):
        rehearse(model, BOUND_MS)
