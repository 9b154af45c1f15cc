from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from serving import rehearsal as module
from serving.hostile import HostileRequest
from serving.rehearsal import (
    Golden,
    Latency,
    RehearsalError,
    TooSlowError,
    latency_within,
    read_golden,
    refuse,
    rehearse,
    replay,
    request_times,
    withstand,
)
from serving.server import ServerError, TimedOutError, scoring_server
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
        request_times([port], golden)


GOLDEN = Golden(1e-4, [{"body": {"inputs": [[1]]}, "predictions": [[1.0]]}])
Rounds = Callable[..., list[Sequence[int]]]


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Rounds:
    """Sets what each round measures of the model and of the one that does nothing, as times of which there are 100 in
    all, and gives the ports that were asked in each round."""

    def measure(*figures: Sequence[list[float]]) -> list[Sequence[int]]:
        left, asked = list(figures), []

        def times(ports: Sequence[int], _: Golden) -> list[list[float]]:
            asked.append(ports)
            return list(left.pop(0))

        monkeypatch.setattr(module, "request_times", times)
        return asked

    monkeypatch.setattr(module, "no_op_server", lambda _: contextlib.nullcontext(2))
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    return measure


def always(milliseconds: float) -> list[float]:
    return [milliseconds] * 100


def test_a_model_that_keeps_the_bound_is_compared_with_no_other(rounds: Rounds, tmp_path: Path) -> None:
    asked = rounds([always(100)])
    assert latency_within(100.0, 1, tmp_path, GOLDEN) == (Latency(100, 100), None)
    assert asked == [[1]]


def test_what_a_busy_machine_adds_is_not_counted(rounds: Rounds, tmp_path: Path) -> None:
    asked = rounds([always(170)], [always(180), always(70)], [always(150), always(60)])
    assert latency_within(100.0, 1, tmp_path, GOLDEN) == (Latency(150, 150), Latency(60, 60))
    assert asked == [[1], [1, 2], [1, 2]]


def test_a_model_that_misses_the_bound_in_every_round_is_told_all_figures(rounds: Rounds, tmp_path: Path) -> None:
    """On a quiet machine a model that needs more than the bound finds no excuse in one that does nothing."""
    rounds([always(170)], [always(180), always(1)], [always(120), always(2)], [always(130), always(3)])
    with pytest.raises(TooSlowError) as error:
        latency_within(100.0, 1, tmp_path, GOLDEN)
    assert str(error.value) == (
        "it takes 120.0 ms (95th percentile; median 120.0) for one item, a model that does nothing 2.0 ms (95th "
        "percentile; median 2.0), and at most 100 ms more are allowed (the best of 3 rounds). A quieter machine may "
        "decide otherwise"
    )


def test_stalls_of_the_machine_do_not_hide_a_model_that_always_waits(rounds: Rounds, tmp_path: Path) -> None:
    """Each tenth request takes half a second, whatever is asked: a model that sleeps meanwhile takes no longer."""
    waits, nothing = ([base] * 90 + [500.0] * 10 for base in (200.0, 1.0))
    rounds([waits], *[[waits, nothing]] * 3)
    with pytest.raises(TooSlowError, match=r"takes 500\.0 ms .*median 200\.0\) .* 500\.0 ms .*median 1\.0\)"):
        latency_within(100.0, 1, tmp_path, GOLDEN)


@pytest.mark.slow
def test_a_model_that_misses_the_bound_is_compared_with_a_real_server(
    port: int, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, first = request_times, [[always(2 * BOUND_MS)]]
    monkeypatch.setattr(module, "request_times", lambda *asked: first.pop() if first else real(*asked))
    latency, no_op = latency_within(BOUND_MS, port, saved, read_golden(saved))
    assert no_op is not None
    assert 0 < no_op.p50_ms <= no_op.p95_ms
    assert latency.beyond(no_op) <= BOUND_MS


@pytest.mark.parametrize(
    ("ended", "expected"), [(TimedOutError("not ready"), TooSlowError), (ServerError("ended"), RehearsalError)]
)
def test_a_server_that_takes_too_long_is_told_from_one_that_ends(
    saved: Path, monkeypatch: pytest.MonkeyPatch, ended: ServerError, expected: type[RehearsalError]
) -> None:
    def server(_: Path) -> None:
        raise ended

    monkeypatch.setattr(module, "scoring_server", server)
    with pytest.raises(RehearsalError) as error:
        rehearse(saved, BOUND_MS)
    assert type(error.value) is expected


def test_a_model_that_hangs_after_hostile_requests_is_broken(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(*_: object) -> float:
        raise TimedOutError("no answer to POST /invocations within 30 s")

    monkeypatch.setattr(module, "refuse", lambda *_: None)
    monkeypatch.setattr(module, "replay", hangs)
    with pytest.raises(RehearsalError, match="after hostile requests it gives no answer to POST") as error:
        withstand(1, read_golden(saved))
    assert type(error.value) is RehearsalError


def test_a_model_that_does_nothing_and_does_not_start_is_not_the_candidates_fault(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def server(_: Path) -> None:
        raise ServerError("the server ended with exit code 137")

    monkeypatch.setattr(module, "request_times", lambda *_: [always(2 * BOUND_MS)])
    monkeypatch.setattr(module, "scoring_server", server)
    with pytest.raises(TooSlowError, match="a model that does nothing does not even start: the server ended"):
        latency_within(BOUND_MS, 1, saved, GOLDEN)


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
